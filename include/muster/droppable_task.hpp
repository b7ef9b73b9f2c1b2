// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task that a cancellation ends without a throw. Where it waits for time or an event, its frame is destroyed as it
/// stands: destructors run, handlers do not. A throw and its unwinding cost two microseconds, this a tenth of that:
/// it matters where a hundred thousand are cancelled at once.
///
///     muster::droppable_task<int> poll(sensor& s) {       // it has no handler for a cancellation
///         co_await muster::sleep_for(24h);
///         co_return s.read();
///     }

#include <muster/config.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

template <class T = void>
class droppable_task;

namespace detail {

template <class T>
inline constexpr bool is_task<droppable_task<T>> = true;

/// Around what a droppable task waits for.
template <class Awaiter>
class droppable_wait final : public library_awaitable {
public:
    template <class A>
    explicit droppable_wait(A&& operation) : inner_(std::forward<A>(operation).operator co_await()) {}
    explicit droppable_wait(std::remove_reference_t<Awaiter>& inner) requires std::is_reference_v<Awaiter>
        : inner_(inner) {}

    [[nodiscard]] bool await_ready() noexcept(noexcept(std::declval<Awaiter&>().await_ready())) {
        return inner_.await_ready();
    }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        inner_.fiber_ = h.promise().fiber_;
        inner_.fiber_->allow_drop(true);
        inner_.await_suspend(h);
    }
    [[gnu::always_inline]] decltype(auto) await_resume() {
        if (inner_.fiber_ != nullptr)
            inner_.fiber_->allow_drop(false);
        return inner_.await_resume();
    }

private:
    Awaiter inner_;
};

/// Awaits a child of a droppable task: what ends the child so ends the parent too.
template <class T>
class dropping_awaiter final : public task_awaiter<T> {
public:
    using task_awaiter<T>::task_awaiter;
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        task_awaiter<T>::await_suspend(h);
        this->set_parent(h, true);
    }
};

template <class T>
class droppable_promise final : public task_promise<T> {
public:
    droppable_task<T> get_return_object(std::source_location function = std::source_location::current()) noexcept;
    static droppable_task<T> get_return_object_on_allocation_failure() noexcept;

    template <class A>
    decltype(auto) await_transform(A&& awaitable) {
        using bare = std::remove_cvref_t<A>;
        if constexpr (is_task<bare> && !std::is_lvalue_reference_v<A>) {
            return dropping_awaiter<typename bare::value_type>(std::move(awaitable).release());
        } else if constexpr (std::derived_from<bare, suspension>) {
            return droppable_wait<bare&>(awaitable);
        } else if constexpr (has_member_co_await<A>) {
            using awaiter = decltype(std::forward<A>(awaitable).operator co_await());
            if constexpr (std::derived_from<awaiter, suspension>)
                return droppable_wait<awaiter>(std::forward<A>(awaitable));
            else
                return task_promise<T>::await_transform(std::forward<A>(awaitable));
        } else {
            return task_promise<T>::await_transform(std::forward<A>(awaitable));
        }
    }
};

} // namespace detail

/// A task, and used as one everywhere, whose coroutine function says by its return type that a cancellation may end it
/// without being thrown into it.
/// *Cancellation*: a sleep or the wait for an event, if interrupted, is the end of the coroutine: its locals and
/// parameters are destroyed, and its outcome is cancelled; a droppable task that awaits it ends with it. Other waits
/// throw cancelled_error as in any task. So it must not rely on a handler: whether one for cancelled_error, or a
/// `catch (...)`, sees the cancellation is not promised.
/// *Complexity*: as a task; a cancellation costs about as much as ending normally. *Source*: dropping a future in Rust.
template <class T>
class [[nodiscard("a task does nothing until it is awaited")]] droppable_task : public task<T> {
public:
    using promise_type = detail::droppable_promise<T>;

private:
    friend promise_type;
    using task<T>::task;
    explicit droppable_task(std::coroutine_handle<> frame) noexcept : task<T>(frame) {}
};

namespace detail {

template <class T>
droppable_task<T> droppable_promise<T>::get_return_object(std::source_location function) noexcept {
    this->function_ = function;
    return droppable_task<T>(std::coroutine_handle<droppable_promise>::from_promise(*this));
}

template <class T>
droppable_task<T> droppable_promise<T>::get_return_object_on_allocation_failure() noexcept {
    return droppable_task<T>(std::coroutine_handle<>::from_address(&no_memory_tag));
}

} // namespace detail
} // namespace muster
