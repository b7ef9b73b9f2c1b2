// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Many failures thrown as one, in a tree that keeps each of them, with a readable what(). A group can be asked what
/// it holds and be split by type without throwing; handle_group is Python's `except*`: each handler sees its part and
/// the rest is thrown on. A group that holds a cancellation is no std::exception, as a cancellation itself is none.
///
///     try { co_await save_all(); }
///     catch (...) {
///         muster::handle_group(std::current_exception(),
///             muster::on<http_error>([](const muster::base_exception_group& part) { log(part.what()); }));
///     }

#include <muster/config.hpp>
#include <muster/detail/exception_type.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

class base_exception_group;

/// What a group falls into; null where there is nothing. `auto [match, rest] = group.split<http_error>();`
struct group_split {
    group_split() noexcept = default;
    group_split(std::exception_ptr matching, std::exception_ptr other) noexcept
        : match(std::move(matching)),
          rest(std::move(other)) {}

    std::exception_ptr match;
    std::exception_ptr rest;
};

/// A predicate that looks at an exception without throwing it.
template <class P>
concept exception_predicate = std::predicate<P&, const std::exception_ptr&>;

namespace detail {

struct group_state;

/// Refers to a predicate object for the length of a call.
class exception_test {
public:
    template <exception_predicate P>
        requires(!std::is_same_v<std::remove_const_t<P>, exception_test>)
    explicit exception_test(P& predicate) noexcept
        : predicate_(const_cast<void*>(static_cast<const void*>(std::addressof(predicate)))),
          call_([](void* p, const std::exception_ptr& e) -> bool { return (*static_cast<P*>(p))(e); }) {}

    bool operator()(const std::exception_ptr& error) const { return call_(predicate_, error); }

private:
    void* predicate_;
    bool (*call_)(void*, const std::exception_ptr&);
};

template <class... Es>
struct is_any_of {
    bool operator()(const std::exception_ptr& error) const noexcept { return (is_a<Es>(error) || ...); }
};

/// The same for whatever else can be invoked: functions, pointers to them.
template <class P>
auto as_object(P& predicate) noexcept {
    return [&predicate](const std::exception_ptr& error) -> bool { return std::invoke(predicate, error); };
}

/// Tests `root` and, where a group does not match, what it holds. Groups keep their shape; the empty ones are left
/// out; one that goes to a side as a whole is passed on itself. `rest` is null if it is not wanted.
group_split split_tree(const std::exception_ptr& root, exception_test test, bool want_rest);

/// Calls `visit` for each leaf in order until it says true. *Returns* whether it did.
bool find_leaf(const std::vector<std::exception_ptr>& exceptions, exception_test visit);

} // namespace detail

/// A group that may hold cancellations. Made by make_exception_group, which decides between this and exception_group:
/// one that holds a cancelled_error, or a group that does, is not an exception_group and no std::exception.
/// Copying never throws; copies share what they hold. Throw on with `throw;`: `throw group;` would slice.
/// To add something to a group, derive from it or from exception_group and override derive().
/// *Thread safety*: copies may be used on different threads at once. *Source*: BaseExceptionGroup.
class base_exception_group {
public:
    base_exception_group(const base_exception_group&) noexcept = default;
    base_exception_group& operator=(const base_exception_group&) noexcept = default;
    virtual ~base_exception_group() = default;

    [[nodiscard]] const std::string& message() const noexcept;
    /// What it holds directly: at least one, none of them null. *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return exceptions().size(); }

    /// *Returns* the whole tree in lines: the message, then each exception with its type and what it says. Made when
    /// it is first asked for. Very large trees are cut, and the last line says how many are left out; visit them
    /// with for_each_leaf.
    [[nodiscard]] virtual const char* what() const noexcept;

    /// Makes a group like this one of other exceptions; split and subgroup make their parts with it. Override it to
    /// keep what a class of your own adds. *Returns* an exception_ptr of a group, not null.
    /// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null. *Source*: BaseExceptionGroup.derive.
    [[nodiscard]] virtual std::exception_ptr derive(std::vector<std::exception_ptr> exceptions) const;

