// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// -O: the name that a server gives its body. A server is not trusted: whatever it says becomes one name in the folder.
///
///     server_name(answer.headers, "http://host/a/b.html?x")       // Content-Disposition's name, or "b.html"

#include <muster/http/message.hpp>

#include <string>
#include <string_view>

namespace tool {

/// *Returns* the text as a file name: of a path the last part, without control characters, characters that change the
/// direction of writing or are invisible, dots at its beginning, and without the ending of a partial file; about 200
/// bytes at most, with its extension. Empty if nothing is left.
[[nodiscard]] std::string plain_name(std::string_view text);

/// *Returns* the name that a Content-Disposition gives, made plain; empty if it gives none.
/// *Source*: RFC 6266; RFC 8187 for `filename*`.
[[nodiscard]] std::string disposition_name(std::string_view value);

/// *Returns* the last part of a URL's path, decoded and made plain; "index.html" where there is none.
[[nodiscard]] std::string url_name(std::string_view url);

/// *Returns* what Content-Disposition says, or else the URL.
[[nodiscard]] std::string server_name(const muster::http::header_list& headers, std::string_view url);

} // namespace tool
