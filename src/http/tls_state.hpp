// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The facts about a connection's TLS that libcurl does not tell: bytes that were not read, an end that is a cut, and
/// the protocol that was agreed on. Private to muster::http.
///
///     if (tls_has_unread_bytes(easy)) ...
///     if (!tls_was_closed_properly(easy)) ...

#include "curl_handles.hpp"

#include <optional>

namespace muster::http {

/// *Returns* whether the connection's TLS holds decrypted bytes that were not read; false where that can't be known.
[[nodiscard]] bool tls_has_unread_bytes(CURL* easy) noexcept;

/// Has OpenSSL tell an end of the connection from a proper one, whatever libcurl told it. To be called from a callback.
void tls_require_proper_end(CURL* easy) noexcept;

/// *Returns* whether the peer said that it sends no more (close_notify); true where that can't be known.
/// To be called from a callback of libcurl's: the connection must still be the handle's.
[[nodiscard]] bool tls_was_closed_properly(CURL* easy) noexcept;

/// *Returns* whether the peer agreed to HTTP/2 (ALPN); nothing where that can't be known.
[[nodiscard]] std::optional<bool> tls_agreed_to_http2(CURL* easy) noexcept;

} // namespace muster::http
