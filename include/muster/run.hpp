// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs a task from plain code to its end, on a loop of its own, and leaves nothing behind: tasks still running then
/// are cancelled and waited for, and what fails in that time is reported.
///
///     int main() { return muster::run_main(serve()); }   // what nobody handles is printed, the exit status is 1
///
///     int main() {
///         try { return muster::run(serve()); }
///         catch (const config_error& e) { ... }
///     }

#include <muster/config.hpp>
#include <muster/event_loop.hpp>
#include <muster/run_options.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

/// Makes an event loop, runs `main` on it to the end, then cancels and awaits what is left.
/// *Returns* what main returns. *Errors*: rethrows what main throws, as itself; cancelled_error if main was
/// cancelled, also by SIGINT; deadlock_error with the list of who waits for what if nothing can run any more;
/// invalid_state_error if a loop runs on this thread already; strict_error as run_options says.
/// *Source*: asyncio.run.
template <class T>
T run(task<T> main, const run_options& options = {}, std::source_location site = std::source_location::current()) {
    detail::require_no_loop();
    event_loop loop;
    loop.reports().handler = options.report_handler_set(); // for the reports of tasks that are destroyed with the loop
    return loop.run(std::move(main), options, site);
}

/// Does not compile: says what to write instead.
template <detail::no_task A>
void run(A&&, const run_options& = {}) {
    detail::refuse<A>();
}

namespace detail {

/// Writes "TYPE: what" to standard error, a group with all that it holds. *Returns* EXIT_FAILURE.
int print_failure_of_main(const std::exception_ptr& error) noexcept;

} // namespace detail

/// For a program's `main`, which has no caller to throw to. Calls run(); an exception that leaves it is printed as the
/// last line of standard error, its type first. Locals are destroyed and the loop has wound up: nothing aborts.
/// *Returns* the program's exit status: the task's int, or 0 for a task of void; 1 after a failure or a cancellation.
/// *Source*: the interpreter's way with an exception that leaves asyncio.run.
template <class T>
int run_main(task<T> main, const run_options& options = {},
    std::source_location site = std::source_location::current()) noexcept {
    static_assert(std::is_void_v<T> || std::same_as<T, int>,
        "run_main takes a muster::task<> or, for an exit status of its own, a muster::task<int>");
    try {
        if constexpr (std::is_void_v<T>) {
            run(std::move(main), options, site);
            return 0;
        } else {
            return run(std::move(main), options, site);
        }
    } catch (...) {
        return detail::print_failure_of_main(std::current_exception());
    }
}

/// Does not compile: says what to write instead.
template <detail::no_task A>
int run_main(A&&, const run_options& = {}) {
    detail::refuse<A>();
    return 1;
}

} // namespace muster
