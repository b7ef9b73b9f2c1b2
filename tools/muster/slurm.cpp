// SPDX-License-Identifier: MIT
// Slurm says in the environment which nodes an allocation has, in a short form that `scontrol show hostnames` makes
// names of. An agent is a step of one task on one node: it overlaps with the others and with the shell of salloc, and
// may use all processors that the job has there, since the commands run under it. Its output is not buffered: srun
// would keep what has no line feed behind it.
#include "slurm.hpp"

#include "units.hpp"

#include <muster/run.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string_view>

namespace tool {

namespace {

constexpr std::size_t most_nodes = 10'000;
constexpr std::size_t most_processors = 100'000;

muster::task<std::string> names_of(std::string list) {
    auto asking = muster::run_command(muster::command("scontrol", "show", "hostnames", std::move(list)));
    auto said = co_await std::move(asking);
    said.throw_if_failed();
    co_return said.out;
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = std::min(text.find_first_of("\n\r "), text.size());
        if (end != 0)
            words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

} // namespace

std::vector<std::size_t> slurm_numbers(const std::string& list) {
    const std::string option = "--on slurm: SLURM_JOB_CPUS_PER_NODE " + list;
    std::vector<std::size_t> all;
    for (std::string_view left = list; !left.empty();) {
        const auto end = std::min(left.find(','), left.size());
        const auto item = left.substr(0, end);
        left.remove_prefix(std::min(end + 1, left.size()));
        const auto times = item.find("(x");
        const auto number = parse_count(std::string(item.substr(0, times)), option, 1, most_processors);
        std::size_t repeated = 1;
        if (times != std::string_view::npos && item.ends_with(')'))
            repeated = parse_count(std::string(item.substr(times + 2, item.size() - times - 3)), option, 1, most_nodes);
        all.insert(all.end(), repeated, number);
        if (all.size() > most_nodes)
            throw usage_error(fmt::format("{}: more than {} nodes", option, most_nodes));
    }
    return all;
}

std::vector<muster::hosts::host_options> nodes_of_allocation() {
    const char* const list = std::getenv("SLURM_JOB_NODELIST");
    if (list == nullptr || *list == '\0')
        throw usage_error("--on slurm: this is no allocation of Slurm's. Write: salloc -N4 muster run --on slurm ...");
    std::vector<std::string> names;
    try {
        names = words_of(muster::run(names_of(list)));
    } catch (const std::exception& e) {
        throw usage_error(fmt::format("--on slurm: scontrol does not say which nodes {} are: {}", list, e.what()));
    }
    if (names.empty() || names.size() > most_nodes)
        throw usage_error(fmt::format("--on slurm: scontrol knows {} nodes by {}", names.size(), list));
    const char* const processors = std::getenv("SLURM_JOB_CPUS_PER_NODE");
    const auto places = slurm_numbers(processors != nullptr ? processors : "");
    std::vector<muster::hosts::host_options> hosts;
    for (std::size_t i = 0; i != names.size(); ++i) {
        muster::hosts::host_options host(names[i]);
        std::vector<std::string> launcher{
            "srun", "--nodes=1", "--ntasks=1", "--nodelist=" + names[i], "--overlap", "--unbuffered", "--mpi=none"};
        if (i < places.size()) {
            host.slots(places[i]);
            launcher.push_back("--cpus-per-task=" + std::to_string(places[i]));
        }
        host.launcher(std::move(launcher));
        hosts.push_back(std::move(host));
    }
    return hosts;
}

} // namespace tool
