// SPDX-License-Identifier: MIT
/// \file
/// A running process that its owner talks to. Its pipes are io streams and readers; its end is awaited through its
/// child, which any number of tasks may listen to. Operations in flight share the state, so that dropping the process
/// ends them with an error.
#include <muster/subprocess.hpp>

#include "io/descriptor.hpp"
#include "loops/require_event_loop.hpp"
#include "posix/system_error.hpp"
#include "subprocess/child.hpp"
#include "subprocess/output_collector.hpp"
#include "subprocess/process_wait.hpp"

#include <muster/detail/wait_list.hpp>
#include <muster/error.hpp>

#include <array>
#include <cerrno>
#include <concepts>
#include <coroutine>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <utility>

namespace muster {

namespace {

/// Waits for the end of a child.
class end_wait final : public detail::library_awaitable, public detail::suspension, private detail::end_listener {
public:
    explicit end_wait(detail::child& c) noexcept : suspension(kind_of), child_(&c) {}
    ~end_wait() { child_->unlisten(*this); }

    [[nodiscard]] bool await_ready() const noexcept { return child_->reap(); }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        failure_ = child_->listen(*this, static_cast<event_loop&>(fiber_->loop()));
        if (failure_)
            fiber_->yield(h);
        else
            fiber_->wait(*this, h);
    }
    void await_resume() const {
        if (fiber_ != nullptr)
            fiber_->throw_if_cancelled();
        if (failure_)
            throw std::system_error(failure_, "the end of a process can't be waited for");
        if (!child_->reaped())
            detail::throw_system_error(ECANCELED, "waiting for a process: it was dropped meanwhile");
    }

private:
    void on_end() noexcept override { fiber_->wake(); }
    static detail::cancel_effect cancel(
        detail::suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept {
        auto& self = static_cast<end_wait&>(s);
        self.child_->unlisten(self);
        return detail::cancel_effect::interrupted;
    }
    static constexpr detail::suspension_kind kind_of{.what = "a process", .cancel = &cancel, .can_fail = true};

    detail::child* child_;
    std::error_code failure_;
};

/// A process's output: the stream closes the pipe with the process, also while the reader is in use.
class readable_end {
public:
    explicit readable_end(std::shared_ptr<detail::descriptor> pipe) : stream_(std::move(pipe)), reader_(stream_) {}
    [[nodiscard]] io::reader& reader() noexcept { return reader_; }
    [[nodiscard]] const std::shared_ptr<detail::descriptor>& pipe() const noexcept { return stream_.shared(); }

private:
    io::stream stream_;
    io::reader reader_;
};

} // namespace

class process::state {
public:
    explicit state(const command& what) : grace_(what.parts().grace), child_(what, pipes_) {
        if (pipes_[0])
            input_.emplace(std::move(pipes_[0]));
        for (std::size_t i = 0; i < outputs_.size(); ++i) {
            if (pipes_[i + 1])
                outputs_[i].emplace(std::move(pipes_[i + 1]));
        }
    }

    [[nodiscard]] detail::child& child() noexcept { return child_; }
    [[nodiscard]] std::chrono::nanoseconds grace() const noexcept { return grace_; }
    [[nodiscard]] std::optional<io::stream>& input() noexcept { return input_; }
    [[nodiscard]] std::array<std::optional<readable_end>, 2>& outputs() noexcept { return outputs_; }

