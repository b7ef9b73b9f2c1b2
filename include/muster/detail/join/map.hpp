// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Children made from an input range by a function, pulled as there is room for them: the slots, not the input,
/// bound the memory. Results are collected by index, or handed to a sink as they come.

#include <muster/config.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/result.hpp>
#include <muster/summary.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster::detail {

/// Hands each outcome to nobody: the summary is what is wanted.
struct no_sink {};

template <class View, class F>
class wired_map_base;
template <class View, class F>
class wired_map;
template <class View, class F, class Sink>
class streamed_map;

template <class View, class F>
struct map_types {
    using reference = std::ranges::range_reference_t<View>;
    // An element that is made on the fly is handed over; one that lives in the range is copied by the function if
    // it takes it by value.
    using argument = std::conditional_t<std::is_reference_v<reference>, reference, reference&&>;
    static_assert(std::is_invocable_v<F&, argument>, "the function of a map takes one element of the input range");
    using made = std::invoke_result_t<F&, argument>;
    using child = child_of<made>;
    using value_type = typename child::value_type;
    static constexpr bool repeatable = std::ranges::forward_range<View>;
};

template <class View, class F>
class map_input {
public:
    map_input(View view, F f) : view_(std::move(view)), function_(std::move(f)) {}

    template <class Result>
    using awaiter = join_awaiter<wired_map<View, F>, Result>;

    void discard() noexcept {}

    View view_;
    F function_;
};

template <class View, class F>
class wired_map_base {
protected:
    using types = map_types<View, F>;
    using value_type = typename types::value_type;
    using iterator = std::ranges::iterator_t<View>;

public:
    wired_map_base(map_input<View, F>&& in, join_options options) : in_(std::move(in)), join_(std::move(options)) {
        if (join_.options_.policy == on_failure::leave_siblings)
            throw_bad_option("leave_siblings is for handles: map owns its children");
        constexpr bool sized = std::ranges::sized_range<View>;
        if constexpr (sized)
            join_.total_ = static_cast<std::size_t>(std::ranges::size(in_.view_));
        join_.sized_ = sized;
        if (!sized && join_.options_.limit == unlimited)
            throw_bad_option("an input of unknown length needs limit(n): how many children may run at once");
        if (join_.options_.retry && !types::repeatable)
            throw_bad_option("retry needs an input whose elements can be read again: a forward range");
    }

    [[nodiscard]] bool empty() const noexcept { return join_.sized_ && join_.total_ == 0; }

protected:
    void wire_slots() {
        const std::size_t count = std::min(join_.options_.limit, join_.sized_ ? join_.total_ : unlimited);
        join_.most_at_once_ = count;
        if (join_.options_.retry || join_.options_.each_within)
            join_.slots_.make_clocks();
        out_ = std::make_unique<outcome<value_type>[]>(count);
        join_.lazy_ = true;
        join_.to_pull_ = join_.sized_ ? join_.total_ : unlimited;
        if constexpr (types::repeatable)
            if (join_.options_.retry)
                at_.resize(count);
        join_.edge_ = this;
        join_.pull_ = &pull;
        if (!join_.sized_)
            join_.has_next_ = &has_next;
        join_.again_ = &again;
    }

    [[nodiscard]] std::size_t place(const join_slot& s) const noexcept { return s.place_; }

    static bool has_next(join& j) {
        auto& self = *static_cast<wired_map_base*>(j.edge_);
        if (!self.begun_) {
            self.next_.emplace(std::ranges::begin(self.in_.view_));
            self.begun_ = true;
        } else if (!self.ahead_) {
            ++*self.next_;
        }
        self.ahead_ = true;
        return *self.next_ != std::ranges::end(self.in_.view_);
    }

    static bool pull(join& j, join_slot& s) {
        auto& self = *static_cast<wired_map_base*>(j.edge_);
        if (!has_next(j))
            return false;
        self.ahead_ = false;
        if constexpr (types::repeatable)
            if (!self.at_.empty())
                self.at_[self.place(s)] = *self.next_;
        self.make_child(s, *self.next_);
        return true;
    }

    static void again(join& j, join_slot& s) {
        auto& self = *static_cast<wired_map_base*>(j.edge_);
        if constexpr (types::repeatable)
            self.make_child(s, self.at_[self.place(s)]);
    }

