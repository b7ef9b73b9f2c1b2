// SPDX-License-Identifier: MIT
// This file reads lists of hosts: "host1,8/host2,user@host3:2222", where the number in front of a slash is how many
// commands run there at once; a file has one or more a line, and what stands behind a '#' is passed over. "slurm"
// stands for the nodes of an allocation. A launcher is a line of words, in which {} stands for the host.
#include "host_words.hpp"

#include "content_key.hpp"
#include "fetch_program.hpp"
#include "slurm.hpp"
#include "streams.hpp"
#include "units.hpp"

#include <muster/subprocess/command.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

constexpr std::size_t most_slots = 100'000;
constexpr std::size_t most_hosts = 10'000;
constexpr std::size_t largest_file = std::size_t{16} << 20;
/// Stands for all nodes of the allocation.
constexpr std::string_view slurm = "slurm";

void add_hosts(std::vector<std::string>& all, std::string_view list) {
    while (!list.empty()) {
        const auto end = std::min(list.find_first_of(", \t\r"), list.size());
        if (end != 0)
            all.emplace_back(list.substr(0, end));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
}

void add_file(std::vector<std::string>& all, const std::string& path) {
    std::istringstream file(text_of_file("--on-file", path, largest_file));
    for (std::string line; std::getline(file, line);) {
        add_hosts(all, line.substr(0, line.find('#')));
        if (all.size() > most_hosts)
            throw usage_error(fmt::format("--on-file: {} has more than {} hosts", path, most_hosts));
    }
}

/// *Errors*: usage_error.
std::string file_of_agent() {
    const auto [beside, installed] = places_of_part("muster-agent");
    for (const auto& file : {beside, installed}) {
        if (::access(file.c_str(), R_OK) == 0)
            return file;
    }
    throw usage_error(fmt::format("--install copies the static program muster-agent, and that is neither {} nor {}: "
                                  "build muster where libuv is there as a static library, too",
        beside, installed));
}

std::string as_line(const std::vector<std::string>& words) {
    std::string line;
    for (const auto& word : words)
        line += (line.empty() ? "" : " ") + muster::shell_quote(word);
    return line;
}

/// Has a shell here call the launcher twice: to copy the program, which does nothing if one of the same content is
/// there, and as the agent.
void install_first(muster::hosts::host_options& host, const std::string& program) {
    std::ifstream file(program, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    const auto name = "\"$HOME/.cache/muster/muster-agent-" + content_key(content).text() + '"';
    // Hosts may share the folder, and the connection may end in the middle: the name is given to a whole file only.
    host.agent({"sh", "-c",
        "umask 077; f=" + name +
            "; test -x \"$f\" && exit; mkdir -p \"${f%/*}\" && t=$(mktemp \"$f.XXXXXX\") || exit; "
            "trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT TERM; cat > \"$t\" || exit; test \"$(wc -c < \"$t\")\" "
            "-eq " +
            std::to_string(content.size()) +
            " || { echo only a part of the agent has come >&2; exit 1; }; chmod 700 \"$t\" && mv -f \"$t\" \"$f\""});
    const auto copying = as_line(host.command_words());
    host.agent({"sh", "-c", "exec " + name});
    const auto starting = as_line(host.command_words());
    // Standard input is the connection, and stays it for the agent.
    host.launcher({"sh", "-c", copying + " < " + muster::shell_quote(program) + " >&2 && exec " + starting, "muster"});
}

std::string with_host(std::string word, const std::string& host) {
    for (auto at = word.find("{}"); at != std::string::npos; at = word.find("{}", at + host.size()))
        word.replace(at, 2, host);
    return word;
}

} // namespace

std::vector<std::string> split_words(const std::string& line, const std::string& option) {
    std::vector<std::string> words;
    std::optional<std::string> word;
    char quote = '\0';
    for (std::size_t i = 0; i != line.size(); ++i) {
        const char c = line[i];
        if (quote != '\0' && c == quote) {
            quote = '\0';
        } else if (c == '\\' && quote != '\'' && i + 1 != line.size()) {
            word = word.value_or("") + line[++i];
        } else if (quote != '\0') {
            *word += c;
        } else if (c == '\'' || c == '"') {
            quote = c;
            word = word.value_or("");
        } else if (c == ' ' || c == '\t') {
            if (word)
                words.push_back(*std::exchange(word, std::nullopt));
        } else {
            word = word.value_or("") + c;
        }
    }
    if (quote != '\0')
        throw usage_error(fmt::format("{}: a quote is opened and never closed", option));
    if (word)
        words.push_back(*word);
    return words;
}

void host_words::describe(CLI::App& app) {
    app.add_option("--on", on,
           "run commands on these hosts: 'host1,8/host2,user@host3:2222'; 8/: so many at once; 'slurm': the nodes "
           "of the allocation; or by the workers of a queue: postgresql://user@host/database, service=NAME")
        ->type_name("HOSTS")
        ->allow_extra_args(false);
    app.add_option("--on-file", on_file, "the same, from a file with hosts in each line")->type_name("FILE");
    app.add_option(
           "--launcher", launcher, "what starts the agent there, {} is the host: 'kubectl exec -i pod-{} --' (ssh)")
        ->type_name("WORDS");
    app.add_option("--agent", agent, "where muster is there (muster)")->type_name("PATH");
    app.add_flag("--install", install, "copy the agent to the hosts, unless it is there already");
    app.add_option("--silence", silence, "take a host for lost that was not heard for so long (15s)")
        ->type_name("TIME");
}

bool is_address_of_queue(std::string_view word) noexcept {
    if (word.starts_with("postgresql://") || word.starts_with("postgres://"))
        return true;
    const auto end = word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
    return end != std::string_view::npos && end != 0 && word[end] == '=';
}

std::string host_words::queue() const {
    const auto is_one = [](const std::string& word) { return is_address_of_queue(word); };
    if (std::ranges::none_of(on, is_one))
        return {};
    if (on.size() != 1 || !on_file.empty())
        throw usage_error(
            "--on: commands go to one queue, or to hosts: give either the address of a database or hosts");
    if (!launcher.empty() || !agent.empty() || !silence.empty() || install)
        throw usage_error("--launcher, --agent, --install and --silence are about hosts, and --on names a queue: its "
                          "workers are started there, with muster worker");
    return on.front();
}

std::vector<muster::hosts::host_options> host_words::understand() const {
    if (!queue().empty())
        throw usage_error("--on: this is the address of a queue: look at it with muster queue --on ADDRESS");
    std::vector<std::string> all;
    for (const auto& list : on)
        add_hosts(all, list);
    if (!on_file.empty())
        add_file(all, on_file);
    const bool is_asked_for = !on.empty() || !on_file.empty();
    if (is_asked_for && all.empty())
        throw usage_error("--on: there is no host in the list");
    if (!is_asked_for && (!launcher.empty() || !agent.empty() || !silence.empty()))
        throw usage_error("--launcher, --agent and --silence are about other hosts: say which with --on");
    if (install && !is_asked_for)
        throw usage_error("--install is about other hosts: say which with --on");
    if (install && !agent.empty())
        throw usage_error("--install puts the agent where it finds it again: leave --agent out");
    const auto program = install ? file_of_agent() : std::string();
    const auto words = split_words(launcher, "--launcher");
    std::vector<muster::hosts::host_options> hosts;
    std::set<std::string> known;
    const auto add = [&](muster::hosts::host_options host, const std::string& item, const std::string& places) {
        if (!known.insert(host.name()).second)
            throw usage_error(
                fmt::format("--on: {0} is there twice; 2/{0} runs two commands at once on it", host.name()));
        if (!places.empty())
            host.slots(parse_count(places, "--on " + item, 1, most_slots));
        if (!agent.empty())
            host.agent({agent, "agent"});
        if (!silence.empty())
            host.silence_limit(parse_duration(silence, "--silence"));
        if (!program.empty())
            install_first(host, program);
        static_cast<void>(host.command_words());
        hosts.push_back(std::move(host));
    };
    for (const auto& item : all) {
        const auto slash = item.find('/');
        const auto name = slash == std::string::npos ? item : item.substr(slash + 1);
        const auto places = slash == std::string::npos ? "" : item.substr(0, slash);
        if (slash == 0)
            throw usage_error(fmt::format("--on {}: there is no number in front of the slash", item));
        try {
            if (name == slurm) {
                if (!words.empty())
                    throw usage_error("--on slurm starts its agents with srun: leave --launcher out");
                for (auto& node : nodes_of_allocation())
                    add(std::move(node), item, places);
                continue;
            }
            muster::hosts::host_options host(name);
            std::vector<std::string> launcher_there;
            for (const auto& word : words)
                launcher_there.push_back(with_host(word, name));
            if (!launcher_there.empty())
                host.launcher(std::move(launcher_there));
            add(std::move(host), item, places);
        } catch (const std::invalid_argument& e) {
            std::string_view problem = e.what();
            if (const auto colon = problem.find(": "); colon != std::string_view::npos)
                problem.remove_prefix(colon + 2);
            throw usage_error(fmt::format("--on: {}", problem));
        }
    }
    return hosts;
}

} // namespace tool
