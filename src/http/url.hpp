// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A URL as a person writes it, and as it goes out. Private to muster::http.
///
///     wire_url("http://bücher.example/ä b")      // http://xn--bcher-kva.example/%C3%A4%20b

#include <string>

namespace muster::http {

/// *Returns* the URL with an international host name in its ASCII form, whatever the locale, and with blanks and bytes
/// beyond ASCII in its path, query and fragment as browsers encode them.
/// *Errors*: url_error for control characters, and for a host name that has no ASCII form.
[[nodiscard]] std::string wire_url(const std::string& url);

} // namespace muster::http
