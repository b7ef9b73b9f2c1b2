// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one owner of a descriptor: whatever holds a number of the system's that must be closed holds it as an owned_fd.
/// Private to the library.
///
///     const owned_fd file(::open(path, O_RDONLY | O_CLOEXEC));
///     if (!file.is_open()) throw_system_error(errno, "opening");

#include <cerrno>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace muster::detail {

/// Move-only; a moved-from one owns nothing. *Thread safety*: one thread.
class owned_fd {
public:
    owned_fd() = default;
    /// Owns nothing if `fd` is negative, which is how the system's calls report a failure.
    explicit owned_fd(int fd) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    /// Closes what it owned.
    owned_fd& operator=(owned_fd&& other) noexcept {
        owned_fd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
        return *this;
    }
    ~owned_fd() { reset(); }

    /// Negative if it owns none.
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

    /// Closes it and owns `fd` instead. errno stays as it was.
    void reset(int fd = -1) noexcept {
        if (const int old = std::exchange(fd_, fd); old >= 0) {
            const int before = errno;
            ::close(old);
            errno = before;
        }
    }
    /// Closes it where a failure matters: network file systems report failed writes only now. *Returns* the failure. A
    /// close that a signal interrupts has closed the descriptor on Linux, and is none.
    [[nodiscard]] std::error_code close() noexcept {
        const int old = std::exchange(fd_, -1);
        if (old < 0 || ::close(old) == 0 || errno == EINTR)
            return {};
        return {errno, std::generic_category()};
    }
    /// The caller owns it from now on.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

} // namespace muster::detail
