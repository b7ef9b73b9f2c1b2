// SPDX-License-Identifier: MIT
#include <muster/subprocess.hpp>

#include "loops/require_event_loop.hpp"
#include "posix/quiet_write.hpp"
#include "subprocess/child.hpp"
#include "subprocess/running.hpp"
#include "vocabulary/one_at_a_time.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace muster {

namespace {

using detail::owned_fd;

/// Waits until a descriptor can be read or written.
class readiness final : public detail::library_awaitable, public detail::suspension {
public:
    readiness(int fd, detail::watch::interest what) noexcept : suspension(kind_of), fd_(fd), what_(what) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        const auto ready = [](void* context) noexcept {
            auto& self = *static_cast<readiness*>(context);
            self.watch_.stop();
            self.fiber_->wake();
        };
        failure_ = watch_.start(static_cast<event_loop&>(fiber_->loop()), fd_, what_, ready, this);
        if (failure_)
            fiber_->yield(h);
        else
            fiber_->wait(*this, h);
    }
    void await_resume() const {
        fiber_->throw_if_cancelled();
        if (failure_)
            throw std::system_error(failure_, "a pipe can't be watched");
    }

    /// Ends the wait, before the descriptor is closed.
    void end() noexcept {
        if (!watch_.started())
            return;
        watch_.stop();
        fiber_->wake();
    }

private:
    static detail::cancel_effect cancel(
        detail::suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept {
        static_cast<readiness&>(s).watch_.stop();
        return detail::cancel_effect::interrupted;
    }
    static constexpr detail::suspension_kind kind_of{"a process", &cancel, nullptr, true};

    int fd_;
    detail::watch::interest what_;
    std::error_code failure_;
    detail::watch watch_;
};

struct waiting_guard {
    waiting_guard(readiness*& place, readiness& r) noexcept : place_(&place) { place = &r; }
    ~waiting_guard() { *place_ = nullptr; }
    waiting_guard(const waiting_guard&) = delete;
    waiting_guard& operator=(const waiting_guard&) = delete;
    readiness** place_;
};

} // namespace

struct process_output::pipe {
    owned_fd* fd = nullptr;
    std::string buffer; ///< what was read beyond a line
    detail::one_at_a_time busy;
};

struct process_input::pipe {
    owned_fd* fd = nullptr;
    detail::one_at_a_time busy;
    readiness* waiting = nullptr;
};

struct process::state {
    explicit state(const command& what) : grace(what.parts().grace), child(what, pipes) {
        input.fd = &pipes[0];
        outputs[0].fd = &pipes[1];
        outputs[1].fd = &pipes[2];
        for (std::size_t i = 0; i < pipes.size(); ++i)
            wanted[i] = pipes[i].is_open();
    }

    std::chrono::nanoseconds grace;
    detail::pipe_set pipes;
    std::array<bool, 3> wanted{};
    process_input::pipe input;
    std::array<process_output::pipe, 2> outputs;
    detail::child child;
};

