// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a listener shares with those who accept. Private to the library.
///
///     auto l = std::make_shared<listening>(make_socket(AF_INET));

#include "io/descriptor.hpp"

#include <memory>
#include <string>
#include <utility>

#include <sys/types.h>

namespace muster::detail {

struct listening {
    explicit listening(std::shared_ptr<descriptor> s) noexcept : socket(std::move(s)) {}
    ~listening() { close(); }
    listening(const listening&) = delete;
    listening& operator=(const listening&) = delete;

    void close() noexcept;
    /// *Errors*: std::system_error.
    void bind(const io::address& to, int backlog, const std::string& what);
    /// From now on `path` is removed when it is closed, if it still is what it is now.
    void own_path(std::string path) noexcept;

    std::shared_ptr<descriptor> socket;
    bool no_delay = false;
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
};

} // namespace muster::detail
