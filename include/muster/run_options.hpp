// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a run behaves: strictness, where its reports go, how long what is left at the end may take.
///
///     muster::run(serve(), muster::run_options().strict().grace(1s));

#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/report.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster {

/// Thrown by a strict run that would otherwise have ended well although something was reported.
class strict_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Each may be set in a chain: `run_options().strict().grace(1s)`.
class run_options {
public:
    run_options() {}

    /// Any report makes run throw strict_error. Tasks that still run when main ends are reported (stray).
    run_options& strict(bool on = true) {
        strict_ = on;
        return *this;
    }
    /// Where the reports of this run go, and of nothing after it.
    run_options& on_report(report_handler handler) {
        on_report_ = std::move(handler);
        return *this;
    }
    /// How long tasks left at the end may take to end once cancelled. Those that take longer are named, are never
    /// resumed in a later run, and are destroyed with the loop, once no thread uses their frames.
    run_options& grace(std::chrono::nanoseconds time) {
        if (time.count() < 0)
            throw std::invalid_argument("run_options::grace: the time must not be negative");
        grace_ = time;
        return *this;
    }
    /// Whether a signal that asks the program to stop cancels main: SIGINT, unless interrupt_signals() says others. On
    /// by default.
    run_options& handle_interrupt(bool on) {
        handle_interrupt_ = on;
        return *this;
    }
    /// The signals that cancel main: `interrupt_signals({SIGINT, SIGTERM})`. The first signal cancels main with the
    /// message "interrupted by NAME". After that the default actions return, so a second signal ends the program. A
    /// signal that the program ignores or handles itself when the run begins is left alone.
    /// *Errors*: std::invalid_argument for a number that is no signal, or a signal that can't be watched.
    run_options& interrupt_signals(std::initializer_list<int> signals);
    /// Steps that keep the loop busy for longer are reported. Off by default; asyncio's debug mode takes 100 ms.
    run_options& report_slow_steps(std::chrono::nanoseconds limit = std::chrono::milliseconds(100)) {
        slow_step_ = limit;
        return *this;
    }

    [[nodiscard]] bool is_strict() const noexcept { return strict_; }
    [[nodiscard]] const report_handler& report_handler_set() const noexcept { return on_report_; }
    [[nodiscard]] std::chrono::nanoseconds grace_time() const noexcept { return grace_; }
    [[nodiscard]] bool handles_interrupt() const noexcept { return handle_interrupt_ && signals_ != 0; }
    /// A bit for each, that of signal 1 the lowest.
    [[nodiscard]] std::uint64_t interrupt_signals_set() const noexcept { return signals_; }
    [[nodiscard]] std::chrono::nanoseconds slow_step_limit() const noexcept { return slow_step_; }

private:
    report_handler on_report_;
    std::chrono::nanoseconds grace_{std::chrono::seconds(10)};
    std::chrono::nanoseconds slow_step_{0};
    std::uint64_t signals_ = std::uint64_t{1} << (SIGINT - 1);
    bool strict_ = false;
    bool handle_interrupt_ = true;
};

namespace detail {

/// Runs until `main` has ended, then until nothing is left. *Errors*: deadlock_error.
void run_to_the_end(scheduler& loop, const any_handle& main, const run_options& options);
/// While a run lasts its reports go to its handler and are counted for it.
class reports_of_run {
public:
    /// *Errors*: invalid_state_error for a loop that can't run any more.
    reports_of_run(scheduler& loop, const run_options& options);
    ~reports_of_run();
    reports_of_run(const reports_of_run&) = delete;
    reports_of_run& operator=(const reports_of_run&) = delete;

private:
    report_sink& sink_;
    report_sink before_;
};

/// Throws strict_error if the run was strict and there were reports.
void check_strict(scheduler& loop, const run_options& options);
/// *Errors*: invalid_state_error if a loop runs on this thread.
void require_no_loop();

template <class T>
T run_on(scheduler& loop, task<T> main, const run_options& options, std::source_location site) {
    require_no_loop();
    const reports_of_run reports(loop, options);
    auto handle = [&] {
        const current_loop_scope scope(loop);
        auto h = spawn(loop, std::move(main), site);
        h.set_name("main");
        return h;
    }();
    run_to_the_end(loop, handle, options);
    if (handle.state().ended_as().succeeded())
        check_strict(loop, options);
    if constexpr (std::is_void_v<T>) {
        handle.result();
    } else if constexpr (std::is_reference_v<T>) {
        return handle.result();
    } else {
        static_cast<void>(handle.result());
        return static_cast<task_state<T>&>(handle.state()).result().take();
    }
}

} // namespace detail
} // namespace muster