    /// Calls `visit(const std::exception_ptr&)` for each exception in the tree that is no group, in order.
    template <class Visit>
    void for_each_leaf(Visit&& visit) const {
        auto go_on = [&visit](const std::exception_ptr& leaf) {
            static_cast<void>(std::invoke(visit, leaf));
            return false;
        };
        detail::find_leaf(exceptions(), detail::exception_test(go_on));
    }
    [[nodiscard]] std::size_t leaf_count() const {
        std::size_t count = 0;
        for_each_leaf([&](const std::exception_ptr&) { ++count; });
        return count;
    }
    /// *Returns* the names of the types of the leaves, each once, in the order in which they appear.
    [[nodiscard]] std::vector<std::string> error_types() const;

    /// True if a leaf of the tree is an E or of a class derived from it. Throws nothing.
    template <class E>
    [[nodiscard]] bool contains() const {
        static_assert(!std::is_base_of_v<base_exception_group, E>, "no leaf is a group: ask with subgroup<E>()");
        detail::is_any_of<E> test;
        return detail::find_leaf(exceptions(), detail::exception_test(test));
    }
    /// *Returns* the leaves that are an E, in order. *Lifetime*: as long as any copy of this.
    template <class E>
    [[nodiscard]] std::vector<const E*> leaves_of() const {
        static_assert(!std::is_base_of_v<base_exception_group, E>, "no leaf is a group: ask with subgroup<E>()");
        std::vector<const E*> found;
        for_each_leaf([&](const std::exception_ptr& leaf) {
            if (const auto* e = detail::get_if<E>(leaf))
                found.push_back(e);
        });
        return found;
    }

    /// Separates what matches from what does not. The group itself is asked first and, if it matches, is the match
    /// as a whole (`split<std::exception>()` of an exception_group); then what it holds, nested groups likewise,
    /// which keep their message and shape. A predicate is called with a `const std::exception_ptr&`.
    /// *Errors*: what the predicate or derive() throws. *Complexity*: O(exceptions in the tree), no rethrow.
    /// *Source*: BaseExceptionGroup.split.
    template <class... Es>
        requires(sizeof...(Es) > 0)
    [[nodiscard]] group_split split() const {
        detail::is_any_of<Es...> test;
        return detail::split_tree(pointer(), detail::exception_test(test), true);
    }
    template <exception_predicate P>
    [[nodiscard]] group_split split(P&& predicate) const {
        auto test = detail::as_object(predicate);
        return detail::split_tree(pointer(), detail::exception_test(test), true);
    }
    /// The match of split(), null if there is none. *Source*: BaseExceptionGroup.subgroup.
    template <class... Es>
        requires(sizeof...(Es) > 0)
    [[nodiscard]] std::exception_ptr subgroup() const {
        detail::is_any_of<Es...> test;
        return detail::split_tree(pointer(), detail::exception_test(test), false).match;
    }
    template <exception_predicate P>
    [[nodiscard]] std::exception_ptr subgroup(P&& predicate) const {
        auto test = detail::as_object(predicate);
        return detail::split_tree(pointer(), detail::exception_test(test), false).match;
    }

    /// *Returns* an exception_ptr of this group: the exception that is being handled, if this is it, else a new one
    /// made with derive().
    [[nodiscard]] std::exception_ptr pointer() const;

protected:
    /// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null.
    base_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

    [[nodiscard]] bool holds_cancellation() const noexcept;

private:
    friend std::exception_ptr make_exception_group(std::string, std::vector<std::exception_ptr>);

    std::shared_ptr<const detail::group_state> state_;
};

/// A group of errors: a std::exception, holding no cancellation at any depth. An `int` that was thrown is an error.
/// *Source*: ExceptionGroup.
class exception_group : public base_exception_group, public std::exception {
public:
    /// *Errors*: std::invalid_argument if `exceptions` is empty, holds a null, or a cancellation.
    exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

    [[nodiscard]] const char* what() const noexcept override { return base_exception_group::what(); }

private:
    friend std::exception_ptr make_exception_group(std::string, std::vector<std::exception_ptr>);
    explicit exception_group(const base_exception_group& of_errors) noexcept : base_exception_group(of_errors) {}
};

/// *Returns* an exception_group, or a base_exception_group if a cancellation is among the exceptions at any depth.
/// *Errors*: std::invalid_argument if `exceptions` is empty or holds a null. *Source*: calling BaseExceptionGroup.
[[nodiscard]] std::exception_ptr make_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

