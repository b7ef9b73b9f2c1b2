// SPDX-License-Identifier: MIT
// Digests by libcrypto, which libcurl has loaded anyway where it uses OpenSSL. Without it every digest is refused when
// it is asked for, never passed over.
#include "digest.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <utility>

#if MUSTER_HTTP_CRYPTO
#include <openssl/evp.h>
#endif

namespace muster::http {

#if MUSTER_HTTP_CRYPTO

namespace {

EVP_MD_CTX* context_of(void* place) noexcept { return static_cast<EVP_MD_CTX*>(place); }

const EVP_MD* function_of(std::string_view name) noexcept {
    if (name == "sha256")
        return EVP_sha256();
    if (name == "sha384")
        return EVP_sha384();
    return name == "sha512" ? EVP_sha512() : nullptr;
}

} // namespace

void digest::freed::operator()(void* context) const noexcept { EVP_MD_CTX_free(context_of(context)); }

digest::digest(std::string_view expected) {
    const auto colon = expected.find(':');
    name_ = std::string(expected.substr(0, colon));
    const auto* function = function_of(name_);
    if (colon == std::string_view::npos || function == nullptr)
        throw std::invalid_argument("'" + std::string(expected.substr(0, 200)) +
                                    "' is no digest: write sha256:, sha384: or sha512: and hexadecimal digits");
    for (const char c : expected.substr(colon + 1))
        expected_ += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    const auto digits = 2 * static_cast<std::size_t>(EVP_MD_size(function));
    if (expected_.size() != digits || expected_.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw std::invalid_argument("'" + std::string(expected.substr(0, 200)) + "' is no digest: " + name_ + " has " +
                                    std::to_string(digits) + " hexadecimal digits");
    context_.reset(EVP_MD_CTX_new());
    if (!context_)
        throw std::bad_alloc();
    restart();
}

void digest::take(std::string_view bytes) {
    if (EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size()) != 1)
        throw std::bad_alloc();
}

void digest::restart() {
    if (EVP_DigestInit_ex(context_of(context_.get()), function_of(name_), nullptr) != 1)
        throw std::bad_alloc();
}

std::string digest::difference() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_of(context_.get()), bytes.data(), &size) != 1)
        throw std::bad_alloc();
    constexpr std::string_view digits = "0123456789abcdef";
    std::string made;
    for (unsigned i = 0; i != size; ++i)
        made.append({digits[bytes[i] >> 4U], digits[bytes[i] & 0xFU]});
    if (made == expected_)
        return {};
    return "its " + name_ + " is " + made + ", not " + expected_;
}

#else

void digest::freed::operator()(void*) const noexcept {}

digest::digest(std::string_view) {
    throw std::invalid_argument("this muster was built without libcrypto and can't check digests");
}

void digest::take(std::string_view) {}

void digest::restart() {}

std::string digest::difference() { return {}; }

#endif

} // namespace muster::http
