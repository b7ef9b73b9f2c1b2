// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A range of children of one type: a container of tasks, handles or awaitables, or a map from keys to them.

#include <muster/config.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/result.hpp>
#include <muster/detail/range_traits.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::detail {

/// Whether a range's elements are pairs of key and child, and what they are then.
template <class Range>
struct keyed_range {
    static constexpr bool keyed = false;
    using element = element_of<Range>;
    using key = nothing;
};
template <class Range>
    requires requires {
        typename Range::mapped_type;
        typename Range::key_type;
    }
struct keyed_range<Range> {
    static constexpr bool keyed = true;
    using element = typename Range::mapped_type;
    using key = typename Range::key_type;
};

/// `Map` with another type of value: the allocator, which comes last, is the map's own choice again.
template <template <class...> class Map, class Key, class T, class... Rest>
struct map_of;
template <template <class...> class Map, class Key, class T, class Less, class Alloc>
struct map_of<Map, Key, T, Less, Alloc> {
    using type = Map<Key, T, Less>;
};
template <template <class...> class Map, class Key, class T, class Hash, class Equal, class Alloc>
struct map_of<Map, Key, T, Hash, Equal, Alloc> {
    using type = Map<Key, T, Hash, Equal>;
};

template <class T, template <class...> class Map, class Key, class Old, class... Rest>
typename map_of<Map, Key, T, Rest...>::type map_like(const Map<Key, Old, Rest...>*);
template <class T>
void map_like(const void*);

/// A map of the same kind with the same keys, order or hash, and `T` for its values. Maps of any library are known by
/// their template, so that no header of a map has to be included here; a class derived from one counts as that.
template <class Map, class T>
struct same_map {
    using type = decltype(map_like<T>(std::declval<const Map*>()));
    static_assert(!std::is_void_v<type>, "gather and settle know maps by their template parameters, Map<Key, Value, "
                                         "Less, Allocator> or Map<Key, Value, Hash, Equal, Allocator>: move the tasks "
                                         "into a std::map");
};

template <class Range>
class joined_range;

/// The range's elements, until they are awaited.
template <class Range>
class range_input {
public:
    using bare_range = std::remove_cvref_t<Range>;
    using shape = keyed_range<bare_range>;
    // Elements of a range that is given away are moved out of it; those of one that is kept are copied.
    using given =
        std::conditional_t<std::is_lvalue_reference_v<Range>, const typename shape::element&, typename shape::element>;
    using child = child_of<given>;

    explicit range_input(Range range) {
        if constexpr (std::same_as<Range, std::vector<typename child::stored>> && !child::is_handle) {
            children_ = std::move(range);
            return;
        }
        if constexpr (sized<bare_range>)
            children_.reserve(static_cast<std::size_t>(range.size()));
        for (auto&& element : range) {
            if constexpr (shape::keyed) {
                keys_.push_back(element.first);
                children_.push_back(child::store(static_cast<given&&>(element.second)));
            } else {
                children_.push_back(child::store(static_cast<given&&>(element)));
            }
        }
    }

    range_input(std::vector<typename child::stored> children, std::vector<typename shape::key> keys)
        : children_(std::move(children)),
          keys_(std::move(keys)) {}

    using joined = joined_range<Range>;
    template <class Result>
    using awaiter = join_awaiter<joined, Result>;

    /// The same with handles to tasks that the loop owns.
    auto spawned(const join_options& options) && {
        using handle = spawned_child_t<typename child::stored>;
        child_spawner spawner(options);
        for (const auto& c : children_)
            spawner.require_valid(c);
        std::vector<handle> handles;
        handles.reserve(children_.size());
        for (auto& c : children_)
            handles.push_back(spawner.spawn(std::move(c)));
        if constexpr (shape::keyed)
            return range_input<typename same_map<bare_range, handle>::type>(std::move(handles), std::move(keys_));
        else
            return range_input<std::vector<handle>>(std::move(handles), {});
    }

    void discard() noexcept {
        for (auto& c : children_)
            discard_child(c);
    }

    [[nodiscard]] std::vector<typename child::stored>& children() noexcept { return children_; }
    [[nodiscard]] const std::vector<typename child::stored>& children() const noexcept { return children_; }
    [[nodiscard]] std::vector<typename shape::key>& keys() noexcept { return keys_; }

private:
    std::vector<typename child::stored> children_;
    std::vector<typename shape::key> keys_;
};

