// SPDX-License-Identifier: MIT
// Passwords in URLs and headers: every form that libcurl accepts, and forms that it refuses, is shown without them.
#include "http/scrub.hpp"

#include <muster/http.hpp>

#include <memory>
#include <string>

#include <curl/curl.h>
#include <gtest/gtest.h>

namespace {

namespace http = muster::http;

/// A row: the URL, and how it is shown. Each has the user al and the password pw, or a longer one.
struct row {
    const char* url;
    const char* shown;
};

constexpr row urls[] = {
    {"http://al:pw@h/", "http://h/"},
    {"https://al:pw@h/a?b#c", "https://h/a?b#c"},
    {"HTTP://al:pw@h/", "HTTP://h/"},
    {"http:/al:pw@h/", "http:/h/"},
    {"http:///al:pw@h/", "http:///h/"},
    {"http://al:pw@h", "http://h"},
    {"http://al:pw@h:81/", "http://h:81/"},
    {"http://al:pw@[::1]:81/", "http://[::1]:81/"},
    {"http://al:pw@h?x", "http://h?x"},
    {"http://al:pw@h#x", "http://h#x"},
    {"http://al:pw@h/@b", "http://h/@b"},
    {"http://al:pw@h/http://cy:pw@k/", "http://h/http://k/"},
    {"http://h/http://al:pw@k/", "http://h/http://k/"},
    {"http://h/?to=https://al:pw@k/", "http://h/?to=https://k/"},
    {"http://:pw@h/", "http://h/"},
    {"http://a;l:pw@h/", "http://h/"},
    {"http://al:p:pw@h/", "http://h/"},
    {"http://al:p\\pw@h/", "http://h/"},
    {"http://h\\al:pw@k/", "http://k/"},
    {"http://[al:pw@h/", "http://h/"},
    {"http://al:%70w-pw@h/", "http://h/"},
    // Without a scheme, with several or other slashes: refused, and shown all the same.
    {"al:pw@h/", "h/"},
    {"http:al:pw@h/", "h/"},
    {"//al:pw@h/", "//h/"},
    {"http:////al:pw@h/", "http:////h/"},
    {"http:\\\\al:pw@h/", "http:\\\\h/"},
    {"ht_tp://al:pw@h/", "ht_tp://h/"},
    {" http://al:pw@h/", " http://h/"},
    {"http:// al:pw@h/", "http://h/"},
    {"http://al:pw @h/", "http://h/"},
    {"http://al:p@pw@h/", "http://h/"},
    // A password that should have been encoded: what stands for its beginning is no port.
    {"http://al:p/pw@h/", "http://h/"},
    {"http://al:p#pw@h/", "http://h/"},
    {"http://al:p?pw@h/", "http://h/"},
    {"ftp://al:pw@h/", "ftp://h/"},
};

TEST(http_scrub, no_form_of_a_url_shows_its_password) {
    for (const auto& [url, shown] : urls) {
        EXPECT_EQ(http::without_password(url), shown) << url;
        const http::url_error error(url, "refused");
        EXPECT_EQ(std::string(error.what()).find("pw"), std::string::npos) << error.what();
    }
}

TEST(http_scrub, whatever_libcurl_takes_for_a_password_is_not_shown) {
    for (const auto& [url, shown] : urls) {
        for (const unsigned flags : {0U, unsigned{CURLU_GUESS_SCHEME}, unsigned{CURLU_NON_SUPPORT_SCHEME}}) {
            const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
            if (curl_url_set(parsed.get(), CURLUPART_URL, url, flags) != CURLUE_OK)
                continue;
            char* password = nullptr;
            if (curl_url_get(parsed.get(), CURLUPART_PASSWORD, &password, 0) != CURLUE_OK)
                continue;
            const std::unique_ptr<char, decltype(&curl_free)> owned(password, &curl_free);
            EXPECT_EQ(http::without_password(url).find(password), std::string::npos) << url;
        }
    }
}

TEST(http_scrub, a_url_without_a_user_is_shown_as_it_is) {
    for (const std::string url : {"", "http://h/", "http://h:80/@al", "http://h/al:pw@x", "https://h/?q=a@b:c", "h",
             "http://h/#@", "http://[::1]:80/a@b", "mailto", "http://", "http:/", ":", "/", "a:b"})
        EXPECT_EQ(http::without_password(url), url);
}

TEST(http_scrub, a_message_that_quotes_urls_loses_their_passwords) {
    EXPECT_EQ(http::without_passwords("from 'http://al:pw@h/' to http://al:pw@k/x, and \"http:/al:pw@z\""),
        "from 'http://h/' to http://k/x, and \"http:/z\"");
    EXPECT_EQ(http::without_passwords("bad: 'http://al:p w@h'"), "bad: 'http://h'");
    EXPECT_EQ(http::without_passwords("al@b: no URL"), "al@b: no URL");
}

TEST(http_scrub, a_problem_that_quotes_a_location_has_no_password) {
    const http::protocol_error error("http://h/", "the server redirects to what is no URL: http:/al:pw@k:x/");
    EXPECT_EQ(error.problem().find("pw"), std::string::npos) << error.problem();
}

TEST(http_scrub, secrets_of_headers_are_not_shown) {
    EXPECT_EQ(http::without_secret("Authorization: Bearer abc"), "Authorization: ...");
    EXPECT_EQ(http::without_secret("cookie: a=b"), "cookie: ...");
    EXPECT_EQ(http::without_secret("Proxy-Authorization :x"), "Proxy-Authorization : ...");
    EXPECT_EQ(http::without_secret("Authorization Bearer abc"), "Authorization ...");
    EXPECT_EQ(http::without_secret("Accept: text/html"), "Accept: text/html");
}

} // namespace
