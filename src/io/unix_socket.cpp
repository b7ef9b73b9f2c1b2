// SPDX-License-Identifier: MIT
#include <muster/io/unix_socket.hpp>

#include "io/descriptor.hpp"
#include "io/listening.hpp"
#include "posix/system_error.hpp"

#include <muster/io/tcp.hpp>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace muster::io {

namespace {

address address_of(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.empty() || path.find('\0') != std::string::npos)
        detail::throw_system_error(EINVAL, "a Unix socket needs a path");
    if (path.size() >= sizeof name.sun_path)
        detail::throw_system_error(ENAMETOOLONG, "the Unix socket " + path);
    std::memcpy(name.sun_path, path.data(), path.size());
    return address(&name, offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

/// Removes a socket on which no process listens.
void remove_stale(const std::string& path, const address& at) noexcept {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode))
        return;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    const bool refused =
        ::connect(fd, static_cast<const sockaddr*>(at.data()), static_cast<socklen_t>(at.size())) != 0 &&
        errno == ECONNREFUSED;
    ::close(fd);
    if (refused)
        ::unlink(path.c_str());
}

} // namespace

task<stream> connect_unix(std::string path) {
    auto connecting = connect(address_of(path));
    auto made = co_await std::move(connecting);
    co_return made;
}

listener listen_unix(const std::string& path, bool replace_stale) {
    const auto at = address_of(path);
    if (replace_stale)
        remove_stale(path, at);
    auto l = std::make_shared<detail::listening>(detail::make_socket(AF_UNIX));
    l->bind(at, 4096, "listening on " + path);
    l->own_path(path);
    return listener(std::move(l));
}

} // namespace muster::io
