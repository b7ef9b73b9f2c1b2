// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The things that may be children of a combinator: a task, which it starts; a handle or future, which it watches; any
/// other awaitable, for which a task is made that awaits it.
///
///     using stored = child_of<muster::task<int>>::stored;

#include <muster/config.hpp>
#include <muster/detail/join/join.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/droppable_task.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <new>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace muster {

/// Stands in a tuple for the value of a child that has none.
using nothing = std::monostate;

namespace detail {

/// The type of `co_await a`.
template <class A>
using awaited_t = decltype(std::declval<promise_base&>().await_transform(std::declval<A>()).await_resume());

template <class A>
concept may_be_awaited = is_task<std::remove_cvref_t<A>> || has_member_co_await<A> ||
    has_member_co_await<std::remove_cvref_t<A>> || requires(A&& a) {
    operator co_await(static_cast<A&&>(a));
} || requires(std::remove_cvref_t<A>& a) {
    a.await_ready();
} || requires(A&& a) {
    static_cast<A&&>(a).as_task();
};

/// The same as a value: a static_assert of it lists no constraints.
template <class A>
inline constexpr bool can_be_awaited = may_be_awaited<A>;

/// Stands for an awaitable where the real one was refused by a static_assert. It is never called.
template <class T>
T never_made();

template <class A>
concept handle_like = std::derived_from<A, any_handle> && requires {
    typename A::value_type;
};

/// Something whose source is at its end once the wait for it was cancelled: a generator's next().
template <class A>
concept ends_its_source = requires {
    typename std::remove_cvref_t<A>::ends_its_source_if_cancelled;
};

/// Awaits anything as a task, which has no code of its own that could look at a cancellation. Each await is a statement
/// of its own: g++ 12.
template <class A>
droppable_task<awaited_t<A>> await_as_task(A awaitable) {
    if constexpr (std::is_void_v<awaited_t<A>>) {
        co_await std::move(awaitable);
    } else {
        auto&& value = co_await std::move(awaitable);
        co_return std::forward<decltype(value)>(value);
    }
}

template <class A>
struct child_of {
    static_assert(!std::is_lvalue_reference_v<A> || std::copy_constructible<std::remove_cvref_t<A>>,
        "a combinator takes what it awaits by value: write `std::move(x)`");
    using bare = std::remove_cvref_t<A>;
    using value_type = awaited_t<bare>;
    using stored = task<value_type>;
    static constexpr bool is_handle = false;
    static stored store(A&& a) {
        if constexpr (requires { std::forward<A>(a).as_task(); })
            return std::forward<A>(a).as_task();
        else
            return await_as_task<bare>(std::forward<A>(a));
    }
};

template <class T>
struct child_of<task<T>> {
    using value_type = T;
    using stored = task<T>;
    static constexpr bool is_handle = false;
    static stored store(task<T>&& t) noexcept { return std::move(t); }
};

template <class T>
struct child_of<droppable_task<T>> : child_of<task<T>> {};

template <class T>
struct child_of<task<T>&> {
    static_assert(!sizeof(T*), "a task is awaited once: write `std::move(t)`");
};
template <class T>
struct child_of<const task<T>&> : child_of<task<T>&> {};
template <class T>
struct child_of<droppable_task<T>&> : child_of<task<T>&> {};
template <class T>
struct child_of<const droppable_task<T>&> : child_of<task<T>&> {};

template <class A>
    requires handle_like<std::remove_cvref_t<A>>
struct child_of<A> {
    using stored = std::remove_cvref_t<A>;
    using value_type = typename stored::value_type;
    static_assert(!std::is_lvalue_reference_v<A> || std::is_void_v<value_type> || std::is_reference_v<value_type> ||
                      std::copy_constructible<value_type>,
        "the value of this handle can't be copied: give the handle away with `std::move(h)`");
    static constexpr bool is_handle = true;
    static stored store(A&& h) {
        static_cast<void>(h.state_here("awaiting it"));
        return std::forward<A>(h);
    }
};

/// Puts a task into a slot. A task that was awaited before, or has no frame, has failed already.
template <class T>
void adopt_child(join_slot& slot, task<T>&& t, outcome<T>& out) noexcept {
    slot.out_ = &out;
    const auto frame = std::move(t).release();
    if (frame && frame.address() != &no_memory_tag) [[likely]]
        slot.adopt(frame, out);
    else if (frame)
        fail_for_lack_of_memory(slot);
    else
        fail_as_awaited_before(slot);
}

/// The outcome of a handle that has ended: a copy, or the value itself where it can't be copied.
template <class T>
outcome<T> outcome_of(completable& c) {
    auto& ended = static_cast<outcome<T>&>(const_cast<outcome_base&>(c.ended_as()));
    if constexpr (std::copy_constructible<outcome<T>>)
        return ended;
    else
        return std::move(ended);
}

/// Destroys a task quietly: its combinator accounts for it.
template <class T>
void discard_child(task<T>& t) noexcept {
    discard_frame(std::move(t).release());
}
template <handle_like H>
void discard_child(H&) noexcept {}

/// A child once the loop owns it: a handle.
template <class Stored>
struct spawned_child {
    using type = Stored; // a handle or future
};
template <class T>
struct spawned_child<task<T>> {
    using type = task_handle<T>;
};
template <class Stored>
using spawned_child_t = typename spawned_child<Stored>::type;

/// Gives tasks to the loop, as they come; a handle is passed on.
class child_spawner {
public:
    explicit child_spawner(const join_options& options)
        : loop_(&scheduler::require("start")),
          options_(&options),
          site_(options.site) {
        if (options.limit != unlimited || options.rate() != nullptr || options.each_within() ||
            options.retry() != nullptr || options.order != start_order::in_turn)
            throw_bad_option("limit, rate, each_within, retry and depth_first are for what is awaited: start() gives "
                             "all tasks to the loop");
    }

    /// *Errors*: invalid_state_error. To be asked of all children before the first is spawned.
    template <class T>
    void require_valid(const task<T>& t) const {
        if (!t.valid())
            throw invalid_state_error("this task was awaited or moved from before: it can't be started again");
    }
    template <handle_like H>
    void require_valid(const H&) const noexcept {}

    template <class T>
    task_handle<T> spawn(task<T>&& t) {
        auto handle = detail::spawn(*loop_, std::move(t), site_);
        handle.set_name(options_->shown_name() + '[' + std::to_string(index_++) + ']');
        return handle;
    }
    template <handle_like H>
    H spawn(H&& handle) {
        ++index_;
        return std::move(handle);
    }

private:
    scheduler* loop_;
    const join_options* options_;
    std::source_location site_;
    std::size_t index_ = 0;
};

template <class T>
using or_nothing = std::conditional_t<std::is_void_v<T>, nothing, T>;

template <class T>
or_nothing<T> take_or_nothing(outcome<T>& o) {
    if constexpr (std::is_void_v<T>)
        return nothing();
    else
        return o.take();
}

} // namespace detail
} // namespace muster
