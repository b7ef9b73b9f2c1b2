// SPDX-License-Identifier: MIT
#include "subprocess/running.hpp"

#include "posix/quiet_write.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace muster::detail {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t piece_size = std::size_t{64} << 10;
/// Read at a time before others get their turn; also more than a pipe holds.
constexpr std::size_t most_at_once = std::size_t{1} << 20;

constexpr nanoseconds first_look = 5ms;
constexpr nanoseconds longest_look = 100ms;

} // namespace

void output_collector::take(std::string_view piece) {
    total_ += piece.size();
    if (plan_ == nullptr)
        return;
    if (plan_->sink) {
        plan_->sink(piece);
        return;
    }
    const auto limit = what_->parts().limit;
    if (!what_->parts().keeps_tail) {
        if (piece.size() > limit - kept_.size())
            throw output_limit_error(limit, what_->describe());
        kept_.append(piece);
        return;
    }
    // What has gone out of the tail is cut off now and then only, or each piece would move all of it.
    kept_.append(piece);
    if (kept_.size() > limit && kept_.size() - limit > std::max<std::uint64_t>(limit, piece_size))
        kept_.erase(0, kept_.size() - static_cast<std::size_t>(limit));
}

std::string output_collector::finish() && {
    if (what_ != nullptr && what_->parts().keeps_tail && kept_.size() > what_->parts().limit)
        kept_.erase(0, kept_.size() - static_cast<std::size_t>(what_->parts().limit));
    return std::move(kept_);
}

running::running(child& c, int pidfd, std::chrono::nanoseconds grace, std::chrono::nanoseconds linger) noexcept
    : suspension(kind_of),
      child_(&c),
      pidfd_(pidfd),
      grace_(grace),
      linger_(linger),
      limit_(*this, [](timer& t) noexcept { static_cast<named_timer&>(t).of->time_is_up(); }),
      look_(*this, [](timer& t) noexcept { static_cast<named_timer&>(t).of->look_at_group(); }),
      arming_(*this) {
    for (auto& s : streams_)
        s.of = this;
}

void running::feed(owned_fd& pipe, std::string_view bytes) noexcept {
    streams_[0].pipe = &pipe;
    input_ = bytes;
}

void running::collect(std::size_t which, owned_fd& pipe, output_collector& into) noexcept {
    streams_[which].pipe = &pipe;
    streams_[which].into = &into;
}

bool running::begin() noexcept {
    loop_ = &static_cast<event_loop&>(fiber_->loop());
    const auto ended_now = [](void* context) noexcept { static_cast<running*>(context)->ended(); };
    const auto readable = [](void* context) noexcept {
        auto& s = *static_cast<stream*>(context);
        s.of->read(s, most_at_once);
    };
    const auto writable = [](void* context) noexcept { static_cast<stream*>(context)->of->write_input(); };
    waiting_ = true;
    if (const auto failed = end_.start(*loop_, pidfd_, watch::readable, ended_now, this)) {
        error_ = std::make_exception_ptr(std::system_error(failed, "the end of a process can't be watched"));
        stop();
        return false;
    }
    for (std::size_t i = 1; i < streams_.size(); ++i) {
        if (!watch_stream(streams_[i], watch::readable, readable))
            return false;
    }
    // Most of what is small is written at once, without a watch.
    write_input();
    if (streams_[0].pipe != nullptr && streams_[0].pipe->is_open() &&
        !watch_stream(streams_[0], watch::writable, writable))
        return false;
    if (ends_at_once_)
        start_ending();
    return true;
}

bool running::watch_stream(stream& s, watch::interest what, watch::ready_function ready) noexcept {
    if (s.pipe == nullptr || !s.pipe->is_open())
        return true;
    const auto failed = s.readiness.start(*loop_, s.pipe->get(), what, ready, &s);
    if (!failed)
        return true;
    error_ = std::make_exception_ptr(std::system_error(failed, "the pipe of a process can't be watched"));
    stop();
    return false;
}

// ---- streams ----

void running::write_input() noexcept {
    auto& s = streams_[0];
    if (s.pipe == nullptr || !s.pipe->is_open())
        return;
    while (!input_.empty()) {
        const auto count = quiet_write(s.pipe->get(), input_);
        if (count < 0 && errno == EAGAIN)
            return;
        // A process that does not want the rest need not read it.
        if (count < 0)
            break;
        input_.remove_prefix(static_cast<std::size_t>(count));
    }
    close(s);
}

