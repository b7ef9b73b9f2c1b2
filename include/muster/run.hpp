// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs a task from plain code to its end, on a loop of its own, and leaves nothing behind: tasks still running then
/// are cancelled and waited for, and what fails in that time is reported.
///
///     int main() {
///         try { return muster::run(serve()); }
///         catch (const config_error& e) { ... }
///     }

#include <muster/config.hpp>
#include <muster/event_loop.hpp>
#include <muster/run_options.hpp>

#include <source_location>
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
    return loop.run(std::move(main), options, site);
}

} // namespace muster
