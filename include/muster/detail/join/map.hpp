// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Children made from an input range by a function, pulled as there is room for them: the slots, not the input,
/// bound the memory. Results are collected by index, or handed to a sink as they come.

#include <muster/config.hpp>
#include <muster/detail/join/awaited_elements.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/map_elements.hpp>
#include <muster/detail/join/result.hpp>
#include <muster/detail/kept_range.hpp>
#include <muster/detail/range_traits.hpp>
#include <muster/summary.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::detail {

/// A function that is given each outcome of a map, with the index of its child.
template <class Sink, class T>
concept outcome_sink = std::invocable < std::decay_t<Sink>
&, std::size_t, outcome<T>&& > ;

/// Only the summary is wanted.
struct no_sink {};

template <class Elements, class F>
class joined_map;
template <class Elements, class F, class Sink>
class streamed_map;

/// The elements of an input that was given as `Range`.
template <class Range>
struct elements_of {
    using type = range_elements<kept_range<Range>>;
};
template <class Range>
    requires(!iterable<Range> && awaited_source<Range>)
struct elements_of<Range> {
    using type = awaited_elements<Range>;
};

template <class Elements, class F>
struct map_types { // also of a plain function, for map::on
    using argument = typename Elements::argument;
    static_assert(std::is_invocable_v<F&, argument>, "the function of a map takes one element of the input range");
    using made = std::invoke_result_t<F&, argument>;
    using child = child_of<std::conditional_t<can_be_awaited<made>, made, task<int>>>;
    using value_type = typename child::value_type;
};

template <class Elements, class F>
class map_input {
public:
    map_input(Elements elements, F f) : elements_(std::move(elements)), function_(std::move(f)) {}

    template <class Result>
    using awaiter = join_awaiter<joined_map<Elements, F>, Result>;

    void discard() noexcept {}
    [[nodiscard]] Elements& elements() noexcept { return elements_; }
    [[nodiscard]] const Elements& elements() const noexcept { return elements_; }
    [[nodiscard]] F& function() noexcept { return function_; }

private:
    Elements elements_;
    F function_;
};

/// The part that the collected and the streamed form have in common: children are made from elements, in slots that are
/// used again.
template <class Elements, class F>
class joined_map_base : public child_source {
protected:
    using types = map_types<Elements, F>;
    static_assert(can_be_awaited<typename types::made>,
        "the function of a map gives a task: write `muster::task<T> f(...)` with `co_return value;` in it; a plain "
        "function is called by an executor: `.on(pool)`");
    using value_type = typename types::value_type;

public:
    joined_map_base(map_input<Elements, F>&& in, join_options&& options)
        : in_(std::move(in)),
          join_(std::move(options)) {
        const auto& chosen = join_.options();
        if (chosen.rules.policy == on_failure::leave_siblings)
            throw_bad_option("leave_siblings is for handles: map owns its children");
        pull_children(in_.elements().size(), Elements::awaited ? kind::pulled_and_awaited : kind::pulled);
        if (!is_sized() && chosen.limit == unlimited)
            throw_bad_option("an input of unknown length needs limit(n): how many children may run at once");
        if (chosen.retry() != nullptr && !Elements::repeatable)
            throw_bad_option("retry needs an input whose elements can be read again: a forward range");
    }

    [[nodiscard]] bool empty() const noexcept { return total() == 0; }
    [[nodiscard]] join& get_join() noexcept { return join_; }
    [[nodiscard]] const join& get_join() const noexcept { return join_; }

    [[nodiscard]] pulled next(join_slot& s) override {
        const pulled found = in_.elements().look(join_);
        if (found != pulled::child)
            return found;
        auto& element = in_.elements().take();
        if constexpr (Elements::repeatable)
            if (!at_.empty())
                at_[s.number_] = element;
        make_child(s, element);
        return pulled::child;
    }
    [[nodiscard]] bool has_next() override { return is_sized() || in_.elements().has_next(join_); }
    [[nodiscard]] bool looked_ahead() const noexcept override { return !is_sized() && in_.elements().looked_ahead(); }
    void again(join_slot& s) override {
        if constexpr (Elements::repeatable)
            make_child(s, at_[s.number_]);
    }

protected:
    ~joined_map_base() = default;

    void wire_slots() {
        join_.take_children(this, {});
        out_ = std::make_unique<outcome<value_type>[]>(join_.most_slots());
        if constexpr (Elements::repeatable)
            if (join_.options().retry() != nullptr)
                at_.resize(join_.most_slots());
    }

    [[nodiscard]] outcome<value_type>& outcome_of(const join_slot& s) noexcept { return out_[s.number_]; }

