// SPDX-License-Identifier: MIT
/// \file
/// The system's look-up blocks for as long as it likes and can't be stopped, so it is made on threads of its own: no
/// other blocking call waits behind it, a task that gives it up goes on at once, and the pool is never destroyed,
/// because that would wait for a look-up that is stuck.
#include <muster/io/dns.hpp>

#include "io/resolve.hpp"
#include "posix/owned_fd.hpp"

#include <muster/executor.hpp>
#include <muster/thread_pool.hpp>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <fcntl.h>
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

/// *Returns* EMFILE or ENFILE if no descriptor can be had, and otherwise 0. Without one the system can read neither
/// /etc/hosts nor the names of its name servers, and says that there is no such name.
int lack_of_descriptors(int error) noexcept {
    if (error != EMFILE && error != ENFILE) {
        const owned_fd probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        error = probe.is_open() ? 0 : errno;
    }
    return error == EMFILE || error == ENFILE ? error : 0;
}

std::error_code code_of(int status, int error) noexcept {
    if (const int lacking = lack_of_descriptors(error); lacking != 0)
        return {lacking, std::generic_category()};
    return status == EAI_SYSTEM ? std::error_code(error, std::generic_category())
                                : std::error_code(status, io::resolve_category());
}

/// *Returns* nothing if it is a name and AI_NUMERICHOST says that none is wanted.
std::optional<addresses> ask(const question& q) {
    // The system would take the port modulo 65536.
    if (!q.service.empty() && q.service.find_first_not_of("0123456789") == std::string::npos &&
        (q.service.size() > 5 || std::stoul(q.service) > 65535))
        throw io::resolve_error(q.host, std::error_code(EAI_SERVICE, io::resolve_category()),
            "looking up '" + q.host + "', service '" + q.service + "'");
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = q.flags;
    addrinfo* found = nullptr;
    errno = 0;
    const int status = ::getaddrinfo(q.host.empty() ? nullptr : q.host.c_str(), q.service.c_str(), &hints, &found);
    const int error = errno;
    const std::unique_ptr<addrinfo, free_list> list(status == 0 ? found : nullptr);
    if ((q.flags & AI_NUMERICHOST) != 0 && status == EAI_NONAME)
        return std::nullopt;
    if (status != 0)
        throw io::resolve_error(
            q.host, code_of(status, error), "looking up '" + q.host + "', service '" + q.service + "'");
    addresses all;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next)
        all.emplace_back(a->ai_addr, a->ai_addrlen);
    return all;
}

/// The result of a look-up. An error is part of it: that of a look-up which was given up is dropped, and not reported.
struct answer {
    addresses found;
    std::exception_ptr error;
};

class look_up {
public:
    explicit look_up(question q) : question_(std::move(q)) {}
    answer operator()() const noexcept {
        answer a;
        try {
            a.found = *ask(question_);
        } catch (...) {
            a.error = std::current_exception();
        }
        return a;
    }

private:
    question question_;
};

constexpr std::size_t most_threads = 8;

thread_pool& look_up_threads() {
    static auto* const pool = new thread_pool(thread_pool_options().threads(most_threads).name("muster-dns"));
    return *pool;
}

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
    auto call = run_in_executor(look_up_threads(), look_up(std::move(q)));
    auto waiting = std::move(call).abandon();
    auto got = co_await std::move(waiting);
    if (got.error)
        std::rethrow_exception(got.error);
    co_return std::move(got.found);
}

} // namespace detail

namespace io {

task<std::vector<address>> resolve(std::string host, std::string service) {
    return detail::resolve_for(std::move(host), std::move(service), false);
}

} // namespace io
} // namespace muster
