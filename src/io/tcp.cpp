// SPDX-License-Identifier: MIT
// This file puts connect() and listen() together from their parts: the look-up of a name, the order of the addresses,
// the race of attempts, and the set-up of a listening socket. listen() tries one address after the other, and if none
// can be had it throws the error of the first.
#include <muster/io/tcp.hpp>

#include "io/connecting.hpp"
#include "io/descriptor.hpp"
#include "io/listening.hpp"
#include "io/resolve.hpp"
#include "loops/require_event_loop.hpp"
#include "posix/system_error.hpp"

#include <cerrno>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

namespace muster::io {

namespace {

std::string name_of(const std::string& host, std::uint16_t port) {
    return (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':' + std::to_string(port);
}

void set_option(int fd, int level, int option, int value) {
    if (::setsockopt(fd, level, option, &value, sizeof value) != 0)
        detail::throw_system_error(errno, "a listening socket can't be set up");
}

listener listen_on(const address& at, const listen_options& options, const std::string& what) {
    auto l = std::make_shared<detail::listening>(detail::make_socket(at.family()));
    const int fd = l->socket().fd();
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reuses_port())
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    l->set_no_delay(options.is_no_delay());
    l->bind(at, options.backlog_size(), what + " (" + at.text() + ')');
    return listener(std::move(l));
}

} // namespace

task<stream> connect(std::string host, std::uint16_t port, connect_options options) {
    detail::require_event_loop("connecting");
    auto resolving = detail::resolve_for(host, std::to_string(port), false);
    auto all = co_await std::move(resolving);
    all = with_alternating_families(std::move(all));
    auto connecting = detail::connect_to_first(name_of(host, port), std::move(all), options);
    auto made = co_await std::move(connecting);
    co_return made;
}

task<stream> connect(address to, connect_options options) {
    detail::require_event_loop("connecting");
    std::vector<address> all(1, to);
    auto connecting = detail::connect_to_first(to.text(), std::move(all), options);
    auto made = co_await std::move(connecting);
    co_return made;
}

task<listener> listen(std::string host, std::uint16_t port, listen_options options) {
    detail::require_event_loop("listening");
    auto resolving = detail::resolve_for(host, std::to_string(port), true);
    const auto all = co_await std::move(resolving);
    const std::string what = "listening on " + name_of(host, port);
    std::exception_ptr first;
    for (const auto& at : all) {
        try {
            co_return listen_on(at, options, what);
        } catch (const std::system_error&) {
            if (!first)
                first = std::current_exception();
        }
    }
    std::rethrow_exception(first);
}

} // namespace muster::io
