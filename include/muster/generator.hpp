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
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace muster {

template <class T>
class generator;

namespace detail {

/// What a generator and its frame share; found by whichever of them goes last.
struct generator_link : inline_link {
    outcome<void> ended;
    bool running = false; ///< somebody waits for its next value
};

template <class T>
class generator_promise final : public promise_base {
public:
    generator<T> get_return_object() noexcept;
    static generator<T> get_return_object_on_allocation_failure() noexcept;

    /// Back to the one that waits for the next value.
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
    /// A frame for which there was no link has no owner, and goes at once.
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

    std::optional<T> value_;
    bool owned_ = false;
};

} // namespace detail

/// Move-only; not while a next() is awaited. *Lifetime*: owns its frame; destroying it destroys the locals of the
/// coroutine where it stands. *Thread safety*: the loop's thread. *Source*: Python's asynchronous generators.
template <class T>
class [[nodiscard("a generator does nothing until its values are asked for")]] generator {
public:
    using value_type = T;
    using promise_type = detail::generator_promise<T>;

    generator(generator &&) noexcept = default;
    generator& operator=(generator&& other) noexcept {
        if (this != &other) {
            destroy();
            link_ = std::move(other.link_);
        }
        return *this;
    }
    ~generator() { destroy(); }

    class [[nodiscard("no value is made until it is awaited: co_await g.next()")]] next_awaiter final
        : public detail::library_awaitable {
    public:
        explicit next_awaiter(generator & g) noexcept : generator_(&g) {}
        [[nodiscard]] bool await_ready() noexcept {
            const auto* link = generator_->link_.get();
            refused_ = link != nullptr && link->running;
            return refused_ || link == nullptr || !link->child_;
        }
        template <std::derived_from<detail::promise_links> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) noexcept {
            auto& link = *generator_->link_;
            auto& p = generator_->promise();
            link.running = true;
            link.set_parent(h);
            p.fiber_ = h.promise().fiber_;
            p.out_ = &link.ended;
            p.link_ = &link;
            p.fiber_->transfer(link.child_);
        }
        std::optional<T> await_resume() {
            if (refused_)
                throw invalid_state_error("this generator runs already: another task waits for its next value");
            return generator_->take();
        }

    private:
        generator* generator_;
        bool refused_ = false;
    };

    /// *Returns*, awaited, the next value; nothing once the coroutine has returned. *Errors*: what the coroutine
    /// throws, once; then nothing more comes; invalid_state_error while another task waits for its next value.
    /// *Cancellation*: reaches what the coroutine awaits.
    next_awaiter next() noexcept { return next_awaiter(*this); }

private:
    friend promise_type;
    generator() noexcept = default;
    explicit generator(std::unique_ptr<detail::generator_link> link) noexcept : link_(std::move(link)) {}

    promise_type& promise() noexcept {
        return std::coroutine_handle<promise_type>::from_address(link_->child_.address()).promise();
    }
    std::optional<T> take() {
        if (!link_)
            throw std::bad_alloc();
        link_->running = false;
        if (!link_->child_)
            return std::nullopt;
        if (link_->ended.was_not_started())
            return std::exchange(promise().value_, std::nullopt);
        std::exchange(link_->child_, nullptr).destroy();
        if (!link_->ended.succeeded())
            link_->ended.rethrow();
        return std::nullopt;
    }
    void destroy() noexcept {
        if (link_ && link_->child_)
            std::exchange(link_->child_, nullptr).destroy();
    }

    std::unique_ptr<detail::generator_link> link_;
};

namespace detail {

template <class T>
generator<T> generator_promise<T>::get_return_object() noexcept {
    auto* link = new (std::nothrow) generator_link;
    auto frame = std::coroutine_handle<generator_promise>::from_promise(*this);
    owned_ = link != nullptr;
    if (link != nullptr)
        link->child_ = frame;
    return generator<T>(std::unique_ptr<generator_link>(link));
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
/// none. `f` returns void or something to await. Works for generators, queues and as_completed; `while (auto x =
/// co_await source.next())` is miscompiled by g++ 12, this is not.
/// *Errors*: what the source or `f` throws. *Lifetime*: `source` must outlive the await.
template <class Source, class F>
task<> for_each(Source& source, F&& f) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::run_for_each<Source, std::decay_t<F>>(source, std::forward<F>(f));
}

} // namespace muster
