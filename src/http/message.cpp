// SPDX-License-Identifier: MIT
// This file implements requests and responses apart from their sending: the look-up of headers, the checked setters of
// a request, and the phrases of statuses. A setter refuses what would break the lines of HTTP/1, such as a line break
// in a header. The last of body(), body_file() and body_from() counts, as each clears the other two.
#include <muster/http.hpp>

#include "vocabulary/http_reasons.hpp"

#include <algorithm>
#include <stdexcept>

namespace muster::http {

namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) noexcept { return std::ranges::equal(a, b, {}, lower, lower); }

/// RFC 9110's token: what a method or the name of a header is made of.
bool is_token(std::string_view s) noexcept {
    return !s.empty() && std::ranges::all_of(s, [](char c) {
        return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
               std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
}

std::chrono::nanoseconds require_positive(std::chrono::nanoseconds d, const char* what) {
    if (d.count() <= 0)
        throw std::invalid_argument(std::string(what) + " must be longer than zero");
    return d;
}

void refuse_breaks(std::string_view text, const char* where) {
    if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
        throw std::invalid_argument(std::string(where) + ": there is a line break or a NUL in it");
}

} // namespace

const std::string* header_list::find(std::string_view name) const noexcept {
    const auto at = std::ranges::find_if(all_, [&](const header& h) { return same_name(h.name, name); });
    return at != all_.end() ? &at->value : nullptr;
}

std::vector<std::string> header_list::find_all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& h : all_)
        if (same_name(h.name, name))
            values.push_back(h.value);
    return values;
}

void header_list::add(std::string name, std::string value) {
    // Most messages have fewer: growing by doubling from one would move each header several times.
    constexpr std::size_t usual = 12;
    if (all_.capacity() == 0)
        all_.reserve(usual);
    all_.emplace_back(std::move(name), std::move(value));
}

void header_list::fold(std::string_view more) {
    if (!all_.empty())
        all_.back().value.append(" ").append(more);
}

request& request::method(std::string name) {
    if (!is_token(name))
        throw std::invalid_argument("request::method: '" + name + "' is no method");
    method_ = std::move(name);
    return *this;
}

request& request::header(std::string name, std::string value) {
    if (!is_token(name))
        throw std::invalid_argument("request::header: '" + name + "' is no name of a header");
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        throw std::invalid_argument("request::header: the value of '" + name + "' has a line break or a NUL in it");
    headers_.add(std::move(name), std::move(value));
    return *this;
}

request& request::body(std::string bytes) {
    body_ = std::move(bytes);
    body_file_.clear();
    source_ = nullptr;
    return *this;
}

request& request::body_file(std::string path) {
    if (path.empty() || path.find('\0') != std::string::npos)
        throw std::invalid_argument("request::body_file: '" + path.substr(0, path.find('\0')) + "' names no file");
    body_file_ = std::move(path);
    body_.reset();
    source_ = nullptr;
    return *this;
}

request& request::body_from(body_source source, std::optional<std::uint64_t> size) {
    if (!source)
        throw std::invalid_argument("request::body_from: the source is empty");
    source_ = std::move(source);
    source_size_ = size;
    body_.reset();
    body_file_.clear();
    return *this;
}

request& request::on_upload(upload_hook hook) {
    upload_hook_ = std::move(hook);
    return *this;
}

request& request::basic_auth(std::string name, std::string password) {
    refuse_breaks(name, "request::basic_auth");
    refuse_breaks(password, "request::basic_auth");
    if (name.find(':') != std::string::npos)
        throw std::invalid_argument("request::basic_auth: a name can't have a colon in it");
    basic_auth_.emplace(std::move(name), std::move(password));
    return *this;
}

request& request::bearer_auth(std::string token) {
    refuse_breaks(token, "request::bearer_auth");
    bearer_auth_ = std::move(token);
    return *this;
}

request& request::retry(resend_policy policy) {
    retry_ = std::move(policy);
    return *this;
}

request& request::idempotent(bool is) noexcept {
    idempotent_ = is;
    return *this;
}

bool request::is_idempotent() const noexcept {
    const bool sends = body_ || !body_file_.empty() || source_;
    return idempotent_ || headers_.find("Idempotency-Key") != nullptr ||
           (method_.empty() ? !sends : http::is_idempotent(method_));
}

request& request::expect_continue(std::chrono::nanoseconds limit) {
    expect_continue_ = require_positive(limit, "request::expect_continue");
    return *this;
}

request& request::timeout(std::chrono::nanoseconds limit) {
    timeout_ = require_positive(limit, "request::timeout");
    return *this;
}

request& request::body_to(body_sink sink) {
    sink_ = std::move(sink);
    return *this;
}

request& request::compression(bool allowed) noexcept {
    compression_ = allowed;
    return *this;
}

request& request::body_limit(std::uint64_t bytes) noexcept {
    body_limit_ = bytes;
    return *this;
}

void response::throw_if_error() const {
    if (!is_error())
        return;
    std::string text = std::to_string(status);
    if (const auto phrase = reason_phrase(status); !phrase.empty())
        text.append(" ").append(phrase);
    throw status_error(url, std::move(text), status, retry_after);
}

std::string_view reason_phrase(int status) noexcept { return muster::detail::reason_phrase(status); }

} // namespace muster::http