    void make_child(join_slot& s, iterator& it) {
        auto& out = out_[place(s)];
        out.clear();
        s.out_ = &out;
        // What the input range throws ends the map; what the function throws is this child's failure.
        auto&& element = *it;
        try {
            adopt_child(s,
                types::child::store(std::invoke(in_.function_, static_cast<typename types::argument>(element))), out);
        } catch (...) {
            s.set_ended();
            detail_outcome_access::set_thrown(out, std::current_exception());
        }
    }

    map_input<View, F> in_;
    std::optional<iterator> next_;
    bool begun_ = false;
    bool ahead_ = false; ///< next_ is that of the next child, not of the last
    std::vector<iterator> at_;
    std::unique_ptr<outcome<value_type>[]> out_;

public:
    join join_; ///< last, so that it goes before what it refers to
};

/// The collected form.
template <class View, class F>
class wired_map : public wired_map_base<View, F> {
    using base = wired_map_base<View, F>;
    using typename base::types;
    using typename base::value_type;

public:
    using base::base;
    using base::join_;

    void wire() {
        this->wire_slots();
        all_.resize(join_.total_);
        join_.durations_.resize(join_.total_);
        join_.wants_durations_ = false;
        join_.harvest_ = [](join& j, join_slot& s) {
            auto& self = *static_cast<wired_map*>(static_cast<base*>(j.edge_));
            if (s.index_ >= self.all_.size()) {
                self.all_.resize(s.index_ + 1);
                j.durations_.resize(s.index_ + 1);
            }
            self.all_[s.index_] = std::move(self.out_[self.place(s)]);
            j.durations_[s.index_] = j.loop_->now() - s.began_;
        };
        join_.outcome_at_ = [](const join& j, std::size_t i) -> const outcome_base* {
            const auto& self = *static_cast<const wired_map*>(static_cast<const base*>(j.edge_));
            return i < self.all_.size() ? &self.all_[i] : nullptr;
        };
    }

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
        if (!join_.sized_)
            all_.resize(join_.total_);
        for (auto& o : all_)
            if (o.was_not_started())
                detail_outcome_access::set_cancelled(
                    o, outcome_state::not_started, join_.stop_reason(), join_.stop_text());
        return outcomes<value_type>(info_of(join_), std::move(all_));
    }
    auto give(as_winners) {
        std::vector<winner<or_nothing<value_type>>> winners;
        for (const std::size_t i : join_.winners_)
            winners.emplace_back(i, take_or_nothing(all_[i]));
        return winners;
    }

private:
    std::vector<outcome<value_type>> all_;
};

/// The streamed form.
template <class View, class F, class Sink>
class streamed_map : public wired_map_base<View, F> {
    using base = wired_map_base<View, F>;
    using typename base::value_type;

public:
    using base::join_;

    streamed_map(std::pair<map_input<View, F>, Sink>&& in, join_options options)
        : base(std::move(in.first), std::move(options)),
          sink_(std::move(in.second)) {}

    void wire() {
        this->wire_slots();
        join_.wants_durations_ = false;
        // Each outcome is the sink's or the summary's, which answer for it on every way out.
        join_.outcome_at_ = [](const join&, std::size_t) -> const outcome_base* { return nullptr; };
        summary_.name_as(join_.name(), join_.options_.site);
        if constexpr (!std::same_as<Sink, no_sink>)
            summary_.mark_looked_at();
        join_.harvest_ = [](join& j, join_slot& s) {
            auto& self = *static_cast<streamed_map*>(static_cast<base*>(j.edge_));
            auto& out = self.out_[self.place(s)];
            self.summary_.add(s.index_, out, j.loop_->now() - s.began_);
            if constexpr (!std::same_as<Sink, no_sink>)
                std::invoke(self.sink_, s.index_, std::move(out));
        };
    }

    summary give(as_outcomes) {
        summary_.close(join_.total_, join_.counts_.retries, join_.sized_ || join_.exhausted(), join_.deadline_struck());
        return std::move(summary_);
    }

private:
    Sink sink_;
    summary summary_;
};

template <class View, class F, class Sink>
class streamed_input {
public:
    streamed_input(map_input<View, F> in, Sink sink) : both_(std::move(in), std::move(sink)) {}

    template <class Result>
    using awaiter = join_awaiter<streamed_map<View, F, Sink>, Result>;

    void discard() noexcept {}
    operator std::pair<map_input<View, F>, Sink>&&() && noexcept { return std::move(both_); }

private:
    std::pair<map_input<View, F>, Sink> both_;
};

} // namespace muster::detail
