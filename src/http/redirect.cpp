// SPDX-License-Identifier: MIT
// Redirects are followed here and not by libcurl, which sends an empty body along where the method stays, keeps the
// body's headers where it changes, reads the body of a redirect into the answer's limits, and follows 300 and 305.
#include "redirect.hpp"

#include "address.hpp"
#include "curl_handles.hpp"
#include "url.hpp"

#include <muster/http/error.hpp>

#include <array>
#include <memory>
#include <utility>

namespace muster::http {

namespace {

using curl_text = std::unique_ptr<char, decltype(&curl_free)>;

std::string lower(std::string text) {
    for (char& c : text)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
}

/// *Returns* an empty text if the URL has no such part. *Errors*: std::bad_alloc.
std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
    char* text = nullptr;
    const CURLUcode code = curl_url_get(url, part, &text, flags);
    if (code == CURLUE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (code != CURLUE_OK)
        return {};
    const curl_text owned(text, &curl_free);
    return text;
}

} // namespace

bool redirects(int status, const std::string* location) noexcept {
    if (location == nullptr || location->empty())
        return false;
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

hop after_redirect(const hop& from, int status, const std::string& location, const std::string& asked_for) {
    const url_handle url(curl_url());
    if (!url)
        throw std::bad_alloc();
    if (curl_url_set(url.get(), CURLUPART_URL, from.url.c_str(), CURLU_URLENCODE) != CURLUE_OK)
        throw protocol_error(asked_for, "a redirect from a URL that is none");
    const std::string before = origin_of(url.get());
    const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE);
    const std::string scheme = lower(part_of(url.get(), CURLUPART_SCHEME));
    if (code == CURLUE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (code != CURLUE_OK || (scheme != "http" && scheme != "https"))
        throw protocol_error(
            asked_for, "the server redirects to what is no URL of http or https: " + without_password(location));

    hop next = from;
    try {
        next.url = wire_url(part_of(url.get(), CURLUPART_URL));
    } catch (const url_error& e) {
        throw protocol_error(asked_for, "the server redirects to " + without_password(location) + ": " + e.problem());
    }
    // The origin is that of the URL as it goes out.
    if (curl_url_set(url.get(), CURLUPART_URL, next.url.c_str(), 0) != CURLUE_OK)
        throw protocol_error(asked_for, "the server redirects to what is no URL: " + without_password(location));
    next.origin = origin_of(url.get());
    next.is_elsewhere = from.is_elsewhere || next.origin != before;
    const bool is_post = from.method == "POST" || (from.method.empty() && from.sends_body);
    if ((status == 303 && from.method != "HEAD") || ((status == 301 || status == 302) && is_post)) {
        next.method.clear();
        next.sends_body = false;
    }
    return next;
}

std::string origin_of(CURLU* url) {
    std::string origin = part_of(url, CURLUPART_SCHEME);
    origin.append("://").append(part_of(url, CURLUPART_HOST)).append(":");
    return lower(std::move(origin)) + part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::pair<std::string, std::string> host_and_port_of(const std::string& url) {
    const url_handle parsed(curl_url());
    if (!parsed)
        throw std::bad_alloc();
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_URLENCODE) != CURLUE_OK)
        return {};
    return {
        lower_host(part_of(parsed.get(), CURLUPART_HOST)), part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT)};
}

bool describes_body(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 2> others{"transfer-encoding", "expect"};
    const std::string small = lower(std::string(name));
    return small.starts_with("content-") || small == others[0] || small == others[1];
}

} // namespace muster::http
