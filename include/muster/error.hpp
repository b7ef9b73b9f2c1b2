// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The exceptions that the library throws. Errors are std::exceptions; a cancellation is deliberately none, so that
/// `catch (const std::exception&)` does not swallow it. The contents of a std::exception_ptr can be looked at without
/// throwing it: get_if, is_a, type_name, describe.
///
///     try { co_await work(); }
///     catch (const muster::timeout_error&) { use_the_cache(); }
///     catch (const muster::cancelled_error& e) { log(e.reason(), e.requested_by()); throw; }

#include <muster/config.hpp>
#include <muster/detail/cancel_text.hpp>
#include <muster/detail/exception_type.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster {

/// Why something was cancelled or not started.
enum class cancel_reason : std::uint8_t {
    none,             ///< it was neither cancelled nor left unstarted
    requested,        ///< a cancel() asked for it
    parent_cancelled, ///< the task that waited for it was cancelled
    sibling_failed,   ///< another child of the same combinator or group failed
    race_lost,        ///< another child won the race, or the quorum was reached
    stopped,          ///< stop_after_failures(k) was reached
    deadline,         ///< the time limit of its combinator or scope was exceeded
    shutdown,         ///< the loop ended
    raised,           ///< it threw a cancelled_error itself
};

/// *Returns* "requested", "parent cancelled", "sibling failed" and so on.
[[nodiscard]] std::string_view to_string(cancel_reason reason) noexcept;

/// A cancellation on its way through the code that is cancelled. Not a std::exception. Code that catches it cleans up
/// and rethrows it. Copying never throws; without texts nothing is allocated.
/// *Source*: asyncio.CancelledError.
class cancelled_error final {
public:
    /// For a child that ends itself: the reason is `raised`.
    cancelled_error() noexcept = default;
    explicit cancelled_error(cancel_reason reason) noexcept : reason_(reason) {}
    explicit cancelled_error(std::string message) : text_(detail::cancel_text_ptr::make(std::move(message), {})) {}
    cancelled_error(cancel_reason reason, std::string message, std::string requested_by = {})
        : text_(detail::cancel_text_ptr::make(std::move(message), std::move(requested_by))),
          reason_(reason) {}
    /// For the library: shares the text of the request.
    cancelled_error(cancel_reason reason, detail::cancel_text_ptr text) noexcept
        : text_(std::move(text)),
          reason_(reason) {}

    cancelled_error(const cancelled_error&) noexcept = default;
    cancelled_error& operator=(const cancelled_error&) noexcept = default;

    /// *Returns* the message; without one the reason, as "cancelled (deadline)".
    [[nodiscard]] const char* what() const noexcept;
    [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }
    /// The message that cancel() was called with; may be empty. *Lifetime*: as long as any copy of this.
    [[nodiscard]] std::string_view message() const noexcept { return text_.message(); }
    /// The name of the task that called cancel(); may be empty. *Lifetime*: as long as any copy of this.
    [[nodiscard]] std::string_view requested_by() const noexcept { return text_.requested_by(); }
    /// For the library: message and name, shared.
    [[nodiscard]] detail::cancel_text_ptr text() const noexcept { return text_; }

private:
    detail::cancel_text_ptr text_;
    cancel_reason reason_ = cancel_reason::raised;
};

/// A time limit was exceeded. An error and never a cancellation. *Source*: TimeoutError.
class timeout_error : public std::runtime_error {
public:
    timeout_error() : std::runtime_error("timed out") {}
    explicit timeout_error(const std::string& what) : std::runtime_error(what) {}
};

/// An operation does not fit the state of its object: a result was asked for before there is one or set twice, a scope
/// run twice, a moved-from handle used. *Source*: asyncio.InvalidStateError.
class invalid_state_error : public std::logic_error {
public:
    invalid_state_error() : std::logic_error("invalid state") {}
    explicit invalid_state_error(const std::string& what) : std::logic_error(what) {}
};

/// *Source*: asyncio.QueueEmpty.
class queue_empty : public std::runtime_error {
public:
    queue_empty() : std::runtime_error("the queue is empty") {}
    explicit queue_empty(const std::string& what) : std::runtime_error(what) {}
};

/// *Source*: asyncio.QueueFull.
class queue_full : public std::runtime_error {
public:
    queue_full() : std::runtime_error("the queue is full") {}
    explicit queue_full(const std::string& what) : std::runtime_error(what) {}
};

/// *Source*: asyncio.QueueShutDown.
class queue_shut_down : public std::runtime_error {
public:
    queue_shut_down() : std::runtime_error("the queue was shut down") {}
    explicit queue_shut_down(const std::string& what) : std::runtime_error(what) {}
};

/// *Source*: asyncio.BrokenBarrierError.
class broken_barrier_error : public std::runtime_error {
public:
    broken_barrier_error() : std::runtime_error("the barrier is broken") {}
    explicit broken_barrier_error(const std::string& what) : std::runtime_error(what) {}
};

/// Tasks still wait, and nothing is left that could run or wake one of them. Copying never throws.
/// *Source*: none; asyncio hangs.
class deadlock_error : public std::runtime_error {
public:
    /// Each text names a task that waits, and where: "task 'reader' at main.cpp:12 waits for queue.get()".
    explicit deadlock_error(std::vector<std::string> waiters);

    [[nodiscard]] const std::vector<std::string>& waiters() const noexcept { return *waiters_; }

private:
    std::shared_ptr<const std::vector<std::string>> waiters_;
};

using detail::describe;
using detail::get_if;
using detail::is_a;
using detail::type_name;

} // namespace muster
