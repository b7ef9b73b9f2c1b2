// SPDX-License-Identifier: MIT
// This file has the commands muster hosts, which connects to all hosts at the same time and prints a table in the order
// in which they were given, and muster agent, which agent.cpp is.
#include "agent.hpp"
#include "host_words.hpp"
#include "run.hpp"
#include "streams.hpp"
#include "units.hpp"
#include "writer.hpp"

#include <muster/gather.hpp>
#include <muster/run.hpp>

#include <fmt/core.h>

#include <unistd.h>
#include <exception>

namespace tool {

namespace {

muster::task<std::string> row_of(muster::hosts::host_options options) {
    auto host = co_await muster::hosts::connect(options);
    auto took = co_await host.ping();
    const auto& f = host.facts();
    const auto places = options.slots() != 0 ? options.slots() : f.processors;
    auto row = fmt::format("{:<24} {:<8} {:>5} {:>5} {:>6.2f} {:>10} {:>10} {:>9.1f} ms", options.name(), f.version,
        places, f.processors, f.load, show_size(f.memory >> 20 << 20), show_size(f.available_memory >> 20 << 20),
        std::chrono::duration<double, std::milli>(took).count());
    co_await host.close();
    co_return row;
}

muster::task<int> print_table(std::vector<muster::hosts::host_options> hosts) {
    std::vector<muster::task<std::string>> all;
    for (const auto& host : hosts)
        all.push_back(row_of(host));
    auto rows = co_await muster::settle(std::move(all)).limit(32);
    std::string text = fmt::format("{:<24} {:<8} {:>5} {:>5} {:>6} {:>10} {:>10} {:>12}\n", "host", "version", "slots",
        "CPUs", "load", "memory", "free", "round trip");
    int status = all_succeeded;
    for (std::size_t i = 0; i != hosts.size(); ++i) {
        if (rows[i].succeeded()) {
            text += rows[i].value() + '\n';
            continue;
        }
        status = some_failed;
        std::string problem = problem_of(rows[i].as_exception());
        if (rows[i].failed_with<muster::spawn_error>())
            problem.insert(0, "the launcher can't be started on this machine: ");
        const auto& name = hosts[i].name();
        if (problem.starts_with(name + ": "))
            problem.erase(0, name.size() + 2);
        text += fmt::format("{:<24} does not answer: {}\n", name, problem);
    }
    if (const auto failed = write_all(STDOUT_FILENO, text)) {
        complain(fmt::format("writing to standard output failed: {}", failed->message()));
        status = some_failed;
    }
    co_return status;
}

} // namespace

int show_hosts(const std::vector<muster::hosts::host_options>& hosts) {
    if (hosts.empty())
        throw usage_error("muster hosts: say which hosts with --on or --on-file");
    return muster::run(print_table(hosts));
}

int be_agent() {
    if (::isatty(STDIN_FILENO) == 1) {
        complain("muster agent serves muster run --on from another host, through its standard input and output; it is "
                 "started from there, and there is nothing to type here");
        return bad_usage;
    }
    return serve_as_agent();
}

} // namespace tool
