// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A content_key is what an input is known by in a log: the beginning of the SHA-256 of what is run or asked for.
/// Whoever chooses the inputs can't make two of them share a key, by which --resume would pass one of them over.
///
///     log << content_key("rm\0a").text();

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tool {

class content_key {
public:
    /// The key of no content.
    content_key() = default;
    explicit content_key(std::string_view content);
    /// *Returns* the key that a log has in this form, or nothing if it is none.
    [[nodiscard]] static std::optional<content_key> from(std::string_view text) noexcept;

    /// *Returns* 32 hexadecimal digits.
    [[nodiscard]] std::string text() const;
    /// 64 of its bits, which two contents may share.
    [[nodiscard]] std::uint64_t part() const noexcept { return low_; }

    friend auto operator<=>(const content_key&, const content_key&) = default;

private:
    std::uint64_t high_ = 0;
    std::uint64_t low_ = 0;
};

/// For hash tables of the standard library.
struct hash_of_key {
    [[nodiscard]] std::size_t operator()(const content_key& key) const noexcept {
        return static_cast<std::size_t>(key.part());
    }
};

} // namespace tool
