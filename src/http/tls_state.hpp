// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Two questions about a connection's TLS that libcurl does not answer. Private to muster::http.
///
///     if (tls_has_unread_bytes(easy)) ...
///     if (!tls_was_closed_properly(easy)) ...

#include "curl_handles.hpp"

namespace muster::http {

/// *Returns* whether the connection's TLS holds decrypted bytes that were not read; false where that can't be known.
[[nodiscard]] bool tls_has_unread_bytes(CURL* easy) noexcept;

/// *Returns* whether the peer said that it sends no more (close_notify); true where that can't be known.
/// To be called from a callback of libcurl's: the connection must still be the handle's.
[[nodiscard]] bool tls_was_closed_properly(CURL* easy) noexcept;

} // namespace muster::http
