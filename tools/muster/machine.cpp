// SPDX-License-Identifier: MIT
// This file reads /proc/loadavg and /proc/meminfo, and compares them with the limits.
#include "machine.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include <sys/resource.h>

namespace tool {

double current_load() {
    std::ifstream in("/proc/loadavg");
    double last_minute = 0;
    double others = 0;
    double running = 0;
    // "0.20 0.18 0.12 1/80 11206": the fourth begins with how many threads run, of which this is one.
    if (!(in >> last_minute >> others >> others >> running))
        return last_minute;
    return std::max(last_minute, running - 1);
}

std::optional<std::uint64_t> available_memory() {
    std::ifstream in("/proc/meminfo");
    std::string word;
    while (in >> word) {
        std::uint64_t kilobytes = 0;
        if (word == "MemAvailable:" && in >> kilobytes)
            return kilobytes * 1024;
    }
    return std::nullopt;
}

bool machine_limits::allow_one_more() const { return what_is_missing().empty(); }

std::string machine_limits::what_is_missing() const {
    if (load && current_load() >= *load)
        return fmt::format("the load is at {} or above (--max-load)", *load);
    if (memory) {
        const auto now = available_memory();
        if (now && *now < *memory)
            return fmt::format("less than {} of memory is available (--min-memory)", show_size(*memory));
    }
    return {};
}

void be_nicer(int by) {
    errno = 0;
    const int now = ::getpriority(PRIO_PROCESS, 0);
    if (errno != 0 || ::setpriority(PRIO_PROCESS, 0, now + by) != 0)
        throw usage_error(fmt::format("--nice {}: {}", by, std::generic_category().message(errno)));
}

} // namespace tool
