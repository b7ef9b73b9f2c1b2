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
#include <muster/detail/fiber.hpp>
#include <muster/detail/frame_allocator.hpp>
#include <muster/outcome.hpp>
#include <muster/report.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

template <class T = void>
class task;

namespace detail {

template <class A>
concept has_member_co_await = requires(A&& a) {
    static_cast<A&&>(a).operator co_await();
};

template <class A>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// Wraps an awaitable of another library: defined in detail/foreign.hpp.
template <class A>
class foreign_awaiter;

/// Refers to an awaiter that lives in the awaiting expression: g++ 12 copies what await_transform gives by reference.
template <class A>
class awaiter_ref {
public:
    explicit awaiter_ref(A& awaiter) noexcept : awaiter_(&awaiter) {}
    [[nodiscard]] bool await_ready() const noexcept(noexcept(std::declval<A&>().await_ready())) {
        return awaiter_->await_ready();
    }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        awaiter_->await_suspend(h);
    }
    decltype(auto) await_resume() const { return awaiter_->await_resume(); }

private:
    A* awaiter_;
};

/// A frame for which there was no memory: the task then fails with std::bad_alloc.
inline constinit char no_memory_tag = 0;

class promise_base : public promise_links {
public:
    static void* operator new(std::size_t bytes) noexcept { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    void unhandled_exception() noexcept { detail_outcome_access::set_thrown(*out_, std::current_exception()); }

    template <class A>
    decltype(auto) await_transform(A&& awaitable) {
        using bare = std::remove_cvref_t<A>;
        if constexpr (is_task<bare>) {
            static_assert(!std::is_lvalue_reference_v<A>, "a task is awaited once: write `co_await std::move(t)`");
            if constexpr (!std::is_lvalue_reference_v<A>)
                return std::move(awaitable).operator co_await();
        } else if constexpr (std::derived_from<bare, library_awaitable>) {
            return awaiter_ref<bare>(awaitable);
        } else if constexpr (has_member_co_await<A>) {
            using awaiter = decltype(std::forward<A>(awaitable).operator co_await());
            if constexpr (std::derived_from<std::remove_cvref_t<awaiter>, library_awaitable>)
                return std::forward<A>(awaitable).operator co_await();
            else
                return foreign_awaiter<A>(std::forward<A>(awaitable));
        } else if constexpr (has_member_co_await<bare>) {
            static_assert(!has_member_co_await<bare>, "this is awaited once: write `co_await std::move(x)`");
        } else {
            return foreign_awaiter<A>(std::forward<A>(awaitable));
        }
    }

    /// Leaves the coroutine for good: to the one that awaits it, or to the fiber's owner.
    void leave() noexcept {
        if (link_ != nullptr)
            fiber_->transfer(link_->parent());
        else
            fiber_->set_ended();
    }
};

template <class T>
class promise_result : public promise_base {
public:
    template <class U = T>
        requires std::constructible_from<T, U>
    void return_value(U&& value) { result().emplace(std::forward<U>(value)); }

protected:
    outcome<T>& result() noexcept { return static_cast<outcome<T>&>(*out_); }
};

template <class T>
class promise_result<T&> : public promise_base {
public:
    void return_value(T& value) noexcept { result().emplace(value); }

protected:
    outcome<T&>& result() noexcept { return static_cast<outcome<T&>&>(*out_); }
};

template <>
class promise_result<void> : public promise_base {
public:
    void return_void() noexcept { result().emplace(); }

protected:
    outcome<void>& result() noexcept { return static_cast<outcome<void>&>(*out_); }
};

template <class T>
class task_promise : public promise_result<T> {
public:
    task<T> get_return_object(std::source_location function = std::source_location::current()) noexcept;
    static task<T> get_return_object_on_allocation_failure() noexcept;

    void unhandled_exception() noexcept {
        // The value was made, and then the destructor of a local threw.
        if (this->result().succeeded()) [[unlikely]]
            this->result().clear();
        promise_base::unhandled_exception();
    }

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <std::derived_from<task_promise> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
            task_promise& p = h.promise();
            fiber& f = *p.fiber_;
            // A task that returns while a cancellation is undelivered is cancelled, as in CPython.
            if (p.link_ == nullptr && f.next_wait_is_cancelled() && p.result().succeeded()) [[unlikely]] {
                p.result().clear();
                const auto request = f.take_cancellation();
                detail_outcome_access::set_cancelled(*p.out_, outcome_state::cancelled, request.reason, request.text);
            }
            p.leave();
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }
};

