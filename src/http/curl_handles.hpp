// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// libcurl's handles with owners, and its set-up. Private to muster::http.
///
///     const easy_handle easy = make_easy();

#include <curl/curl.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace muster::http {

struct curl_closer {
    void operator()(CURL* h) const noexcept { curl_easy_cleanup(h); }
    void operator()(CURLU* h) const noexcept { curl_url_cleanup(h); }
    void operator()(curl_slist* l) const noexcept { curl_slist_free_all(l); }
};
struct multi_closer {
    void operator()(CURLM* h) const noexcept { curl_multi_cleanup(h); }
};
struct share_closer {
    void operator()(CURLSH* h) const noexcept { curl_share_cleanup(h); }
};
// CURL, CURLM and CURLSH are all void: the closers tell them apart.
using easy_handle = std::unique_ptr<CURL, curl_closer>;
using multi_handle = std::unique_ptr<CURLM, multi_closer>;
using share_handle = std::unique_ptr<CURLSH, share_closer>;
using url_handle = std::unique_ptr<CURLU, curl_closer>;
using string_list = std::unique_ptr<curl_slist, curl_closer>;

/// Sets libcurl up, once in a program. It is never torn down: other code may use libcurl, too.
inline void require_curl() {
    static const CURLcode status = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (status != CURLE_OK)
        throw std::runtime_error(std::string("libcurl can't be set up: ") + curl_easy_strerror(status));
}

inline easy_handle make_easy() {
    easy_handle h(curl_easy_init());
    if (!h)
        throw std::bad_alloc();
    return h;
}

inline void append(string_list& list, const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr)
        throw std::bad_alloc();
    static_cast<void>(list.release());
    list.reset(longer);
}

} // namespace muster::http
