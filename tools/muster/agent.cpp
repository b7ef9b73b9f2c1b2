// SPDX-License-Identifier: MIT
// This file serves one client until the connection ends or a signal comes, as the child of a warden. It needs nothing
// but the library, so that a program can be made of it that runs on any system of its architecture.
#include "agent.hpp"

#include "warden.hpp"

#include <muster/hosts.hpp>
#include <muster/io/pipe.hpp>
#include <muster/io/signals.hpp>
#include <muster/outcome.hpp>
#include <muster/run.hpp>
#include <muster/task_handle.hpp>

#include <csignal>

namespace tool {

namespace {

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

muster::task<> cancel_at_signal(muster::task_handle<void> serving) {
    muster::io::signal_watcher signals({SIGINT, SIGTERM, SIGHUP});
    auto number = co_await signals.next();
    serving.cancel(muster::signal_name(number));
}

muster::task<> serve(agent_report report) {
    auto serving = muster::create_task(
        muster::hosts::serve_agent(muster::io::standard_input(), muster::io::standard_output(), report.observer()),
        "agent");
    auto watching = muster::create_task(cancel_at_signal(serving), "signals");
    auto ending = end_of(serving);
    auto ended = co_await muster::as_outcome(std::move(ending));
    watching.cancel();
    if (ended.failed())
        ended.rethrow();
}

} // namespace

int serve_as_agent() {
    muster::run(serve(watch_over_this_agent()), muster::run_options().handle_interrupt(false));
    return 0;
}

} // namespace tool
