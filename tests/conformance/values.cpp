// SPDX-License-Identifier: MIT
#include "values.hpp"

#include "exceptions.hpp"

#include <algorithm>
#include <type_traits>

namespace conformance {

value value::from_json(const json& j) {
    if (j.is_null())
        return value();
    if (j.is_boolean())
        return value(j.get<bool>());
    if (j.is_number_integer())
        return value(j.get<std::int64_t>());
    if (j.is_number())
        return value(j.get<double>());
    if (j.is_string())
        return value(j.get<std::string>());
    if (!j.is_array())
        throw fault("no value of the language: " + j.dump());
    std::vector<value> list;
    for (const json& element : j)
        list.push_back(from_json(element));
    return value(std::move(list));
}

const std::vector<value>& value::list() const {
    if (const auto* l = std::get_if<std::vector<value>>(&held_))
        return *l;
    throw fault("wanted a list, not " + show(*this));
}

std::vector<value>& value::list() { return const_cast<std::vector<value>&>(std::as_const(*this).list()); }

std::exception_ptr value::error() const {
    const auto* e = std::get_if<std::exception_ptr>(&held_);
    return e != nullptr ? *e : nullptr;
}

value::operator bool() const {
    return std::visit(
        [](const auto& v) {
            using held = std::remove_cvref_t<decltype(v)>;
            if constexpr (std::is_same_v<held, std::monostate>)
                return false;
            else if constexpr (std::is_same_v<held, std::exception_ptr>)
                return true;
            else if constexpr (std::is_arithmetic_v<held>)
                return v != held{};
            else
                return !v.empty();
        },
        held_);
}

bool operator<(const value& a, const value& b) {
    return std::visit(
        [](const auto& left, const auto& right) -> bool {
            using l = std::remove_cvref_t<decltype(left)>;
            using r = std::remove_cvref_t<decltype(right)>;
            if constexpr (std::is_arithmetic_v<l> && std::is_arithmetic_v<r>)
                return static_cast<double>(left) < static_cast<double>(right);
            else if constexpr (std::is_same_v<l, r> && std::is_same_v<l, std::string>)
                return left < right;
            else if constexpr (std::is_same_v<l, r> && std::is_same_v<l, std::vector<value>>)
                return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
            else
                throw type_error("'<' not supported between these values");
        },
        a.held_, b.held_);
}

std::string show(const std::vector<value>& list) {
    std::string text = "[";
    for (const value& v : list) {
        if (text.size() > 1)
            text += ", ";
        text += show(v);
    }
    return text + "]";
}

std::string show(const value& v) {
    return std::visit(
        [](const auto& held_value) -> std::string {
            using held = std::remove_cvref_t<decltype(held_value)>;
            if constexpr (std::is_same_v<held, std::monostate>)
                return "none";
            else if constexpr (std::is_same_v<held, bool>)
                return held_value ? "true" : "false";
            else if constexpr (std::is_same_v<held, std::int64_t>)
                return std::to_string(held_value);
            else if constexpr (std::is_same_v<held, double>)
                return json(held_value).dump();
            else if constexpr (std::is_same_v<held, std::string>)
                return "'" + held_value + "'";
            else
                return show(held_value);
        },
        v.held_);
}

} // namespace conformance
