// SPDX-License-Identifier: MIT
// This file has the setters of process_pool_options, which refuse a value with which no pool could work.
#include <muster/process_pool/options.hpp>

#include <stdexcept>
#include <utility>

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

process_pool_options& process_pool_options::kill_cancelled(bool yes) noexcept {
    kill_cancelled_ = yes;
    return *this;
}

} // namespace muster
