// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The values of the scenario language: what a coroutine returns, a queue carries and a gather lists. They are made
/// from JSON, written as a trace wants them, and ordered as Python orders them. An exception can be one.
///
///     show(value::from_json(json::parse("[1, \"two\", null]")));    // [1, 'two', none]

#include <nlohmann/json.hpp>

#include <cstdint>
#include <exception>
#include <string>
#include <variant>
#include <vector>

namespace conformance {

using json = nlohmann::json;

class value {
public:
    value() = default;
    explicit value(bool b) : held_(b) {}
    explicit value(std::int64_t n) : held_(n) {}
    explicit value(double d) : held_(d) {}
    explicit value(std::string text) : held_(std::move(text)) {}
    explicit value(std::vector<value> list) : held_(std::move(list)) {}
    explicit value(std::exception_ptr error) : held_(std::move(error)) {}

    static value from_json(const json& j);

    /// The list that it is. *Errors*: fault if it is none.
    [[nodiscard]] const std::vector<value>& list() const;
    [[nodiscard]] std::vector<value>& list();
    /// The exception that it is, else null.
    [[nodiscard]] std::exception_ptr error() const;

    /// Python's bool(): what `wait_until` waits for.
    explicit operator bool() const;

    /// Python's `<`, for priority queues. *Errors*: type_error for two that have no order.
    friend bool operator<(const value& a, const value& b);
    friend std::string show(const value& v);

private:
    std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<value>, std::exception_ptr> held_;
};

/// *Returns* `[1, 'a']`.
std::string show(const std::vector<value>& list);

} // namespace conformance
