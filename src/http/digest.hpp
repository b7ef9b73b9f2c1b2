// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The digest of bytes that come piece by piece, against the one that they should have. Private to muster::http.
///
///     digest check("sha256:9f86d0...");
///     check.take(piece);
///     if (const auto wrong = check.difference(); !wrong.empty()) ...

#include <memory>
#include <string>
#include <string_view>

namespace muster::http {

/// Move-only.
class digest {
public:
    /// `expected` is the name of a function, a colon and hexadecimal digits: sha256, sha384 or sha512.
    /// *Errors*: std::invalid_argument for anything else, or if muster was built without libcrypto.
    explicit digest(std::string_view expected);

    void take(std::string_view bytes);
    /// Forgets what it was given.
    void restart();
    /// *Returns* the words that tell the digest of the bytes from the expected one; nothing if they are the same. No
    /// more bytes may follow before restart().
    [[nodiscard]] std::string difference();

private:
    struct freed {
        void operator()(void* context) const noexcept;
    };

    std::string name_;
    std::string expected_; ///< in lower case
    std::unique_ptr<void, freed> context_;
};

} // namespace muster::http
