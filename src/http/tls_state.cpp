// SPDX-License-Identifier: MIT
// libcurl 7.88 takes a TLS connection that was cut off for one that was closed (its BIO has OpenSSL report a bare
// SSL_ERROR_SYSCALL, which only its debug builds take for an error), so the session itself is asked. The library that
// libcurl uses is in the process already; its two functions are looked up there, so that muster needs no TLS library of
// its own. With another library than OpenSSL both questions have the lenient answer.
#include "tls_state.hpp"

#include <dlfcn.h>

namespace muster::http {

namespace {

constexpr int received_shutdown = 2; // SSL_RECEIVED_SHUTDOWN

using ask_ssl = int (*)(const void* ssl);

ask_ssl find(const char* name) noexcept { return reinterpret_cast<ask_ssl>(::dlsym(RTLD_DEFAULT, name)); }

const void* session_of(CURL* easy) noexcept {
    curl_tlssessioninfo* info = nullptr;
    if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || info == nullptr ||
        info->backend != CURLSSLBACKEND_OPENSSL)
        return nullptr;
    return info->internals;
}

} // namespace

bool tls_has_unread_bytes(CURL* easy) noexcept {
    static const ask_ssl pending = find("SSL_pending");
    const void* const session = pending != nullptr ? session_of(easy) : nullptr;
    return session != nullptr && pending(session) > 0;
}

bool tls_was_closed_properly(CURL* easy) noexcept {
    static const ask_ssl shutdown = find("SSL_get_shutdown");
    const void* const session = shutdown != nullptr ? session_of(easy) : nullptr;
    return session == nullptr || (shutdown(session) & received_shutdown) != 0;
}

} // namespace muster::http
