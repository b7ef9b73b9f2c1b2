// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The setter of a future for any thread: made together on the loop, then moved to whoever will know the result.
/// While it lives the loop waits for it; a promise that is destroyed before it was set fails its future, so
/// nobody waits for ever.
///
///     auto [promised, reply] = muster::make_promise<int>();
///     std::jthread worker([p = std::move(promised)]() mutable { p.set_value(compute()); });
///     auto n = co_await reply;

#include <muster/config.hpp>
#include <muster/detail/promise_channel.hpp>
#include <muster/future.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

/// The failure of a future whose promise was destroyed without having been set. *Source*: std::future_error.
class broken_promise_error : public std::runtime_error {
public:
    broken_promise_error() : std::runtime_error("the promise was destroyed without having been set") {}
    explicit broken_promise_error(const std::string& what) : std::runtime_error(what) {}
};

/// Move-only. *Lifetime*: destroyed unset, its future fails with broken_promise_error. It may outlive its loop.
/// *Thread safety*: any thread, one at a time.
template <class T>
class [[nodiscard("a promise that is dropped fails its future")]] promise {
public:
    using value_type = T;

    promise() = default;
    promise(promise && other) noexcept : channel_(std::exchange(other.channel_, nullptr)) {}
    promise& operator=(promise&& other) noexcept {
        promise taken(std::move(other));
        std::swap(channel_, taken.channel_);
        return *this;
    }
    ~promise() {
        if (channel_ != nullptr)
            break_it();
    }

    /// False once it was set or moved from.
    [[nodiscard]] bool valid() const noexcept { return channel_ != nullptr; }
    /// False when setting it would be of no use: the future was cancelled, or the loop has ended.
    [[nodiscard]] bool wanted() const noexcept { return channel_ != nullptr && channel_->wanted(); }

    /// Sends a value, made in place from `args`, to the future. *Returns* false if nobody will get it: the future was
    /// cancelled, or the loop has ended. *Errors*: invalid_state_error if it was set or moved from before; what making
    /// the value throws, and it is then not set. *Complexity*: no allocation of its own.
    template <class... Args>
        requires detail::gives_value<T, Args...>
    bool set_value(Args && ... args) {
        require_valid();
        if (channel_->wanted())
            channel_->result().emplace(std::forward<Args>(args)...);
        return send();
    }
    /// Fails the future. *Returns* and *Errors*: as set_value; std::invalid_argument for null and for a
    /// cancelled_error: who no longer wants a result cancels the future.
    bool set_exception(std::exception_ptr error) {
        detail::require_error(error);
        require_valid();
        detail_outcome_access::set_error(channel_->result(), std::move(error));
        return send();
    }
    template <class E>
        requires(!std::same_as<std::remove_cvref_t<E>, std::exception_ptr> &&
                 !std::same_as<std::remove_cvref_t<E>, std::nullptr_t>)
    bool set_exception(E && error) { return set_exception(std::make_exception_ptr(std::forward<E>(error))); }

    /// For the library.
    explicit promise(detail::typed_channel<T> * channel) noexcept : channel_(channel) {}

private:
    void require_valid() const {
        if (channel_ == nullptr)
            throw invalid_state_error("this promise was set or moved from before: it is set once");
    }
    bool send() noexcept {
        auto* channel = std::exchange(channel_, nullptr);
        return channel->send();
    }
    void break_it() noexcept {
        if (channel_->wanted())
            detail_outcome_access::set_error(channel_->result(), std::make_exception_ptr(broken_promise_error()));
        static_cast<void>(send());
    }

    detail::typed_channel<T>* channel_ = nullptr;
};

/// *Returns* a promise and its future, as a std::pair. Until the promise is set or destroyed, a loop with nothing to
/// do waits for it. *Errors*: invalid_state_error if no loop runs on this thread.
template <class T>
[[nodiscard]] std::pair<promise<T>, future<T>> make_promise(
    std::string name = {}, std::source_location site = std::source_location::current()) {
    auto& loop = detail::scheduler::require("make_promise");
    auto f = future<T>::make_on(loop, std::move(name), site);
    promise<T> p(new detail::typed_channel<T>(loop, f.state()));
    return {std::move(p), std::move(f)};
}

} // namespace muster
