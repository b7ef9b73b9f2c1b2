// SPDX-License-Identifier: MIT
// Calls by way of a queue in PostgreSQL: `25_queue init` makes the queue, `25_queue worker` serves it, `25_queue`
// submits calls and prints what came of them. All take the queue's address from the environment; without one there is
// nothing to do.
#include <muster/map.hpp>
#include <muster/postgres.hpp>
#include <muster/postgres/init.hpp>
#include <muster/run.hpp>

#include <fmt/core.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

// [functions]
std::string shouted(const std::string& text) {
    std::string result;
    for (const char c : text)
        result += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return result;
}

const muster::remote_function shout("shout", &shouted);
// [/functions]

// [client]
muster::task<> shout_all(std::string address, std::vector<std::string> words) {
    muster::postgres::executor queue(muster::postgres::executor_options(address).window(100));
    const auto call = [&](const std::string& word) { return muster::run_in_executor(queue, shout(word)).as_task(); };
    auto outcomes = co_await muster::map(words, call).settle();
    for (const auto& outcome : outcomes)
        fmt::print("{}\n", outcome.succeeded() ? outcome.value() : muster::describe(outcome.error()));
}
// [/client]

// [worker]
muster::task<> serve(std::string address) {
    auto options = muster::postgres::worker_options(address).slots(4).functions({"shout"});
    co_await muster::postgres::serve(options);
}
// [/worker]

// [keys]
muster::task<std::string> shout_once(std::string address, std::string order) {
    muster::postgres::executor queue{muster::postgres::executor_options(address)};
    const muster::postgres::call_key key(order); // known before the call is made, and written down somewhere
    auto loud = co_await muster::run_in_executor(
        queue, muster::postgres::submission(shout("hello")).key(key).priority(5).starts(3));
    co_return loud;
}
// [/keys]

// [main]
int main(int argc, char** argv) {
    muster::process_pool::serve_if_worker();
    const char* const address = std::getenv("QUEUE");
    if (address == nullptr) {
        fmt::print("QUEUE is not set: there is no queue to use\n");
        return 0;
    }
    const std::string_view what = argc == 2 ? argv[1] : "";
    if (what == "init") {
        muster::run(muster::postgres::init(address));
        return 0;
    }
    if (what == "worker") {
        try {
            muster::run(serve(address), muster::run_options().interrupt_signals({SIGINT, SIGTERM}));
        } catch (const muster::cancelled_error&) {
            fmt::print("the worker has left\n");
        }
        return 0;
    }
    muster::run(shout_all(address, {"to", "be", "or", "not", "to", "be"}));
    return 0;
}
// [/main]
