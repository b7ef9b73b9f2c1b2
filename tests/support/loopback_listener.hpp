// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A port of 127.0.0.1 for the servers of tests, with a thread for each connection. All sockets are closed, and all
/// threads over, when the object is gone: serving must end when its socket is shut down.
///
///     loopback_listener here([](int socket) { loopback::say(socket, "hello"); });
///     loopback::connected_to(here.port());

#include <cerrno>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace loopback {

inline sockaddr_in address(std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(port);
    return a;
}
/// *Returns* a socket; -1 if nobody listens there.
inline int connected_to(std::uint16_t port) {
    const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto there = address(port);
    if (::connect(s, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0)
        return s;
    ::close(s);
    return -1;
}
/// Sends all of it. *Returns* false if the other end has gone.
inline bool say(int s, std::string_view text) {
    while (!text.empty()) {
        const auto count = ::send(s, text.data(), text.size(), MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}
/// Waits for more. *Returns* false at the end.
inline bool more(int s, std::string& buffer) {
    char bytes[65536];
    const auto count = ::recv(s, bytes, sizeof bytes, 0);
    if (count > 0)
        buffer.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
}

/// Closes the socket, with a reset if that is how it is set, while its number stays taken until the listener is gone.
inline void close_now(int s) {
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup3(nothing, s, O_CLOEXEC);
    ::close(nothing);
}

} // namespace loopback

class loopback_listener {
public:
    /// `serve` gets each connection on a thread of its own; the connection ends when it returns.
    explicit loopback_listener(std::function<void(int socket)> serve)
        : serve_(std::move(serve)),
          listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        auto here = loopback::address(0);
        socklen_t size = sizeof here;
        if (::bind(listening_, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listening_, 64) != 0 ||
            ::getsockname(listening_, reinterpret_cast<sockaddr*>(&here), &size) != 0)
            throw std::system_error(errno, std::generic_category(), "loopback_listener");
        port_ = ntohs(here.sin_port);
        accepting_ = std::thread([this] { accept_all(); });
    }
    ~loopback_listener() {
        ::shutdown(listening_, SHUT_RDWR);
        accepting_.join();
        for (const int s : sockets_)
            ::shutdown(s, SHUT_RDWR);
        for (auto& t : threads_)
            t.join();
        for (const int s : sockets_)
            ::close(s);
        ::close(listening_);
    }
    loopback_listener(const loopback_listener&) = delete;
    loopback_listener& operator=(const loopback_listener&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] std::size_t connections() const {
        const std::lock_guard lock(mutex_);
        return sockets_.size();
    }
    /// Says this on every connection, though nobody asked for it.
    void say_on_all(std::string_view text) const {
        const std::lock_guard lock(mutex_);
        for (const int s : sockets_)
            loopback::say(s, text);
    }

private:
    void accept_all() {
        for (int s = 0; (s = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
            const std::lock_guard lock(mutex_);
            sockets_.push_back(s);
            threads_.emplace_back([this, s] {
                serve_(s);
                ::shutdown(s, SHUT_RDWR);
            });
        }
    }

    std::function<void(int)> serve_;
    int listening_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_; // of the two below, until the accepting thread has ended
    std::vector<int> sockets_;
    std::vector<std::thread> threads_;
    std::thread accepting_;
};