/// Awaits a task inline: the child runs as part of the same fiber. `Result` says what the await gives.
template <class T>
class inline_awaiter : public library_awaitable, public inline_link {
public:
    explicit inline_awaiter(std::coroutine_handle<> child) noexcept { child_ = child; }
    inline_awaiter(const inline_awaiter&) = delete;
    inline_awaiter& operator=(const inline_awaiter&) = delete;
    ~inline_awaiter() {
        if (child_ && child_.address() != &no_memory_tag)
            child_.destroy();
    }

    [[nodiscard]] bool await_ready() const noexcept { return !child_ || child_.address() == &no_memory_tag; }

    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        auto& links = promise_links::of(child_);
        fiber& f = *h.promise().fiber_;
        set_parent(h);
        links.fiber_ = &f;
        links.out_ = &result_;
        links.link_ = this;
        f.transfer(child_);
    }

protected:
    void finish() {
        if (await_ready()) [[unlikely]] {
            const bool no_memory = static_cast<bool>(child_);
            child_ = nullptr;
            if (!no_memory)
                throw invalid_state_error("this task was awaited or moved from before: a task is awaited once");
            detail_outcome_access::set_error(result_, std::make_exception_ptr(std::bad_alloc()));
            return;
        }
        std::exchange(child_, nullptr).destroy();
    }

    outcome<T> result_;
};

template <class T>
class task_awaiter : public inline_awaiter<T> {
public:
    using inline_awaiter<T>::inline_awaiter;
    T await_resume() {
        this->finish();
        if (!this->result_.succeeded()) [[unlikely]]
            this->result_.rethrow();
        return this->result_.take();
    }
};

/// Gives the child's outcome, a cancellation of the awaiting fiber itself included: for scopes, which go on as their
/// body ended.
template <class T>
class body_outcome_awaiter : public inline_awaiter<T> {
public:
    using inline_awaiter<T>::inline_awaiter;
    outcome<T> await_resume() {
        this->finish();
        return std::move(this->result_);
    }
};

/// The same, but a cancellation of the awaiting fiber that ended the child is due again at the fiber's next wait.
template <class T>
class outcome_awaiter final : public body_outcome_awaiter<T> {
public:
    using body_outcome_awaiter<T>::body_outcome_awaiter;
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        cancels_before_ = fiber_->cancels_here();
        was_due_ = fiber_->cancellation_due();
        body_outcome_awaiter<T>::await_suspend(h);
    }
    outcome<T> await_resume() {
        auto ended = body_outcome_awaiter<T>::await_resume();
        if (ended.was_cancelled() && fiber_ != nullptr && !fiber_->cancellation_due() &&
            (was_due_ || fiber_->cancels_here() > cancels_before_))
            fiber_->put_back(cancel_request(ended.reason(), detail_outcome_access::text(ended)));
        return ended;
    }

private:
    fiber* fiber_ = nullptr;
    std::uint32_t cancels_before_ = 0;
    bool was_due_ = false;
};

template <class T>
[[nodiscard("awaiting it runs the task")]] body_outcome_awaiter<T> outcome_of_body(task<T> t) noexcept {
    return body_outcome_awaiter<T>(std::move(t).release());
}

/// The awaiter of `co_await fail(e)`: it never comes back.
class [[nodiscard("nothing fails until it is awaited: co_await muster::fail(...)")]] fail_awaiter final
    : public library_awaitable {
public:
    explicit fail_awaiter(std::exception_ptr error) noexcept : error_(std::move(error)) {}
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_base> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        auto& p = h.promise();
        detail_outcome_access::set_thrown(*p.out_, std::move(error_));
        p.leave();
    }
    [[noreturn]] void await_resume() const noexcept { std::terminate(); }

private:
    std::exception_ptr error_;
};

} // namespace detail

/// *Lifetime*: owns its frame until it is awaited or given away; a task that is destroyed unstarted is reported
/// (never_awaited, with the coroutine function's line) unless an exception is unwinding.
/// *Errors*: awaiting throws what the coroutine threw, as itself; std::bad_alloc if its frame could not be made;
/// invalid_state_error if it was awaited or moved from before.
/// *Cancellation*: awaiting is none of its own; what the task awaits is interrupted.
/// *Thread safety*: one thread at a time. *Complexity*: an await costs no allocation beyond the frame and no native
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
