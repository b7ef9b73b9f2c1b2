// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Between a promise, on any thread, and its future, on its loop's.
///
///     channel.result().emplace(42);
///     channel.send();

#include <muster/config.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/future_state.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/watcher.hpp>
#include <muster/outcome.hpp>

#include <atomic>
#include <cstdint>
#include <memory>

namespace muster::detail {

/// Between a promise, on any thread, and its future's state, on the loop's. The loop's side lets go when the future
/// has ended or the loop does; the last of the two sides frees it.
class promise_channel : public letter, public watcher, public loop_share {
public:
    using free_function = void (*)(promise_channel&) noexcept;

    /// The promise's side lets go.
    void drop() noexcept {
        if (sides_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            free_(*this);
    }
    /// *Returns* false if the future has ended, or the loop has.
    [[nodiscard]] bool wanted() const noexcept { return wanted_.load(std::memory_order_acquire); }
    /// Sends what `result` holds. *Returns* false if the loop has ended.
    bool send() noexcept;

protected:
    promise_channel(scheduler& loop, completable& target, letter::function arrived, free_function f) noexcept;
    ~promise_channel() = default;

    /// An error that was on its way when the future was cancelled.
    static void report_unwanted(const outcome_base& result) noexcept;
    [[nodiscard]] counted<completable>& target() noexcept { return target_; }

private:
    static void target_ended(watcher& w) noexcept;
    static void loop_ended(loop_share& s) noexcept;
    void detach() noexcept; ///< the loop's side lets go

    free_function free_;
    std::shared_ptr<mailbox> inbox_;
    counted<completable> target_; ///< used on the loop's thread only
    std::atomic<std::uint32_t> sides_{2};
    std::atomic<bool> wanted_{true};
};

template <class T>
class typed_channel final : public promise_channel {
public:
    typed_channel(scheduler& loop, completable& target) noexcept
        : promise_channel(
              loop, target, &arrived, [](promise_channel& c) noexcept { delete static_cast<typed_channel*>(&c); }) {}

    [[nodiscard]] outcome<T>& result() noexcept { return result_; }

private:
    static void arrived(letter& l, fiber_loop&) noexcept {
        auto& self = static_cast<typed_channel&>(l);
        // The last owner of the future may be this channel.
        if (const auto target = self.target(); target) {
            auto& state = static_cast<future_state<T>&>(*target);
            move_outcome(self.result_, state.result());
            state.finish();
        } else {
            report_unwanted(self.result_);
        }
        self.drop();
    }

    outcome<T> result_;
};

} // namespace muster::detail
