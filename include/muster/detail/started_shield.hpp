// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A shield that was started instead of awaited: a future whose state watches what it shields. The loop holds the state
/// until that has ended or the future was cancelled, so that callbacks are called, and a failure that nobody looked at
/// is reported, even if all futures that refer to it are gone.
///
///     auto* state = new started_shield<int>(loop, std::move(inner), site);
///     state->begin();

#include <muster/config.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/future.hpp>

#include <exception>
#include <source_location>
#include <utility>

namespace muster::detail {

/// A future that ends as what it shields does, or when it is cancelled. The loop holds it until then.
template <class T>
class started_shield final : public kept_future_state<T>, public watcher {
    using base = kept_future_state<T>;

public:
    started_shield(scheduler& loop, counted<completable> inner, std::source_location site) noexcept
        : base(&loop_ended, loop.link(), site, loop.next_number()),
          watcher(&told, &call),
          inner_(std::move(inner)),
          running_on_(loop) {}

    void begin() noexcept {
        this->keep();
        if (inner_->done())
            end();
        else
            watch(*inner_);
    }

private:
    void end() noexcept {
        // If somebody else has set it, what is shielded answers for its failure itself.
        if (!this->done()) {
            try {
                auto ended = outcome_of<T>(*inner_);
                move_outcome(ended, this->result());
            } catch (...) {
                detail_outcome_access::set_error(this->result(), std::current_exception());
            }
            inner_->mark_retrieved();
            this->complete();
        }
        inner_ = {};
        this->let_go();
    }
    void stop_watching() noexcept {
        unwatch();
        running_on_.unpost(*this);
        inner_ = {};
    }

    static void told(watcher& w) noexcept {
        auto& self = static_cast<started_shield&>(w);
        self.running_on_.post(static_cast<call_entry&>(self));
    }
    static void call(call_entry& c, bool run) noexcept {
        if (run)
            static_cast<started_shield&>(static_cast<watcher&>(c)).end();
    }
    static void loop_ended(loop_share& s) noexcept {
        auto& self = static_cast<started_shield&>(static_cast<base&>(s));
        self.stop_watching();
        self.release();
    }
    bool do_cancel(const cancel_request& request) noexcept override {
        base::do_cancel(request);
        if (inner_) {
            stop_watching();
            this->let_go();
        }
        return true;
    }

    counted<completable> inner_; ///< until it has ended, or this was cancelled, or the loop has ended
    scheduler& running_on_;
};

} // namespace muster::detail
