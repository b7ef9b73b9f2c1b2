// SPDX-License-Identifier: MIT
// This file connects to Unix sockets, listens on them, and asks who is at the other end. A path becomes an address
// here, with the zero byte in front that marks an abstract name. A stale socket is one that refuses a connection. A
// mode that is set before bind() keeps the file from ever being more open than asked for, and chmod() afterwards gives
// back the bits that the umask took.
#include <muster/io/unix_socket.hpp>

#include "io/descriptor.hpp"
#include "io/listening.hpp"
#include "posix/system_error.hpp"

#include <muster/io/tcp.hpp>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace muster::io {

namespace {

bool is_abstract(const std::string& path) noexcept { return path.starts_with('@'); }

address address_of(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.empty() || path.find('\0') != std::string::npos)
        detail::throw_system_error(EINVAL, "a Unix socket needs a path");
    if (path.size() >= sizeof name.sun_path)
        detail::throw_system_error(ENAMETOOLONG, "the Unix socket " + path);
    std::memcpy(name.sun_path, path.data(), path.size());
    if (is_abstract(path)) {
        // An abstract name begins with a zero byte, and none ends it.
        name.sun_path[0] = '\0';
        return address(&name, offsetof(sockaddr_un, sun_path) + path.size());
    }
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

unix_listen_options& unix_listen_options::mode(mode_t bits) {
    if ((bits & ~mode_t{0777}) != 0)
        throw std::invalid_argument("unix_listen_options::mode: at most 0777");
    mode_ = bits;
    return *this;
}

listener listen_unix(const std::string& path, unix_listen_options options) {
    const auto at = address_of(path);
    const bool abstract = is_abstract(path);
    if (abstract && options.mode())
        throw std::invalid_argument("listen_unix: an abstract name has no mode: any user may connect");
    if (options.replaces_stale() && !abstract)
        remove_stale(path, at);
    auto l = std::make_shared<detail::listening>(detail::make_socket(AF_UNIX));
    // bind() gives the file the socket's own mode, less the umask, so it never has more than what was asked for.
    if (options.mode() && ::fchmod(l->socket().fd(), *options.mode()) != 0)
        detail::throw_system_error(errno, "listening on " + path + ": setting the mode");
    l->bind(at, 4096, "listening on " + path);
    if (abstract)
        return listener(std::move(l));
    l->own_path(path);
    // Bits that the umask has taken.
    if (options.mode() && ::chmod(path.c_str(), *options.mode()) != 0)
        detail::throw_system_error(errno, "listening on " + path + ": setting the mode");
    return listener(std::move(l));
}

peer_credentials credentials_of_peer(const stream& connection) {
    ucred found{};
    socklen_t bytes = sizeof found;
    const int fd = connection.native_handle();
    int family = 0;
    socklen_t family_bytes = sizeof family;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_bytes) != 0 ||
        ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &bytes) != 0)
        detail::throw_system_error(errno, "asking for a peer's credentials");
    if (family != AF_UNIX)
        detail::throw_system_error(EOPNOTSUPP, "asking for a peer's credentials");
    peer_credentials peer;
    peer.pid = found.pid;
    peer.uid = found.uid;
    peer.gid = found.gid;
    return peer;
}

} // namespace muster::io
