// SPDX-License-Identifier: MIT
// This file moves a process_wait from phase to phase. begin() watches the process and its pipes; cancel() and fail()
// move a running wait to asked, time_is_up() an asked one to killed, and on_end() moves it to lingering or sweeping,
// according to whether the process had been asked to end. A cancellation while lingering leads to sweeping if the group
// lives on. finish() ends the wait and wakes the task; stop() ends it without waking. The timers are armed from calls
// posted to the loop.
#include "subprocess/process_wait.hpp"

#include "posix/system_error.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace muster::detail {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t piece_size = std::size_t{64} << 10;
/// How much is read before other tasks run; also more than a pipe holds.
constexpr std::size_t most_at_once = std::size_t{1} << 20;

constexpr nanoseconds first_look = 5ms;
constexpr nanoseconds longest_look = 100ms;

std::exception_ptr system_failure(std::error_code code, const char* what) noexcept {
    return std::make_exception_ptr(std::system_error(code, what));
}

} // namespace

process_wait::process_wait(child& c, std::chrono::nanoseconds grace, std::chrono::nanoseconds linger) noexcept
    : suspension(kind_of),
      child_(&c),
      grace_(grace),
      linger_(linger),
      in_(*this),
      outputs_{stream(*this), stream(*this)},
      limit_(*this, &process_wait::time_is_up),
      look_(*this, &process_wait::look_at_group) {}

void process_wait::feed(std::shared_ptr<descriptor> pipe, std::string_view bytes) noexcept {
    MUSTER_ASSERT(phase_ == phase::built);
    in_.pipe_ = std::move(pipe);
    input_ = bytes;
}

void process_wait::collect(std::size_t which, std::shared_ptr<descriptor> pipe, output_collector& into) noexcept {
    MUSTER_ASSERT(phase_ == phase::built && (which == 1 || which == 2));
    auto& s = outputs_[which - 1];
    s.pipe_ = std::move(pipe);
    s.into_ = &into;
}

/// The one place where the phase changes; the head of process_wait.hpp has the picture.
void process_wait::enter(phase next) noexcept {
    const auto may_follow = [](phase from, phase to) {
        switch (from) {
        case phase::built:
            return to == phase::running || to == phase::over;
        case phase::running:
            return to == phase::asked || to == phase::lingering || to == phase::over;
        case phase::asked:
            return to == phase::killed || to == phase::sweeping || to == phase::over;
        case phase::killed:
            return to == phase::sweeping || to == phase::over;
        case phase::lingering:
            return to == phase::sweeping || to == phase::over;
        case phase::sweeping:
            return to == phase::over;
        case phase::over:
            return false;
        }
        return false;
    };
    MUSTER_ASSERT(may_follow(phase_, next));
    phase_ = next;
}

bool process_wait::begin() noexcept {
    loop_ = &static_cast<event_loop&>(fiber_->loop());
    enter(phase::running);
    if (const auto failed = child_->listen(*this, *loop_)) {
        error_ = system_failure(failed, "the end of a process can't be watched");
        stop();
        return false;
    }
    for (auto& s : outputs_) {
        if (!watch(s, descriptor::side::reading))
            return false;
    }
    // Most inputs are small and written at once, without a wait.
    if (write_input() && !watch(in_, descriptor::side::writing))
        return false;
    if (from_the_start_ == phase::asked)
        ask_to_end();
    return true;
}

bool process_wait::watch(stream& s, descriptor::side side) noexcept {
    if (!s.is_open())
        return true;
    const auto failed = s.pipe_->begin_wait(s, side, *loop_);
    if (!failed)
        return true;
    error_ = system_failure(failed, "the pipe of a process can't be watched");
    stop();
    return false;
}

// ---- streams ----

void process_wait::stream::on_ready() noexcept {
    if (into_ == nullptr)
        of_->input_is_writable();
    else
        of_->output_is_readable(*this);
}

void process_wait::stream::close() noexcept {
    if (pipe_ == nullptr)
        return;
    pipe_->end_wait(*this, into_ == nullptr ? descriptor::side::writing : descriptor::side::reading);
    pipe_->close();
}

void process_wait::input_is_writable() noexcept {
    if (!write_input())
        return;
    if (const auto failed = in_.pipe_->begin_wait(in_, descriptor::side::writing, *loop_))
        fail(system_failure(failed, "the input of a process can't be watched"));
}

bool process_wait::write_input() noexcept {
    if (!in_.is_open())
        return false;
    while (!input_.empty()) {
        const auto count = in_.pipe_->try_write(std::as_bytes(std::span(input_)));
        if (count < 0 && errno == EAGAIN)
            return true;
        // A process need not read all of its input.
        if (count < 0)
            break;
        input_.remove_prefix(static_cast<std::size_t>(count));
    }
    in_.close();
    return false;
}

void process_wait::output_is_readable(stream& s) noexcept {
    read_output(s);
    if (phase_ == phase::over)
        return;
    if (s.is_open()) {
        if (const auto failed = s.pipe_->begin_wait(s, descriptor::side::reading, *loop_))
            fail(system_failure(failed, "an output of a process can't be watched"));
    } else if (phase_ == phase::lingering) {
        look_at_outputs();
    }
}

void process_wait::read_output(stream& s) noexcept {
    char piece[piece_size];
    for (std::size_t most = most_at_once; most != 0 && s.is_open();) {
        const auto room = std::span<char>(piece).first(std::min(most, sizeof piece));
        const auto count = s.pipe_->try_read(std::as_writable_bytes(room));
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            s.close();
            return;
        }
        most -= static_cast<std::size_t>(count);
        try {
            s.into_->take(std::string_view(piece, static_cast<std::size_t>(count)));
        } catch (...) {
            fail(std::current_exception());
        }
        // A sink may cancel this very task, which ends the wait if the process has ended.
        if (phase_ == phase::over)
            return;
    }
}

