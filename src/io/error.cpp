// SPDX-License-Identifier: MIT
// This file defines the two error categories of muster::io, one for its own codes and one for those of getaddrinfo(),
// and the text of a connect_error, which lists each address with the reason why it failed.
#include <muster/io/error.hpp>

#include <netdb.h>

namespace muster::io {

namespace {

class io_category_type final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "muster.io"; }
    [[nodiscard]] std::string message(int code) const override {
        switch (static_cast<io_errc>(code)) {
        case io_errc::incomplete_read:
            return "the end came too early";
        case io_errc::limit_exceeded:
            return "more came than the limit allows";
        case io_errc::interrupted_write:
            return "an earlier write was interrupted";
        }
        return "unknown error";
    }
};

class resolve_category_type final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "getaddrinfo"; }
    [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

std::string list_of(const std::string& target, const std::vector<failed_attempt>& attempts) {
    std::string text = "could not connect to " + target;
    const char* before = " (";
    for (const auto& a : attempts) {
        text += before + a.address + ": " + a.code.message();
        before = "; ";
    }
    if (!attempts.empty())
        text += ')';
    return text;
}

} // namespace

const std::error_category& io_category() noexcept {
    static const io_category_type category;
    return category;
}

const std::error_category& resolve_category() noexcept {
    static const resolve_category_type category;
    return category;
}

connect_error::connect_error(const std::string& target, std::vector<failed_attempt> attempts)
    : std::system_error(
          attempts.empty() ? std::make_error_code(std::errc::address_not_available) : attempts.back().code,
          list_of(target, attempts)),
      attempts_(std::make_shared<const std::vector<failed_attempt>>(std::move(attempts))) {}

} // namespace muster::io
