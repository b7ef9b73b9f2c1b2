// SPDX-License-Identifier: MIT
// This file reads the name of a host, "user@host:port", and makes the words that start its agent. ssh gives the words
// behind the host to a shell, with blanks between them, so the agent's are quoted; another launcher gets them as they
// are.
#include <muster/hosts/options.hpp>

#include "vocabulary/printable.hpp"

#include <muster/subprocess/command.hpp>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::hosts {

namespace {

using namespace std::chrono_literals;

struct destination {
    destination() {}
    std::string host; ///< with the user
    std::string port; ///< or empty
};

/// Longer than any name of a host with a user in front.
constexpr std::size_t longest_name = 1000;

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
    throw std::invalid_argument(
        "host_options: '" + detail::printable(name, detail::longest_printed_name) + "': " + why);
}

/// ssh may put the names of the user and the host into commands that a shell reads, as ProxyCommand has them.
constexpr std::string_view not_for_a_shell = "'`\"$\\;&<>|(){}!*?#~";

destination destination_of(const std::string& name) {
    destination to;
    if (const auto at = name.find_first_of(not_for_a_shell); at != std::string::npos)
        refuse(name, std::string("a host or a user for ssh can't have ") + name[at] +
                         " in it: give the host a plain name in ~/.ssh/config");
    const auto at = name.rfind('@');
    const auto host_from = at == std::string::npos ? 0 : at + 1;
    std::string user = name.substr(0, host_from);
    std::string host = name.substr(host_from);
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        if (end == std::string::npos)
            refuse(name, "the bracket is never closed");
        if (end + 1 != host.size() && host[end + 1] != ':')
            refuse(name, "behind the bracket there is neither a port nor the end");
        to.port = host.substr(std::min(end + 2, host.size()));
        host = host.substr(1, end - 1);
    } else if (std::ranges::count(host, ':') == 1) {
        const auto colon = host.find(':');
        to.port = host.substr(colon + 1);
        if (to.port.empty())
            refuse(name, "there is no port behind the colon");
        host.resize(colon);
    }
    if (host.empty())
        refuse(name, "there is no host in it");
    if (host.starts_with('-') || user.starts_with('-'))
        refuse(name, "neither a host nor a user begins with a dash");
    const bool is_number =
        to.port.size() <= 5 && std::ranges::all_of(to.port, [](char c) { return c >= '0' && c <= '9'; });
    if (!to.port.empty() && (!is_number || std::stoul(to.port) == 0 || std::stoul(to.port) > 65535))
        refuse(name, "a port is a number from 1 to 65535");
    to.host = std::move(user) + host;
    return to;
}

} // namespace

host_options::host_options(std::string name) : name_(std::move(name)) {
    if (name_.empty())
        throw std::invalid_argument("host_options: a host needs a name");
    // ssh would take it for an option.
    if (name_.starts_with('-'))
        refuse(name_, "a host does not begin with a dash");
    if (std::ranges::any_of(name_, [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
        refuse(name_, "a host has neither blanks nor control characters in it");
    if (name_.size() > longest_name)
        refuse(name_, "a host's name has 1000 bytes at most");
    // The message does not repeat what may be a password.
    const auto at = name_.rfind('@');
    if (at != std::string::npos && name_.find(':') < at)
        throw std::invalid_argument("host_options: the user in front of '" + detail::printable(name_.substr(at)) +
                                    "' has a colon: ssh takes no password there; give the host a key");
}

host_options& host_options::launcher(std::vector<std::string> words) & {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("host_options::launcher: the first word names the program and can't be empty");
    launcher_ = std::move(words);
    return *this;
}

host_options& host_options::agent(std::vector<std::string> words) & {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("host_options::agent: the first word names the program and can't be empty");
    agent_ = std::move(words);
    return *this;
}

host_options& host_options::slots(std::size_t most) & noexcept {
    slots_ = most;
    return *this;
}

host_options& host_options::silence_limit(std::chrono::nanoseconds time) & {
    if (time < 100ms || time > 24h)
        throw std::invalid_argument("host_options::silence_limit: it must be from 100 ms to 24 h");
    silence_limit_ = time;
    return *this;
}

host_options& host_options::connect_limit(std::chrono::nanoseconds time) & {
    if (time <= 0ns)
        throw std::invalid_argument("host_options::connect_limit: an agent needs some time to answer");
    connect_limit_ = time;
    return *this;
}

std::vector<std::string> host_options::command_words() const {
    auto words = launcher_;
    if (!words.empty()) {
        words.insert(words.end(), agent_.begin(), agent_.end());
        return words;
    }
    const auto to = destination_of(name_);
    // The limit of silence decides when a host is lost. ssh, which may wait for longer by its own settings, does not
    // end the connection before that.
    const auto every = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(silence_limit_ / 3).count());
    words = {"ssh", "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=" + std::to_string(every), "-o",
        "ServerAliveCountMax=3"};
    if (!to.port.empty())
        words.insert(words.end(), {"-p", to.port});
    words.insert(words.end(), {"--", to.host});
    for (const auto& word : agent_)
        words.push_back(shell_quote(word));
    return words;
}

} // namespace muster::hosts
