// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The state that a future refers to: a completable that is ended by whoever sets its result.
///
///     state.result().emplace(42);
///     state.finish();

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/outcome.hpp>

#include <cstdint>
#include <source_location>

namespace muster::detail {

template <class T>
class future_state : public completable {
public:
    future_state(loop_link* link, std::source_location site, std::uint64_t number) noexcept
        : completable(result_, link, site, number) {}

    [[nodiscard]] outcome<T>& result() noexcept { return result_; }
    /// Ends it: the outcome has been set.
    void finish() noexcept { complete(); }

    [[nodiscard]] const char* what() const noexcept final { return "future"; }

protected:
    ~future_state() override = default;

    /// Ends it at once.
    bool do_cancel(const cancel_request& request) noexcept override {
        detail_outcome_access::set_cancelled(result_, outcome_state::cancelled, request.reason, request.text);
        complete();
        return true;
    }

private:
    outcome<T> result_;
};

/// A future's state that the loop holds too, until what it waits for has ended or the loop does: it ends then, even if
/// all futures that refer to it are gone.
template <class T>
class kept_future_state : public future_state<T>, public loop_share {
protected:
    kept_future_state(
        loop_share::function loop_ended, loop_link* link, std::source_location site, std::uint64_t number) noexcept
        : future_state<T>(link, site, number),
          loop_share(loop_ended),
          inbox_(&link->inbox()) {}
    ~kept_future_state() override = default;

    void keep() noexcept {
        this->retain();
        inbox_->keep(*this);
    }
    /// May destroy it.
    void let_go() noexcept {
        inbox_->give_back(*this);
        this->release();
    }

private:
    mailbox* inbox_; // lives as long as the link, of which this is an owner
};

} // namespace muster::detail
