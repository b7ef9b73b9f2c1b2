// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The TLS of a client: which servers it trusts, and which certificate it shows them.
///
///     muster::http::client_options options;
///     options.tls(muster::http::tls_options().ca_file("our-authority.pem").at_least(muster::http::tls_version::tls1_3));

#include <muster/config.hpp>

#include <string>

namespace muster::http {

enum class tls_version { tls1_2, tls1_3 };

/// The servers to trust, and the certificate to show. Each word may be used in a chain. Files are read when they are
/// needed: one that can't be is a tls_error of the request.
class tls_options {
public:
    tls_options() {}

    /// The certificates of the authorities that are trusted, in PEM, instead of the system's.
    tls_options& ca_file(std::string path);
    /// The same as a folder of files named by their hashes, as OpenSSL's rehash makes it.
    tls_options& ca_folder(std::string path);
    /// The certificate for a server that asks for one: files in PEM. The key may be in the certificate's file.
    tls_options& client_certificate(std::string certificate, std::string key = {}, std::string password = {});
    /// Nothing older is agreed on; TLS 1.2 unless it is set.
    tls_options& at_least(tls_version v) noexcept;
    /// Accepts a body whose only end is that of the connection although the server did not say that it sends no more
    /// (TLS's close_notify): some old servers never do. An attacker can cut such a body short unnoticed; without this
    /// it is a failure.
    tls_options& allow_missing_close_notify() noexcept;
    /// Refuses servers whose public key has none of these digests, beside all other checks: "sha256//" and the digest
    /// in base64, several with semicolons between them. The openssl program says the digest of a certificate's key:
    /// `openssl x509 -pubkey -noout -in FILE | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary |
    /// base64`. *Errors*: std::invalid_argument for what is no such digest.
    tls_options& pin(std::string keys);
    /// Accepts every certificate, so that anybody on the way can pretend to be the server. For tests only.
    tls_options& accept_any_certificate() noexcept;

private:
    friend class transfer;

    std::string ca_file_;
    std::string ca_folder_;
    std::string certificate_;
    std::string key_;
    std::string password_;
    tls_version at_least_ = tls_version::tls1_2;
    std::string pin_;
    bool accept_any_ = false;
    bool missing_close_notify_is_fine_ = false;
};

} // namespace muster::http
