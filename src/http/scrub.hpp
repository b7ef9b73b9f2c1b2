// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Texts without the names and passwords of users. Private to muster::http and the command.
///
///     without_passwords("Unsupported proxy syntax in 'http://al:pw@h'")    // Unsupported proxy syntax in 'http://h'

#include <string>
#include <string_view>

namespace muster::http {

/// *Returns* a text, a message say, in which no URL says anything of a user. See without_password() for one URL alone.
[[nodiscard]] std::string without_passwords(std::string_view text);

/// *Returns* the part of the URL that says who the user is, "al:pw", without the @ behind it; empty if there is none.
/// *Lifetime*: the URL's.
[[nodiscard]] std::string_view user_of(std::string_view url) noexcept;

/// *Returns* whether the value of a header of this name is a secret: Authorization, Proxy-Authorization, Cookie.
[[nodiscard]] bool is_secret_header(std::string_view name) noexcept;

/// *Returns* "Name: value" as it may be shown: without the value if that is a secret, and without what stands in the
/// place of a header if there is no colon.
[[nodiscard]] std::string without_secret(std::string_view header);

} // namespace muster::http
