// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The promise of a task's coroutine, and the awaiters by which one task awaits another inline.
///
///     using promise_type = detail::task_promise<T>;

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

/// Destroys a frame that has not begun, without a report. It may be null or no_memory_tag.
inline void discard_frame(std::coroutine_handle<> frame) noexcept {
    if (frame && frame.address() != &no_memory_tag)
        destroy_quietly(frame);
}

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

protected:
    /// Whether a value that is being returned gives way to a cancellation that the coroutine has not seen.
    [[nodiscard]] bool loses_value_to_cancellation() const noexcept {
        return link_ == nullptr && fiber_->next_wait_is_cancelled() && !fiber_->keeps_value();
    }
    void end_cancelled() noexcept {
        const auto request = fiber_->take_cancellation();
        detail_outcome_access::set_cancelled(*out_, outcome_state::cancelled, request.reason, request.text);
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
            if (p.fiber_->cancellation_due()) [[unlikely]]
                p.return_with_cancellation_due();
            p.leave();
        }
        void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }

private:
    /// A task that returns while a cancellation is undelivered is cancelled, as in CPython.
    [[gnu::noinline, gnu::cold]] void return_with_cancellation_due() noexcept {
        if (!this->result().succeeded() || !this->loses_value_to_cancellation())
            return;
        this->result().clear();
        this->end_cancelled();
    }
};

/// Awaits a task inline: the child runs as part of the same fiber. A derived class defines await_resume(), which
/// decides what `co_await` gives: the value, or the outcome.
template <class T>
class inline_awaiter : public library_awaitable, public inline_link {
public:
    explicit inline_awaiter(std::coroutine_handle<> child) noexcept { child_ = child; }
    inline_awaiter(const inline_awaiter&) = delete;
    inline_awaiter& operator=(const inline_awaiter&) = delete;
    ~inline_awaiter() {
        if (child_ && child_.address() != &no_memory_tag)
            destroy_quietly(child_);
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
        const auto frame = std::exchange(child_, nullptr);
        if (result_.succeeded()) [[likely]]
            frame.destroy();
        else
            destroy_quietly(frame);
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

} // namespace muster
