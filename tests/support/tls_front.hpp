// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Speaks TLS in front of a server that does not: bytes go through both ways, and a connection ends on the one side as
/// it did on the other. It makes its own certificate. Needs OpenSSL (MUSTER_TEST_TLS).
///
///     const tls_front front(server.port(), tls_front::speaks::http2);
///     client_options.tls(tls_options().ca_file(front.authority()));
///     client.get(front.url("/"));

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/loopback_listener.hpp"

class tls_front {
public:
    enum class speaks { http1, http2 };
    /// How the end of the server's bytes is passed on.
    enum class ends { properly, without_close_notify };

    /// A `name` is the only one of its certificate, which then is for nobody here.
    tls_front(std::uint16_t to, speaks protocol, ends how = ends::properly, std::string name = {})
        : to_(to),
          protocol_(protocol == speaks::http2 ? "\x02h2" : "\x08http/1.1"),
          ends_(how),
          name_(std::move(name)),
          context_(::SSL_CTX_new(::TLS_server_method())) {
        make_certificate();
        ::SSL_CTX_set_alpn_select_cb(context_.get(), &select_protocol, this);
        here_.emplace([this](int client) { serve(client); });
    }
    ~tls_front() {
        stopping_ = true;
        here_.reset();
        ::unlink(authority_.c_str());
    }
    tls_front(const tls_front&) = delete;
    tls_front& operator=(const tls_front&) = delete;

    [[nodiscard]] std::string url(std::string_view path) const {
        return "https://127.0.0.1:" + std::to_string(here_->port()) + std::string(path);
    }
    /// *Returns* the file of its certificate, which is its own authority.
    [[nodiscard]] const std::string& authority() const { return authority_; }

private:
    template <auto Free>
    struct freed_by {
        template <class T>
        void operator()(T* p) const noexcept {
            Free(p);
        }
    };

    static int select_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
        unsigned offered_size, void* self) {
        const auto& mine = static_cast<tls_front*>(self)->protocol_;
        unsigned char* chosen = nullptr;
        if (::SSL_select_next_proto(&chosen, size, reinterpret_cast<const unsigned char*>(mine.data()),
                static_cast<unsigned>(mine.size()), offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
            return SSL_TLSEXT_ERR_NOACK;
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    void make_certificate() {
        const std::unique_ptr<EVP_PKEY, freed_by<&::EVP_PKEY_free>> key(::EVP_EC_gen("P-256"));
        const std::unique_ptr<X509, freed_by<&::X509_free>> made(::X509_new());
        ::X509_set_version(made.get(), 2);
        ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), 1);
        ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -3600);
        ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), 86'400);
        X509_NAME* const name = ::X509_get_subject_name(made.get());
        const std::string_view text = name_.empty() ? std::string_view("muster test") : name_;
        ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
            static_cast<int>(text.size()), -1, 0);
        ::X509_set_issuer_name(made.get(), name);
        ::X509_set_pubkey(made.get(), key.get());
        for (const auto& [kind, value] : {std::pair(NID_basic_constraints, "critical,CA:TRUE"),
                 std::pair(NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost")}) {
            if (kind == NID_subject_alt_name && !name_.empty())
                continue;
            const std::unique_ptr<X509_EXTENSION, freed_by<&::X509_EXTENSION_free>> extension(
                ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
            ::X509_add_ext(made.get(), extension.get(), -1);
        }
        ::X509_sign(made.get(), key.get(), ::EVP_sha256());
        if (::SSL_CTX_use_certificate(context_.get(), made.get()) != 1 ||
            ::SSL_CTX_use_PrivateKey(context_.get(), key.get()) != 1)
            throw std::runtime_error("tls_front: no certificate");
        char path[] = "/tmp/muster-authority-XXXXXX";
        const int file = ::mkstemp(path);
        authority_ = path;
        std::FILE* const out = ::fdopen(file, "w");
        ::PEM_write_X509(out, made.get());
        std::fclose(out);
    }

    void serve(int client) {
        // OpenSSL writes to a connection that may be gone.
        sigset_t broken_pipe;
        ::sigemptyset(&broken_pipe);
        ::sigaddset(&broken_pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
        // Bytes that wait for an acknowledgement would be lost with a reset.
        const int yes = 1;
        ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        const std::unique_ptr<SSL, freed_by<&::SSL_free>> tls(::SSL_new(context_.get()));
        ::SSL_set_fd(tls.get(), client);
        const int server = loopback::connected_to(to_);
        if (server >= 0 && ::SSL_accept(tls.get()) == 1)
            pump(tls.get(), client, server);
        ::close(server);
        loopback::close_now(client);
    }
    /// Until either side ends.
    void pump(SSL* tls, int client, int server) const {
        std::array<char, 16384> bytes{};
        while (!stopping_) {
            std::array<pollfd, 2> both{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
            if (::SSL_pending(tls) == 0 && ::poll(both.data(), both.size(), 50) <= 0)
                continue;
            if (::SSL_pending(tls) != 0 || both[0].revents != 0) {
                const int count = ::SSL_read(tls, bytes.data(), static_cast<int>(bytes.size()));
                if (count <= 0)
                    return;
                if (::send(server, bytes.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) != count)
                    return;
            }
            if (both[1].revents == 0)
                continue;
            const auto count = ::recv(server, bytes.data(), bytes.size(), 0);
            if (count > 0) {
                if (::SSL_write(tls, bytes.data(), static_cast<int>(count)) != count)
                    return;
            } else {
                end(tls, client, count < 0);
                return;
            }
        }
    }
    void end(SSL* tls, int client, bool by_reset) const {
        if (by_reset) {
            const linger at_once{1, 0};
            ::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            return;
        }
        if (ends_ == ends::properly)
            ::SSL_shutdown(tls);
        ::shutdown(client, SHUT_WR);
        // A close over bytes that were not read would be a reset.
        std::array<char, 4096> rest{};
        for (int i = 0; i != 40 && !stopping_; ++i) {
            pollfd one{client, POLLIN, 0};
            if (::poll(&one, 1, 50) > 0 && ::recv(client, rest.data(), rest.size(), 0) <= 0)
                return;
        }
    }

    std::uint16_t to_;
    std::string protocol_;
    ends ends_;
    std::string name_;
    std::unique_ptr<SSL_CTX, freed_by<&::SSL_CTX_free>> context_;
    std::string authority_;
    std::atomic<bool> stopping_{false};
    std::optional<loopback_listener> here_; // once there is a certificate
};
