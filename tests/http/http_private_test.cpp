// SPDX-License-Identifier: MIT
// no_private_addresses from end to end: a server at a public address redirects to a private one. The test makes a
// network of its own, in a process of its own, in which that public address is the machine itself; no packet leaves it.
// It skips where the system does not allow that.
#include <muster/http.hpp>

#include <muster/outcome.hpp>
#include <muster/run.hpp>
#include <muster/testing/faulty_server.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace http = muster::http;

namespace {

constexpr const char* public_address = "8.8.4.4";
constexpr int no_network = 77;

sockaddr_in at(const char* address, std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &a.sin_addr);
    return a;
}

/// *Returns* whether this process has left the machine's network for one of its own that has the public address.
bool has_own_network() {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWNET) != 0)
        return false;
    const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto apply = [&](const char* name, unsigned long what, auto fill) {
        ifreq wanted{};
        std::strncpy(wanted.ifr_name, name, IFNAMSIZ - 1);
        fill(wanted);
        return ::ioctl(control, what, &wanted) == 0;
    };
    const auto up = [](ifreq& r) { r.ifr_flags = IFF_UP | IFF_RUNNING; };
    const auto address = [](ifreq& r) {
        const auto a = at(public_address, 0);
        std::memcpy(&r.ifr_addr, &a, sizeof a);
    };
    const bool made = apply("lo", SIOCSIFFLAGS, up) && apply("lo:1", SIOCSIFADDR, address);
    ::close(control);
    return made;
}

/// Redirects each request to what follows the first slash of its path.
class public_server {
public:
    public_server() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        auto here = at(public_address, 0);
        socklen_t size = sizeof here;
        listens_ = ::bind(listening_, reinterpret_cast<const sockaddr*>(&here), size) == 0 &&
                   ::listen(listening_, 8) == 0 &&
                   ::getsockname(listening_, reinterpret_cast<sockaddr*>(&here), &size) == 0;
        port_ = ntohs(here.sin_port);
        serving_ = std::thread([this] {
            for (int s = 0; (s = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ::close(s)) {
                std::string asked;
                char bytes[4096];
                for (ssize_t count = 0;
                     !asked.ends_with("\r\n\r\n") && (count = ::recv(s, bytes, sizeof bytes, 0)) > 0;)
                    asked.append(bytes, static_cast<std::size_t>(count));
                const auto where = asked.substr(5, asked.find(' ', 5) - 5);
                const std::string reply =
                    where == "mine"
                        ? "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmine"
                        : "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: " + where +
                              "\r\n\r\n";
                static_cast<void>(::send(s, reply.data(), reply.size(), MSG_NOSIGNAL));
            }
        });
    }
    ~public_server() {
        ::shutdown(listening_, SHUT_RDWR);
        serving_.join();
        ::close(listening_);
    }
    public_server(const public_server&) = delete;
    public_server& operator=(const public_server&) = delete;
    [[nodiscard]] bool listens() const noexcept { return listens_; }
    [[nodiscard]] std::string url(std::string_view path) const {
        return std::string("http://") + public_address + ':' + std::to_string(port_) + '/' + std::string(path);
    }

private:
    int listening_;
    bool listens_ = false;
    std::uint16_t port_ = 0;
    std::thread serving_;
};

/// *Returns* 0 if all is well, no_network, or the number of the check that failed.
int checks() {
    if (!has_own_network())
        return no_network;
    const public_server outside;
    if (!outside.listens())
        return no_network;
    const muster::testing::faulty_server inside;
    int failed = 0;
    const auto body = [&]() -> muster::task<> {
        http::client client(http::client_options().no_private_addresses());
        const auto expect = [&](bool is_so, int number, const auto& ended) {
            if (is_so)
                return;
            failed = number;
            std::fprintf(stderr, "check %d: %s\n", number, muster::to_string(ended).c_str());
        };
        // From one public address to another the redirect is followed.
        auto outward = co_await muster::as_outcome(client.get(outside.url(outside.url("mine"))));
        expect(outward.succeeded() && outward.value().body == "mine", 1, outward);
        auto inward = co_await muster::as_outcome(client.get(outside.url(inside.url("/ok"))));
        expect(inward.failed_with<http::protocol_error>() &&
                   muster::to_string(inward).find("127.0.0.1, which is not public") != std::string::npos,
            2, inward);
        // A name is looked up to the same end.
        const auto named = "http://localhost:" + std::to_string(inside.port()) + "/ok";
        auto by_name = co_await muster::as_outcome(client.get(outside.url(named)));
        expect(by_name.failed_with<http::protocol_error>(), 3, by_name);
        expect(inside.stats().connections == 0, 4, inward);
    };
    muster::run(body());
    return failed;
}

TEST(http_private, a_redirect_from_a_public_to_a_private_address_is_not_followed) {
    ::setenv("no_proxy", "*", 1);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        int result = 1;
        try {
            result = checks();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "%s\n", e.what());
        }
        ::_exit(result);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == no_network)
        GTEST_SKIP() << "no network of its own can be made here (unshare)";
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

} // namespace
