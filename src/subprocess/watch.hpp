// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Tells when a descriptor can be read or written. libuv's handles live only while somebody waits, so that a process
/// may outlive its loop. Private to the library.
///
///     if (const auto failed = watch_.start(loop, fd, watch::readable, &ready, this)) ...

#include <muster/event_loop.hpp>

#include <system_error>

struct uv_poll_s;

namespace muster::detail {

/// Immovable. *Thread safety*: the loop's thread.
class watch {
public:
    enum interest { readable, writable };
    using ready_function = void (*)(void* context) noexcept;

    watch() = default;
    ~watch() { stop(); }
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;

    /// Calls `ready` as often as there is something, also if that is an error. *Returns* why it can't.
    [[nodiscard]] std::error_code start(
        event_loop& loop, int fd, interest what, ready_function ready, void* context) noexcept;
    void stop() noexcept;
    [[nodiscard]] bool started() const noexcept { return poll_ != nullptr; }

private:
    uv_poll_s* poll_ = nullptr;
    ready_function ready_ = nullptr;
    void* context_ = nullptr;
};

} // namespace muster::detail
