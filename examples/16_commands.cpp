// SPDX-License-Identifier: MIT
// Commands as tasks: three at once; one that fails; one that takes too long, and is ended together with what it
// started; and a dialogue with one, line by line.

#include <muster/muster.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <chrono>
#include <string>
#include <vector>

using namespace std::chrono_literals;

// [run_many]
muster::task<std::string> shout(std::string word) {
    auto what = muster::command("tr", "a-z", "A-Z").stdin_bytes(word);
    auto done = co_await muster::run_command(std::move(what));
    done.throw_if_failed();
    co_return done.out;
}

muster::task<> all_at_once() {
    const std::vector<std::string> words = {"one", "two", "three"};
    auto shouted = co_await muster::map(words, shout).limit(2);
    for (const auto& word : shouted)
        fmt::print("{}\n", word);
}
// [/run_many]

// [fail]
muster::task<> failing() {
    auto failing = muster::run_command(muster::command::shell("echo no such fish >&2; exit 3"));
    auto done = co_await std::move(failing);
    try {
        done.throw_if_failed();
    } catch (const muster::exit_error& e) {
        fmt::print("status {}, it said: {}", e.status(), e.error_output());
    }
    // SIGTERM to it and to what it started; what is left a second later is killed.
    auto slow = muster::run_command(muster::command::shell("sleep 1000 & wait").grace(1s));
    auto in_time = muster::wait_for(std::move(slow), 50ms);
    try {
        static_cast<void>(co_await std::move(in_time));
    } catch (const muster::timeout_error&) {
        fmt::print("too slow, and gone\n");
    }
}
// [/fail]

// [talk]
muster::task<> talking() {
    auto cat = muster::start_process(muster::command("cat").stdin_pipe());
    co_await cat.input().write("hello\n");
    auto line = co_await cat.output().read_line();
    fmt::print("it answers {}\n", line.value_or("nothing"));
    cat.input().close();
    auto done = co_await cat.wait();
    fmt::print("and ends with {}\n", done.status);
}
// [/talk]

muster::task<> in_turn() {
    co_await all_at_once();
    co_await failing();
    co_await talking();
}

int main() { return muster::run_main(in_turn()); }
