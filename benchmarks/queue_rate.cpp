// SPDX-License-Identifier: MIT
// bench_queue [CALLS [WINDOW [on|off]]]: how many calls a second go through a queue in PostgreSQL, on a server of this
// program's own that waits for its disk (on) or does not (off). Two workers, which are this program, make calls that do
// nothing on their loops, so that the time is the queue's.
#include <muster/map.hpp>
#include <muster/postgres.hpp>
#include <muster/postgres/init.hpp>
#include <muster/run.hpp>

#include "postgres/private_server.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <spawn.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <string>
#include <vector>

namespace {

namespace postgres = muster::postgres;

const muster::remote_function same(
    "same", +[](int n) { return n; });

muster::task<nlohmann::json> give_back(nlohmann::json arguments) { co_return arguments.at(0); }

int serve(const char* address) {
    std::map<std::string, postgres::handler> handlers;
    handlers["same"] = give_back;
    try {
        muster::run(postgres::serve(postgres::worker_options(address).slots(50), handlers),
            muster::run_options().interrupt_signals({SIGTERM}));
    } catch (const muster::cancelled_error&) {
        return 0;
    }
    return 1;
}

muster::task<std::size_t> make_calls(std::string address, std::size_t calls, std::size_t window) {
    postgres::executor queue(postgres::executor_options(address).window(window));
    static_cast<void>(co_await muster::run_in_executor(queue, same(0))); // a worker is there
    std::vector<int> numbers(calls);
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto call = [&](int n) { return muster::run_in_executor(queue, same(n)).as_task(); };
    const auto begin = std::chrono::steady_clock::now();
    auto outcomes = co_await muster::map(numbers, call).limit(window).settle();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%zu calls, window %zu: %.0f calls/s, %zu without a value\n", calls, window,
        static_cast<double>(calls) / took.count(), calls - outcomes.succeeded());
    co_return outcomes.succeeded();
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::strcmp(argv[1], "--worker") == 0)
        return serve(argv[2]);
    if (const auto problem = postgres::private_server::why_not(); !problem.empty()) {
        std::printf("%s\n", problem.c_str());
        return 0;
    }
    const auto number = [&](int at, unsigned long otherwise) {
        return argc > at ? std::strtoul(argv[at], nullptr, 10) : otherwise;
    };
    const std::string writes_through = argc > 3 ? argv[3] : "off";
    const postgres::private_server server({"fsync=" + writes_through});
    muster::run(postgres::init(server.address()));
    auto address = server.address();
    std::string flag = "--worker";
    std::vector<pid_t> workers(2);
    for (auto& w : workers) {
        char* words[] = {argv[0], flag.data(), address.data(), nullptr};
        if (::posix_spawn(&w, "/proc/self/exe", nullptr, nullptr, words, environ) != 0)
            return 1;
    }
    const auto calls = number(1, 20'000);
    const auto done = muster::run(make_calls(address, calls, number(2, 100)));
    for (const auto w : workers) {
        ::kill(w, SIGTERM);
        ::waitpid(w, nullptr, 0);
    }
    return done == calls ? 0 : 1;
}
