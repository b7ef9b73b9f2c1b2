// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An asynchronous generator: a coroutine that yields values and may await in between. It runs in the consumer's
/// task, only while the consumer waits for the next value.
///
///     muster::generator<page> pages(client& c) { for (int i = 0; ...) { auto p = co_await c.load(i); co_yield p; } }
///     auto all = pages(c);
///     co_await muster::for_each(all, [](const page& p) { show(p); });

#include <muster/config.hpp>
#include <muster/detail/call_body.hpp>
#include <muster/detail/callable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/outcome.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace muster {

template <class T>
class generator;

namespace detail {

/// Shared by a generator, its frame and the calls of next(), by count.
///
///     idle --next() suspends--> running --yield, return or throw--> idle
///       \--the generator is destroyed--> gone        |
///                                          ^---------/  the waiting task then destroys the frame
class generator_link : public inline_link {
public:
    enum class phase : std::uint8_t {
        idle,
        running,   ///< a task waits for the next value
        abandoned, ///< the generator was destroyed, and a task still waits
        gone,      ///< the generator was destroyed
    };

    generator_link() = default;
    generator_link(const generator_link&) = delete;
    generator_link& operator=(const generator_link&) = delete;

    void retain() noexcept { ++owners_; }
    void release() noexcept {
        if (--owners_ == 0)
            delete this;
    }
    [[nodiscard]] phase where() const noexcept { return phase_; }
    [[nodiscard]] outcome<void>& ended() noexcept { return ended_; }

    void begin_wait(fiber& f) noexcept;
    /// The waiting task goes on. *Errors*: if the generator was destroyed meanwhile, the caller's own cancellation or
    /// invalid_state_error.
    void end_wait();
    /// The waiting task is destroyed.
    void drop_wait() noexcept;
    /// The generator is destroyed, or given another coroutine. A task that waits is interrupted.
    void abandon() noexcept;

private:
    ~generator_link() = default;
    void destroy_frame() noexcept;

    outcome<void> ended_;
    fiber* fiber_ = nullptr; ///< of the task that waits
    const cancel_hold* hold_ = nullptr;
    std::uint32_t cancels_before_ = 0;
    std::uint32_t owners_ = 1;
    phase phase_ = phase::idle;
};

/// Counted; null for a generator that was moved from.
class generator_share {
public:
    generator_share() = default;
    explicit generator_share(generator_link* adopted) noexcept : link_(adopted) {}
    generator_share(const generator_share& other) noexcept : link_(other.link_) {
        if (link_ != nullptr)
            link_->retain();
    }
    generator_share(generator_share&& other) noexcept : link_(std::exchange(other.link_, nullptr)) {}
    generator_share& operator=(generator_share other) noexcept {
        std::swap(link_, other.link_);
        return *this;
    }
    ~generator_share() {
        if (link_ != nullptr)
            link_->release();
    }
    generator_link* operator->() const noexcept { return link_; }
    generator_link& operator*() const noexcept { return *link_; }
    explicit operator bool() const noexcept { return link_ != nullptr; }

private:
    generator_link* link_ = nullptr;
};

[[noreturn]] void throw_generator_error(const generator_link* link, bool no_memory);

template <class T>
class generator_promise final : public promise_base {
public:
    generator<T> get_return_object() noexcept;
    static generator<T> get_return_object_on_allocation_failure() noexcept;

    /// Goes back to the task that waits for the next value.
    struct hand_over {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<generator_promise> h) const noexcept { h.promise().leave(); }
        void await_resume() const noexcept {}
    };
    template <std::convertible_to<T> U>
    hand_over yield_value(U&& value) {
        value_.emplace(std::forward<U>(value));
        return {};
    }
    /// A frame for which there was no link has no owner, and is destroyed at once.
    struct first_stop {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<generator_promise> h) const noexcept {
            if (!h.promise().owned_)
                h.destroy();
        }
        void await_resume() const noexcept {}
    };
    first_stop initial_suspend() const noexcept { return {}; }
    hand_over final_suspend() const noexcept { return {}; }
    void return_void() noexcept { static_cast<outcome<void>&>(*out_).emplace(); }

    [[nodiscard]] std::optional<T> take_value() { return std::exchange(value_, std::nullopt); }

private:
    std::optional<T> value_;
    bool owned_ = false;
};

} // namespace detail

/// Move-only. *Lifetime*: owns its frame; destroying it destroys the locals of the coroutine where it stands. If a task
/// waits in next() meanwhile, what the coroutine awaits is interrupted, and next() throws invalid_state_error. A moved
/// generator keeps its waiting task.
/// *Thread safety*: the loop's thread. *Source*: Python's asynchronous generators.
template <class T>
class [[nodiscard("a generator does nothing until its values are asked for")]] generator {
public:
    using value_type = T;
    using promise_type = detail::generator_promise<T>;

