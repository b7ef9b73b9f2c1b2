// SPDX-License-Identifier: MIT
// This file splits a URL template into pieces of text and placeholders, puts an input into these, and percent-encodes
// text.
#include "url_template.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace tool {

std::string percent_encode(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved)
            encoded += c;
        else
            encoded += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
    return encoded;
}

url_template::url_template(std::string_view text) : text_(text) {
    while (!text.empty()) {
        const auto input = text.find("{}");
        const auto number = text.find("{#}");
        const auto at = std::min(input, number);
        if (at != 0)
            pieces_.emplace_back(part::text, text.substr(0, at));
        if (at == std::string_view::npos)
            return;
        pieces_.emplace_back(at == input ? part::input : part::number, std::string_view());
        text.remove_prefix(at + (at == input ? 2 : 3));
    }
}

std::string url_template::make(std::string_view input, std::uint64_t number, encoder encode) const {
    std::string made;
    for (const auto& p : pieces_) {
        switch (p.what) {
        case part::text:
            made += p.text;
            break;
        case part::input:
            made += encode(input);
            break;
        case part::number:
            made += std::to_string(number);
            break;
        }
    }
    return made;
}

bool url_template::has(part p) const noexcept { return std::ranges::find(pieces_, p, &piece::what) != pieces_.end(); }

bool url_template::has_input() const noexcept { return has(part::input); }

bool url_template::has_number() const noexcept { return has(part::number); }

} // namespace tool
