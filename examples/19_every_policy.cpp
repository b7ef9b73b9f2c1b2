// SPDX-License-Identifier: MIT
// The same four children under every policy. `a` answers after 10 ms, `b` fails after 20 ms, `c` answers after 30 ms
// and `d` fails after 40 ms. Each function below runs the four in another way and prints what came of it.
// The loop's clock is virtual: the program takes no time, and prints the same each time.

#include <muster/muster.hpp>
#include <muster/testing/manual_loop.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// [children]
class child_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

const std::vector<std::string> names = {"a", "b", "c", "d"};

muster::task<std::string> child(std::string name) {
    const auto number = name[0] - 'a' + 1;
    try {
        co_await muster::sleep_for(number * 10ms);
    } catch (const muster::cancelled_error& e) {
        fmt::print("  {} is cancelled: {}\n", name, to_string(e.reason()));
        throw; // a cancellation is always passed on
    }
    if (number % 2 == 0)
        throw child_error(name + " failed");
    co_return name;
}

std::vector<muster::task<std::string>> four_tasks() {
    std::vector<muster::task<std::string>> tasks;
    for (const auto& name : names)
        tasks.push_back(child(name));
    return tasks;
}

void print(const muster::outcomes<std::string>& outcomes) {
    for (std::size_t i = 0; i != outcomes.size(); ++i)
        fmt::print("  {}: {}\n", names[i], outcomes[i].succeeded() ? "value" : to_string(outcomes[i]));
}
// [/children]

// [policies]
muster::task<> cancel_siblings() { // the default
    try {
        co_await muster::gather(four_tasks());
    } catch (const child_error& first) {
        fmt::print("  thrown: {}\n", first.what());
    }
}

muster::task<> finish_siblings() {
    try {
        co_await muster::gather(four_tasks()).finish_siblings();
    } catch (const muster::exception_group& all) {
        fmt::print("  thrown: {}\n", all.what());
    }
}

muster::task<> leave_siblings() {
    std::vector<muster::task_handle<std::string>> handles; // the loop owns the tasks
    for (const auto& name : names)
        handles.push_back(muster::create_task(child(name), name));
    try {
        co_await muster::gather(handles).leave_siblings();
    } catch (const child_error& first) {
        fmt::print("  thrown: {}; c has ended: {}\n", first.what(), handles[2].done());
    }
    co_await muster::wait(handles);
    fmt::print("  later: c has ended: {}\n", handles[2].done());
    if (handles[3].exception() != nullptr) // whoever leaves siblings looks after their failures
        fmt::print("  later: d failed\n");
}

muster::task<> settle() {
    auto outcomes = co_await muster::settle(four_tasks());
    print(outcomes);
    fmt::print("  a child_error among them: {}\n", outcomes.any_failed<child_error>());
}
// [/policies]

// [early]
muster::task<> stop_after_one_failure() {
    auto outcomes = co_await muster::map(names, child).limit(2).stop_after_failures(1).settle();
    print(outcomes); // d was never started
    fmt::print("  {} = {} + {} + {} + {}\n", outcomes.submitted(), outcomes.succeeded(), outcomes.failed(),
        outcomes.cancelled(), outcomes.not_started());
}

muster::task<> two_are_enough() {
    auto winners = co_await muster::gather(four_tasks()).quorum(2);
    for (const auto& winner : winners)
        fmt::print("  {} answered\n", winner.value());
}

muster::task<> first_wins() {
    auto first = co_await muster::race(four_tasks());
    fmt::print("  {} answered\n", first.value());
}

muster::task<> time_for_all() {
    auto outcomes = co_await muster::gather(four_tasks()).within(25ms).settle();
    print(outcomes);
}

muster::task<> time_for_each() {
    auto outcomes = co_await muster::gather(four_tasks()).each_within(25ms).settle();
    print(outcomes);
    fmt::print("  too slow: {}\n", outcomes.failures_of<muster::timeout_error>().size());
}
// [/early]

// [main]
void show(const char* title, muster::task<> program) {
    fmt::print("{}\n", title);
    muster::testing::manual_loop loop; // the virtual clock; muster::run uses the real one
    loop.run(std::move(program));
    fmt::print("  ({} ms)\n", loop.elapsed() / 1ms);
}

int main() {
    show("cancel siblings", cancel_siblings());
    show("finish siblings", finish_siblings());
    show("leave siblings", leave_siblings());
    show("settle", settle());
    show("stop after one failure, two at a time", stop_after_one_failure());
    show("quorum of two", two_are_enough());
    show("race", first_wins());
    show("25 ms for all", time_for_all());
    show("25 ms for each", time_for_each());
}
// [/main]
