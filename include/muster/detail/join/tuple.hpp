// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Several children given as arguments, each of a type of its own.

#include <muster/config.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/result.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster::detail {

template <class... As>
class joined_tuple;

template <class... As>
inline constexpr bool have_one_type_of_value = true;
template <class A, class... As>
inline constexpr bool have_one_type_of_value<A, As...> =
    (std::is_same_v<or_nothing<typename child_of<A>::value_type>, or_nothing<typename child_of<As>::value_type>> &&
        ...);

/// The arguments, until they are awaited.
template <class... As>
class tuple_input {
public:
    explicit tuple_input(As&&... as) : children_(child_of<As>::store(std::forward<As>(as))...) {}

    using joined = joined_tuple<As...>;
    template <class Result>
    using awaiter = join_awaiter<joined, Result>;

    /// The same with handles to tasks that the loop owns.
    auto spawned(const join_options& options) && {
        child_spawner spawner(options);
        return std::apply(
            [&](auto&... c) {
                (spawner.require_valid(c), ...);
                return tuple_input<spawned_child_t<typename child_of<As>::stored>...>{spawner.spawn(std::move(c))...};
            },
            children_);
    }

    void discard() noexcept {
        std::apply([](auto&... c) { (discard_child(c), ...); }, children_);
    }
    template <std::size_t I>
    [[nodiscard]] auto& child() noexcept {
        return std::get<I>(children_);
    }

private:
    std::tuple<typename child_of<As>::stored...> children_;
};

template <class... As>
class joined_tuple final : public child_source {
    static constexpr std::size_t count = sizeof...(As);
    static constexpr std::size_t handles = (std::size_t{child_of<As>::is_handle} + ... + 0);
    static constexpr std::size_t tasks = count - handles;
    static_assert(count <= 1'024, "so many arguments are better given as a range");
    static constexpr bool is_handle_at[count + 1] = {child_of<As>::is_handle..., false};
    template <std::size_t I>
    using value_at =
        std::tuple_element_t<I, std::tuple<std::type_identity<typename child_of<As>::value_type>...>>::type;

public:
    joined_tuple(tuple_input<As...>&& input, join_options&& options)
        : input_(std::move(input)),
          join_(std::move(options)) {
        if (handles != 0 && join_.options().rules.policy == on_failure::leave_siblings && tasks != 0)
            throw_bad_option("leave_siblings is for handles: start the tasks with create_task and pass those");
        if (tasks != 0 && join_.options().rules.policy == on_failure::leave_siblings)
            throw_bad_option("leave_siblings leaves tasks running: start them with create_task and pass the handles");
        if (handles != 0)
            refuse_words_of_tasks_for_handles(join_.options());
    }

    /// Children that were not begun go quietly.
    ~joined_tuple() { input_.discard(); }
    joined_tuple(const joined_tuple&) = delete;
    joined_tuple& operator=(const joined_tuple&) = delete;

    [[nodiscard]] bool empty() const noexcept { return count == 0; }

    static constexpr bool wants_durations = true;
    [[nodiscard]] join& get_join() noexcept { return join_; }
    [[nodiscard]] const join& get_join() const noexcept { return join_; }

    void attach_children() {
        give_children(count, tasks);
        if constexpr (tasks != 0)
            join_.lend_slots(reinterpret_cast<join_slot*>(room_.data()), tasks);
        join_.take_children(this, watches_);
        [&]<std::size_t... I>(std::index_sequence<I...>) { (watch<I>(), ...); }
        (std::make_index_sequence<count>());
    }

    [[nodiscard]] pulled next(join_slot& s) override {
        const std::size_t which = s.index_;
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            ((!is_handle_at[I] && rank_of(I) == which ? adopt<I>(s) : void()), ...);
        }
        (std::make_index_sequence<count>());
        return pulled::child;
    }
    [[nodiscard]] const outcome_base* outcome_at(std::size_t i) const noexcept override {
        return outcome_pointer(i, std::make_index_sequence<count>());
    }
    void give_up_on([[maybe_unused]] std::size_t i, [[maybe_unused]] const cancel_request& request) noexcept override {
        if constexpr (handles != 0)
            cancel_outcome(i, request, std::make_index_sequence<count>());
    }
    [[nodiscard]] bool has_value_to_lose(std::size_t i) const noexcept override {
        constexpr bool has_value[count + 1] = {
            (!child_of<As>::is_handle && !std::is_void_v<typename child_of<As>::value_type>)..., false};
        return has_value[i];
    }

    auto give(as_values) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::tuple<or_nothing<value_at<I>>...>(take_or_nothing(ended<I>())...);
        }
        (std::make_index_sequence<count>());
    }
    auto give(as_outcomes) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            (ended<I>(), ...);
            return outcome_tuple<value_at<I>...>(
                info_of(join_), std::tuple<outcome<value_at<I>>...>(std::move(std::get<I>(out_))...));
        }
        (std::make_index_sequence<count>());
    }
    auto give(as_winners) {
        static_assert(have_one_type_of_value<As...>,
            "the children of a quorum have one type of value: wrap them to return a std::variant, or use settle");
        using first = or_nothing<value_at<0>>;
        std::vector<winner<first>> winners;
        for (const std::size_t w : join_.policy().winners()) {
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                ((I == w ? static_cast<void>(winners.emplace_back(I, take_or_nothing(ended<I>()))) : void()), ...);
            }
            (std::make_index_sequence<count>());
        }
        return winners;
    }

private:
    static constexpr std::size_t rank_of(std::size_t i) noexcept {
        std::size_t before = 0;
        for (std::size_t k = 0; k != i; ++k)
            before += is_handle_at[k] == is_handle_at[i];
        return before;
    }

    template <std::size_t I>
    void watch() noexcept {
        if constexpr (is_handle_at[I]) {
            watches_[rank_of(I)].refer_to(I, input_.template child<I>().state());
        }
    }
    template <std::size_t I>
    void adopt(join_slot& s) noexcept {
        if constexpr (!is_handle_at[I]) {
            s.index_ = I;
            adopt_child(s, std::move(input_.template child<I>()), std::get<I>(out_));
        }
    }

    template <std::size_t... I>
    const outcome_base* outcome_pointer(std::size_t i, std::index_sequence<I...>) const noexcept {
        if constexpr (handles != 0)
            if (is_handle_at[i] && !watches_[rank_of(i)].was_cut())
                return watches_[rank_of(i)].outcome();
        const outcome_base* found = nullptr;
        ((I == i ? static_cast<void>(found = &std::get<I>(out_)) : void()), ...);
        return found;
    }

    template <std::size_t... I>
    void cancel_outcome(std::size_t i, const cancel_request& request, std::index_sequence<I...>) noexcept {
        ((I == i ? detail_outcome_access::set_cancelled(
                       std::get<I>(out_), outcome_state::cancelled, request.reason, request.text)
                 : void()),
            ...);
    }

    /// The outcome in its final place.
    template <std::size_t I>
    outcome<value_at<I>>& ended() {
        if constexpr (is_handle_at[I])
            if (watches_[rank_of(I)].outcome() != nullptr)
                std::get<I>(out_) = outcome_of<value_at<I>>(watches_[rank_of(I)].child());
        return std::get<I>(out_);
    }

    tuple_input<As...> input_;
    std::tuple<outcome<typename child_of<As>::value_type>...> out_;
    std::array<join_watch, handles> watches_;
    std::array<room_for_slot, tasks> room_;
    join join_; ///< last, so that it goes before what it refers to
};

} // namespace muster::detail
