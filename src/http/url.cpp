// SPDX-License-Identifier: MIT
// libcurl converts host names by the program's locale, which in a C++ program that never called setlocale is "C", and
// so fails for every international name; and it sends blanks and bytes beyond ASCII as they are.
#include "url.hpp"

#include <muster/http/error.hpp>

#include <algorithm>
#include <memory>
#include <string_view>

#if MUSTER_HTTP_IDN2
#include <idn2.h>
#endif

namespace muster::http {

namespace {

bool is_ascii(std::string_view s) noexcept {
    return std::ranges::all_of(s, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

/// *Returns* whether the byte goes out as it is, wherever in a URL it stands, so that nothing has to be found out.
bool is_plain(char c) noexcept { return c > 0x20 && c < 0x7F && c != '"' && c != '<' && c != '>' && c != '`'; }

std::string ascii_host(const std::string& url, std::string_view host) {
#if MUSTER_HTTP_IDN2
    char* made = nullptr;
    const int status = idn2_to_ascii_8z(
        std::string(host).c_str(), &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_USE_STD3_ASCII_RULES);
    if (status == IDN2_MALLOC)
        throw std::bad_alloc();
    if (status != IDN2_OK)
        throw url_error(url, "'" + std::string(host) + "' is no name of a host: " + idn2_strerror(status));
    const std::unique_ptr<char, decltype(&idn2_free)> owned(made, [](void* p) { idn2_free(p); });
    return made;
#else
    static_cast<void>(url);
    return std::string(host);
#endif
}

/// *Returns* the URL with its scheme in small letters if it is http or https, because rules as that of https_only
/// compare the URL's beginning.
std::string with_small_scheme(std::string url) {
    std::string scheme = url.substr(0, std::min<std::size_t>(url.find(':'), 6));
    for (char& c : scheme)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (scheme == "http" || scheme == "https")
        url.replace(0, scheme.size(), scheme);
    return url;
}

} // namespace

std::string wire_url(const std::string& as_written) {
    std::string url = with_small_scheme(as_written);
    if (std::ranges::all_of(url, is_plain))
        return url;
    const auto scheme = url.find("://");
    // A NUL is refused by its own name later.
    if (scheme == std::string::npos || url.find('\0') != std::string::npos)
        return url;
    const auto authority = scheme + 3;
    const auto rest = std::min(url.find_first_of("/?#", authority), url.size());
    if (std::any_of(url.begin() + static_cast<std::ptrdiff_t>(rest), url.end(), is_control))
        throw url_error(url, "there is a control character in the URL");
    if (is_ascii(url) && url.find_first_of(" \"<>`", rest) == std::string::npos)
        return url;

    std::string made = url.substr(0, authority);
    std::string_view place(url.data() + authority, rest - authority);
    if (!is_ascii(place)) {
        if (const auto at = place.rfind('@'); at != std::string_view::npos) {
            made += place.substr(0, at + 1);
            place.remove_prefix(at + 1);
        }
        const auto colon = std::min(place.rfind(':'), place.size());
        made += ascii_host(url, place.substr(0, colon));
        place.remove_prefix(colon);
    }
    made += place;
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (const char c : std::string_view(url).substr(rest)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80 && std::string_view(" \"<>`").find(c) == std::string_view::npos)
            made += c;
        else
            made.append({'%', digits[byte >> 4U], digits[byte & 0xFU]});
    }
    return made;
}

} // namespace muster::http
