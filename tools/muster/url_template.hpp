// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A text with places for an input: {} is the input, {#} its number, from 1. Other braces are themselves.
///
///     const url_template t("http://host/{}?n={#}");
///     t.make("a b", 1, url_template::percent_encoded);   // http://host/a%20b?n=1

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

/// All but letters, digits and -._~ as %XX: so an input is one part of a URL, whatever is in it.
[[nodiscard]] std::string percent_encode(std::string_view text);

class url_template {
public:
    using encoder = std::string (*)(std::string_view input);

    explicit url_template(std::string_view text);

    /// *Returns* the text with the input, as `encode` writes it, in its places.
    [[nodiscard]] std::string make(std::string_view input, std::uint64_t number, encoder encode) const;
    /// *Returns* the text as it was given.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] bool has_places() const noexcept { return has_input() || has_number(); }
    [[nodiscard]] bool has_input() const noexcept;
    [[nodiscard]] bool has_number() const noexcept;

private:
    enum class part { text, input, number };
    struct piece {
        piece(part p, std::string_view t) : what(p), text(t) {}
        part what;
        std::string text;
    };
    [[nodiscard]] bool has(part p) const noexcept;

    std::string text_;
    std::vector<piece> pieces_;
};

} // namespace tool
