// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A combinator that was started instead of awaited: a future whose state holds the join, and which the join ends.
/// The loop holds the state until then, so that callbacks are called, and failures that nobody looks at reported, even
/// if all futures that refer to it are gone.
///
///     auto all = start_join<as_values>(std::move(input), std::move(options), as_it_is());

#include <muster/config.hpp>
#include <muster/detail/join/result.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/future.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// Makes the result itself the future's value.
struct as_it_is {
    template <class R>
    R operator()(R result) const {
        return result;
    }
    void operator()() const noexcept {}
};

template <class Then, class R>
struct value_made {
    using type = std::invoke_result_t<Then&, R>;
};
template <class Then>
struct value_made<Then, void> {
    using type = std::invoke_result_t<Then&>;
};

template <class Input, class Result, class Then>
using started_value =
    typename value_made<Then, decltype(std::declval<joined_input<typename Input::joined, Result>&>().result())>::type;

template <class Input, class Result, class Then>
class started_join final : public kept_future_state<started_value<Input, Result, Then>> {
    using value_type = started_value<Input, Result, Then>;
    using base = kept_future_state<value_type>;
    using joined = joined_input<typename Input::joined, Result>;

public:
    started_join(scheduler& loop, Input&& input, join_options&& options, Then then)
        : base(&loop_ended, loop.link(), options.site, loop.next_number()),
          joined_(std::in_place, std::move(input), std::move(options)),
          then_(std::move(then)) {}

    void begin(scheduler& loop) noexcept {
        this->keep();
        if (joined_->empty())
            end();
        else
            joined_->get_join().begin(loop, &over, this);
    }

private:
    /// Here the join may go: it calls this as the last thing.
    static void over(void* whom) noexcept { static_cast<started_join*>(whom)->end(); }

    void end() noexcept {
        if (this->done()) {
            // Somebody else has set it.
            joined_->get_join().deliver_nothing();
        } else {
            set_result();
            this->complete();
        }
        joined_.reset();
        this->let_go();
    }

    void set_result() noexcept {
        const locals_scope in(std::move(locals_));
        try {
            if constexpr (std::is_void_v<decltype(joined_->result())>) {
                joined_->result();
                set_value([&]() -> decltype(auto) { return std::invoke(then_); });
            } else {
                auto result = joined_->result();
                set_value([&]() -> decltype(auto) { return std::invoke(then_, std::move(result)); });
            }
        } catch (...) {
            // A cancellation too is an error here, as in asyncio: the future was not cancelled itself.
            detail_outcome_access::set_error(this->result(), std::current_exception());
        }
    }
    template <class Make>
    void set_value(Make make) {
        if constexpr (std::is_void_v<value_type>) {
            make();
            this->result().emplace();
        } else {
            this->result().emplace(make());
        }
    }

    static void loop_ended(loop_share& s) noexcept {
        auto& self = static_cast<started_join&>(static_cast<base&>(s));
        self.joined_.reset();
        self.release();
    }

    /// As asyncio's: asks the children, and does not end at once.
    bool do_cancel(const cancel_request& request) noexcept override {
        if (!joined_ || !cancel_wave::would_stop_something(joined_->get_join()))
            return false;
        joined_->get_join().ask_to_stop(request);
        return true;
    }
    [[nodiscard]] cancel_target* as_target() noexcept override { return joined_ ? &joined_->get_join() : nullptr; }

    [[nodiscard]] const suspension* combinator() const noexcept override {
        return joined_ ? &joined_->get_join() : nullptr;
    }

    std::optional<joined> joined_; ///< until it has ended
    Then then_;
    locals_share locals_ = locals_share::of_current(); ///< for then_: the values of the task that started it
};

/// *Errors*: invalid_state_error if no loop runs on this thread, or for a task that was awaited before.
template <class Result, class Input, class Then>
future<started_value<Input, Result, Then>> start_join(Input&& input, join_options&& options, Then then) {
    auto& loop = scheduler::require("start");
    auto name = options.shown_name();
    auto* const state =
        new started_join<Input, Result, Then>(loop, std::move(input), std::move(options), std::move(then));
    auto made = future<started_value<Input, Result, Then>>::refer_to(*state);
    made.set_name(std::move(name));
    state->begin(loop);
    return made;
}

} // namespace muster::detail
