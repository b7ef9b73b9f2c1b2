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
#include <muster/error.hpp>
#include <muster/outcome.hpp>

#include <cstdint>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

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

/// *Errors*: invalid_state_error if it has ended.
void require_settable(const completable& future);
/// *Errors*: std::invalid_argument if it is null or a cancellation.
void require_error(const std::exception_ptr& error);

/// Holds if a T can be made from the arguments, as the value of a future or promise.
template <class T, class... Args>
concept gives_value = (std::is_void_v<T> && sizeof...(Args) == 0) ||
                      (std::is_reference_v<T> && sizeof...(Args) == 1 && (std::is_convertible_v<Args, T> && ...)) ||
                      (!std::is_void_v<T> && !std::is_reference_v<T> && std::is_constructible_v<T, Args...>);

/// `to` holds no value yet. If moving the value throws, that exception becomes the error of `to`.
template <class T>
void move_outcome(outcome<T>& from, outcome<T>& to) noexcept {
    if (from.succeeded()) {
        try {
            if constexpr (std::is_void_v<T>) {
                to.emplace();
            } else if constexpr (std::is_reference_v<T>) {
                T value = from.take();
                to.emplace(value);
            } else {
                to.emplace(from.take());
            }
        } catch (...) {
            detail_outcome_access::set_error(to, std::current_exception());
        }
    } else if (from.failed()) {
        detail_outcome_access::set_error(to, from.error());
    } else {
        detail_outcome_access::set_cancelled(to, from.state(), from.reason(), detail_outcome_access::text(from));
    }
}

} // namespace muster::detail