    /// The process has no owner any more. Operations in flight end with an error.
    void give_up() noexcept {
        child_.give_up();
        input_.reset();
        for (auto& o : outputs_)
            o.reset();
    }

private:
    std::chrono::nanoseconds grace_;
    detail::pipe_set pipes_; ///< until they have become streams
    std::optional<io::stream> input_;
    std::array<std::optional<readable_end>, 2> outputs_;
    detail::child child_;
};

namespace {

using state_ptr = std::shared_ptr<process::state>;

process::state& owned(const state_ptr& s, const char* what) {
    if (s == nullptr)
        throw invalid_state_error(std::string(what) + ": this muster::process was moved from");
    s->child().require_here(what);
    return *s;
}

io::reader& output_of(const state_ptr& s, std::size_t which) {
    auto& output = owned(s, "reading from a process").outputs()[which];
    if (!output)
        throw invalid_state_error(which == 0
                                      ? "this process has no output to read: its command does not capture it"
                                      : "this process has no error output to read: its command does not capture it");
    return output->reader();
}

task<completed_process> wait_for_end(state_ptr s) {
    auto& child = owned(s, "waiting for a process").child();
    detail::require_event_loop("waiting for a process");
    end_wait waiting(child);
    co_await waiting;
    co_return child.result();
}

task<completed_process> end_politely(state_ptr s) {
    auto& child = owned(s, "ending a process").child();
    detail::require_event_loop("ending a process");
    // reap() is not called: as long as the process is a zombie its number is that of its group, and what it left behind
    // can be ended.
    if (!child.reaped()) {
        std::array<detail::output_collector, 2> thrown_away;
        // Shared here, because dropping the process drops its streams meanwhile.
        std::array<std::shared_ptr<detail::descriptor>, 2> pipes;
        std::array<std::optional<detail::descriptor::use>, 2> taken;
        detail::process_wait waiting(child, s->grace(), std::chrono::nanoseconds(0));
        for (std::size_t i = 0; i < thrown_away.size(); ++i) {
            const auto& output = s->outputs()[i];
            // A process that can't write can't end, so its output is read here, unless another task reads it.
            if (!output || !output->pipe()->is_open() || output->pipe()->in_use(detail::descriptor::side::reading))
                continue;
            pipes[i] = output->pipe();
            taken[i].emplace(*pipes[i], detail::descriptor::side::reading, "ending a process");
            waiting.collect(i + 1, pipes[i], thrown_away[i]);
        }
        waiting.end_at_once();
        co_await waiting;
    }
    co_return child.result();
}

void drop(state_ptr s) noexcept {
    if (s == nullptr)
        return;
    if (s->child().is_here()) {
        s->give_up();
        return;
    }
    // A task waits for it on another thread, where it can't be told from here. The process is killed all the same.
    s->child().signal_group(SIGKILL);
    detail::keep_for_good(std::move(s));
    detail::report_wrong_thread("process::~process", "the process was killed, and is not reaped");
}

} // namespace

process::process(std::shared_ptr<state> s) noexcept : state_(std::move(s)) {}

process& process::operator=(process&& other) noexcept {
    if (this != &other)
        drop(std::exchange(state_, std::move(other.state_)));
    return *this;
}

process::~process() { drop(std::move(state_)); }

pid_t process::pid() const noexcept { return state_ ? state_->child().pid() : -1; }

process_input& process::input() {
    auto& input = owned(state_, "writing to a process").input();
    if (!input)
        throw invalid_state_error("this process has no input to write to: say stdin_pipe() in its command");
    return *input;
}

process_output& process::output() { return output_of(state_, 0); }

process_output& process::errors() { return output_of(state_, 1); }

task<completed_process> process::wait() { return wait_for_end(state_); }

bool process::send_signal(int signal) {
    if (!state_)
        return false;
    state_->child().require_here("process::send_signal");
    return state_->child().signal(signal);
}

bool process::kill() {
    if (!state_)
        return false;
    state_->child().require_here("process::kill");
    return state_->child().signal_group(SIGKILL);
}

task<completed_process> process::terminate() { return end_politely(state_); }

process start_process(command what) {
    const auto& parts = what.parts();
    if (parts.input == detail::input_from::bytes)
        throw std::invalid_argument("start_process: stdin_bytes() is run_command's: say stdin_pipe() and write them");
    if (parts.out.sink || parts.err.sink)
        throw std::invalid_argument("start_process: sinks are run_command's: read output() and errors()");
    if (parts.keeps_tail || parts.linger.count() != 0 || parts.limit != detail::command_parts().limit)
        throw std::invalid_argument("start_process: keep_tail(), linger() and output_limit() are run_command's: what "
                                    "is read here is the reader's choice");
    auto state = std::make_shared<process::state>(what);
    if (parts.started)
        parts.started(state->child().pid());
    return process(std::move(state));
}

} // namespace muster