/// Throws what make_exception_group returns.
[[noreturn]] void throw_exception_group(std::string message, std::vector<std::exception_ptr> exceptions);

/// *Returns* the group that `error` holds; null if it holds no group. *Lifetime*: as long as any copy of `error`.
[[nodiscard]] inline const base_exception_group* as_group(const std::exception_ptr& error) noexcept {
    return detail::get_if<base_exception_group>(error);
}

/// The bookkeeping of an `except*` statement, for handlers that handle_group cannot call: coroutines, for one.
/// take() a part, handle it, say how that ended, take() the next; at the end throw what finish() returns.
/// A part is always a group: an error that is none is wrapped in one with an empty message.
///
///     muster::group_dispatch dispatch(error);
///     if (auto part = dispatch.take<http_error>()) {
///         std::exception_ptr thrown;
///         try { co_await retry(part); } catch (...) { thrown = std::current_exception(); }
///         dispatch.ended(part, thrown);
///     }
///     if (auto left = dispatch.finish()) std::rethrow_exception(left);
///
/// *Lifetime*: what is left is reported as suppressed if this is destroyed and nobody asked finish().
/// *Source*: PEP 654, `except*`.
class group_dispatch {
public:
    /// Null means that nothing was thrown: there is no part to take and nothing to throw at the end.
    explicit group_dispatch(std::exception_ptr error) noexcept;
    group_dispatch(const group_dispatch&) = delete;
    group_dispatch& operator=(const group_dispatch&) = delete;
    ~group_dispatch();

    /// *Returns* the part that is an E, which is then no longer in rest(); null if there is none.
    template <class... Es>
        requires(sizeof...(Es) > 0)
    [[nodiscard("a part that is taken counts as handled")]] std::exception_ptr take() {
        static_assert((!std::is_base_of_v<base_exception_group, Es> && ...),
            "a handler gets a group whatever it asks for: name the type of the exceptions in the group, or use catch");
        detail::is_any_of<Es...> test;
        return take_matching(detail::exception_test(test));
    }
    template <exception_predicate P>
    [[nodiscard("a part that is taken counts as handled")]] std::exception_ptr take(P&& predicate) {
        auto test = detail::as_object(predicate);
        return take_matching(detail::exception_test(test));
    }

    /// A handler threw something of its own, be it a copy of its part: it is thrown at the end beside the others.
    void raised(std::exception_ptr error);
    /// A handler did not handle its part after all (`throw;`): it goes back to where it was in the original tree.
    /// What take() did not return counts as raised.
    void reraised(std::exception_ptr part);
    /// How the handler of `part` ended: `thrown` is null if it returned; the part itself, the same exception object,
    /// counts as reraised; anything else as raised.
    void ended(const std::exception_ptr& part, std::exception_ptr thrown);

    /// *Returns* what no handler has taken; null if nothing is left.
    [[nodiscard]] const std::exception_ptr& rest() const noexcept { return rest_; }

    /// *Returns* what is to be thrown; null if nothing is. What was reraised and the rest are one group of the
    /// original's shape; what was raised is in a group with an empty message, that group last; one alone is itself.
    /// *Errors*: what derive() throws.
    [[nodiscard("this is what must be thrown")]] std::exception_ptr finish();

private:
    std::exception_ptr take_matching(detail::exception_test test);
    std::exception_ptr outcome() const;

    std::exception_ptr original_;
    std::exception_ptr rest_;
    std::vector<std::exception_ptr> taken_;
    std::vector<std::exception_ptr> raised_;
    std::vector<std::exception_ptr> reraised_;
    bool finished_ = false;
};

/// A handler and what it is for; made by on() and on_if().
template <class Take, class Handle>
class group_handler {
public:
    group_handler(Take take, Handle handle) : take_(std::move(take)), handle_(std::move(handle)) {
        static_assert(std::is_invocable_v<Handle&, const base_exception_group&> || std::is_invocable_v<Handle&>,
            "a handler of handle_group takes `const muster::base_exception_group& part`, or nothing");
    }

    std::exception_ptr take(group_dispatch& dispatch) { return take_(dispatch); }
    decltype(auto) handle(const base_exception_group& part) {
        if constexpr (std::is_invocable_v<Handle&, const base_exception_group&>)
            return std::invoke(handle_, part);
        else
            return std::invoke(handle_);
    }

private:
    Take take_;
    Handle handle_;
};

