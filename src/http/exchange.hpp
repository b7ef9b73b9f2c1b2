// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task's waits for a transfer: for what comes back, and for room for more of what is sent. Private to muster::http.
///
///     exchange waiting(engine, transfer, until::ended);
///     co_await waiting;

#include "engine.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>

namespace muster::http {

/// Starts the transfer unless it was started. When the wait is cancelled, the transfer ends if the wait was for its end
/// or for its headers; it goes on if the wait was for more of the body.
class exchange final : public muster::detail::library_awaitable, public muster::detail::suspension {
public:
    exchange(engine& e, transfer& t, until what) noexcept
        : suspension(what == until::data ? kind_of_read : kind_of),
          engine_(&e),
          transfer_(&t),
          until_(what) {}
    ~exchange() {
        if (transfer_->is_waiter(this))
            leave();
    }

    [[nodiscard]] bool await_ready() const noexcept {
        return transfer_->phase() != transfer_phase::prepared && transfer_->ready(until_);
    }
    template <std::derived_from<muster::detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        if (transfer_->phase() == transfer_phase::prepared && !engine_->start(*transfer_)) {
            fiber_->yield(h);
            return;
        }
        if (transfer_->ready(until_)) {
            fiber_->yield(h); // it asks for addresses
            return;
        }
        transfer_->set_waiter(this);
        fiber_->wait(*this, h);
    }
    void await_resume() const {
        if (fiber_ != nullptr)
            fiber_->throw_if_cancelled();
    }

    [[nodiscard]] until what() const noexcept { return until_; }
    /// The transfer calls this when what it waits for is there, and no longer has it as its waiter.
    void wake() noexcept { fiber_->wake(); }

private:
    void leave() noexcept {
        if (until_ == until::data)
            transfer_->set_waiter(nullptr);
        else
            engine_->abandon(*transfer_);
    }
    static muster::detail::cancel_effect cancel(
        muster::detail::suspension& s, const muster::detail::cancel_request&, muster::detail::fiber*&) noexcept {
        static_cast<exchange&>(s).leave();
        return muster::detail::cancel_effect::interrupted;
    }
    static constexpr muster::detail::suspension_kind kind_of{.what = "an HTTP response", .cancel = &cancel};
    static constexpr muster::detail::suspension_kind kind_of_read{
        .what = "the body of an HTTP response", .cancel = &cancel};

    engine* engine_;
    transfer* transfer_;
    until until_;
};

/// Waits until libcurl wants more of the request's body, or never will.
class body_wait final : public muster::detail::library_awaitable, public muster::detail::suspension {
public:
    explicit body_wait(transfer& t) noexcept : suspension(kind_of), transfer_(&t) {}
    ~body_wait() {
        if (transfer_->is_feeder(this))
            transfer_->set_feeder(nullptr);
    }

    [[nodiscard]] bool await_ready() const noexcept { return !transfer_->is_wanted() || transfer_->sends().waits(); }
    template <std::derived_from<muster::detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        transfer_->set_feeder(this);
        fiber_->wait(*this, h);
    }
    void await_resume() const {
        if (fiber_ != nullptr)
            fiber_->throw_if_cancelled();
    }
    /// The transfer calls this when libcurl wants more, or the transfer is over, and no longer has it as its feeder.
    void wake() noexcept { fiber_->wake(); }

private:
    static muster::detail::cancel_effect cancel(
        muster::detail::suspension& s, const muster::detail::cancel_request&, muster::detail::fiber*&) noexcept {
        static_cast<body_wait&>(s).transfer_->set_feeder(nullptr);
        return muster::detail::cancel_effect::interrupted;
    }
    static constexpr muster::detail::suspension_kind kind_of{
        .what = "room for more of an HTTP request's body", .cancel = &cancel};

    transfer* transfer_;
};

} // namespace muster::http
