// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The coroutine type. A task is lazy: calling the function makes its frame and runs nothing; awaiting it, or giving
/// it to create_task, gather or run, starts it. It is move-only and awaited once.
/// Take parameters by value: a reference parameter must outlive the task, not only the call that makes it.
/// With g++ 12, write `auto x = co_await expr;` as a statement of its own: docs/inside/compilers.md says what it
/// breaks.
///
///     muster::task<int> twice(muster::task<int> inner) {
///         auto x = co_await std::move(inner);
///         co_return 2 * x;
///     }

#include <muster/config.hpp>
#include <muster/detail/task_promise.hpp>
#include <muster/outcome.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace muster {

/// *Lifetime*: owns its frame until it is awaited or given away; a task that is destroyed unstarted is reported
/// (never_awaited, with the coroutine function's line) unless an exception is unwinding.
/// *Errors*: awaiting throws what the coroutine threw, as itself; std::bad_alloc if its frame could not be made;
/// invalid_state_error if it was awaited or moved from before.
/// *Cancellation*: awaiting a task is no wait of its own. A cancellation interrupts the wait in which the task itself
/// is. *Thread safety*: one thread at a time. *Complexity*: an await costs no allocation beyond the frame and no native
/// stack, however deep. *Source*: asyncio's coroutine objects.
template <class T>
class [[nodiscard("a task does nothing until it is awaited")]] task {
public:
    using value_type = T;
    using promise_type = detail::task_promise<T>;

    task(task && other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        if (this != &other) {
            drop();
            frame_ = std::exchange(other.frame_, nullptr);
        }
        return *this;
    }
    ~task() {
        if (frame_)
            drop();
    }

    /// False once it was awaited, given away or moved from.
    [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(frame_); }
    /// *Returns* the value of report::id if the task is never awaited.
    [[nodiscard]] const void* id() const noexcept { return frame_.address(); }

    detail::task_awaiter<T> operator co_await()&& noexcept {
        return detail::task_awaiter<T>(std::exchange(frame_, nullptr));
    }

    /// For the library: the frame, not begun, or null, or one whose address is that of no_memory_tag.
    [[nodiscard]] std::coroutine_handle<> release()&& noexcept { return std::exchange(frame_, nullptr); }

protected:
    friend promise_type;
    explicit task(std::coroutine_handle<> frame) noexcept : frame_(frame) {}

private:
    void drop() noexcept;

    std::coroutine_handle<> frame_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object(std::source_location function) noexcept {
    this->function_ = function;
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}

template <class T>
task<T> task_promise<T>::get_return_object_on_allocation_failure() noexcept {
    return task<T>(std::coroutine_handle<>::from_address(&no_memory_tag));
}

template <class T>
[[nodiscard("awaiting it runs the task")]] body_outcome_awaiter<T> outcome_of_body(task<T> t) noexcept {
    return body_outcome_awaiter<T>(std::move(t).release());
}

/// Destroys a coroutine that never began; reports it unless an exception is unwinding.
void destroy_unstarted(std::coroutine_handle<> frame) noexcept;

} // namespace detail

template <class T>
void task<T>::drop() noexcept {
    if (frame_ && frame_.address() != &detail::no_memory_tag)
        detail::destroy_unstarted(frame_);
    frame_ = nullptr;
}

/// Ends the running task with `error` without throwing it: its locals are destroyed, its awaiter or combinator gets
/// the error. Write `co_await muster::fail(my_error(...));`. *Complexity*: no unwinding; an allocation for the error.
/// *Cancellation*: none. A cancelled_error counts as a cancellation raised by the task itself.
template <class E>
    requires(!std::same_as<std::remove_cvref_t<E>, std::exception_ptr>)
detail::fail_awaiter fail(E&& error) { return detail::fail_awaiter(std::make_exception_ptr(std::forward<E>(error))); }
/// The same for an error that is at hand as a pointer, which must not be null.
inline detail::fail_awaiter fail(std::exception_ptr error) {
    if (!error)
        throw std::invalid_argument("fail needs an error: the exception_ptr is null");
    return detail::fail_awaiter(std::move(error));
}

/// Awaits a task without throwing its error. *Returns*, awaited, its outcome. *Cancellation*: reaches the task, whose
/// outcome it then is; the caller's own cancellation is not used up by that, but comes at the caller's next wait.
template <class T>
[[nodiscard("awaiting it runs the task")]] detail::outcome_awaiter<T> as_outcome(task<T> t) noexcept {
    return detail::outcome_awaiter<T>(std::move(t).release());
}

} // namespace muster

#include <muster/detail/foreign.hpp>