template <class Range>
class joined_range final : public child_source {
    using input = range_input<Range>;
    using shape = typename input::shape;
    using child = typename input::child;
    using value_type = typename child::value_type;
    static constexpr bool of_handles = child::is_handle;

public:
    joined_range(input&& in, join_options&& options) : input_(std::move(in)), join_(std::move(options)) {
        if (!of_handles && join_.options().rules.policy == on_failure::leave_siblings)
            throw_bad_option("leave_siblings leaves tasks running: start them with create_task and pass the handles");
        if (of_handles)
            refuse_words_of_tasks_for_handles(join_.options());
    }

    /// Children that were not begun go quietly.
    ~joined_range() { input_.discard(); }
    joined_range(const joined_range&) = delete;
    joined_range& operator=(const joined_range&) = delete;

    [[nodiscard]] bool empty() const noexcept { return input_.children().empty(); }

    static constexpr bool wants_durations = true;
    [[nodiscard]] join& get_join() noexcept { return join_; }
    [[nodiscard]] const join& get_join() const noexcept { return join_; }

    void attach_children() {
        const std::size_t count = input_.children().size();
        out_.resize(count);
        give_children(count, of_handles ? 0 : count);
        if constexpr (!of_handles)
            join_.lend_slots(reinterpret_cast<join_slot*>(room_.data()), room_.size());
        if constexpr (of_handles) {
            watches_ = std::make_unique<join_watch[]>(count);
            for (std::size_t i = 0; i != count; ++i)
                watches_[i].refer_to(i, input_.children()[i].state());
        }
        join_.take_children(this, std::span<join_watch>(watches_.get(), of_handles ? count : 0));
    }

    [[nodiscard]] pulled next(join_slot& s) override {
        if constexpr (!of_handles) {
            adopt_child(s, std::move(input_.children()[s.index_]), out_[s.index_]);
            if (s.index_ + 1 == tasks()) [[unlikely]]
                let_children_go();
            return pulled::child;
        } else {
            return pulled::end;
        }
    }
    [[nodiscard]] const outcome_base* outcome_at(std::size_t i) const noexcept override {
        if constexpr (of_handles)
            return watches_[i].was_cut() ? &out_[i] : watches_[i].outcome();
        else
            return &out_[i];
    }
    void give_up_on([[maybe_unused]] std::size_t i, [[maybe_unused]] const cancel_request& request) noexcept override {
        if constexpr (of_handles)
            detail_outcome_access::set_cancelled(out_[i], outcome_state::cancelled, request.reason, request.text);
    }
    [[nodiscard]] bool has_value_to_lose(std::size_t) const noexcept override {
        return !of_handles && !std::is_void_v<value_type>;
    }

    auto give(as_values) {
        take_from_handles();
        if constexpr (shape::keyed) {
            using values = typename same_map<typename input::bare_range, or_nothing<value_type>>::type;
            values all;
            for (std::size_t i = 0; i != out_.size(); ++i)
                all.emplace(std::move(input_.keys()[i]), take_or_nothing(out_[i]));
            return all;
        } else if constexpr (!std::is_void_v<value_type>) {
            using kept = std::conditional_t<std::is_reference_v<value_type>,
                std::reference_wrapper<std::remove_reference_t<value_type>>, value_type>;
            std::vector<kept> all;
            all.reserve(out_.size());
            for (auto& o : out_)
                all.push_back(o.take());
            return all;
        }
    }
    auto give(as_outcomes) {
        take_from_handles();
        outcomes<value_type> all(info_of(join_), std::move(out_));
        if constexpr (shape::keyed)
            return keyed_outcomes<typename shape::key, value_type>(std::move(all), std::move(input_.keys()));
        else
            return all;
    }
    auto give(as_winners) {
        take_from_handles();
        std::vector<winner<or_nothing<value_type>>> winners;
        for (const std::size_t i : join_.policy().winners())
            winners.emplace_back(i, take_or_nothing(out_[i]));
        return winners;
    }

private:
    /// All children have begun. This function is not inlined, because next() needs no stack without it.
    [[gnu::noinline]] void let_children_go() noexcept { static_cast<void>(std::exchange(input_.children(), {})); }

    void take_from_handles() {
        if constexpr (of_handles)
            for (std::size_t i = 0; i != out_.size(); ++i)
                if (watches_[i].outcome() != nullptr)
                    out_[i] = outcome_of<value_type>(watches_[i].child());
    }

    input input_;
    std::vector<outcome<value_type>> out_;
    std::unique_ptr<join_watch[]> watches_;
    std::array<room_for_slot, of_handles ? 0 : 1> room_; ///< for children that end at once, one slot is enough
    join join_;                                          ///< last, so that it goes before what it refers to
};

} // namespace muster::detail
