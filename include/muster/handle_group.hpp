// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Python's `except*`: each handler sees the part of an exception group that it is for, and the rest is thrown on.
/// handle_group calls handlers that are plain functions; group_dispatch is the same bookkeeping for coroutines.
///
///     try { co_await save_all(); }
///     catch (...) {
///         muster::handle_group(std::current_exception(),
///             muster::on<http_error>([](const muster::base_exception_group& part) { log(part.what()); }));
///     }

#include <muster/config.hpp>
#include <muster/detail/exception_test.hpp>
#include <muster/exception_group.hpp>

#include <exception>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// Python's `except*`: calls each handler, in order, with the part of `error` that it is for and that no handler before
/// it was given; an error that is no group is wrapped in one. The rest, and what the handlers threw, is thrown at
/// the end; if all was handled, this returns. A null `error` calls no handler. *Returns* nothing if no handler returns
/// anything, else a vector of what the handlers that were called returned, in order. *Errors*: the rest as a group of
/// the original's shape (the error itself if no handler was for it), together with the parts that handlers did not
/// handle after all (`throw;`); errors that handlers threw themselves in a group with an empty message, or a single one
/// as itself if nothing else is left. *Source*: PEP 654, `except*`.
template <class... Handlers>
auto handle_group(std::exception_ptr error, Handlers... handlers);
/// The same, for `catch (const muster::exception_group& group)`.
template <class... Handlers>
auto handle_group(const base_exception_group& group, Handlers... handlers);

/// A handler for the exceptions that are one of Es. It is called with its part, a `const base_exception_group&`, or
/// with nothing; `throw;` in it means that it does not handle the part. *Source*: `except* (Es...) as part`.
template <class... Es, class Handle>
    requires(sizeof...(Es) > 0)
[[nodiscard]] auto on(Handle handler);
/// A handler for the exceptions for which the predicate, called with a `const std::exception_ptr&`, is true.
template <exception_predicate P, class Handle>
[[nodiscard]] auto on_if(P predicate, Handle handler);

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
/// *Lifetime*: if it is destroyed before finish() was called, what is left is reported as suppressed.
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
    /// A handler did not handle its part after all (`throw;`): the part goes back to its position in the original tree.
    /// A `part` that take() did not return counts as raised.
    void reraised(std::exception_ptr part);
    /// How the handler of `part` ended: `thrown` is null if it returned; the part itself, the same exception object,
    /// counts as reraised; anything else as raised.
    void ended(const std::exception_ptr& part, std::exception_ptr thrown);

    /// *Returns* what no handler has taken; null if nothing is left.
    [[nodiscard]] const std::exception_ptr& rest() const noexcept { return rest_; }

    /// *Returns* what is to be thrown; null if nothing is. The reraised parts and the rest make one group of the
    /// original's shape. If handlers raised errors, these and that group, the group last, are thrown in a group with an
    /// empty message; a single error is thrown as itself.
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

/// A handler and the test that chooses its part; made by on() and on_if().
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
        else if constexpr (std::is_invocable_v<Handle&>)
            return std::invoke(handle_);
    }

private:
    Take take_;
    Handle handle_;
};

template <class... Es, class Handle>
    requires(sizeof...(Es) > 0)
auto on(Handle handler) {
    auto take = [](group_dispatch& dispatch) { return dispatch.take<Es...>(); };
    return group_handler<decltype(take), Handle>(take, std::move(handler));
}

template <exception_predicate P, class Handle>
auto on_if(P predicate, Handle handler) {
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

/// Collects the results that are not void: the type of handle_group's result.
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

template <class... Handlers>
auto handle_group(const base_exception_group& group, Handlers... handlers) {
    return handle_group(group.pointer(), std::move(handlers)...);
}

} // namespace muster
