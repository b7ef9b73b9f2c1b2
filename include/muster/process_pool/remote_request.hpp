// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Functions and exceptions as they are registered, and a call in its written form. For the library.
///
///     detail::remote_request_writer request(entry, 1);
///     request.add(detail::to_wire(path));
///     auto written = std::move(request).finish();

#include <muster/config.hpp>
#include <muster/process_pool/exact_numbers.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace muster::detail {

/// A registered function. *Lifetime*: the program's.
struct remote_entry {
    using function = void (*)();
    std::string name;
    std::source_location site;
    function address;
    /// Throws what the function throws; wire_error if the arguments are not what it takes.
    nlohmann::json (*call)(const remote_entry& self, const nlohmann::json& arguments);
    const std::type_info* signature = nullptr; ///< of R(Args...): another program must have the same
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

// ---- values on their way to another process and back: whatever nlohmann::json converts, and bytes as bytes ----

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

/// The same from a value that is given away: texts and bytes are moved out of it, or freed as soon as they were read.
/// So they are in memory twice at the most, however large they are.
template <class T>
[[nodiscard]] T from_wire(nlohmann::json&& value) {
    if constexpr (std::is_same_v<T, std::vector<std::uint8_t>>) {
        return std::move(static_cast<std::vector<std::uint8_t>&>(value.get_binary()));
    } else if constexpr (std::is_same_v<T, std::string>) {
        if (value.is_string())
            return std::move(value.get_ref<std::string&>());
        return from_wire<T>(std::as_const(value)); // which says what else it is
    } else if constexpr (std::is_same_v<T, nlohmann::json>) {
        return std::move(value);
    } else if constexpr (!is_bytes<T> && exact_numbers<T>::is_opaque) {
        exact_numbers<T>::expect(value);
        auto result = value.template get<T>();
        drop_texts(value);
        expect_same_numbers(value, to_wire(result));
        return result;
    } else {
        return from_wire<T>(std::as_const(value));
    }
}

template <class F>
struct function_type {
    static_assert(!sizeof(F*), "this has no address that another process could find: register a function, or a lambda "
                               "without captures, and send what it needs as arguments");
    using type = void();
};
template <class F>
    requires requires(F f) { +f; }
struct function_type<F> : function_type<decltype(+std::declval<F&>())> {};
template <class R, class... Args>
struct function_type<R (*)(Args...)> {
    using type = R(Args...);
};
template <class R, class... Args>
struct function_type<R (*)(Args...) noexcept> {
    using type = R(Args...);
};

} // namespace muster::detail