    generator(generator && other) noexcept = default;
    generator& operator=(generator&& other) noexcept {
        if (this != &other) {
            abandon();
            link_ = std::move(other.link_);
            no_memory_ = other.no_memory_;
        }
        return *this;
    }
    ~generator() { abandon(); }

    class [[nodiscard("no value is made until it is awaited: co_await g.next()")]] next_awaiter final
        : public detail::library_awaitable {
    public:
        using ends_its_source_if_cancelled = void; // so that race refuses a generator

        explicit next_awaiter(generator & g) noexcept : link_(g.link_), no_memory_(g.no_memory_) {}
        next_awaiter(next_awaiter && other) noexcept = default;
        ~next_awaiter() {
            if (asks_)
                link_->drop_wait();
        }

        [[nodiscard]] bool await_ready() noexcept {
            return !link_ || link_->where() != detail::generator_link::phase::idle || !link_->child_;
        }
        template <std::derived_from<detail::promise_links> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) noexcept {
            auto& p = promise();
            asks_ = true;
            link_->begin_wait(*h.promise().fiber_);
            link_->set_parent(h);
            p.fiber_ = h.promise().fiber_;
            p.out_ = &link_->ended();
            p.link_ = &*link_;
            p.fiber_->transfer(link_->child_);
        }
        std::optional<T> await_resume() {
            if (!asks_) {
                if (!link_ || link_->where() != detail::generator_link::phase::idle)
                    detail::throw_generator_error(link_ ? &*link_ : nullptr, no_memory_);
                return std::nullopt; // the coroutine has returned
            }
            asks_ = false;
            link_->end_wait();
            if (link_->ended().was_not_started())
                return promise().take_value();
            std::exchange(link_->child_, nullptr).destroy();
            if (!link_->ended().succeeded())
                link_->ended().rethrow();
            return std::nullopt;
        }

    private:
        promise_type& promise() noexcept {
            return std::coroutine_handle<promise_type>::from_address(link_->child_.address()).promise();
        }

        detail::generator_share link_;
        bool no_memory_;
        bool asks_ = false; ///< the coroutine runs on behalf of this call
    };

    /// *Returns*, awaited, the next value; nothing once the coroutine has returned. *Errors*: what the coroutine
    /// throws, once; then nothing more comes; invalid_state_error while another task waits for its next value, for a
    /// moved-from generator, and if the generator is destroyed meanwhile; std::bad_alloc if its frame could not be
    /// made. *Cancellation*: reaches what the coroutine awaits.
    next_awaiter next() noexcept { return next_awaiter(*this); }

private:
    friend promise_type;
    /// Without memory for its frame.
    generator() noexcept : no_memory_(true) {}
    explicit generator(detail::generator_link * link) noexcept : link_(link), no_memory_(link == nullptr) {}

    void abandon() noexcept {
        if (link_)
            link_->abandon();
    }

    detail::generator_share link_;
    bool no_memory_ = false;
};

namespace detail {

template <class T>
generator<T> generator_promise<T>::get_return_object() noexcept {
    auto* link = new (std::nothrow) generator_link;
    auto frame = std::coroutine_handle<generator_promise>::from_promise(*this);
    owned_ = link != nullptr;
    if (link != nullptr)
        link->child_ = frame;
    return generator<T>(link);
}

template <class T>
generator<T> generator_promise<T>::get_return_object_on_allocation_failure() noexcept {
    return generator<T>();
}

template <class F, class Item>
task<> call_for_each(F& f, Item& item) {
    auto running = f(std::move(item));
    co_await std::move(running);
}

template <class Source, class F>
task<> run_for_each(Source& source, F f) {
    while (true) {
        auto item = co_await source.next();
        if (!item)
            break;
        if constexpr (std::is_void_v<std::invoke_result_t<F&, decltype(std::move(*item))>>) {
            f(std::move(*item));
        } else {
            auto body = call_for_each(f, *item);
            co_await std::move(body);
        }
    }
}

} // namespace detail

/// The short form of asynchronous iteration: calls `f` with each value that `source.next()` gives, until it gives
/// none. `f` returns void or something to await. Works for generators, queues and as_completed. g++ 12 miscompiles
/// `while (auto x = co_await source.next())`; for_each is safe.
/// *Errors*: what the source or `f` throws. *Lifetime*: `source` must outlive the await.
template <class Source, class F>
task<> for_each(Source& source, F&& f) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::run_for_each<Source, std::decay_t<F>>(source, std::forward<F>(f));
}

} // namespace muster
