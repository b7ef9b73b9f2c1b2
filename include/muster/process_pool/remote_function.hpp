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
#include <muster/process_pool/exact_numbers.hpp>
#include <muster/task.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace muster {

namespace detail {

template <class T>
inline constexpr bool is_bytes =
    std::is_same_v<T, std::vector<std::uint8_t>> || std::is_same_v<T, std::vector<std::byte>>;

template <class T>
concept is_written_to_json = is_bytes<T> || std::is_constructible_v<nlohmann::json, const T&>;

template <class T>
concept is_read_from_json = is_bytes<T> || requires(const nlohmann::json& j) {
    static_cast<T>(j.template get<T>());
};

template <class T>
concept can_be_sent = !std::is_pointer_v<T> && is_written_to_json<T> && is_read_from_json<T>;

template <class T>
[[nodiscard]] nlohmann::json to_wire(const T& value) {
    if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
        return nlohmann::json::binary(value);
    } else if constexpr (is_bytes<T>) {
        const auto* first = reinterpret_cast<const std::uint8_t*>(value.data());
        return nlohmann::json::binary(std::vector<std::uint8_t>(first, first + value.size()));
    } else {
        return nlohmann::json(value);
    }
}

/// *Errors*: what T's from_json throws; wire_error for a number of another kind than T holds, or out of its range: a
/// fraction, NaN or true is no int, and 300 is no std::uint8_t.
template <class T>
[[nodiscard]] T from_wire(const nlohmann::json& value) {
    if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
        return value.get_binary();
    } else if constexpr (is_bytes<T>) {
        const auto& bytes = value.get_binary();
        const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
        return T(first, first + bytes.size());
    } else {
        exact_numbers<T>::expect(value);
        if constexpr (exact_numbers<T>::is_opaque) {
            auto result = value.template get<T>();
            expect_same_numbers(value, to_wire(result));
            return result;
        } else {
            return value.template get<T>();
        }
    }
}

/// A registered function. *Lifetime*: the program's.
struct remote_entry {
    using function = void (*)();
    std::string name;
    std::source_location site;
    function address;
    /// Throws what the function throws; wire_error if the arguments are not what it takes.
    nlohmann::json (*call)(const remote_entry& self, const nlohmann::json& arguments);
};

/// A name that is taken is kept as it was; see process_pool's constructor.
const remote_entry& register_function(remote_entry entry);

/// *Errors*: wire_error if there are not `count`.
void expect_arguments(const remote_entry& entry, const nlohmann::json& arguments, std::size_t count);
/// Inside a handler. *Errors*: wire_error with what was caught.
[[noreturn]] void throw_unreadable_arguments(const remote_entry& entry);
[[noreturn]] void throw_unwritable_result(const remote_entry& entry);

/// A call as it is sent.
struct remote_request {
    /// How much of the message an argument is.
    struct argument_size {
        std::size_t bytes;
        std::uint64_t values;
    };
    explicit remote_request(const remote_entry& e) noexcept : entry(&e) {}
    const remote_entry* entry;
    std::vector<std::uint8_t> message;
    std::vector<argument_size> arguments;
    std::string problem; ///< why it can't be sent to any pool; empty if it can
};

/// Writes a request, argument by argument. Each is measured, so that one that is too large can be named.
class remote_request_writer {
public:
    remote_request_writer(const remote_entry& entry, std::size_t arguments);
    void add(const nlohmann::json& argument);
    [[nodiscard]] remote_request finish() &&;

private:
    remote_request request_;
};

struct remote_exception_entry {
    std::string name;
    const std::type_info* type;
    std::function<nlohmann::json(const std::exception_ptr&)> to;
    std::function<std::exception_ptr(const nlohmann::json&)> from;
};
void register_exception(remote_exception_entry entry);

template <class F>
struct function_type {
    static_assert(
        requires(F f) { +f; },
        "this has no address that another process could find: register a function, or a lambda without "
        "captures, and send what it needs as arguments");
    using type = typename function_type<decltype(+std::declval<F&>())>::type;
};
template <class R, class... Args>
struct function_type<R (*)(Args...)> {
    using type = R(Args...);
};
template <class R, class... Args>
struct function_type<R (*)(Args...) noexcept> {
    using type = R(Args...);
};

} // namespace detail

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
        : entry_(&detail::register_function(
              {std::move(name), site, reinterpret_cast<detail::remote_entry::function>(f), &call})) {}

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

template <class F>
remote_function(std::string, F) -> remote_function<typename detail::function_type<F>::type>;

/// An exception type and the name by which both sides know it: thrown by a function in a worker, it arrives as itself
/// instead of as a remote_error. What is thrown must be exactly an E: a class derived from it is a type of its own.
/// Known without being registered: the classes of <stdexcept>, std::bad_alloc, std::system_error,
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
