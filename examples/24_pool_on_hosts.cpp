// SPDX-License-Identifier: MIT
// The workers of a process pool on other hosts. `./24_pool_on_hosts host1 host2` starts them there by ssh; without
// arguments two "hosts" are this one, so that it runs anywhere.
#include <muster/host_lost_error.hpp>
#include <muster/map.hpp>
#include <muster/process_pool.hpp>
#include <muster/run.hpp>

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

std::uint64_t collatz_steps(std::uint64_t n) {
    std::uint64_t steps = 0;
    for (; n != 1; ++steps)
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    return steps;
}

const muster::remote_function remote_steps("collatz_steps", &collatz_steps);

// [pool]
muster::process_pool_options workers_on(const std::vector<std::string>& hosts) {
    muster::process_pool_options options;
    for (const auto& host : hosts)
        options.launcher({"ssh", host}, 8, host); // up to 8 workers there
    if (hosts.empty())
        options.launcher({"env"}, 1, "one").launcher({"env"}, 1, "two");
    return options;
}

muster::task<> count_all(std::vector<std::string> hosts) {
    muster::process_pool pool(workers_on(hosts));
    auto count = [&pool](std::uint64_t n) -> muster::task<std::uint64_t> {
        auto steps = co_await muster::run_in_executor(pool, remote_steps(n));
        co_return steps;
    };
    std::vector<std::uint64_t> numbers{27, 97, 871, 6171};
    auto outcomes = co_await muster::map(numbers, count).settle();
    for (std::size_t i = 0; i != outcomes.size(); ++i)
        if (outcomes[i].succeeded())
            fmt::print("{}: {} steps\n", numbers[i], outcomes[i].value());
    for (const auto& failure : outcomes.failures_of<muster::hosts::host_lost_error>())
        fmt::print("{}: {} was lost, begun: {}\n", numbers[failure.index()], failure->host(),
            muster::hosts::to_string(failure->begun()));
}
// [/pool]

} // namespace

int main(int argc, char** argv) {
    muster::process_pool::serve_if_worker(); // workers, and the agent that starts them on a host
    muster::run(count_all(std::vector<std::string>(argv + 1, argv + argc)));
}
