// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Elements of a map that are awaited one after the other: those of a generator, or of a queue until it is shut down.
///
///     awaited_elements<muster::queue<int>&> elements(queue);
///     if (elements.look(j) == child_source::pulled::child) use(elements.take());

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/join/child_source.hpp>
#include <muster/detail/join/children.hpp>
#include <muster/detail/join/join.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// The fiber in which a map awaits the next element of its input. It is cancelled with the children, and the join does
/// not end before it has.
///
///     idle --begin()--> beginning --it waits--> waiting --it ends--> arrived --use()--> used --begin()--> ...
///                           |                                           ^
///                           +----------------it ends--------------------+
class input_puller : public fiber_owner {
public:
    enum class state : std::uint8_t { idle, beginning, waiting, arrived, used };

    explicit input_puller(join& j) noexcept;
    ~input_puller();

    /// Awaits `root`, whose result goes to `out`. *Returns* true if it has ended at once; otherwise join::input_came()
    /// is called when it has.
    [[nodiscard]] bool begin(std::coroutine_handle<> root, outcome_base& out) noexcept;
    [[nodiscard]] state now_in() const noexcept { return state_; }
    /// The fiber, while it waits; null otherwise.
    [[nodiscard]] fiber* waiting() noexcept { return state_ == state::waiting ? &fiber_ : nullptr; }
    /// A child was made of what arrived.
    void use() noexcept;

private:
    static void ended(fiber_owner& o, fiber& f) noexcept;
    static std::string name_of(const fiber_owner& o, const fiber& f);
    static const fiber_owner_kind kind_of;

    join* join_;
    const outcome_base* out_ = nullptr;
    fiber fiber_;
    state state_ = state::idle;
};

/// Has a next() to be awaited that gives an optional, which is empty at the end.
template <class S>
concept awaited_source = requires(std::remove_reference_t<S>& s) {
    *std::declval<awaited_t<decltype(s.next())>&>();
    static_cast<bool>(std::declval<awaited_t<decltype(s.next())>&>());
};

/// `Source` is a reference for an input that lives elsewhere, and a type for one that was given away.
template <class Source>
class awaited_elements {
    using source = std::remove_reference_t<Source>;
    using operation = decltype(std::declval<source&>().next());
    using maybe = awaited_t<operation>;
    using element = std::remove_reference_t<decltype(*std::declval<maybe&>())>;

public:
    using argument = element&&;
    static constexpr bool repeatable = false;
    static constexpr bool awaited = true;

    explicit awaited_elements(Source&& from) : source_(std::forward<Source>(from)) {}

    [[nodiscard]] std::size_t size() const noexcept { return unlimited; }

    /// *Errors*: what the input throws.
    [[nodiscard]] child_source::pulled look(join& j) {
        if (!pull_)
            pull_ = std::make_unique<pull>(j);
        switch (pull_->puller.now_in()) {
        case input_puller::state::used:
            pull_->next.clear();
            [[fallthrough]];
        case input_puller::state::idle:
            if (!begin())
                return child_source::pulled::later;
            break;
        case input_puller::state::beginning:
        case input_puller::state::waiting:
            return child_source::pulled::later;
        case input_puller::state::arrived:
            break;
        }
        if (!pull_->next.succeeded())
            pull_->next.rethrow();
        return has_element() ? child_source::pulled::child : child_source::pulled::end;
    }
    /// An element is not pulled only to find out whether there is one.
    [[nodiscard]] bool has_next(join&) const noexcept { return true; }
    [[nodiscard]] bool looked_ahead() const noexcept {
        return pull_ && pull_->puller.now_in() == input_puller::state::arrived && pull_->next.succeeded() &&
               has_element();
    }
    /// The element that look() has found; it lives until the next look().
    [[nodiscard]] element*& take() {
        MUSTER_ASSERT(looked_ahead());
        pull_->puller.use();
        pull_->taken = std::addressof(**pull_->next);
        return pull_->taken;
    }
    [[nodiscard]] fiber* waiting() noexcept { return pull_ ? pull_->puller.waiting() : nullptr; }

private:
    struct pull {
        explicit pull(join& j) noexcept : puller(j) {}
        outcome<maybe> next;
        element* taken = nullptr;
        input_puller puller; ///< last, so that its frame goes before what it writes to
    };

    [[nodiscard]] bool begin() {
        task<maybe> next = await_as_task<operation>(source_.next());
        const auto frame = std::move(next).release();
        if (frame.address() == &no_memory_tag)
            throw std::bad_alloc();
        return pull_->puller.begin(frame, pull_->next);
    }
    [[nodiscard]] bool has_element() const noexcept { return static_cast<bool>(*pull_->next.value_if()); }

    Source source_;
    std::unique_ptr<pull> pull_;
};

} // namespace muster::detail
