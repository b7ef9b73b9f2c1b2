// SPDX-License-Identifier: MIT
// Any text, made printable: it is bounded, is one line of UTF-8 without controls, and a safe text stays as it is. Any
// URL that libcurl takes is shown without its password.
#include "fuzz.hpp"

#include "http/scrub.hpp"
#include "vocabulary/printable.hpp"

#include <muster/http.hpp>

#include <memory>

#include <curl/curl.h>

namespace {

void look_at_text(std::string_view text, std::size_t most) {
    const auto shown = muster::detail::printable(text, most);
    FUZZ_CHECK(shown.size() < most + 50);
    for (std::size_t i = 0; i != shown.size(); ++i) {
        const auto c = static_cast<unsigned char>(shown[i]);
        FUZZ_CHECK(c >= 0x20 && c != 0x7f);
        FUZZ_CHECK(c != 0xc2 || static_cast<unsigned char>(shown[i + 1]) >= 0xa0);
    }
    FUZZ_CHECK(muster::detail::printable(shown, shown.size()) == shown);
}

using text_of_curl = std::unique_ptr<char, decltype(&curl_free)>;

/// *Returns* the password that libcurl finds in a URL, or nothing.
text_of_curl password_in(const std::string& url) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
    char* password = nullptr;
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_GUESS_SCHEME) == CURLUE_OK)
        static_cast<void>(curl_url_get(parsed.get(), CURLUPART_PASSWORD, &password, 0));
    return text_of_curl(password, &curl_free);
}

void look_at_url(const std::string& url) {
    const auto shown = muster::http::without_password(url);
    FUZZ_CHECK(shown.size() <= url.size());
    if (password_in(url))
        FUZZ_CHECK(!password_in(shown));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const auto most = in.number(255);
    look_at_text(in.rest(), most);
    look_at_url(in.text());
    return 0;
}