void running::read(stream& s, std::size_t most) noexcept {
    char piece[piece_size];
    while (most != 0 && s.pipe->is_open()) {
        const auto count = ::read(s.pipe->get(), piece, std::min(most, sizeof piece));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            close(s);
            if (child_->reaped() && !ending_ && !draining_)
                after_end();
            return;
        }
        most -= static_cast<std::size_t>(count);
        try {
            s.into->take(std::string_view(piece, static_cast<std::size_t>(count)));
        } catch (...) {
            fail(std::current_exception());
        }
        // A sink may have cancelled this very task, which then is off all lists.
        if (!waiting_)
            return;
    }
}

void running::close(stream& s) noexcept {
    s.readiness.stop();
    s.pipe->reset();
}

bool running::outputs_open() const noexcept {
    return std::any_of(
        streams_.begin() + 1, streams_.end(), [](const stream& s) { return s.pipe != nullptr && s.pipe->is_open(); });
}

// ---- the end ----

cancel_effect running::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<running&>(s);
    if (self.child_->reaped() && !self.ending_) {
        if (self.child_->group_left()) {
            self.ending_ = true;
            self.child_->ask_group_left_to_end();
            self.loop_->disarm(self.limit_);
            self.arm(self.limit_, self.grace_);
            self.arm(self.look_, first_look);
            return cancel_effect::held;
        }
        self.stop();
        return cancel_effect::interrupted;
    }
    self.start_ending();
    return cancel_effect::held;
}

void running::start_ending() noexcept {
    if (std::exchange(ending_, true))
        return;
    child_->ask_to_end();
    arm(limit_, grace_);
}

/// It can't go on: what it still says is thrown away.
void running::fail(std::exception_ptr error) noexcept {
    if (!error_)
        error_ = std::move(error);
    for (auto& s : streams_) {
        if (s.into != nullptr)
            s.into->discard();
    }
    if (!child_->reaped())
        start_ending();
    else if (!ending_)
        finish();
}

void running::ended() noexcept {
    if (!child_->reap())
        return;
    end_.stop();
    if (streams_[0].pipe != nullptr)
        close(streams_[0]);
    // What it wrote is there by now; what others still write must not keep this from ending.
    draining_ = true;
    for (std::size_t i = 1; i < streams_.size() && waiting_; ++i) {
        if (streams_[i].pipe != nullptr && streams_[i].pipe->is_open())
            read(streams_[i], most_at_once);
    }
    draining_ = false;
    if (waiting_)
        after_end();
}

void running::after_end() noexcept {
    if (ending_) {
        if (!look_.set())
            look_at_group();
        return;
    }
    if (!outputs_open()) {
        finish();
    } else if (linger_.count() == 0) {
        cut_ = true;
        finish();
    } else if (!limit_.set()) {
        arm(limit_, linger_);
    }
}

/// Once it was asked to end and has, what it started is given the rest of the time.
void running::look_at_group() noexcept {
    if (!child_->group_left()) {
        cut_ = outputs_open();
        finish();
        return;
    }
    if (!limit_.set()) {
        child_->kill_group_left();
        cut_ = outputs_open();
        finish();
        return;
    }
    next_look_ = std::clamp(2 * next_look_, first_look, longest_look);
    arm(look_, next_look_);
}

void running::time_is_up() noexcept {
    if (!ending_) {
        cut_ = true;
        finish();
    } else if (!child_->reaped()) {
        if (!child_->signal_group(SIGKILL) && errno == EPERM) {
            if (!error_)
                error_ = std::make_exception_ptr(std::system_error(EPERM, std::generic_category(),
                    "a process may not be ended: it runs as somebody else, and goes on"));
            cut_ = outputs_open();
            finish();
        }
    } else {
        loop_->disarm(look_);
        look_.wanted = false;
        look_at_group();
    }
}

running::timer_entry::timer_entry(running& r) noexcept
    : call_entry([](call_entry& c, bool run) noexcept {
          auto& self = *static_cast<timer_entry&>(c).of;
          if (!run)
              return;
          self.arm_now(self.look_);
          self.arm_now(self.limit_);
      }),
      of(&r) {}

void running::arm(named_timer& t, nanoseconds after) noexcept {
    t.after = std::min(after, nanoseconds::max() / 2);
    t.wanted = true;
    loop_->post(arming_);
}

void running::arm_now(named_timer& t) noexcept {
    if (!std::exchange(t.wanted, false) || loop_->arm(t, loop_->now() + t.after))
        return;
    // No memory for a timer: no time, then.
    if (&t == &limit_)
        time_is_up();
    else
        fail(std::make_exception_ptr(std::bad_alloc()));
}

void running::finish() noexcept {
    stop();
    fiber_->wake();
}

void running::stop() noexcept {
    waiting_ = false;
    if (loop_ == nullptr)
        return;
    end_.stop();
    for (auto& s : streams_)
        s.readiness.stop();
    loop_->disarm(limit_);
    loop_->disarm(look_);
    loop_->unpost(arming_);
    limit_.wanted = look_.wanted = false;
}

} // namespace muster::detail
