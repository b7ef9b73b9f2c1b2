// SPDX-License-Identifier: MIT
// This file has the setters of process_pool_options, which refuse a value with which no pool could work.
#include <muster/process_pool/options.hpp>

#include "vocabulary/printable.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>

#include <sys/resource.h>

namespace muster {

process_pool_options& process_pool_options::processes(std::size_t most) {
    if (most == 0)
        throw std::invalid_argument("process_pool_options::processes: a pool needs at least one process");
    processes_ = most;
    return *this;
}

process_pool_options& process_pool_options::queue_limit(std::size_t most) noexcept {
    queue_limit_ = most;
    return *this;
}

process_pool_options& process_pool_options::name(std::string text) {
    name_ = std::move(text);
    return *this;
}

process_pool_options& process_pool_options::program(std::string path, std::vector<std::string> arguments) {
    if (path.empty())
        throw std::invalid_argument("process_pool_options::program: the path is empty");
    program_ = std::move(path);
    arguments_ = std::move(arguments);
    return *this;
}

process_pool_options& process_pool_options::call_timeout(std::chrono::nanoseconds limit) {
    if (limit <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("process_pool_options::call_timeout: a call needs some time");
    call_timeout_ = limit;
    return *this;
}

process_pool_options& process_pool_options::start_timeout(std::chrono::nanoseconds limit) {
    if (limit <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("process_pool_options::start_timeout: a process needs some time to start");
    start_timeout_ = limit;
    return *this;
}

process_pool_options& process_pool_options::memory_limit(std::uint64_t bytes) {
    if (bytes == 0)
        throw std::invalid_argument("process_pool_options::memory_limit: a process needs some memory");
    memory_limit_ = bytes;
    return *this;
}

process_pool_options& process_pool_options::message_limit(std::uint64_t bytes) {
    if (bytes < 1024 || bytes > 0xffff'ffff)
        throw std::invalid_argument(
            "process_pool_options::message_limit: it must be at least 1 KiB, and less than 4 GiB");
    message_limit_ = bytes;
    return *this;
}

process_pool_options& process_pool_options::value_limit(std::uint64_t most) {
    if (most < 16)
        throw std::invalid_argument(
            "process_pool_options::value_limit: it must be at least 16, as every message has some");
    value_limit_ = most;
    return *this;
}

process_pool_options& process_pool_options::environment(std::vector<std::string> names) {
    for (const auto& name : names)
        if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos)
            throw std::invalid_argument("process_pool_options::environment: '" + detail::printable(name, 100) +
                                        "' is no name: give names, and set their values in this program");
    environment_ = std::move(names);
    passes_environment_ = false;
    return *this;
}

process_pool_options& process_pool_options::folder(std::string path) {
    if (path.empty())
        throw std::invalid_argument("process_pool_options::folder: the path is empty");
    folder_ = std::move(path);
    return *this;
}

process_pool_options& process_pool_options::output(std::string path) {
    if (path.empty())
        throw std::invalid_argument("process_pool_options::output: the path is empty");
    output_ = std::move(path);
    return *this;
}

process_pool_options& process_pool_options::cgroup(std::string path) {
    if (path.empty())
        throw std::invalid_argument("process_pool_options::cgroup: the path is empty");
    cgroup_ = std::move(path);
    return *this;
}

process_pool_options& process_pool_options::through(std::vector<std::string> words) {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("process_pool_options::through: the first word names a program");
    through_ = std::move(words);
    return *this;
}

process_pool_options& process_pool_options::launcher(
    std::vector<std::string> words, std::size_t workers, std::string name) {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("process_pool_options::launcher: the first word names a program");
    if (workers == 0)
        throw std::invalid_argument("process_pool_options::launcher: a host needs at least one worker");
    if (name.empty())
        for (const auto& word : words)
            name += (name.empty() ? "" : " ") + word;
    launchers_.emplace_back(std::move(words), workers, std::move(name));
    return *this;
}

process_pool_options& process_pool_options::silence_limit(std::chrono::nanoseconds limit) {
    using namespace std::chrono_literals;
    if (limit < 100ms || limit > 24h)
        throw std::invalid_argument("process_pool_options::silence_limit: it must be from 100 ms to 24 h");
    silence_limit_ = limit;
    return *this;
}

process_pool_options& process_pool_options::resource_limit(int resource, std::uint64_t most) {
    if (resource < 0 || resource >= static_cast<int>(RLIMIT_NLIMITS))
        throw std::invalid_argument("process_pool_options::resource_limit: " + std::to_string(resource) +
                                    " is no limit of the system: give RLIMIT_CPU, say");
    resource_limits_.emplace_back(resource, most);
    return *this;
}

process_pool_options& process_pool_options::no_new_privileges() noexcept {
    no_new_privileges_ = true;
    return *this;
}

process_pool_options& process_pool_options::compute_only() noexcept {
    compute_only_ = true;
    return *this;
}

process_pool_options& process_pool_options::kill_cancelled(bool yes) noexcept {
    kill_cancelled_ = yes;
    return *this;
}

} // namespace muster
