// SPDX-License-Identifier: MIT
// What the tests of muster::http share: the fixture with its faulty server, and a server that says what it is told to.
#pragma once

#include <muster/http.hpp>

#include <muster/run.hpp>
#include <muster/testing/faulty_server.hpp>
#include <muster/testing/manual_loop.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/loopback_listener.hpp"
#include "support/own_resources.hpp"

namespace {

namespace http = muster::http;
using muster::testing::faulty_server;
using muster::testing::faulty_server_options;
using muster::testing::on_accept;
using namespace std::chrono_literals;

// A proxy of whoever runs the tests must not stand between them and loopback. Before there are threads.
[[maybe_unused]] const int no_proxy = ::setenv("no_proxy", "*", 1);

std::size_t open_descriptors() {
    // What the runtime and libcurl open once and keep is opened before the first count.
    [[maybe_unused]] static const bool warm = [] {
        muster::run([]() -> muster::task<> { co_return; }());
        const http::client opens_what_libcurl_keeps;
        return true;
    }();
    return own_resources::open_descriptors();
}

/// The type's name without its namespaces; "" for a value.
template <class T>
std::string type_of(const muster::outcome<T>& o) {
    if (!o.failed())
        return o.succeeded() ? "" : "cancelled";
    const auto name = muster::type_name(o.error());
    return name.substr(name.rfind(':') + 1);
}

/// Runs the body with a client; checks that no coroutine frame, no descriptor and no report is left.
class http_client : public ::testing::Test {
protected:
    http_client() = default;
    ~http_client() override {
        EXPECT_EQ(muster::testing::live_frames(), frames_);
        owned_server_.reset();
        // A thread of libcurl's that looks up a name nobody waits for any more takes a moment to go.
        for (int i = 0; i != 400 && open_descriptors() != descriptors_; ++i)
            std::this_thread::sleep_for(5ms);
        EXPECT_EQ(open_descriptors(), descriptors_);
    }

    template <class Body>
    void run(Body body, const http::client_options& options = {}) {
        muster::run(in_client(body, options), muster::run_options().strict());
    }

    /// Asks for the URL, which must fail with an E.
    template <class E>
    void expect_error(std::string url, void (*check)(const E&) = nullptr, const http::client_options& options = {}) {
        const auto body = [&](http::client& client) -> muster::task<> {
            auto asked = client.get(url);
            auto ended = co_await muster::as_outcome(std::move(asked));
            EXPECT_TRUE(ended.template failed_with<E>()) << muster::to_string(ended);
            EXPECT_TRUE(ended.template failed_with<http::error>()) << muster::to_string(ended);
            EXPECT_TRUE(ended.template failed_with<std::exception>()) << muster::to_string(ended);
            if (const auto* e = ended.template error_as<E>()) {
                EXPECT_EQ(e->url(), url.substr(0, url.find('\0')));
                EXPECT_NE(std::string(e->what()).find(e->problem()), std::string::npos);
                // The URL is safe to print there, and shortened.
                const auto shown = http::without_password(e->url());
                const auto plain = shown.substr(0, std::min(shown.find_first_of("\n\x7f"), std::size_t{1000}));
                EXPECT_EQ(std::string(e->what()).rfind(plain, 0), 0u) << e->what();
                if (check != nullptr)
                    check(*e);
            }
        };
        run(body, options);
    }

    [[nodiscard]] std::string url(std::string_view path) const { return server_.url(path); }

    std::size_t descriptors_ = open_descriptors();
    std::int64_t frames_ = muster::testing::live_frames();
    std::unique_ptr<faulty_server> owned_server_ = std::make_unique<faulty_server>();
    faulty_server& server_ = *owned_server_;

private:
    template <class Body>
    static muster::task<> in_client(Body& body, http::client_options options) {
        http::client client(options);
        co_await body(client);
    }
};

/// What a scripted_server was asked.
struct asked {
    asked() {}
    std::size_t number = 0; ///< from 0, over all connections
    std::string head;       ///< request line and fields, with the empty line
    std::string body;       ///< without its chunks' framing
    int socket = -1;

    [[nodiscard]] bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

/// A server on loopback whose answers are a function of the test's: bytes as they go over the wire. An empty answer
/// closes the connection. It has a thread for each connection.
class scripted_server {
public:
    using script = std::function<std::string(const asked&)>;

    explicit scripted_server(script answer) : answer_(std::move(answer)), here_([this](int s) { serve(s); }) {}

    [[nodiscard]] std::string url(std::string_view path = "/") const {
        return "http://127.0.0.1:" + port() + std::string(path);
    }
    [[nodiscard]] std::string port() const { return std::to_string(here_.port()); }
    [[nodiscard]] std::size_t requests() const { return requests_; }
    [[nodiscard]] std::size_t connections() const { return here_.connections(); }
    /// Says this on every connection, though no request asks for it.
    void say_on_all(std::string_view text) const { here_.say_on_all(text); }
    static bool say(int s, std::string_view text) { return loopback::say(s, text); }
    /// At the end of an answer: the connection is closed after it.
    static constexpr std::string_view then_close{"\0(close)", 8};

    /// A whole answer.
    static std::string text(std::string_view status, std::string_view body, std::string_view fields = {}) {
        return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(fields) +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
    }

private:
    void serve(int s) {
        std::string buffer;
        for (;;) {
            asked a;
            a.socket = s;
            std::size_t end = 0;
            while ((end = buffer.find("\r\n\r\n")) == std::string::npos)
                if (!loopback::more(s, buffer))
                    return;
            a.head = buffer.substr(0, end + 4);
            buffer.erase(0, end + 4);
            if (a.has("chunked")) {
                for (;;) {
                    while ((end = buffer.find("\r\n")) == std::string::npos)
                        if (!loopback::more(s, buffer))
                            return;
                    const auto size = std::stoul(buffer, nullptr, 16);
                    while (buffer.size() < end + 2 + size + 2)
                        if (!loopback::more(s, buffer))
                            return;
                    a.body += buffer.substr(end + 2, size);
                    buffer.erase(0, end + 2 + size + 2);
                    if (size == 0)
                        break;
                }
            } else if (const auto at = a.head.find("Content-Length: "); at != std::string::npos) {
                const auto size = std::stoul(a.head.substr(at + 16));
                while (buffer.size() < size)
                    if (!loopback::more(s, buffer))
                        return;
                a.body = buffer.substr(0, size);
                buffer.erase(0, size);
            }
            a.number = requests_++;
            std::string_view reply;
            const std::string said = answer_(a);
            reply = said;
            const bool closes = reply.ends_with(then_close);
            if (closes)
                reply.remove_suffix(then_close.size());
            if (said.empty() || !say(s, reply) || closes)
                return;
        }
    }

    script answer_;
    std::atomic<std::size_t> requests_{0};
    loopback_listener here_;
};

} // namespace
