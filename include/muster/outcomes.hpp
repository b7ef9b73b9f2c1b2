// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// All outcomes of a combinator, in the order in which its children were submitted, with their counts (a ledger), which
/// always add up. A question for the failures of type E also finds those of classes derived from E; no exception is
/// thrown to find out. A failure that nobody has looked at when the outcomes are destroyed is reported.
///
///     auto outcomes = co_await muster::settle(std::move(tasks));
///     for (const auto& failure : outcomes.failures_of<http_error>())
///         log(failure.index(), failure->status());

#include <muster/config.hpp>
#include <muster/exception_group.hpp>
#include <muster/ledger.hpp>
#include <muster/outcome.hpp>
#include <muster/report.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// The facts that an outcomes object knows beside the outcomes.
struct outcomes_info {
    ledger counts;
    bool exhausted = true;        ///< the whole input was pulled
    bool deadline_struck = false; ///< the overall deadline ended it
    std::string name;
    std::source_location site;
    std::vector<std::chrono::nanoseconds> durations; ///< by index; loop time
};

class outcomes_base;

/// One failure of `outcomes`. *Lifetime*: refers to them; valid as long as they are.
class failure_ref {
public:
    failure_ref(const outcomes_base& all, std::size_t index) noexcept : all_(&all), index_(index) {}

    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    [[nodiscard]] std::string name() const;
    [[nodiscard]] std::exception_ptr error() const;
    [[nodiscard]] std::source_location site() const noexcept;
    [[nodiscard]] std::chrono::nanoseconds duration() const noexcept;
    /// *Returns* "http_error: 503 ...".
    [[nodiscard]] std::string what() const;

private:
    const outcomes_base* all_;
    std::size_t index_;
};

/// One failure of a known type. *Lifetime*: as of failure_ref.
template <class E>
class typed_failure : public failure_ref {
public:
    typed_failure(const outcomes_base& all, std::size_t index, const E& error) noexcept
        : failure_ref(all, index),
          typed_(&error) {}
    [[nodiscard]] const E& operator*() const noexcept { return *typed_; }
    [[nodiscard]] const E* operator->() const noexcept { return typed_; }

private:
    const E* typed_;
};

/// The part of outcomes that does not depend on the types of the values. Move-only.
class outcomes_base {
public:
    outcomes_base(outcomes_base&&) noexcept = default;
    outcomes_base& operator=(outcomes_base&&) noexcept = default;

    [[nodiscard]] std::size_t submitted() const noexcept { return info_->counts.submitted(); }
    [[nodiscard]] std::size_t succeeded() const noexcept { return info_->counts.succeeded(); }
    [[nodiscard]] std::size_t failed() const noexcept { return info_->counts.failed(); }
    [[nodiscard]] std::size_t cancelled() const noexcept { return info_->counts.cancelled(); }
    [[nodiscard]] std::size_t not_started() const noexcept { return info_->counts.not_started(); }
    [[nodiscard]] std::size_t retries() const noexcept { return info_->counts.retries(); }
    /// False if an input of unknown length was not pulled to its end.
    [[nodiscard]] bool exhausted() const noexcept { return info_->exhausted; }
    /// True if the overall deadline (`within`) ended it.
    [[nodiscard]] bool deadline_struck() const noexcept { return info_->deadline_struck; }
    [[nodiscard]] bool all_succeeded() const noexcept { return info_->counts.all_succeeded(); }
    /// All of these counts.
    [[nodiscard]] const ledger& counts() const noexcept { return info_->counts; }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] const std::string& name() const noexcept { return info_->name; }
    /// Where the combinator was called.
    [[nodiscard]] std::source_location site() const noexcept { return info_->site; }
    [[nodiscard]] std::chrono::nanoseconds duration(std::size_t i) const noexcept {
        return i < info_->durations.size() ? info_->durations[i] : std::chrono::nanoseconds(0);
    }

    /// The failures, lowest index first. A failure in this list counts as looked at. *Complexity*: O(n) in all.
    [[nodiscard]] std::vector<failure_ref> failures() const;

    /// The failures that are an E or derived from it; these count as looked at. *Complexity*: O(n); no
    /// exception is thrown to find the type.
    template <class E>
    [[nodiscard]] std::vector<typed_failure<E>> failures_of() const {
        std::vector<typed_failure<E>> found;
        for (std::size_t i = 0; i != size_; ++i) {
            if (const E* e = peek(i).template error_as<E>()) {
                found.emplace_back(*this, i, *e);
                static_cast<void>(look(i));
            }
        }
        return found;
    }
    /// True if there is a failure that is an E or derived from it; those count as looked at.
    template <class E>
    [[nodiscard]] bool any_failed() const {
        bool found = false;
        for (std::size_t i = 0; i != size_; ++i) {
            if (peek(i).template failed_with<E>()) {
                static_cast<void>(look(i));
                found = true;
            }
        }
        return found;
    }
    [[nodiscard]] bool any_failed() const noexcept { return failed() != 0; }
    /// The names of the failures' types, each once, in the order of their first failure.
    [[nodiscard]] std::vector<std::string> error_types() const;

    /// All failures as one throwable tree; null if nothing failed. They count as looked at.
    [[nodiscard]] std::exception_ptr as_group(std::string message = {}) const;
    /// *Errors*: throws as_group() if anything failed.
    void throw_if_any_failed(std::string message = {}) const;

    /// The failures count as looked at.
    void mark_all_looked_at() const noexcept { unread_ = false; }

    /// For the library.
    [[nodiscard]] const outcome_base& look(std::size_t i) const noexcept {
        if (unread_ && i < looked_.size())
            looked_[i] = true;
        return peek(i);
    }

