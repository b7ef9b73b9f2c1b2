// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Starting a process, private to the library: a child that shares the memory of this one until it executes the
/// program, so that starting costs the same however large this process is, and an error arrives as a value.
///
///     const standard_streams streams{ends.input, ends.output, streams.merge};
///     const spawned s = spawn(what, streams, true);

#include <muster/subprocess/command.hpp>

#include <array>
#include <utility>

#include <sys/types.h>
#include <unistd.h>

namespace muster::detail {

/// A descriptor that is closed when this goes.
class owned_fd {
public:
    owned_fd() = default;
    explicit owned_fd(int fd) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    owned_fd& operator=(owned_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~owned_fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool open() const noexcept { return fd_ >= 0; }
    void reset() noexcept {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }

private:
    int fd_ = -1;
};

struct pipe_ends {
    owned_fd read;
    owned_fd write;
};
/// Close-on-exec, with numbers above the standard descriptors'. *Errors*: spawn_error.
[[nodiscard]] pipe_ends make_pipe(const command& what);

/// What the child gets as 0, 1 and 2: a descriptor above 2, or one of these.
constexpr int stream_inherited = -1;
constexpr int stream_null = -2;
constexpr int stream_as_output = -3; ///< standard error only
using standard_streams = std::array<int, 3>;

struct spawned {
    spawned() {}
    pid_t pid = 0;
    owned_fd pidfd; ///< readable once it has ended
};

/// *Errors*: command_not_found_error, spawn_error; nothing is left behind then.
[[nodiscard]] spawned spawn(const command& what, const standard_streams& streams, bool own_group);

} // namespace muster::detail