bool process_wait::outputs_open() const noexcept {
    return std::ranges::any_of(outputs_, [](const stream& s) { return s.is_open(); });
}

// ---- the end ----

cancel_effect process_wait::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<process_wait&>(s);
    switch (self.phase_) {
    case phase::running:
        self.ask_to_end();
        break;
    case phase::lingering:
        if (!self.child_->group_left()) {
            self.stop();
            return cancel_effect::interrupted;
        }
        self.enter(phase::sweeping);
        self.child_->ask_group_left_to_end();
        self.limit_.arm(self.grace_);
        self.look_.arm(first_look);
        break;
    case phase::asked:
    case phase::killed:
    case phase::sweeping:
        break;
    case phase::built:
    case phase::over:
        MUSTER_ASSERT(false);
    }
    return cancel_effect::held;
}

void process_wait::ask_to_end() noexcept {
    enter(phase::asked);
    child_->ask_to_end();
    limit_.arm(grace_);
}

/// The wait will end with `error`; what the process still writes is thrown away.
void process_wait::fail(std::exception_ptr error) noexcept {
    if (!error_)
        error_ = std::move(error);
    for (auto& s : outputs_) {
        if (s.into_ != nullptr)
            s.into_->discard();
    }
    if (phase_ == phase::running)
        ask_to_end();
    else if (phase_ == phase::lingering)
        finish();
}

void process_wait::on_end() noexcept {
    in_.close();
    if (!child_->reaped()) {
        // Its owner has given it up, and it could not be killed.
        if (!error_)
            error_ = system_failure(system_code(ECANCELED), "waiting for a process: it was dropped meanwhile");
        finish();
        return;
    }
    const phase ended_in = phase_ == phase::running ? phase::lingering : phase::sweeping;
    enter(ended_in);
    // All that the process wrote is in the pipes by now. Its children may still write, which must not keep this from
    // ending, so each pipe is read once, and within bounds.
    for (auto& s : outputs_) {
        if (phase_ != phase::over && s.is_open())
            read_output(s);
    }
    // A sink may have cancelled the task, which then has set everything in motion already.
    if (phase_ != ended_in)
        return;
    if (ended_in == phase::lingering)
        look_at_outputs();
    else
        look_at_group();
}

void process_wait::look_at_outputs() noexcept {
    MUSTER_ASSERT(phase_ == phase::lingering);
    if (!outputs_open() || linger_.count() == 0)
        finish();
    else if (!limit_.is_set())
        limit_.arm(linger_);
}

/// The process was asked to end and has ended. Its children are given the rest of the grace.
void process_wait::look_at_group() noexcept {
    MUSTER_ASSERT(phase_ == phase::sweeping);
    const bool some_left = child_->group_left();
    if (some_left && limit_.is_set()) {
        next_look_ = std::clamp(2 * next_look_, first_look, longest_look);
        look_.arm(next_look_);
        return;
    }
    if (some_left)
        child_->kill_group_left();
    finish();
}

void process_wait::time_is_up() noexcept {
    switch (phase_) {
    case phase::asked:
        if (child_->signal_group(SIGKILL) || errno != EPERM) {
            enter(phase::killed);
            break;
        }
        if (!error_)
            error_ =
                system_failure(system_code(EPERM), "a process may not be ended: it runs as another user, and goes on");
        finish();
        break;
    case phase::lingering:
        finish();
        break;
    case phase::sweeping:
        limit_.disarm();
        look_.disarm();
        look_at_group();
        break;
    case phase::built:
    case phase::running:
    case phase::killed:
    case phase::over:
        MUSTER_ASSERT(false);
    }
}

void process_wait::finish() noexcept {
    output_was_cut_ = outputs_open();
    stop();
    fiber_->wake();
}

void process_wait::stop() noexcept {
    if (phase_ == phase::over)
        return;
    const bool began = phase_ != phase::built;
    enter(phase::over);
    if (!began)
        return;
    child_->unlisten(*this);
    if (in_.pipe_ != nullptr)
        in_.pipe_->end_wait(in_, descriptor::side::writing);
    for (auto& s : outputs_) {
        if (s.pipe_ != nullptr)
            s.pipe_->end_wait(s, descriptor::side::reading);
    }
    limit_.disarm();
    look_.disarm();
}

// ---- timers ----

process_wait::late_timer::late_timer(process_wait& w, function fired) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<late_timer&>(t);
          (self.of_->*self.fired_)();
      }),
      call_entry([](call_entry& c, bool run) noexcept {
          auto& self = static_cast<late_timer&>(c);
          const auto after = std::exchange(self.to_arm_, std::nullopt);
          if (!run || !after)
              return;
          auto& loop = *self.of_->loop_;
          // Without memory for a timer the time is up at once.
          if (!loop.arm(self, loop.now() + *after))
              self.of_->time_is_up();
      }),
      of_(&w),
      fired_(fired) {}

void process_wait::late_timer::arm(nanoseconds after) noexcept {
    auto& loop = *of_->loop_;
    loop.disarm(*this);
    to_arm_ = std::min(after, nanoseconds::max() / 2);
    loop.post(static_cast<call_entry&>(*this));
}

void process_wait::late_timer::disarm() noexcept {
    auto& loop = *of_->loop_;
    loop.disarm(*this);
    loop.unpost(*this);
    to_arm_.reset();
}

} // namespace muster::detail
