// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// std::stop_token and cancellation, both ways. Here: a stop that is requested anywhere cancels a task. The other
/// way needs no header: a callable given to to_thread or run_in_executor that takes a std::stop_token gets one that is
/// stopped when the task which waits for the call is cancelled.
///
///     muster::cancel_link link = muster::cancel_on(token, handle);   // as long as link lives
///     auto x = co_await muster::cancel_on(token, work());            // as long as work runs

#include <muster/config.hpp>
#include <muster/error.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <memory>
#include <source_location>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

/// Cancels what a handle or future refers to when a stop is requested. Movable; the link ends with it.
/// *Thread safety*: the loop's thread; the stop may be requested on any.
class [[nodiscard("the link ends when this is dropped")]] cancel_link {
public:
    /// For the library: see cancel_on.
    cancel_link(std::stop_token token, any_handle target, std::string message)
        : callback_(std::make_unique<std::stop_callback<request>>(
              std::move(token), request(std::move(target), std::move(message)))) {}

private:
    class request {
    public:
        request(any_handle target, std::string message) : target_(std::move(target)), message_(std::move(message)) {}
        void operator()() noexcept { target_.request_cancel(std::move(message_)); }

    private:
        any_handle target_; // made and destroyed on the loop's thread; std::stop_callback waits for a call under way
        std::string message_;
    };
    std::unique_ptr<std::stop_callback<request>> callback_;
};

/// While the link lives, a stop requested on any thread cancels the task or future, as request_cancel() does; one that
/// was requested before cancels it too. *Errors*: invalid_state_error for a handle that refers to nothing.
inline cancel_link cancel_on(std::stop_token token, const any_handle& target, std::string message = "stop requested") {
    if (!target.valid())
        throw invalid_state_error("this handle refers to nothing: it was default-made or moved from");
    return cancel_link(std::move(token), target, std::move(message));
}

/// Awaits a task that a stop cancels. *Returns* what the task gives. *Errors*: the task's own; cancelled_error if it
/// was stopped. *Cancellation*: passed on into the task.
template <class T>
task<T> cancel_on(std::stop_token token, task<T> work, std::string message = "stop requested",
    std::source_location site = std::source_location::current()) {
    auto handle = create_task(std::move(work), {}, site);
    const auto link = cancel_on(std::move(token), handle, std::move(message));
    if constexpr (std::is_void_v<T>) {
        co_await handle;
    } else if constexpr (std::is_reference_v<T>) {
        auto& value = co_await handle;
        co_return value;
    } else {
        auto value = co_await std::move(handle);
        co_return value;
    }
}

} // namespace muster