protected:
    using at_function = const outcome_base& (*)(const void* items, std::size_t i) noexcept;

    outcomes_base(outcomes_info info, std::size_t size);
    ~outcomes_base() = default;

    [[nodiscard]] const outcome_base& peek(std::size_t i) const noexcept { return at_(items_, i); }
    /// A failure of a ledger for which there was no memory.
    static void report_undelivered(std::size_t index, const outcome_base& o) noexcept;
    /// Reports what nobody looked at. For the destructors of derived classes, while the outcomes still live.
    void report_unread() noexcept;
    /// Throws unless all succeeded: the group of the failures, else why the first of the others has no value.
    void require_all_succeeded() const;

    std::unique_ptr<outcomes_info> info_;
    at_function at_ = nullptr;
    const void* items_ = nullptr;
    std::size_t size_ = 0;
    mutable std::vector<bool> looked_;
    mutable bool unread_ = false;
};

/// The outcomes of children with values of one type. *Lifetime*: owns the outcomes. *Thread safety*: as a container.
template <class T>
class [[nodiscard("the ledger says what failed: look at it")]] outcomes : public outcomes_base {
public:
    outcomes(outcomes_info info, std::vector<outcome<T>> items) try
        : outcomes_base(std::move(info), items.size()),
          own_(std::move(items)) {
        attach();
    } catch (const std::bad_alloc&) {
        // The base could not be made: the items are where they were, and nobody else has them.
        for (std::size_t i = 0; i != items.size(); ++i)
            report_undelivered(i, items[i]);
    }
    outcomes(outcomes && other) noexcept : outcomes_base(std::move(other)), own_(std::move(other.own_)) {
        attach();
        other.size_ = 0;
        other.unread_ = false;
    }
    outcomes& operator=(outcomes&& other) noexcept {
        if (this != &other) {
            report_unread();
            outcomes_base::operator=(std::move(other));
            own_ = std::move(other.own_);
            attach();
            other.size_ = 0;
            other.unread_ = false;
        }
        return *this;
    }
    ~outcomes() { report_unread(); }

    /// How the i-th ended; a failure counts as looked at. *Errors*: std::out_of_range.
    [[nodiscard]] const outcome<T>& at(std::size_t i) const {
        static_cast<void>(look(i));
        return own_.at(i);
    }
    [[nodiscard]] const outcome<T>& operator[](std::size_t i) const noexcept {
        static_cast<void>(look(i));
        return own_[i];
    }
    /// Takes the i-th out, value and all.
    [[nodiscard]] outcome<T> take(std::size_t i) {
        static_cast<void>(look(i));
        return std::move(own_.at(i));
    }

    class iterator {
    public:
        using value_type = outcome<T>;
        using difference_type = std::ptrdiff_t;
        using reference = const outcome<T>&;
        using pointer = const outcome<T>*;
        using iterator_category = std::forward_iterator_tag;

        iterator() = default;
        iterator(const outcomes& all, std::size_t i) noexcept : all_(&all), i_(i) {}
        reference operator*() const noexcept { return (*all_)[i_]; }
        pointer operator->() const noexcept { return &(*all_)[i_]; }
        iterator& operator++() noexcept {
            ++i_;
            return *this;
        }
        iterator operator++(int) noexcept {
            auto before = *this;
            ++i_;
            return before;
        }
        bool operator==(const iterator&) const noexcept = default;

    private:
        const outcomes* all_ = nullptr;
        std::size_t i_ = 0;
    };
    [[nodiscard]] iterator begin() const noexcept { return iterator(*this, 0); }
    [[nodiscard]] iterator end() const noexcept { return iterator(*this, own_.size()); }

    /// The values of those that succeeded, with their index. `T` is not void.
    template <class U = T>
        requires(!std::is_void_v<U>)
    [[nodiscard]] std::vector<std::pair<std::size_t, std::reference_wrapper<const std::remove_reference_t<U>>>>
    successes() const {
        std::vector<std::pair<std::size_t, std::reference_wrapper<const std::remove_reference_t<U>>>> found;
        found.reserve(succeeded());
        for (std::size_t i = 0; i != own_.size(); ++i)
            if (const auto* v = own_[i].value_if())
                found.emplace_back(i, *v);
        return found;
    }

