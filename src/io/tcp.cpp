// SPDX-License-Identifier: MIT
#include <muster/io/tcp.hpp>

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

task<stream> connect_to_any(std::string target, std::vector<address> all) {
    std::vector<failed_attempt> failed;
    for (const auto& to : all) {
        std::error_code code;
        try {
            auto socket = detail::make_socket(to.family());
            auto connecting = detail::connect_to(socket, to);
            code = co_await std::move(connecting);
            if (!code) {
                if (to.family() != AF_UNIX)
                    detail::set_no_delay_on(socket->fd());
                co_return stream(std::move(socket));
            }
        } catch (const std::system_error& e) {
            code = e.code();
        }
        failed.emplace_back(to.text(), code);
    }
    throw connect_error(target, std::move(failed));
}

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

task<stream> connect(std::string host, std::uint16_t port) {
    detail::require_event_loop("connecting");
    auto resolving = detail::resolve_for(host, std::to_string(port), false);
    auto all = co_await std::move(resolving);
    auto connecting = connect_to_any(name_of(host, port), std::move(all));
    auto made = co_await std::move(connecting);
    co_return made;
}

task<stream> connect(address to) {
    detail::require_event_loop("connecting");
    std::vector<address> all(1, to);
    auto connecting = connect_to_any(to.text(), std::move(all));
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
