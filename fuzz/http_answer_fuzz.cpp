// SPDX-License-Identifier: MIT
// The HTTP client against a server that answers with any bytes and then closes: the request ends with a response or one
// of the errors of muster::http, never with an error of ours, and never beyond the limit of its body.
#include "fuzz.hpp"

#include <muster/error.hpp>
#include <muster/http.hpp>
#include <muster/run.hpp>

#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

namespace http = muster::http;
using namespace std::chrono_literals;

constexpr std::uint64_t body_limit = 100'000;

/// Answers every connection with the same bytes. Its thread ends with the program.
class server {
public:
    server() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        FUZZ_CHECK(::bind(listener_, reinterpret_cast<const sockaddr*>(&at), size) == 0);
        FUZZ_CHECK(::listen(listener_, 64) == 0);
        FUZZ_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
        url_ = "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port)) + '/';
        std::thread([this] { serve(); }).detach();
    }
    void answer_with(std::string bytes) {
        const std::lock_guard own(lock_);
        bytes_ = std::move(bytes);
    }
    [[nodiscard]] const std::string& url() const noexcept { return url_; }

private:
    [[noreturn]] void serve() {
        for (;;) {
            const int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0)
                continue;
            char request[4096];
            static_cast<void>(::recv(peer, request, sizeof request, 0));
            std::string bytes;
            {
                const std::lock_guard own(lock_);
                bytes = bytes_;
            }
            static_cast<void>(::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL));
            ::shutdown(peer, SHUT_WR);
            // A close with bytes that were not read would be a reset.
            pollfd end{peer, POLLIN, 0};
            while (::poll(&end, 1, 1000) > 0 && ::recv(peer, request, sizeof request, 0) > 0) {}
            ::close(peer);
        }
    }

    int listener_;
    std::string url_;
    std::mutex lock_;
    std::string bytes_;
};

muster::task<> ask(const std::string& url) {
    http::client_options options;
    options.timeout(5s).body_limit(body_limit).proxy("").redirects(2);
    http::client client(options);
    auto ended = co_await muster::as_outcome(client.get(url));
    if (ended.succeeded()) {
        FUZZ_CHECK(ended.value().body.size() <= body_limit);
        co_return;
    }
    FUZZ_CHECK(ended.failed());
    const auto* error = muster::get_if<http::error>(ended.error());
    FUZZ_CHECK(error != nullptr);
    FUZZ_CHECK(std::strlen(error->what()) < 10'000);
    FUZZ_CHECK(std::strpbrk(error->what(), "\n\r\x1b") == nullptr);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static server* const the = new server;
    the->answer_with(std::string(reinterpret_cast<const char*>(data), size));
    muster::run(ask(the->url()));
    return 0;
}
