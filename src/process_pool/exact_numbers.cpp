// SPDX-License-Identifier: MIT
// This file compares the numbers in a JSON value with those that a user's type writes after it was read from that
// value. Both are walked side by side, and a pair is refused if a number became a bool or a bool a number, a
// floating-point number became an integer or infinite, or an integer lost its sign or its upper bits.
#include <muster/process_pool/exact_numbers.hpp>

#include <muster/process_pool/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace muster::detail {

namespace {

std::string text_of(const nlohmann::json& value) {
    if (value.is_structured() || value.is_string() || value.is_binary())
        return value.type_name();
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
        return std::isnan(value.get<double>()) ? "NaN" : "infinity";
    return value.dump();
}

/// The two's complement of an integer: what a conversion to a narrower type keeps of it are its lowest bits.
std::uint64_t bits_of(const nlohmann::json& integer) {
    return integer.is_number_unsigned() ? integer.get<std::uint64_t>()
                                        : static_cast<std::uint64_t>(integer.get<std::int64_t>());
}

bool is_negative(const nlohmann::json& integer) {
    return !integer.is_number_unsigned() && integer.get<std::int64_t>() < 0;
}

bool is_cut_off(std::uint64_t sent, std::uint64_t read) {
    const std::uint64_t differ = sent ^ read;
    return differ != 0 && ((differ & 0xff) == 0 || (differ & 0xffff) == 0 || (differ & 0xffff'ffff) == 0);
}

void compare(const nlohmann::json& sent, const nlohmann::json& read) {
    if (sent.is_boolean() != read.is_boolean())
        throw_inexact_number(sent, read.is_boolean() ? "a bool" : "a number");
    if (sent.is_boolean())
        return;
    if (sent.is_number_float()) {
        if (!read.is_number_float())
            throw_inexact_number(sent, "an integer");
        if (std::isfinite(sent.get<double>()) && !std::isfinite(read.get<double>()))
            throw_inexact_number(sent, "a floating-point number of this size");
    } else if (!read.is_number_float()) {
        const bool sign_was_lost = bits_of(sent) == bits_of(read) && is_negative(sent) != is_negative(read);
        if (sign_was_lost || is_cut_off(bits_of(sent), bits_of(read)))
            throw_inexact_number(sent, "an integer of this size");
    }
}

} // namespace

void throw_inexact_number(const nlohmann::json& value, const char* wanted) {
    throw wire_error(text_of(value) + " is not " + wanted);
}

void expect_same_numbers(const nlohmann::json& sent, const nlohmann::json& read) {
    const auto is_plain = [](const nlohmann::json& j) { return j.is_number() || j.is_boolean(); };
    if (sent.is_array() && read.is_array()) {
        for (std::size_t i = 0; i != std::min(sent.size(), read.size()); ++i)
            expect_same_numbers(sent[i], read[i]);
    } else if (sent.is_object() && read.is_object()) {
        for (const auto& [key, value] : sent.items())
            if (const auto found = read.find(key); found != read.end())
                expect_same_numbers(value, *found);
    } else if (is_plain(sent) && is_plain(read)) {
        compare(sent, read);
    }
}

void drop_texts(nlohmann::json& value) noexcept {
    if (value.is_string())
        std::exchange(value.get_ref<std::string&>(), {});
    else if (value.is_binary())
        std::exchange(value.get_binary(), {});
    else if (value.is_structured())
        for (auto& inner : value)
            drop_texts(inner);
}

} // namespace muster::detail
