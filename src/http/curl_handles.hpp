// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// libcurl's handles with owners, its set-up, and a guard that keeps SIGPIPE away. Private to muster::http.
///
///     const easy_handle easy = make_easy();
///     const sigpipe_guard guard;      // around whatever may write to a socket

#include <curl/curl.h>

#include <csignal>
#include <ctime>
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

/// A peer that went away must not end the program. TLS libraries write without MSG_NOSIGNAL, and what the program
/// wants done with SIGPIPE elsewhere is its own matter: it is held back in this thread, and taken if it came.
class sigpipe_guard {
public:
    sigpipe_guard() noexcept {
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        blocked_ = pthread_sigmask(SIG_BLOCK, &pipe, &before_) == 0 && sigismember(&before_, SIGPIPE) == 0;
    }
    ~sigpipe_guard() {
        if (!blocked_)
            return;
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        const timespec at_once{};
        sigtimedwait(&pipe, nullptr, &at_once);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    sigpipe_guard(const sigpipe_guard&) = delete;
    sigpipe_guard& operator=(const sigpipe_guard&) = delete;

private:
    sigset_t before_;
    bool blocked_ = false;
};

} // namespace muster::http
