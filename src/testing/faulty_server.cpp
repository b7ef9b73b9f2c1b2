// SPDX-License-Identifier: MIT
// This file is the public face of the faulty server: each call goes to the server's thread, faulty::server_thread,
// which does the work. unused_port() is done here: it draws random ports outside the range that the system hands out by
// itself until one is free on both loopback addresses, or many tries have failed.
#include <muster/testing/faulty_server.hpp>

#include "testing/faulty_server/server_thread.hpp"
#include "testing/faulty_server/sockets.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace muster::testing {

class faulty_server::server_thread final : public faulty::server_thread {
public:
    using faulty::server_thread::server_thread;
};

faulty_server::faulty_server(options chosen) : server_(std::make_unique<server_thread>(chosen)) {}

faulty_server::~faulty_server() = default;

std::uint16_t faulty_server::port() const noexcept { return server_->port(); }

std::string faulty_server::url(std::string_view path) const {
    std::string text = "http://" + faulty::name_of(server_->ipv6(), port());
    if (!path.starts_with('/'))
        text += '/';
    return text.append(path);
}

std::size_t faulty_server::send_unasked(std::string_view bytes) { return server_->send_unasked(bytes); }

faulty_server_stats faulty_server::stats() const { return server_->stats(); }

void faulty_server::stop() { server_->stop(); }

std::uint16_t faulty_server::unused_port() {
    // Ports that the system hands out by itself are left alone: one may be given to another program a moment later, and
    // a client that is given it for its own end of the connection meets itself instead of being refused.
    unsigned low = 32768;
    unsigned high = 60999;
    if (std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
        !(range >> low >> high) || low > high || high > 65535)
        std::tie(low, high) = std::pair(32768U, 60999U);
    constexpr unsigned lowest = 10'240; // below, well-known services are frequent
    const unsigned below = low > lowest ? low - lowest : 0;
    const unsigned outside = below + (65535 - high);
    std::minstd_rand random(std::random_device{}());
    for (int i = 0; i != 256; ++i) {
        const auto drawn = static_cast<unsigned>(random()) % (outside != 0 ? outside : 65536 - lowest);
        const auto port =
            static_cast<std::uint16_t>(outside == 0 || drawn < below ? lowest + drawn : high + 1 + (drawn - below));
        if (faulty::is_unused(port))
            return port;
    }
    faulty::fail(EADDRINUSE, "found no unused port");
}

} // namespace muster::testing
