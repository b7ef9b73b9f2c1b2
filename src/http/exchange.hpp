// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task's wait for a transfer. Private to muster::http.
///
///     exchange waiting(engine, transfer);
///     co_await waiting;

#include "engine.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>

namespace muster::http {

class exchange final : public muster::detail::library_awaitable, public muster::detail::suspension {
public:
    exchange(engine& e, transfer& t) noexcept : suspension(kind_of), engine_(&e), transfer_(&t) {}
    ~exchange() {
        if (transfer_->waiter_ == this)
            engine_->abandon(*transfer_);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<muster::detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        if (engine_->start(*transfer_, *this))
            fiber_->wait(*this, h);
        else
            fiber_->yield(h);
    }
    void await_resume() const { fiber_->throw_if_cancelled(); }

    /// The transfer has ended, or can't go on.
    void ended() noexcept { fiber_->wake(); }

private:
    static muster::detail::cancel_effect cancel(
        muster::detail::suspension& s, const muster::detail::cancel_request&, muster::detail::fiber*&) noexcept {
        auto& self = static_cast<exchange&>(s);
        self.engine_->abandon(*self.transfer_);
        return muster::detail::cancel_effect::interrupted;
    }
    static constexpr muster::detail::suspension_kind kind_of{"an HTTP response", &cancel};

    engine* engine_;
    transfer* transfer_;
};

} // namespace muster::http
