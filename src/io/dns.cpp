// SPDX-License-Identifier: MIT
#include <muster/io/dns.hpp>

#include "io/resolve.hpp"

#include <muster/to_thread.hpp>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include <netdb.h>
#include <sys/socket.h>

namespace muster {

namespace detail {

namespace {

using addresses = std::vector<io::address>;

struct free_list {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

struct question {
    question(std::string h, std::string s, int f) : host(std::move(h)), service(std::move(s)), flags(f) {}
    std::string host;
    std::string service;
    int flags;
};

/// *Returns* nothing if it is a name and AI_NUMERICHOST says that none is wanted.
std::optional<addresses> ask(const question& q) {
    // The system takes a number that is no port modulo 65536.
    if (!q.service.empty() && q.service.find_first_not_of("0123456789") == std::string::npos &&
        (q.service.size() > 5 || std::stoul(q.service) > 65535))
        throw io::resolve_error(q.host, std::error_code(EAI_SERVICE, io::resolve_category()),
            "looking up '" + q.host + "', service '" + q.service + "'");
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = q.flags;
    addrinfo* found = nullptr;
    const int status = ::getaddrinfo(q.host.empty() ? nullptr : q.host.c_str(), q.service.c_str(), &hints, &found);
    const int error = errno;
    const std::unique_ptr<addrinfo, free_list> list(status == 0 ? found : nullptr);
    if ((q.flags & AI_NUMERICHOST) != 0 && status == EAI_NONAME)
        return std::nullopt;
    if (status != 0)
        throw io::resolve_error(q.host,
            status == EAI_SYSTEM ? std::error_code(error, std::generic_category())
                                 : std::error_code(status, io::resolve_category()),
            "looking up '" + q.host + "', service '" + q.service + "'");
    addresses all;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next)
        all.emplace_back(a->ai_addr, a->ai_addrlen);
    return all;
}

addresses ask_all(question q) { return *ask(q); }

} // namespace

task<std::vector<io::address>> resolve_for(std::string host, std::string service, bool passive) {
    if (host.find('\0') != std::string::npos || service.find('\0') != std::string::npos)
        throw io::resolve_error(
            host, std::error_code(EAI_NONAME, io::resolve_category()), "looking up a name with a zero byte in it");
    const int flags = passive ? AI_PASSIVE : 0;
    question q(std::move(host), std::move(service), flags | AI_NUMERICHOST | AI_NUMERICSERV);
    auto numbers = ask(q);
    if (numbers)
        co_return std::move(*numbers);
    q.flags = flags;
    auto all = co_await to_thread(&ask_all, std::move(q));
    co_return all;
}

} // namespace detail

namespace io {

task<std::vector<address>> resolve(std::string host, std::string service) {
    return detail::resolve_for(std::move(host), std::move(service), false);
}

} // namespace io
} // namespace muster
