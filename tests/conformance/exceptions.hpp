// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Python's exceptions as C++ types with the same is-a relations. What muster has it uses: cancelled_error,
/// timeout_error, exception_group and the like; the rest are classes of its own. An exception is made from JSON, asked
/// for its kind by Python's name, and written as a trace wants it.
///
///     auto e = make_exception(json::parse(R"(["KeyError", "k"])"));
///     matches(e, "LookupError");    // true
///     show(e);                      // KeyError('k')

#include "values.hpp"

#include <muster/error.hpp>

#include <concepts>
#include <exception>
#include <stdexcept>
#include <string>

namespace conformance {

/// An exception that was made with a text, or without one; the text is empty then.
class spoken {
public:
    explicit spoken(std::string text) : text_(std::move(text)) {}
    virtual ~spoken() = default;
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

protected:
    spoken(const spoken&) = default;
    spoken& operator=(const spoken&) = default;

private:
    std::string text_;
};

/// `BaseException`: no std::exception, as what derives from it alone is not to be caught by the way.
class base_exception : public spoken {
public:
    using spoken::spoken;
};

/// `Exception`.
class plain_error : public std::exception, public spoken {
public:
    using spoken::spoken;
    [[nodiscard]] const char* what() const noexcept override { return text().c_str(); }
};

class value_error : public plain_error {
    using plain_error::plain_error;
};
class type_error : public plain_error {
    using plain_error::plain_error;
};
class lookup_error : public plain_error {
    using plain_error::plain_error;
};
class key_error : public lookup_error {
    using lookup_error::lookup_error;
};
class os_error : public plain_error {
    using plain_error::plain_error;
};
class connection_error : public os_error {
    using os_error::os_error;
};
class runtime_error : public plain_error {
    using plain_error::plain_error;
};
class transaction_error : public plain_error {
    using plain_error::plain_error;
};

/// One of muster's own errors, made by a scenario or with a text that asyncio gives it.
template <std::derived_from<std::exception> Error>
class spoken_as : public Error, public spoken {
public:
    explicit spoken_as(const std::string& text) : Error(text), spoken(text) {}
};

/// The scenario itself is wrong. Matches no type of the language.
class fault : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// `["ValueError", "text"]` or `["ExceptionGroup", "text", [...]]`, from the given element on.
/// *Errors*: fault; value_error and type_error for groups that Python refuses to make.
std::exception_ptr make_exception(const json& spec, std::size_t from = 0);

/// True if Python's isinstance would say so. *Errors*: fault if there is no such type.
bool matches(const std::exception_ptr& error, const std::string& type);
/// The same for a list of types, as JSON.
bool matches_any(const std::exception_ptr& error, const json& types);

/// *Returns* "KeyError".
std::string type_of(const std::exception_ptr& error);
/// *Returns* "KeyError('text')", "ExceptionGroup('text', [...])"; "none" for null.
std::string show(const std::exception_ptr& error);

} // namespace conformance