namespace {

/// Adds what there is to the buffer, waiting if there is nothing. *Returns* false at the end.
task<bool> fill(process_output::pipe& p, std::size_t most) {
    for (;;) {
        if (!p.fd->is_open())
            co_return false;
        const auto before = p.buffer.size();
        p.buffer.resize(before + most);
        const auto count = ::read(p.fd->get(), p.buffer.data() + before, most);
        const int error = errno;
        p.buffer.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (count > 0)
            co_return true;
        if (count == 0) {
            p.fd->reset();
            co_return false;
        }
        if (error == EINTR)
            continue;
        if (error != EAGAIN)
            throw std::system_error(error, std::generic_category(), "reading from a process failed");
        readiness ready(p.fd->get(), detail::watch::readable);
        co_await ready;
    }
}

constexpr std::size_t piece_size = std::size_t{64} << 10;

task<std::string> read_some_of(process_output::pipe& p, std::size_t most) {
    detail::require_event_loop("reading from a process");
    const detail::one_at_a_time::use mine(p.busy, "reading this output");
    if (p.buffer.empty()) {
        auto filling = fill(p, std::clamp<std::size_t>(most, 1, piece_size));
        static_cast<void>(co_await std::move(filling));
    }
    std::string piece = p.buffer.substr(0, std::max<std::size_t>(most, 1));
    p.buffer.erase(0, piece.size());
    co_return piece;
}

task<std::optional<std::string>> read_line_of(process_output::pipe& p, std::size_t most) {
    detail::require_event_loop("reading from a process");
    const detail::one_at_a_time::use mine(p.busy, "reading this output");
    for (std::size_t looked_at = 0;;) {
        const auto end = p.buffer.find('\n', looked_at);
        if (std::min(end, p.buffer.size()) > most)
            throw std::length_error("a line of a process's output is longer than " + std::to_string(most) + " bytes");
        if (end != std::string::npos) {
            std::string line = p.buffer.substr(0, end);
            p.buffer.erase(0, end + 1);
            co_return std::optional<std::string>(std::move(line));
        }
        looked_at = p.buffer.size();
        auto filling = fill(p, piece_size);
        const bool more = co_await std::move(filling);
        if (more)
            continue;
        if (p.buffer.empty())
            co_return std::optional<std::string>();
        co_return std::optional<std::string>(std::exchange(p.buffer, {}));
    }
}

task<std::string> read_all_of(process_output::pipe& p, std::size_t most) {
    detail::require_event_loop("reading from a process");
    const detail::one_at_a_time::use mine(p.busy, "reading this output");
    for (;;) {
        auto filling = fill(p, piece_size);
        const bool more = co_await std::move(filling);
        if (p.buffer.size() > most)
            throw std::length_error("a process's output is longer than " + std::to_string(most) + " bytes");
        if (!more)
            co_return std::exchange(p.buffer, {});
    }
}

task<> write_to(process_input::pipe& p, std::string bytes) {
    detail::require_event_loop("writing to a process");
    const detail::one_at_a_time::use mine(p.busy, "writing to this process");
    std::string_view left = bytes;
    while (!left.empty()) {
        if (!p.fd->is_open())
            throw std::system_error(EPIPE, std::generic_category(), "writing to a process whose input was closed");
        const auto count = detail::quiet_write(p.fd->get(), left);
        if (count >= 0) {
            left.remove_prefix(static_cast<std::size_t>(count));
            continue;
        }
        if (errno != EAGAIN)
            throw std::system_error(errno, std::generic_category(), "writing to a process failed");
        readiness ready(p.fd->get(), detail::watch::writable);
        const waiting_guard here(p.waiting, ready);
        co_await ready;
    }
}

/// A descriptor of its own for each that waits, because libuv watches one once.
owned_fd copy_of(int pidfd) {
    owned_fd copy(::fcntl(pidfd, F_DUPFD_CLOEXEC, 3));
    if (!copy.is_open())
        throw std::system_error(errno, std::generic_category(), "the end of a process can't be waited for");
    return copy;
}

task<completed_process> wait_for_end(process::state& s) {
    detail::require_event_loop("waiting for a process");
    while (!s.child.reap()) {
        const auto pidfd = copy_of(s.child.pidfd());
        readiness ended(pidfd.get(), detail::watch::readable);
        co_await ended;
    }
    co_return s.child.result();
}

task<completed_process> end_politely(process::state& s) {
    detail::require_event_loop("waiting for a process");
    // Not reap(): while it is a zombie its number is the group's, and what it left behind can be ended.
    if (!s.child.reaped()) {
        const auto pidfd = copy_of(s.child.pidfd());
        std::array<detail::output_collector, 2> thrown_away;
        std::array<std::optional<detail::one_at_a_time::use>, 2> taken;
        detail::running waiting(s.child, pidfd.get(), s.grace, std::chrono::nanoseconds(0));
        for (std::size_t i = 0; i < thrown_away.size(); ++i) {
            // A process that can't write can't end; what somebody reads is theirs.
            if (s.outputs[i].busy.in_use())
                continue;
            taken[i].emplace(s.outputs[i].busy, "reading this output");
            waiting.collect(i + 1, *s.outputs[i].fd, thrown_away[i]);
        }
        waiting.end_at_once();
        co_await waiting;
    }
    co_return s.child.result();
}

} // namespace

task<std::string> process_output::read_some(std::size_t most) { return read_some_of(*pipe_, most); }

task<std::optional<std::string>> process_output::read_line(std::size_t most) { return read_line_of(*pipe_, most); }

task<std::string> process_output::read_all(std::size_t most) { return read_all_of(*pipe_, most); }

task<> process_input::write(std::string bytes) { return write_to(*pipe_, std::move(bytes)); }

void process_input::close() noexcept {
    if (pipe_->waiting != nullptr)
        pipe_->waiting->end();
    pipe_->fd->reset();
}

process::process(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
process::process(process&&) noexcept = default;
process& process::operator=(process&&) noexcept = default;
process::~process() = default;

pid_t process::pid() const noexcept { return state_->child.pid(); }

process_input process::input() {
    if (!state_->wanted[0])
        throw invalid_state_error("this process has no input to write to: say stdin_pipe() in its command");
    return process_input(state_->input);
}

process_output process::output() {
    if (!state_->wanted[1])
        throw invalid_state_error("this process has no output to read: its command does not capture it");
    return process_output(state_->outputs[0]);
}

process_output process::errors() {
    if (!state_->wanted[2])
        throw invalid_state_error("this process has no error output to read: its command does not capture it");
    return process_output(state_->outputs[1]);
}

task<completed_process> process::wait() { return wait_for_end(*state_); }

bool process::send_signal(int signal) noexcept { return state_->child.signal(signal); }

bool process::kill() noexcept { return state_->child.signal_group(SIGKILL); }

task<completed_process> process::terminate() { return end_politely(*state_); }

process start_process(command what) {
    const auto& parts = what.parts();
    if (parts.input == detail::input_from::bytes)
        throw std::invalid_argument("start_process: stdin_bytes() is run_command's: say stdin_pipe() and write them");
    if (parts.out.sink || parts.err.sink)
        throw std::invalid_argument("start_process: sinks are run_command's: read output() and errors()");
    if (parts.keeps_tail || parts.linger.count() != 0 || parts.limit != detail::command_parts().limit)
        throw std::invalid_argument("start_process: keep_tail(), linger() and output_limit() are run_command's: what "
                                    "is read here is the reader's choice");
    auto state = std::make_unique<process::state>(what);
    if (parts.started)
        parts.started(state->child.pid());
    return process(std::move(state));
}

} // namespace muster
