// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether an awaitable that is destroyed without having been awaited is reported. It is not while an exception
/// unwinds, nor while the frame of a coroutine is destroyed that never began, was cancelled or failed: the end of that
/// coroutine says already what became of its parameters.
///
///     if (reports_unawaited()) report_never_awaited(options_);

#include <coroutine>

namespace muster::detail {

[[nodiscard]] bool reports_unawaited() noexcept;

/// An awaitable that is destroyed on this thread while one of these lives is not reported as never awaited.
class quiet_destruction {
public:
    quiet_destruction() noexcept { ++depth_; }
    quiet_destruction(const quiet_destruction&) = delete;
    quiet_destruction& operator=(const quiet_destruction&) = delete;
    ~quiet_destruction() { --depth_; }

private:
    friend bool reports_unawaited() noexcept;
    static constinit thread_local int depth_;
};

/// Destroys the frame of a coroutine that did not end with a value.
void destroy_quietly(std::coroutine_handle<> frame) noexcept;

} // namespace muster::detail
