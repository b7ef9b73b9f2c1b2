// SPDX-License-Identifier: MIT
// A task group: a scope that ends when all of its tasks have ended. A failure cancels the siblings, and
// all failures are thrown as one exception_group, always. `handle_group` handles a group by type, as
// Python's `except*` does: every handler sees its part, and what no handler matches is thrown again.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

muster::task<> fetch(std::string what) {
    try {
        co_await muster::sleep_for(10ms);
    } catch (const muster::cancelled_error& e) {
        fmt::print("{} was cancelled ({})\n", what, to_string(e.reason()));
        throw;
    }
    fmt::print("{} is here\n", what);
}

muster::task<> refuse(std::string why) {
    co_await muster::yield();
    throw std::invalid_argument(why);
}

muster::task<> overflow() {
    co_await muster::yield();
    throw std::overflow_error("too many");
}

muster::task<> all_is_well() {
    auto body = [](muster::task_group& group) -> muster::task<std::string> {
        group.create_task(fetch("users"));
        group.create_task(fetch("orders"));
        co_return "the body's value";
    };
    auto value = co_await muster::with_task_group(body);
    fmt::print("all have ended: {}\n", value);
}

// [task_group]
muster::task<> two_fail() {
    auto body = [](muster::task_group& group) -> muster::task<> {
        group.create_task(fetch("stock"));
        group.create_task(refuse("no such customer"));
        group.create_task(overflow());
        co_return;
    };
    try {
        co_await muster::with_task_group(body);
    } catch (const muster::exception_group& failures) {
        muster::handle_group(failures, muster::on<std::invalid_argument>([](const muster::base_exception_group& part) {
            for (const auto* e : part.leaves_of<std::invalid_argument>())
                fmt::print("invalid: {}\n", e->what());
        }),
            muster::on<std::range_error>([] { fmt::print("never printed\n"); }));
        // Not reached: no handler matches the overflow, so handle_group throws it again.
    }
}
// [/task_group]

int main() {
    muster::run(all_is_well());
    try {
        muster::run(two_fail());
    } catch (const muster::exception_group& rest) {
        fmt::print("not handled: {}\n", rest.what());
    }
}
