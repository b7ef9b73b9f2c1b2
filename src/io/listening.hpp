// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A listening socket, shared by its listener and by the accepts in flight. Private to the library.
///
///     auto l = std::make_shared<listening>(make_socket(AF_INET));
///     l->bind(address, backlog, "listening on localhost:80");

#include "io/descriptor.hpp"

#include <muster/io/stream.hpp>

#include <memory>
#include <string>
#include <utility>

#include <sys/types.h>

namespace muster::detail {

/// *Thread safety*: one thread.
class listening {
public:
    explicit listening(std::shared_ptr<descriptor> s) noexcept : socket_(std::move(s)) {}
    ~listening() { close(); }
    listening(const listening&) = delete;
    listening& operator=(const listening&) = delete;

    [[nodiscard]] descriptor& socket() noexcept { return *socket_; }
    [[nodiscard]] const std::shared_ptr<descriptor>& shared_socket() const noexcept { return socket_; }
    [[nodiscard]] const descriptor& socket() const noexcept { return *socket_; }
    /// Accepts in flight end with operation_canceled.
    void close() noexcept;
    /// *Errors*: std::system_error.
    void bind(const io::address& to, int backlog, const std::string& what);
    /// From now on `path` is removed when the listener is closed, if it still is the file that it is now.
    void own_path(std::string path) noexcept;
    /// Accepted connections send small pieces at once.
    void set_no_delay(bool on) noexcept { no_delay_ = on; }

    /// One try. `made` is a closed descriptor for the connection. *Returns* a closed stream, with errno set, if there
    /// is no connection.
    [[nodiscard]] io::stream try_accept(const std::shared_ptr<descriptor>& made) noexcept;

private:
    std::shared_ptr<descriptor> socket_;
    bool no_delay_ = false;
    std::string path_; ///< empty if there is none to remove
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

} // namespace muster::detail
