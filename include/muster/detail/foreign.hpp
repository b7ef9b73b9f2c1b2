// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Awaiting another library's awaitable in a task. It may resume on any thread: what it resumes is a small coroutine
/// that posts to the task's loop, so the task goes on where it belongs. Such a wait is no cancellation point: the
/// task hears of a cancellation at its next wait; meanwhile it counts as external work.
///
///     auto reply = co_await other_library::request(...);

#include <muster/config.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/mailbox.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace muster::detail {

class foreign_wait;

/// The coroutine that a foreign awaitable resumes: it does nothing but post its wait, once it is suspended for good.
/// Then the loop may destroy it while the thread that resumed it is on its way back.
class foreign_bridge {
public:
    struct promise_type {
        struct posting {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> h) const noexcept { post(h.promise().wait_); }
            void await_resume() const noexcept {}
        };

        explicit promise_type(foreign_wait& wait) noexcept : wait_(&wait) {}
        foreign_bridge get_return_object() noexcept {
            return foreign_bridge(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        posting final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

        foreign_wait* wait_;
    };

    foreign_bridge() noexcept = default;
    explicit foreign_bridge(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    foreign_bridge(foreign_bridge&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    foreign_bridge& operator=(foreign_bridge&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~foreign_bridge() {
        if (handle_)
            handle_.destroy();
    }
    [[nodiscard]] std::coroutine_handle<> handle() const noexcept { return handle_; }

private:
    static void post(foreign_wait* wait) noexcept;

    std::coroutine_handle<promise_type> handle_;
};

/// The untyped half: waits until the bridge's letter comes.
class foreign_wait : public suspension, public letter {
public:
    foreign_wait() noexcept : suspension(kind_of), letter(&arrived) {}

protected:
    void begin(fiber& f, std::coroutine_handle<> h);
    /// The foreign awaitable did not suspend after all.
    void take_back() noexcept;
    [[nodiscard]] std::coroutine_handle<> bridge() const noexcept { return bridge_.handle(); }

private:
    friend class foreign_bridge;
    static foreign_bridge hand_over(foreign_wait& wait);
    static void arrived(letter& l, fiber_loop& loop) noexcept;
    static cancel_effect cancel(suspension&, const cancel_request&, fiber*&) noexcept { return cancel_effect::held; }
    static const suspension_kind kind_of;

    foreign_bridge bridge_;
    std::shared_ptr<mailbox> inbox_;
};

template <class A>
decltype(auto) foreign_awaiter_of(A&& a) {
    if constexpr (requires { std::forward<A>(a).operator co_await(); })
        return std::forward<A>(a).operator co_await();
    else if constexpr (requires { operator co_await(std::forward<A>(a)); })
        return operator co_await(std::forward<A>(a));
    else
        return std::forward<A>(a);
}

template <class A>
concept standard_awaiter = requires(A& a, std::coroutine_handle<> h) {
    static_cast<bool>(a.await_ready());
    a.await_suspend(h);
    a.await_resume();
};

template <class A>
class foreign_awaiter final : public library_awaitable, public foreign_wait {
    using inner_type = decltype(foreign_awaiter_of(std::declval<A>()));
    static_assert(standard_awaiter<std::remove_reference_t<inner_type>>,
        "this can't be awaited: it is no task, handle or future of muster, and has none of "
        "await_ready, await_suspend(std::coroutine_handle<>), await_resume");

public:
    explicit foreign_awaiter(A&& a) : inner_(foreign_awaiter_of(std::forward<A>(a))) {}

    [[nodiscard]] bool await_ready() { return static_cast<bool>(inner_.await_ready()); }

    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        // An await_suspend that throws breaks g++ 12: the error is kept for await_resume.
        try {
            begin(*h.promise().fiber_, h);
        } catch (...) {
            error_ = std::current_exception();
            h.promise().fiber_->transfer(h);
            return;
        }
        using result = decltype(inner_.await_suspend(bridge()));
        try {
            if constexpr (std::is_void_v<result>) {
                inner_.await_suspend(bridge());
            } else if constexpr (std::same_as<result, bool>) {
                if (!inner_.await_suspend(bridge()))
                    take_back();
            } else {
                inner_.await_suspend(bridge()).resume();
            }
        } catch (...) {
            error_ = std::current_exception();
            take_back();
        }
    }
    decltype(auto) await_resume() {
        if (error_)
            std::rethrow_exception(error_);
        return inner_.await_resume();
    }

private:
    inner_type inner_;
    std::exception_ptr error_;
};

} // namespace muster::detail
