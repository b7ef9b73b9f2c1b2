// SPDX-License-Identifier: MIT
// This file makes and reads hellos. The number of the protocol and the version of the program come first and stay there
// in every version, so that two sides that do not fit can say so.
#include "hosts/this_host.hpp"

#include "hosts/frames.hpp"
#include "vocabulary/printable.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <sched.h>
#include <unistd.h>

namespace muster::hosts {

namespace {

/// Those that this process may use, which may be fewer than there are.
std::uint32_t own_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return static_cast<std::uint32_t>(CPU_COUNT(&set));
    return std::max(std::thread::hardware_concurrency(), 1u);
}

/// An agent says how many processors it has, and is given as many commands at once. Linux takes no more.
constexpr std::uint32_t most_processors = 8192;

struct memory_figures {
    std::uint64_t total = 0;
    std::uint64_t available = 0;
};

memory_figures own_memory() {
    memory_figures found;
    std::ifstream file("/proc/meminfo");
    std::string name;
    std::uint64_t kilobytes = 0;
    for (std::string unit; file >> name >> kilobytes && std::getline(file, unit);) {
        if (name == "MemTotal:")
            found.total = kilobytes << 10;
        if (name == "MemAvailable:")
            found.available = kilobytes << 10;
    }
    return found;
}

payload_writer begin_hello() { return payload_writer().number32(protocol_version).text(frames::own_version()); }

} // namespace

std::string hello_of_this_host() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0)
        name[0] = '\0';
    double load = 0;
    if (::getloadavg(&load, 1) != 1)
        load = 0;
    const auto memory = own_memory();
    return begin_hello()
        .text(name.data())
        .number32(own_processors())
        .number64(static_cast<std::uint64_t>(std::llround(load * 1000)))
        .number64(memory.total)
        .number64(memory.available)
        .take();
}

std::string hello_of_client(std::chrono::nanoseconds silence_limit) {
    const auto limit = std::chrono::ceil<std::chrono::milliseconds>(silence_limit);
    return begin_hello().number32(static_cast<std::uint32_t>(limit.count())).take();
}

host_facts facts_of(std::string_view hello) {
    payload_reader from(hello);
    host_facts facts;
    const auto version = from.number32();
    facts.version = detail::printable(from.text(), 50);
    if (version != protocol_version)
        throw frame_error("its agent speaks version " + std::to_string(version) + " (muster " + facts.version +
                          "), and this program version " + std::to_string(protocol_version) + " (muster " +
                          frames::own_version() + "): install the same muster on both");
    facts.name = detail::printable(from.text(), 200);
    facts.processors = std::clamp(from.number32(), 1u, most_processors);
    facts.load = static_cast<double>(std::min<std::uint64_t>(from.number64(), 1'000'000'000)) / 1000;
    facts.memory = from.number64();
    facts.available_memory = from.number64();
    from.end();
    return facts;
}

} // namespace muster::hosts
