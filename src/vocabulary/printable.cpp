// SPDX-License-Identifier: MIT
// printable() reads its text character by character as UTF-8. A character is copied unless it is one of those that a
// terminal obeys instead of showing: C0 and C1 controls, line and paragraph separators, and the marks that change the
// direction of what stands around them or are invisible. The joiners U+200C and U+200D are copied, because scripts and
// emoji need them. A byte that begins no valid character is escaped alone, and the reading goes on behind it: a raw
// 0x9b is a control sequence for terminals of eight bits.
#include "vocabulary/printable.hpp"

#include <cstdint>

namespace muster::detail {

utf8_character first_character_of(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80)
        return {lead, 1};
    const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (lead < 0xc2 || lead > 0xf4 || text.size() < size)
        return {0, 0};
    char32_t code = lead & (0x7fU >> size);
    for (std::size_t i = 1; i != size; ++i) {
        if ((byte(i) & 0xc0U) != 0x80U)
            return {0, 0};
        code = code << 6U | (byte(i) & 0x3fU);
    }
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return {0, 0};
    return {code, size};
}

bool is_shown_as_it_is(char32_t c) noexcept {
    const auto is_between = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
    if (c < 0x20 || is_between(0x7f, 0x9f))
        return false;
    if (c < 0x600)
        return c != 0xad;
    // Arabic letter mark, Mongolian vowel separator; zero width space; direction marks; separators, embeddings and
    // overrides; word joiner and invisible operators, isolates and shaping marks; byte order mark; annotations; tags.
    return c != 0x61c && c != 0x180e && c != 0x200b && !is_between(0x200e, 0x200f) && !is_between(0x2028, 0x202e) &&
           !is_between(0x2060, 0x206f) && c != 0xfeff && !is_between(0xfff9, 0xfffb) && !is_between(0xe0000, 0xe007f) &&
           (c & 0xfffeU) != 0xfffe;
}

namespace {

void escape(std::string& out, std::uint32_t number, bool is_byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    if (is_byte) {
        out.append({'\\', 'x', digits[number >> 4U], digits[number & 0xfU]});
        return;
    }
    out += "\\u{";
    int shift = 20;
    while (shift > 4 && (number >> static_cast<unsigned>(shift)) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        out += digits[number >> static_cast<unsigned>(shift) & 0xfU];
    out += '}';
}

std::string made_printable(std::string_view text, std::size_t most, bool line_feeds_stay) {
    const auto whole = text.size();
    std::string out;
    std::size_t at = 0;
    while (at != whole) {
        const auto c = first_character_of(text.substr(at, 4));
        const std::size_t size = c.size == 0 ? 1 : c.size;
        // An escape is longer than what it stands for: the bound holds for what is printed, too.
        if (at + size > most || out.size() + size > most)
            break;
        if (c.size == 0)
            escape(out, static_cast<unsigned char>(text[at]), true);
        else if (is_shown_as_it_is(c.code) || (c.code == '\n' && line_feeds_stay))
            out.append(text, at, size);
        else if (c.code == '\n')
            out += "\\n";
        else if (c.code == '\t')
            out += "\\t";
        else if (c.code == '\r')
            out += "\\r";
        else
            escape(out, c.code, c.code < 0x80);
        at += size;
    }
    if (at == whole)
        return out;
    out += "...";
    if (whole > 2 * at)
        out += " (" + std::to_string(whole) + " bytes)";
    return out;
}

} // namespace

std::string printable(std::string_view text, std::size_t most) { return made_printable(text, most, false); }

std::string printable_lines(std::string_view text, std::size_t most) { return made_printable(text, most, true); }

std::string printable_json(std::string json) {
    std::size_t at = 0;
    const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f; };
    while (at != json.size() && is_plain(json[at]))
        ++at;
    if (at == json.size())
        return json;
    std::string out = json.substr(0, at);
    const auto add = [&out](unsigned unit) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += "\\u";
        for (const unsigned shift : {12U, 8U, 4U, 0U})
            out += digits[unit >> shift & 0xfU];
    };
    while (at != json.size()) {
        const auto c = first_character_of(std::string_view(json).substr(at, 4));
        const std::size_t size = c.size == 0 ? 1 : c.size;
        if (c.size == 0 || is_shown_as_it_is(c.code)) {
            out.append(json, at, size);
        } else if (c.code > 0xffff) {
            add(0xd800U + static_cast<unsigned>((c.code - 0x10000) >> 10U));
            add(0xdc00U + static_cast<unsigned>((c.code - 0x10000) & 0x3ffU));
        } else {
            add(static_cast<unsigned>(c.code));
        }
        at += size;
    }
    return out;
}

} // namespace muster::detail
