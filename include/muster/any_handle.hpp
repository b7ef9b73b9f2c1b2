// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A handle to a task or future whose type of value is forgotten: what sets of handles hold, and what a done callback
/// receives. task_handle and future are derived from it.
///
///     h.add_done_callback([](const muster::any_handle& h) { std::puts(h.name().c_str()); });

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/loop_thread.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <utility>

namespace muster {

/// Names a callback that was added, to remove it.
enum class callback_id : std::uint64_t {};

/// A handle that does not know the type of its task's value. Sets of handles hold it, and a done callback receives it.
/// Two handles are equal if they refer to the same task.
/// *Errors* of each function but valid(), id(), site() and comparison: invalid_state_error for a handle that refers to
/// nothing (of site() too), and, except of request_cancel(), on a thread that is not the loop's. *Thread safety*: the
/// loop's thread, except request_cancel(). May be used after its loop has ended.
class any_handle {
public:
    /// Refers to nothing.
    any_handle() = default;

    [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }
    [[nodiscard]] bool done() const { return state_here("done()").done(); }
    /// True if it ended by a cancellation, whether or not its body had begun.
    [[nodiscard]] bool cancelled() const {
        const auto& s = state_here("cancelled()");
        return s.done() && s.ended_as().was_cancelled();
    }
    /// *Returns* its failure, null if it has none. The failure counts as looked at.
    /// *Errors*: invalid_state_error if it has not ended; cancelled_error if it was cancelled.
    [[nodiscard]] std::exception_ptr exception() const;

    /// Asks it to stop: what it waits for ends with a cancelled_error, which it may clean up on, or catch.
    /// *Returns* false if it had ended. *Source*: asyncio's Task.cancel; cancelling a future ends it at once.
    bool cancel(std::string message = {}) const;
    /// The same from any thread; carried out by the loop. This handle must live until the call returns.
    /// *Returns* false if the loop has ended, or if there is no memory for the request.
    bool request_cancel(std::string message = {}) const;
    /// How many requests to stop have reached the task, less uncancel(). Zero for a future.
    [[nodiscard]] int cancelling() const;
    /// Takes one request back. *Returns* what is left. As CPython 3.13: at zero an undelivered request is dropped.
    int uncancel() const;

    [[nodiscard]] std::string name() const { return state_here("name()").name(); }
    void set_name(std::string name) const { state_here("set_name()").set_name(std::move(name)); }
    /// Where it was created.
    [[nodiscard]] std::source_location site() const { return required_state().site(); }
    /// *Returns* the value of report::id for this task; null for a handle that refers to nothing.
    [[nodiscard]] const void* id() const noexcept { return state_.get(); }

    /// Called by the loop after the task has ended, as an entry of its own in the ready queue; callbacks come in the
    /// order in which they were added.
    /// *Errors*: what a callback throws is reported (callback_failed); without a loop any more nothing is called.
    callback_id add_done_callback(std::function<void(const any_handle&)> callback) const;
    /// *Returns* false if there was none, or if it has ended.
    bool remove_done_callback(callback_id id) const;

    friend bool operator==(const any_handle& a, const any_handle& b) noexcept {
        return a.state_.get() == b.state_.get();
    }

    /// For the library.
    [[nodiscard]] detail::completable& state() const noexcept {
        MUSTER_ASSERT(valid());
        return *state_;
    }
    /// The same. *Errors*: invalid_state_error for a handle that refers to nothing.
    [[nodiscard]] detail::completable& required_state() const {
        if (!valid()) [[unlikely]]
            refers_to_nothing();
        return *state_;
    }
    /// The same. *Errors*: also invalid_state_error on a thread that is not the loop's; `what` is the function.
    [[nodiscard]] detail::completable& state_here(const char* what, const char* instead = detail::post_it) const {
        auto& s = required_state();
        s.require_thread(what, instead);
        return s;
    }

protected:
    explicit any_handle(detail::counted<detail::completable> state) noexcept : state_(std::move(state)) {}

    /// The result is asked for: throws what went wrong.
    void require_value() const;

private:
    [[noreturn]] static void refers_to_nothing();

    detail::counted<detail::completable> state_;
    friend struct detail_handle_access;
};

struct detail_handle_access {
    static any_handle make(detail::completable& c) noexcept {
        return any_handle(detail::counted<detail::completable>(&c));
    }
};

} // namespace muster