    /// *Returns* all values, moved out. *Errors*: throws an exception_group of the failures; if nothing failed but
    /// some were cancelled or not started, a cancelled_error, or timeout_error if the deadline struck.
    [[nodiscard]] auto values()&& {
        require_all_succeeded();
        if constexpr (!std::is_void_v<T>) {
            using kept =
                std::conditional_t<std::is_reference_v<T>, std::reference_wrapper<std::remove_reference_t<T>>, T>;
            std::vector<kept> all;
            all.reserve(own_.size());
            for (auto& o : own_)
                all.push_back(o.take());
            return all;
        }
    }

private:
    void attach() noexcept {
        items_ = own_.data();
        at_ = [](const void* items, std::size_t i) noexcept -> const outcome_base& {
            return static_cast<const outcome<T>*>(items)[i];
        };
    }

    std::vector<outcome<T>> own_;
};

/// The ledger of many that were given with keys.
template <class Key, class T>
class keyed_outcomes : public outcomes<T> {
public:
    keyed_outcomes(outcomes<T> all, std::vector<Key> keys) : outcomes<T>(std::move(all)), keys_(std::move(keys)) {}

    [[nodiscard]] const Key& key(std::size_t i) const { return keys_.at(i); }
    [[nodiscard]] const std::vector<Key>& keys() const noexcept { return keys_; }
    /// *Returns* the outcome for a key; null if there is none. *Complexity*: O(n).
    [[nodiscard]] const outcome<T>* find(const Key& key) const noexcept {
        for (std::size_t i = 0; i != keys_.size(); ++i)
            if (keys_[i] == key)
                return &(*this)[i];
        return nullptr;
    }

private:
    std::vector<Key> keys_;
};

/// The ledger of a few with values of their own types: `auto [a, b] = co_await settle(f(), g());` gives outcomes.
template <class... Ts>
class [[nodiscard("the ledger says what failed: look at it")]] outcome_tuple : public outcomes_base {
public:
    outcome_tuple(outcomes_info info, std::tuple<outcome<Ts>...> items) try
        : outcomes_base(std::move(info), sizeof...(Ts)),
          own_(std::move(items)) {
        attach();
    } catch (const std::bad_alloc&) {
        std::size_t i = 0;
        std::apply([&](const auto&... o) { (report_undelivered(i++, o), ...); }, items);
    }
    outcome_tuple(outcome_tuple && other) noexcept : outcomes_base(std::move(other)), own_(std::move(other.own_)) {
        attach();
        other.size_ = 0;
        other.unread_ = false;
    }
    outcome_tuple& operator=(outcome_tuple&&) = delete;
    ~outcome_tuple() { report_unread(); }

    template <std::size_t I>
    [[nodiscard]] const auto& get() const& noexcept {
        static_cast<void>(look(I));
        return std::get<I>(own_);
    }
    template <std::size_t I>
    [[nodiscard]] auto& get()& noexcept {
        static_cast<void>(look(I));
        return std::get<I>(own_);
    }
    template <std::size_t I>
    [[nodiscard]] auto get()&& noexcept {
        static_cast<void>(look(I));
        return std::move(std::get<I>(own_));
    }

private:
    void attach() noexcept {
        items_ = &own_;
        at_ = [](const void* items, std::size_t i) noexcept -> const outcome_base& {
            const auto& all = *static_cast<const std::tuple<outcome<Ts>...>*>(items);
            const outcome_base* found = nullptr;
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                ((I == i ? static_cast<void>(found = &std::get<I>(all)) : void()), ...);
            }
            (std::index_sequence_for<Ts...>());
            return *found;
        };
    }

    std::tuple<outcome<Ts>...> own_;
};

} // namespace muster

template <class... Ts>
struct std::tuple_size<muster::outcome_tuple<Ts...>> : std::integral_constant<std::size_t, sizeof...(Ts)> {};
template <std::size_t I, class... Ts>
struct std::tuple_element<I, muster::outcome_tuple<Ts...>> {
    using type = muster::outcome<std::tuple_element_t<I, std::tuple<Ts...>>>;
};

// `std::get<0>(co_await settle(f(), g()))` is the first thing that people try, and std::get finds nothing but functions
// in std. The standard allows no new function there; the two compilers take it, and without it the error has 291 lines.
namespace std {

/// The same as `all.get<I>()`: the outcome counts as looked at.
template <size_t I, class... Ts>
[[nodiscard]] const auto& get(const muster::outcome_tuple<Ts...>& all) noexcept {
    return all.template get<I>();
}
template <size_t I, class... Ts>
[[nodiscard]] auto& get(muster::outcome_tuple<Ts...>& all) noexcept {
    return all.template get<I>();
}
template <size_t I, class... Ts>
[[nodiscard]] auto get(muster::outcome_tuple<Ts...>&& all) noexcept {
    return std::move(all).template get<I>();
}

} // namespace std
