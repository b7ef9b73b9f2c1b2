// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The first to succeed wins; the others are cancelled and waited for. A failure does not end the race while
/// somebody can still win; if nobody does, all failures are thrown as one exception_group.
///
///     auto first = co_await muster::race(ask(mirror_a), ask(mirror_b));
///     use(first.index(), first.value());

#include <muster/config.hpp>
#include <muster/gather.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

/// *Returns*, awaited: the winner, with its index. *Errors*: exception_group of all failures if nobody succeeded;
/// failures of those that lost are reported (suppressed) unless the race is settled.
/// The race is decided at once: no child begins after the winner's end (it is not started, race_lost), and those that
/// wait are cancelled in the same instant, so an item, a permit or bytes that they were just handed go back. The value
/// of a loser that refused to be cancelled is reported (suppressed) unless the race is settled. *Cancellation*: as
/// gather, but a winner that is known already is delivered, and the cancellation comes at the caller's next wait.
/// `.settle()` gives every outcome and why it lost. *Source*: trio's and tokio's select.
template <class... As>
class [[nodiscard("nothing runs until it is awaited: co_await muster::race(...)")]] race
    : public detail::join_words<race<As...>> {
    static_assert(!(detail::ends_its_source<As> || ...),
        "a race would end the generators of the losers, and their values with them: start each next() as a task of its "
        "own with muster::create_task, and race or wait for copies of the handles under muster::shield");
    using words = detail::join_words<race<As...>>;
    using input_type = typename detail::gather_input<As...>::type;

public:
    race(As && ... as, std::source_location site = std::source_location::current())
        : words(site, "race"),
          input_(std::forward<As>(as)...) {
        this->options_.rules.policy = detail::on_failure::finish_siblings;
        this->options_.rules.quorum = 1;
    }
    race(race &&) = default;
    race& operator=(race&&) = delete;
    ~race() {
        if (guard_.armed()) {
            detail::report_never_awaited(this->options_);
            input_.discard();
        }
    }

    /// Every outcome: the winner's value, and for each other its failure or cancelled{race_lost}.
    [[nodiscard("nothing runs until it is awaited")]] auto settle()&& {
        guard_.disarm();
        return detail::pending_join<input_type, detail::as_outcomes>(std::move(input_), std::move(this->options_));
    }

    auto operator co_await()&& {
        constexpr bool one_type = detail::is_one_range<As...> || detail::have_one_type_of_value<As...>;
        static_assert(one_type,
            "the children of a race have one type of value: wrap them to return a std::variant, or use settle");
        if constexpr (one_type) {
            guard_.disarm();
            return
                typename input_type::template awaiter<detail::as_first>(std::move(input_), std::move(this->options_));
        } else {
            return detail::never_made<task<winner<int>>>().operator co_await();
        }
    }

private:
    input_type input_;
    detail::await_guard guard_;
};

template <class... As>
race(As&&...) -> race<As...>;

} // namespace muster
