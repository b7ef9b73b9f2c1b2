// SPDX-License-Identifier: MIT
// This file reads Content-Disposition and makes file names of what it says. A name is checked after it was decoded, so
// that no encoding brings a slash past the check.
#include "server_name.hpp"

#include "body_file.hpp"

#include "vocabulary/printable.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace tool {

namespace {

constexpr std::size_t longest = 200;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) noexcept { return std::ranges::equal(a, b, {}, lower, lower); }

std::string_view trimmed(std::string_view s) noexcept {
    const auto first = s.find_first_not_of(" \t");
    return first == std::string_view::npos ? std::string_view()
                                           : s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

int digit_of(char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    return lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
    std::string made;
    for (std::size_t i = 0; i != text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
        const int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        if (low >= 0) {
            made += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            made += text[i];
        }
    }
    return made;
}

/// A parameter's value: a quoted one without its quotes and the backslashes in it.
std::string unquoted(std::string_view value) {
    if (value.size() < 2 || value.front() != '"')
        return std::string(value);
    std::string made;
    for (std::size_t i = 1; i < value.size() && value[i] != '"'; ++i) {
        if (value[i] == '\\' && i + 1 < value.size())
            ++i;
        made += value[i];
    }
    return made;
}

/// *Returns* at most the longest name's bytes, with the extension.
std::string shortened(std::string name) {
    if (name.size() <= longest)
        return name;
    const auto dot = name.rfind('.');
    const auto extension = dot != std::string::npos && name.size() - dot <= 16 ? name.substr(dot) : std::string();
    auto kept = longest - extension.size();
    while ((static_cast<unsigned char>(name[kept]) & 0xc0u) == 0x80)
        --kept; // not within a character
    return name.substr(0, kept) + extension;
}

/// Takes a parameter off the text: up to the next semicolon that is not within quotes.
std::string_view take_parameter(std::string_view& text) noexcept {
    bool quoted = false;
    std::size_t end = 0;
    for (; end != text.size() && (quoted || text[end] != ';'); ++end) {
        if (text[end] == '\\' && quoted && end + 1 != text.size())
            ++end;
        else if (text[end] == '"')
            quoted = !quoted;
    }
    const auto taken = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    return trimmed(taken);
}

} // namespace

std::string plain_name(std::string_view text) {
    text.remove_prefix(text.find_last_of("/\\") + 1);
    std::string name;
    while (!text.empty()) {
        const auto c = muster::detail::first_character_of(text);
        if (c.size == 0)
            name += '_';
        else if (muster::detail::is_shown_as_it_is(c.code))
            name += text.substr(0, c.size);
        text.remove_prefix(std::max<std::size_t>(c.size, 1));
    }
    name.erase(0, std::min(name.size(), name.find_first_not_of(". ")));
    name.erase(name.find_last_not_of(" .") + 1);
    name = shortened(std::move(name));
    return is_name_of_part(name) ? name + '_' : name;
}

std::string disposition_name(std::string_view value) {
    std::string plain;
    take_parameter(value); // "attachment"
    while (!value.empty()) {
        const auto parameter = take_parameter(value);
        const auto equals = parameter.find('=');
        if (equals == std::string_view::npos)
            continue;
        const auto name = trimmed(parameter.substr(0, equals));
        const auto text = trimmed(parameter.substr(equals + 1));
        if (same_word(name, "filename*")) {
            const auto language = text.find('\'');
            const auto begin = language == std::string_view::npos ? language : text.find('\'', language + 1);
            if (begin == std::string_view::npos || !same_word(text.substr(0, language), "utf-8"))
                continue;
            if (auto extended = plain_name(percent_decoded(text.substr(begin + 1))); !extended.empty())
                return extended;
        } else if (same_word(name, "filename") && plain.empty()) {
            plain = plain_name(unquoted(text));
        }
    }
    return plain;
}

std::string url_name(std::string_view url) {
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos)
        url.remove_prefix(scheme + 3);
    url = url.substr(0, url.find_first_of("?#"));
    const auto slash = url.rfind('/');
    auto name = slash == std::string_view::npos ? std::string() : plain_name(percent_decoded(url.substr(slash + 1)));
    return name.empty() ? "index.html" : name;
}

std::string server_name(const muster::http::header_list& headers, std::string_view url) {
    const auto* disposition = headers.find("Content-Disposition");
    auto name = disposition != nullptr ? disposition_name(*disposition) : std::string();
    return name.empty() ? url_name(url) : name;
}

} // namespace tool
