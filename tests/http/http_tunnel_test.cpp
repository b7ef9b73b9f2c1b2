// SPDX-License-Identifier: MIT
// Requests through the tunnel of a proxy: the proxy's answer to a CONNECT is never taken for the server's, also where a
// kept connection breaks and another tunnel is made for the same request.
#include "support/http_fixture.hpp"

#include <string>
#include <utility>

#if MUSTER_TEST_TLS
#include "support/tls_front.hpp"
#endif

namespace {

class http_tunnels : public http_client {};

/// A proxy on loopback that knows CONNECT and nothing else.
class tunnel_proxy {
public:
    tunnel_proxy() : here_([](int client) { serve(client); }) {}
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(here_.port()); }
    [[nodiscard]] std::size_t tunnels() const { return here_.connections(); }

private:
    static void serve(int client) {
        std::string head;
        while (head.find("\r\n\r\n") == std::string::npos)
            if (!loopback::more(client, head))
                return;
        const auto port = std::stoul(head.substr(head.find(':') + 1));
        const int server = loopback::connected_to(static_cast<std::uint16_t>(port));
        loopback::say(client, "HTTP/1.1 200 Connection Established\r\nVia: test\r\nX-Proxy: yes\r\n\r\n");
        for (bool goes_on = true; goes_on;) {
            std::array<pollfd, 2> both{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
            ::poll(both.data(), both.size(), -1);
            for (const auto& [from, to] : {std::pair(0, server), std::pair(1, client)}) {
                std::string bytes;
                const auto& one = both.at(static_cast<std::size_t>(from));
                if (one.revents != 0)
                    goes_on = loopback::more(one.fd, bytes) && loopback::say(to, bytes) && goes_on;
            }
        }
        ::close(server);
    }

    loopback_listener here_;
};

#if MUSTER_TEST_TLS
TEST_F(http_tunnels, a_request_whose_kept_tunnel_breaks_is_sent_through_another_one) {
    const scripted_server server([](const asked& a) {
        // The second request finds that its connection is being closed.
        return a.number == 1 ? std::string() : scripted_server::text("200 OK", std::to_string(a.number));
    });
    const tls_front front(static_cast<std::uint16_t>(std::stoul(server.port())), tls_front::speaks::http1);
    const tunnel_proxy proxy;
    const auto body = [&](http::client& client) -> muster::task<> {
        auto first = co_await client.get(front.url("/"));
        EXPECT_EQ(first.body, "0");
        auto asking = client.get(front.url("/"));
        const auto second = co_await muster::as_outcome(std::move(asking));
        EXPECT_TRUE(second.succeeded()) << muster::to_string(second);
        if (second.succeeded()) {
            EXPECT_EQ(second.value().body, "2");
            EXPECT_EQ(second.value().headers.find("X-Proxy"), nullptr);
        }
    };
    run(body,
        http::client_options().proxy(proxy.url()).no_proxy("").tls(http::tls_options().ca_file(front.authority())));
    EXPECT_EQ(proxy.tunnels(), 2u);
    EXPECT_EQ(server.requests(), 3u);
}

TEST_F(http_tunnels, a_redirect_leads_through_a_tunnel_of_its_own) {
    const scripted_server last([](const asked&) { return scripted_server::text("200 OK", "here"); });
    const tls_front second(static_cast<std::uint16_t>(std::stoul(last.port())), tls_front::speaks::http1);
    const scripted_server begin(
        [&](const asked&) { return scripted_server::text("302 Found", "", "Location: " + second.url("/") + "\r\n"); });
    const tls_front first(static_cast<std::uint16_t>(std::stoul(begin.port())), tls_front::speaks::http1);
    const tunnel_proxy proxy;
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(first.url("/"));
        EXPECT_EQ(reply.body, "here");
        EXPECT_EQ(reply.headers.find("X-Proxy"), nullptr);
    };
    run(body, http::client_options().proxy(proxy.url()).no_proxy("").tls(http::tls_options().accept_any_certificate()));
    EXPECT_EQ(proxy.tunnels(), 2u);
}
#endif

} // namespace
