// SPDX-License-Identifier: MIT
// A pass takes a place of its server, then the time that the server's rate allows, then a place among all. A place
// among all is taken last, so that a request which still waits for its server keeps none from another. A server that
// nobody waits for any more is forgotten, unless its rate must be remembered.
#include "host_gate.hpp"

#include <muster/detail/assert.hpp>
#include <muster/sleep.hpp>

#include <algorithm>

namespace tool {

namespace {

std::string lower(std::string text) {
    std::ranges::transform(
        text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return text;
}

} // namespace

std::string server_of(const std::string& url) {
    const auto scheme = url.find("://");
    const auto begin = scheme == std::string::npos ? 0 : scheme + 3;
    auto name = url.substr(begin, std::min(url.find_first_of("/?#", begin), url.size()) - begin);
    name.erase(0, name.rfind('@') + 1);
    name = lower(std::move(name));
    // One server has one name, with the port that the scheme stands for or without, and with zeros in front or without.
    const auto colon = name.rfind(':');
    if (colon == std::string::npos || name.find_first_not_of("0123456789", colon + 1) != std::string::npos)
        return name;
    const auto port = name.substr(std::min(name.find_first_not_of('0', colon + 1), name.size()));
    name.erase(colon);
    const bool is_secure = lower(url.substr(0, begin)) == "https://";
    return port.empty() || port == (is_secure ? "443" : "80") ? name : name + ':' + port;
}

host_gate::host_gate(std::size_t per_host, rate per_host_rate, std::size_t together)
    : per_host_(per_host),
      rate_(per_host_rate),
      together_(static_cast<std::ptrdiff_t>(together)) {}

host_gate::pass::~pass() {
    if (gate_ == nullptr)
        return;
    auto& s = at_->second;
    if (held_ == holds::both)
        gate_->together_.release();
    if (held_ != holds::nothing && gate_->per_host_ != 0)
        s.places.release();
    MUSTER_ASSERT(s.users != 0);
    if (--s.users == 0 && !s.window.bounds())
        gate_->servers_.erase(at_);
}

muster::task<host_gate::pass> host_gate::enter(std::string server_name) {
    if (!bounds())
        co_return pass();
    pass mine(*this, servers_.try_emplace(std::move(server_name), *this).first);
    auto& s = mine.at_->second;
    ++s.users;
    if (per_host_ != 0)
        co_await s.places.acquire();
    mine.held_ = pass::holds::place_of_server;
    if (s.window.bounds()) {
        const auto when = s.window.earliest(muster::loop_clock::now().time_since_epoch());
        s.window.take(when);
        co_await muster::sleep_until(muster::loop_clock::time_point(when));
    }
    co_await together_.acquire();
    mine.held_ = pass::holds::both;
    co_return std::move(mine);
}

} // namespace tool
