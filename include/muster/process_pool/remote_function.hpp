// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Functions and exceptions that two processes know by the same name. Arguments and results travel as CBOR by way of
/// nlohmann::json: whatever that converts can be sent, and a struct of one's own once it has a to_json and a from_json
/// (NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE writes both).
///
///     inline const muster::remote_function hash("hash", &hash_file);
///     inline const muster::remote_exception<file_error> file_errors("file_error");
///     auto sum = co_await muster::run_in_executor(pool, hash(path));

#include <muster/config.hpp>
#include <muster/process_pool/remote_request.hpp>
#include <muster/task.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace muster {

template <class R>
class remote_call;

template <class Signature>
class remote_function;

/// A function and the name by which a worker process finds it. Make it a global constant, so that every process of
/// the program has it before main begins; two functions can't have one name (process_pool's constructor says so).
/// *Thread safety*: any thread.
template <class R, class... Args>
class remote_function<R(Args...)> {
    static_assert(!detail::is_task<std::remove_cvref_t<R>>,
        "this makes a coroutine, which can't be sent: register a function that runs it there, with "
        "muster::run(...), and returns its value");
    static_assert(((!std::is_lvalue_reference_v<Args> || std::is_const_v<std::remove_reference_t<Args>>)&&...),
        "a process can't change an object of another one: take this argument by value or by const reference, "
        "and return what is new");
    static_assert((detail::can_be_sent<std::decay_t<Args>> && ...),
        "an argument can't be sent to another process: give its type a to_json and a from_json (see "
        "NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE), or take std::string instead of a pointer or a string_view");
    static_assert(std::is_void_v<R> || detail::can_be_sent<std::decay_t<R>>,
        "the result can't be sent to another process: give its type a to_json and a from_json (see "
        "NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE)");

public:
    using result_type = std::decay_t<R>;

    remote_function(std::string name, R (*f)(Args...), std::source_location site = std::source_location::current())
        : entry_(&detail::register_function({std::move(name), site, reinterpret_cast<detail::remote_entry::function>(f),
              &call, &typeid(R(Args...))})) {}

    /// *Returns* the call of the function with these arguments, which are written down now. Arguments that are too deep
    /// or too large fail the call when it is made, with a wire_error that names the argument; nothing is sent then.
    /// *Errors*: what a to_json throws; std::bad_alloc.
    [[nodiscard]] remote_call<result_type> operator()(const std::decay_t<Args>&... arguments) const {
        detail::remote_request_writer request(*entry_, sizeof...(Args));
        (add(request, arguments), ...);
        return remote_call<result_type>(std::move(request).finish());
    }

private:
    using tuple = std::tuple<std::decay_t<Args>...>;

    template <class T>
    static void add(detail::remote_request_writer& request, const T& argument) {
        if constexpr (std::is_same_v<T, nlohmann::json>)
            request.add(argument); // a copy would recurse as deep as it is
        else
            request.add(detail::to_wire(argument));
    }

    template <std::size_t... I>
    static tuple read(const detail::remote_entry& entry, const nlohmann::json& arguments, std::index_sequence<I...>) {
        detail::expect_arguments(entry, arguments, sizeof...(Args));
        try {
            return tuple(detail::from_wire<std::decay_t<Args>>(arguments[I])...);
        } catch (...) {
            detail::throw_unreadable_arguments(entry);
        }
    }

    static nlohmann::json call(const detail::remote_entry& entry, const nlohmann::json& list) {
        auto arguments = read(entry, list, std::index_sequence_for<Args...>());
        const auto f = reinterpret_cast<R (*)(Args...)>(entry.address);
        const auto apply = [f](auto&... values) -> R { return f(static_cast<Args&&>(values)...); };
        if constexpr (std::is_void_v<R>) {
            std::apply(apply, arguments);
            return nullptr;
        } else {
            decltype(auto) result = std::apply(apply, arguments);
            try {
                return detail::to_wire<result_type>(result);
            } catch (...) {
                detail::throw_unwritable_result(entry);
            }
        }
    }

    const detail::remote_entry* entry_;
};

/// A call of a remote function, with its arguments: what a process_pool takes. It may be called any number of times.
template <class R>
class [[nodiscard("nothing is called until this is given to run_in_executor")]] remote_call
    : private detail::remote_request {
public:
    using result_type = R;

    /// The function's name.
    [[nodiscard]] const std::string& name() const noexcept { return entry->name; }
    /// For the library.
    [[nodiscard]] const detail::remote_request& request() const noexcept { return *this; }

private:
    template <class>
    friend class remote_function;
    explicit remote_call(detail::remote_request r) noexcept : remote_request(std::move(r)) {}
};

template <class F>
remote_function(std::string, F) -> remote_function<typename detail::function_type<F>::type>;

/// An exception type and the name by which both sides know it: thrown by a function in a worker, it arrives as itself
/// instead of as a remote_error. The exception that is thrown must be exactly an E: a class derived from it is a type
/// of its own. Known without being registered: the classes of <stdexcept>, std::bad_alloc, std::system_error,
/// muster::timeout_error, muster::wire_error; a cancelled_error is a cancellation, as on a thread.
template <class E>
class remote_exception {
    static_assert(std::is_same_v<E, std::decay_t<E>> && std::is_copy_constructible_v<E>,
        "register the exception's type itself, which can be copied: remote_exception<file_error>");

public:
    /// Sends what() and makes an E of it.
    explicit remote_exception(std::string name) requires std::is_base_of_v<std::exception, E> &&
        std::is_constructible_v<E, const std::string&>
        : remote_exception(
              std::move(name), [](const E& e) { return nlohmann::json(e.what()); },
              [](const nlohmann::json& j) { return E(j.get_ref<const std::string&>()); }) {}

    /// `to` makes an nlohmann::json of a `const E&`, `from` an E of that. If one throws, a remote_error arrives.
    template <class To, class From>
        requires std::is_invocable_r_v<nlohmann::json, To&, const E&> &&
            std::is_invocable_r_v<E, From&, const nlohmann::json&>
            remote_exception(std::string name, To to, From from) {
            detail::register_exception({std::move(name), &typeid(E),
                [to = std::move(to)](
                    const std::exception_ptr& e) mutable -> nlohmann::json { return to(*detail::get_if<E>(e)); },
                [from = std::move(from)](
                    const nlohmann::json& j) mutable { return std::make_exception_ptr<E>(from(j)); }});
        }
};

} // namespace muster
