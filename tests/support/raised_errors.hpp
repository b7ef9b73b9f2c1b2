// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Errors with the is-a relations of the published except* scenarios, and functions that make groups of them and write
/// them as the scenarios' traces do.

#include <muster/error.hpp>
#include <muster/exception_group.hpp>

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace { // the texts of the tests name the types without a namespace

using muster::as_group;
using muster::base_exception_group;
using muster::cancelled_error;
using muster::exception_group;
using muster::get_if;
using muster::make_exception_group;

// Errors that are std::exceptions, with the is-a relations of the published scenarios, and one that is none.
struct error : std::exception {
    explicit error(std::string text = "") : text_(std::move(text)) {}
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};
struct value_error : error {
    using error::error;
};
struct type_error : error {
    using error::error;
};
struct run_error : error {
    using error::error;
};
struct lookup_error : error {
    using error::error;
};
struct key_error : lookup_error {
    using lookup_error::lookup_error;
};
struct os_error : error {
    using error::error;
};
struct connection_error : os_error {
    using os_error::os_error;
};
struct late_error : os_error {
    using os_error::os_error;
};
struct bare {
    std::string text;
};

template <class E>
std::exception_ptr one(std::string text) {
    return std::make_exception_ptr(E(std::move(text)));
}
inline std::exception_ptr group(std::string message, std::vector<std::exception_ptr> exceptions) {
    return make_exception_group(std::move(message), std::move(exceptions));
}

/// Writes an exception as the scenarios' traces do: eg('message', [value_error('1')]).
inline std::string show(const std::exception_ptr& e) {
    if (!e)
        return "none";
    if (const auto* g = as_group(e)) {
        std::string text = get_if<exception_group>(e) != nullptr ? "eg" : "beg";
        text += "('" + g->message() + "', [";
        for (std::size_t i = 0; i != g->size(); ++i)
            text += (i == 0 ? "" : ", ") + show(g->exceptions()[i]);
        return text + "])";
    }
    if (const auto* cancelled = get_if<cancelled_error>(e))
        return "cancelled('" + std::string(cancelled->message()) + "')";
    if (const auto* number = get_if<int>(e))
        return std::to_string(*number);
    if (const auto* exception = get_if<std::exception>(e))
        return muster::type_name(e) + "('" + exception->what() + "')";
    return muster::type_name(e);
}

/// Runs a try statement: *returns* what left it.
template <class Body>
std::exception_ptr left_by(Body body) {
    try {
        body();
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

inline const char* const simple_text = "eg('simple eg', [value_error('1'), type_error('T'), value_error('2')])";
inline std::exception_ptr simple() {
    return group("simple eg", {one<value_error>("1"), one<type_error>("T"), one<value_error>("2")});
}
inline bool anything(const std::exception_ptr&) { return true; }

using texts = std::vector<std::string>;

} // namespace
