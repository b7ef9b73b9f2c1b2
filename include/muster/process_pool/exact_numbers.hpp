// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Numbers that arrive in JSON or CBOR, read as what they are: nlohmann::json converts NaN, 1e300, 2^64 - 1 and true to
/// an int without a word, and some of these conversions are undefined. Here each is a wire_error. For the library.
///
///     exact_numbers<std::vector<int>>::expect(json);   // throws unless each element is an integer in range
///     auto values = json.get<std::vector<int>>();

#include <muster/config.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// *Errors*: always wire_error, which shows the value.
[[noreturn]] void throw_inexact_number(const nlohmann::json& value, const char* wanted);

/// Compares what was sent with what the object that was read from it writes. *Errors*: wire_error if a number became
/// one of another kind, was cut off to fewer bits, or became infinite. Whatever only one side has is not looked at.
void expect_same_numbers(const nlohmann::json& sent, const nlohmann::json& read);

template <class T>
inline constexpr bool is_json_text =
    std::is_same_v<T, std::string> || std::is_same_v<T, nlohmann::json> || std::is_same_v<T, nlohmann::json::binary_t>;

template <class T>
concept is_json_map = requires {
    typename T::key_type;
    typename T::mapped_type;
};

template <class T>
concept is_json_list = !is_json_map<T> && !is_json_text<T> && requires {
    typename T::value_type;
    typename T::iterator;
};

template <class T>
concept is_json_tuple = !is_json_list<T> && requires {
    std::tuple_size<T>::value;
};

/// Holds for a T with all the numbers in it. A class of the user's is opaque: only its from_json knows
/// what it reads, so it is compared afterwards.
template <class T>
struct exact_numbers {
    static constexpr bool is_opaque = std::is_class_v<T> && !is_json_text<T>;
    static void expect(const nlohmann::json&) {}
};

template <class T>
    requires std::integral<T>
struct exact_numbers<T> {
    static constexpr bool is_opaque = false;
    static void expect(const nlohmann::json& j) {
        if constexpr (std::is_same_v<T, bool>) {
            if (!j.is_boolean())
                throw_inexact_number(j, "a bool");
        } else {
            const bool fits = j.is_number_unsigned()  ? std::in_range<wide>(j.get<std::uint64_t>())
                              : j.is_number_integer() ? std::in_range<wide>(j.get<std::int64_t>())
                                                      : false;
            if (!fits)
                throw_inexact_number(
                    j, std::is_signed_v<T> ? "a signed integer of this size" : "an unsigned integer of this size");
        }
    }

private:
    // std::in_range takes no character types.
    static auto standard() {
        if constexpr (std::is_same_v<T, bool>)
            return bool();
        else if constexpr (std::is_signed_v<T>)
            return std::conditional_t<sizeof(T) == 1, std::int8_t,
                std::conditional_t<sizeof(T) == 2, std::int16_t,
                    std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>>>();
        else
            return std::conditional_t<sizeof(T) == 1, std::uint8_t,
                std::conditional_t<sizeof(T) == 2, std::uint16_t,
                    std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>();
    }
    using wide = decltype(standard());
};

template <class T>
    requires std::floating_point<T>
struct exact_numbers<T> {
    static constexpr bool is_opaque = false;
    static void expect(const nlohmann::json& j) {
        if (j.is_number_float()) {
            const auto value = j.get<double>();
            if (std::isfinite(value) && std::fabs(value) > static_cast<double>(std::numeric_limits<T>::max()))
                throw_inexact_number(j, "a floating-point number of this size");
            return;
        }
        // An integer will do if no digit is lost.
        constexpr auto most = std::int64_t{1} << std::min(std::numeric_limits<T>::digits, 53);
        const bool fits = j.is_number_unsigned()  ? j.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                          : j.is_number_integer() ? j.get<std::int64_t>() >= -most && j.get<std::int64_t>() <= most
                                                  : false;
        if (!fits)
            throw_inexact_number(j, "a floating-point number");
    }
};

template <class T>
    requires std::is_enum_v<T>
struct exact_numbers<T> {
    static constexpr bool is_opaque = false;
    /// One that is written as text has rules of its own.
    static void expect(const nlohmann::json& j) {
        if (!j.is_string())
            exact_numbers<std::underlying_type_t<T>>::expect(j);
    }
};

template <is_json_list T>
struct exact_numbers<T> {
    using value = std::remove_cv_t<typename T::value_type>;
    static constexpr bool is_opaque = exact_numbers<value>::is_opaque;
    static void expect(const nlohmann::json& j) {
        if (j.is_array())
            for (const auto& element : j)
                exact_numbers<value>::expect(element);
    }
};

template <is_json_map T>
struct exact_numbers<T> {
    using key = std::remove_cv_t<typename T::key_type>;
    using mapped = std::remove_cv_t<typename T::mapped_type>;
    static constexpr bool is_opaque = exact_numbers<key>::is_opaque || exact_numbers<mapped>::is_opaque;
    static void expect(const nlohmann::json& j) {
        if (j.is_object()) {
            for (const auto& element : j)
                exact_numbers<mapped>::expect(element);
        } else if (j.is_array()) { // keys that are no text
            for (const auto& element : j)
                exact_numbers<std::pair<key, mapped>>::expect(element);
        }
    }
};

template <is_json_tuple T>
struct exact_numbers<T> {
    static constexpr std::size_t size = std::tuple_size_v<T>;
    static constexpr bool is_opaque = []<std::size_t... I>(std::index_sequence<I...>) {
        return (exact_numbers<std::remove_cv_t<std::tuple_element_t<I, T>>>::is_opaque || ... || false);
    }
    (std::make_index_sequence<size>());
    static void expect(const nlohmann::json& j) {
        if (j.is_array() && j.size() == size)
            expect_each(j, std::make_index_sequence<size>());
    }

private:
    template <std::size_t... I>
    static void expect_each(const nlohmann::json& j, std::index_sequence<I...>) {
        (exact_numbers<std::remove_cv_t<std::tuple_element_t<I, T>>>::expect(j[I]), ...);
    }
};

/// Frees the texts and the bytes in a value; its numbers stay, each in its place.
void drop_texts(nlohmann::json& value) noexcept;

} // namespace muster::detail