/// A handler for the exceptions that are one of Es. It is called with its part, a `const base_exception_group&`, or
/// with nothing; `throw;` in it means that it does not handle the part. *Source*: `except* (Es...) as part`.
template <class... Es, class Handle>
    requires(sizeof...(Es) > 0)
[[nodiscard]] auto on(Handle handler) {
    auto take = [](group_dispatch& dispatch) { return dispatch.take<Es...>(); };
    return group_handler<decltype(take), Handle>(take, std::move(handler));
}

/// A handler for what the predicate, called with a `const std::exception_ptr&`, is true for.
template <exception_predicate P, class Handle>
[[nodiscard]] auto on_if(P predicate, Handle handler) {
    auto take = [predicate = std::move(predicate)](group_dispatch& d) mutable { return d.take(predicate); };
    return group_handler<decltype(take), Handle>(std::move(take), std::move(handler));
}

namespace detail {

template <class Handler>
using handler_result = decltype(std::declval<Handler&>().handle(std::declval<const base_exception_group&>()));

template <class... Rs>
struct common_result {
    using type = void;
};
template <class R, class... Rs>
struct common_result<R, Rs...> {
    using type = std::vector<std::common_type_t<std::decay_t<R>, std::decay_t<Rs>...>>;
};

/// The results that are not void, as one list of types.
template <class Found, class... Rs>
struct values_of;
template <class... Found>
struct values_of<common_result<Found...>> {
    using type = typename common_result<Found...>::type;
};
template <class... Found, class R, class... Rs>
struct values_of<common_result<Found...>, R, Rs...>
    : values_of<std::conditional_t<std::is_void_v<R>, common_result<Found...>, common_result<Found..., R>>, Rs...> {};

template <class Handler, class Keep>
void run_handler(group_dispatch& dispatch, Handler& handler, Keep keep) {
    const std::exception_ptr part = handler.take(dispatch);
    if (!part)
        return;
    std::exception_ptr thrown;
    try {
        // The handler runs inside a catch so that its `throw;` throws its part: that is worth one throw.
        std::rethrow_exception(part);
    } catch (const base_exception_group& group) {
        try {
            keep(handler, group);
        } catch (...) {
            thrown = std::current_exception();
        }
    }
    dispatch.ended(part, std::move(thrown));
}

} // namespace detail

/// Python's `except*`: each handler, in order, is called with the part of `error` that it is for and that no handler
/// before it was given; an error that is no group is wrapped in one. What is left, and what the handlers threw, is
/// thrown at the end; if all was handled, this returns. A null `error` calls nothing.
/// *Returns* nothing if no handler returns anything, else a vector of what the handlers that were called returned,
/// in order.
/// *Errors*: the rest as a group of the original's shape (the error itself if no handler was for it), together with
/// what handlers did not handle after all (`throw;`); what they threw themselves in a group with an empty message,
/// or as itself if it is all there is.
/// *Source*: PEP 654, `except*`.
template <class... Handlers>
auto handle_group(std::exception_ptr error, Handlers... handlers) {
    using results = typename detail::values_of<detail::common_result<>, detail::handler_result<Handlers>...>::type;
    group_dispatch dispatch(std::move(error));
    if constexpr (std::is_void_v<results>) {
        const auto ignore = [](auto& handler, const base_exception_group& part) { handler.handle(part); };
        (detail::run_handler(dispatch, handlers, ignore), ...);
        if (auto left = dispatch.finish())
            std::rethrow_exception(std::move(left));
    } else {
        results values;
        const auto keep = [&values](auto& handler, const base_exception_group& part) {
            if constexpr (std::is_void_v<decltype(handler.handle(part))>)
                handler.handle(part);
            else
                values.push_back(handler.handle(part));
        };
        (detail::run_handler(dispatch, handlers, keep), ...);
        if (auto left = dispatch.finish())
            std::rethrow_exception(std::move(left));
        return values;
    }
}

/// For `catch (const muster::exception_group& group)`.
template <class... Handlers>
auto handle_group(const base_exception_group& group, Handlers... handlers) {
    return handle_group(group.pointer(), std::move(handlers)...);
}

} // namespace muster
