// SPDX-License-Identifier: MIT
// without_password() removes what a URL says of a user. It finds the authority as libcurl does, which takes one to
// three slashes behind the scheme, any letters in a name and everything before the last @ as the user's; and it does so
// in URLs that libcurl refuses as well, because those are printed, too. Where a port is no number, the slash, question
// mark or number sign behind it may stand in a password that was not encoded: the URL is refused then, and everything
// before the last @ of the whole URL goes. without_passwords() does the same for every URL in a text.
#include "http/scrub.hpp"

#include <muster/http/error.hpp>

#include <algorithm>
#include <array>

namespace muster::http {

namespace {

constexpr auto none = std::string_view::npos;

bool is_slash(char c) noexcept { return c == '/' || c == '\\'; }

/// *Returns* where the authority begins: behind the scheme and its slashes, or at the beginning if there are none.
std::size_t authority_of(std::string_view url) noexcept {
    std::size_t at = 0;
    for (std::size_t colon = url.find(':'); colon != none; colon = url.find(':', colon + 1)) {
        if (colon + 1 == url.size() || !is_slash(url[colon + 1]))
            continue;
        // An @ before it belongs to a user: the colon is one of a password.
        if (url.substr(0, colon).find_first_of("@/?#") == none)
            at = colon + 1;
        break;
    }
    while (at != url.size() && is_slash(url[at]))
        ++at;
    return at;
}

/// *Returns* whether the authority says a port that is no number, so that the URL is none.
bool has_bad_port(std::string_view authority) noexcept {
    const auto colon = authority.rfind(':');
    if (colon == none || authority.substr(colon).find(']') != none)
        return false;
    const auto port = authority.substr(colon + 1);
    return !std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
}

/// *Returns* the length of what the authority at the beginning of the text says of a user, with the @.
std::size_t length_of_user(std::string_view text) noexcept {
    const auto authority = text.substr(0, text.find_first_of("/?#"));
    if (const auto at = authority.rfind('@'); at != none)
        return at + 1;
    if (!has_bad_port(authority))
        return 0;
    const auto at = text.rfind('@');
    return at == none ? 0 : at + 1;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

} // namespace

std::string_view user_of(std::string_view url) noexcept {
    const auto begin = authority_of(url);
    const auto size = length_of_user(url.substr(begin));
    return url.substr(begin, size == 0 ? 0 : size - 1);
}

std::string without_password(const std::string& url) {
    const std::string_view all = url;
    const auto begin = authority_of(all);
    std::string shown(all.substr(0, begin));
    // The rest may hold another URL, as that of an archive does.
    shown += without_passwords(all.substr(begin + length_of_user(all.substr(begin))));
    return shown;
}

std::string without_passwords(std::string_view text) {
    std::string shown;
    for (;;) {
        auto slashes = text.find(":/");
        if (slashes == none)
            return shown.append(text);
        slashes = std::min(text.find_first_not_of('/', slashes + 1), text.size());
        shown.append(text.substr(0, slashes));
        text.remove_prefix(slashes);
        // A URL in a text ends at a blank or a quotation mark, unless what is before that is no host: then the mark may
        // stand in a password.
        const auto url = text.substr(0, text.find_first_of(" \t\r\n'\"<>"));
        const auto is_whole = !has_bad_port(url.substr(0, url.find_first_of("/?#"))) || url.find('@') != none;
        text.remove_prefix(length_of_user(is_whole ? url : text.substr(0, text.find_first_of("\r\n"))));
    }
}

bool is_secret_header(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 3> secret{"authorization", "proxy-authorization", "cookie"};
    const auto same = [&name](std::string_view other) {
        return std::ranges::equal(name, other, [](char a, char b) { return lower(a) == b; });
    };
    while (!name.empty() && (name.back() == ' ' || name.back() == '\t'))
        name.remove_suffix(1);
    return std::ranges::any_of(secret, same);
}

std::string without_secret(std::string_view header) {
    const auto colon = header.find_first_of(":;");
    const auto name = header.substr(0, std::min(colon, header.find_first_of(" \t=")));
    if (colon == none)
        return std::string(name) + (name.size() == header.size() ? "" : " ...");
    if (is_secret_header(header.substr(0, colon)))
        return std::string(header.substr(0, colon + 1)) + " ...";
    return std::string(header);
}

} // namespace muster::http