    template <class Place>
    void make_child(join_slot& s, Place& element_at) {
        auto& out = outcome_of(s);
        out.clear();
        s.out_ = &out;
        // An error of the input ends the map; an error of the function is this child's failure.
        auto&& element = *element_at;
        try {
            if constexpr (can_be_awaited<typename types::made>) // it was refused otherwise
                adopt_child(s,
                    types::child::store(std::invoke(in_.function(), static_cast<typename types::argument>(element))),
                    out);
        } catch (...) {
            s.set_ended();
            detail_outcome_access::set_thrown(out, std::current_exception());
        }
    }

private:
    [[nodiscard]] fiber* waiting_puller() noexcept override {
        if constexpr (Elements::awaited)
            return in_.elements().waiting();
        else
            return nullptr;
    }

    template <class E>
    struct kept_places {
        struct none {};
        using type = std::vector<none>;
    };
    template <class E>
    requires E::repeatable struct kept_places<E> {
        using type = std::vector<typename E::iterator>;
    };

    map_input<Elements, F> in_;
    typename kept_places<Elements>::type at_; ///< with retries: where the element of each slot stands
    std::unique_ptr<outcome<value_type>[]> out_;
    join join_; ///< last, so that it goes before what it refers to
};

/// The collected form.
template <class Elements, class F>
class joined_map final : public joined_map_base<Elements, F> {
    using base = joined_map_base<Elements, F>;
    using typename base::value_type;

public:
    using base::base;
    using base::get_join;
    static constexpr bool wants_durations = true;

    void attach_children() {
        this->wire_slots();
        all_.resize(get_join().total());
    }
    void harvest(join_slot& s) override {
        if (s.index_ >= all_.size())
            all_.resize(s.index_ + 1);
        all_[s.index_] = std::move(this->outcome_of(s));
    }
    [[nodiscard]] const outcome_base* outcome_at(std::size_t i) const noexcept override {
        return i < all_.size() ? &all_[i] : nullptr;
    }
    [[nodiscard]] bool has_value_to_lose(std::size_t) const noexcept override { return !std::is_void_v<value_type>; }

    auto give(as_values) {
        if constexpr (!std::is_void_v<value_type>) {
            using kept = std::conditional_t<std::is_reference_v<value_type>,
                std::reference_wrapper<std::remove_reference_t<value_type>>, value_type>;
            std::vector<kept> values;
            values.reserve(all_.size());
            for (auto& o : all_)
                values.push_back(o.take());
            return values;
        }
    }
    auto give(as_outcomes) {
        if (!this->is_sized())
            all_.resize(get_join().total());
        for (auto& o : all_)
            if (o.was_not_started())
                detail_outcome_access::set_cancelled(
                    o, outcome_state::not_started, get_join().stop_request().reason, get_join().stop_request().text);
        return outcomes<value_type>(info_of(get_join()), std::move(all_));
    }
    auto give(as_winners) {
        std::vector<winner<or_nothing<value_type>>> winners;
        for (const std::size_t i : get_join().policy().winners())
            winners.emplace_back(i, take_or_nothing(all_[i]));
        return winners;
    }

private:
    std::vector<outcome<value_type>> all_;
};

/// The streamed form.
template <class Elements, class F, class Sink>
class streamed_map final : public joined_map_base<Elements, F> {
    using base = joined_map_base<Elements, F>;
    using typename base::value_type;

public:
    using base::get_join;
    static constexpr bool wants_durations = false;

    streamed_map(std::pair<map_input<Elements, F>, Sink>&& in, join_options&& options)
        : base(std::move(in.first), std::move(options)),
          sink_(std::move(in.second)) {}

    void attach_children() {
        this->wire_slots();
        summary_.name_as(get_join().name(), get_join().options().site);
        if constexpr (!std::same_as<Sink, no_sink>)
            summary_.mark_looked_at();
    }
    void harvest(join_slot& s) override {
        auto& out = this->outcome_of(s);
        summary_.add(s.index_, out, scheduler::of(s).now() - s.began_);
        if constexpr (!std::same_as<Sink, no_sink>)
            static_cast<void>(std::invoke(sink_, s.index_, std::move(out)));
    }
    // Each outcome is the sink's or the summary's, which answer for it on every way out.
    [[nodiscard]] const outcome_base* outcome_at(std::size_t) const noexcept override { return nullptr; }

    summary give(as_outcomes) {
        summary_.close(get_join().counts(), get_join().exhausted(), get_join().policy().deadline_struck());
        return std::move(summary_);
    }

private:
    Sink sink_;
    summary summary_;
};

template <class Elements, class F, class Sink>
class streamed_input {
public:
    streamed_input(map_input<Elements, F> in, Sink sink) : both_(std::move(in), std::move(sink)) {}

    template <class Result>
    using awaiter = join_awaiter<streamed_map<Elements, F, Sink>, Result>;

    void discard() noexcept {}
    operator std::pair<map_input<Elements, F>, Sink>&&() && noexcept { return std::move(both_); }

private:
    std::pair<map_input<Elements, F>, Sink> both_;
};

} // namespace muster::detail
