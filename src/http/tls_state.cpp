// SPDX-License-Identifier: MIT
// libcurl 7.88 takes a TLS connection that was cut off for one that was closed: it reports a bare SSL_ERROR_SYSCALL
// only in debug builds (lib/vtls/openssl.c). So the session is asked; and OpenSSL's option to take a cut for an end,
// which the system's configuration may set, is taken away. The library that libcurl uses is in the process already; its
// functions are looked up there, so that muster needs no TLS library of its own. With another library than OpenSSL the
// answers are lenient.
#include "tls_state.hpp"

#include <cstdint>
#include <string_view>

#include <dlfcn.h>

namespace muster::http {

namespace {

constexpr int received_shutdown = 2;                  // SSL_RECEIVED_SHUTDOWN
constexpr std::uint64_t ignore_unexpected_eof = 0x80; // SSL_OP_IGNORE_UNEXPECTED_EOF, since OpenSSL 3

using ask_ssl = int (*)(const void* ssl);
using ask_protocol = void (*)(const void* ssl, const unsigned char** name, unsigned* size);
using change_ssl = std::uint64_t (*)(const void* ssl, std::uint64_t options);

void* find(const char* name) noexcept { return ::dlsym(RTLD_DEFAULT, name); }

const void* session_of(CURL* easy) noexcept {
    curl_tlssessioninfo* info = nullptr;
    if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || info == nullptr ||
        info->backend != CURLSSLBACKEND_OPENSSL)
        return nullptr;
    return info->internals;
}

} // namespace

bool tls_has_unread_bytes(CURL* easy) noexcept {
    static const ask_ssl pending = reinterpret_cast<ask_ssl>(find("SSL_pending"));
    const void* const session = pending != nullptr ? session_of(easy) : nullptr;
    return session != nullptr && pending(session) > 0;
}

void tls_require_proper_end(CURL* easy) noexcept {
    static const auto clear = reinterpret_cast<change_ssl>(find("SSL_clear_options"));
    if (const void* const session = clear != nullptr ? session_of(easy) : nullptr)
        clear(session, ignore_unexpected_eof);
}

bool tls_was_closed_properly(CURL* easy) noexcept {
    static const ask_ssl shutdown = reinterpret_cast<ask_ssl>(find("SSL_get_shutdown"));
    const void* const session = shutdown != nullptr ? session_of(easy) : nullptr;
    return session == nullptr || (shutdown(session) & received_shutdown) != 0;
}

std::optional<bool> tls_agreed_to_http2(CURL* easy) noexcept {
    static const ask_protocol selected = reinterpret_cast<ask_protocol>(find("SSL_get0_alpn_selected"));
    const void* const session = selected != nullptr ? session_of(easy) : nullptr;
    if (session == nullptr)
        return std::nullopt;
    const unsigned char* name = nullptr;
    unsigned size = 0;
    selected(session, &name, &size);
    return std::string_view(reinterpret_cast<const char*>(name), size) == "h2";
}

} // namespace muster::http
