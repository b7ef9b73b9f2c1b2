// SPDX-License-Identifier: MIT
// Which addresses a client connects to: overrides, a resolver of the program's own, public addresses only, pinned keys;
// and the progress of an upload.
#include "http/address.hpp"
#include "support/http_fixture.hpp"
#include "support/nginx_server.hpp"

#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>

namespace {

using nginx_test::nginx_server;

class http_names : public http_client {};

sockaddr_storage address_of(const char* text) {
    sockaddr_storage all{};
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        std::memcpy(&all, &v4, sizeof v4);
    } else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        std::memcpy(&all, &v6, sizeof v6);
    }
    return all;
}

TEST(http_address, the_networks_of_the_registries_are_not_public_however_they_are_written) {
    for (const auto* text : {"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
             "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.0.0.8", "198.18.0.1",
             "198.19.255.255", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1",
             "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
             "2002:7f00:1::", "fc00::1", "fd12::1", "fe80::1", "febf::1", "fec0::1", "ff02::1"}) {
        const auto all = address_of(text);
        EXPECT_FALSE(http::is_public(reinterpret_cast<const sockaddr&>(all))) << text;
    }
    for (const auto* text :
        {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1", "172.15.255.255",
            "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
            "2606:4700::1", "2001:4860::1", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::"}) {
        const auto all = address_of(text);
        EXPECT_TRUE(http::is_public(reinterpret_cast<const sockaddr&>(all))) << text;
    }
    sockaddr local{};
    local.sa_family = AF_UNIX;
    EXPECT_FALSE(http::is_public(local));
}

TEST_F(http_names, no_private_address_is_connected_to_however_it_is_written) {
    const auto port = std::to_string(server_.port());
    auto options = http::client_options().no_private_addresses().resolve("inside.invalid", {"::1", "127.0.0.1"});
    options.retry(http::resend_policy(3));
    for (const auto* host : {"127.0.0.1", "localhost", "[::1]", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1",
             "[::ffff:127.0.0.1]", "0.0.0.0", "inside.invalid"})
        expect_error<http::url_error>(
            "http://" + std::string(host) + ':' + port + "/ok",
            [](const http::url_error& e) {
                EXPECT_NE(e.problem().find("(no_private_addresses)"), std::string::npos) << e.problem();
            },
            options);
    EXPECT_EQ(server_.stats().connections, 0u);
}

TEST_F(http_names, no_proxy_connects_to_a_private_address_in_our_stead) {
    const auto proxy = "http://127.0.0.1:" + std::to_string(server_.port());
    EXPECT_THROW(http::client(http::client_options().no_private_addresses().proxy(proxy)), std::invalid_argument);
    ::setenv("http_proxy", proxy.c_str(), 1);
    ::unsetenv("no_proxy");
    expect_error<http::url_error>(url("/ok"), nullptr, http::client_options().no_private_addresses());
    ::setenv("no_proxy", "*", 1);
    ::unsetenv("http_proxy");
    EXPECT_EQ(server_.stats().connections, 0u);
}

TEST_F(http_names, a_name_leads_where_resolve_says_and_stays_the_name_in_the_request) {
    const auto port = std::to_string(server_.port());
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get("http://Shop.Invalid:" + port + "/headers");
        EXPECT_NE(reply.body.find("Host: Shop.Invalid:" + port), std::string::npos) << reply.body;
        auto other = co_await muster::as_outcome(client.get("http://other.invalid:" + port + "/ok"));
        EXPECT_TRUE(other.failed_with<http::resolve_error>()) << muster::to_string(other);
    };
    run(body, http::client_options().resolve("shop.invalid", {"127.0.0.1"}));
    EXPECT_THROW(http::client_options().resolve("a", {"b"}), std::invalid_argument);
    EXPECT_THROW(http::client_options().resolve("a", {}), std::invalid_argument);
    EXPECT_THROW(http::client_options().resolve("a", {"127.0.0.1,10.0.0.1"}), std::invalid_argument);
}

TEST_F(http_names, a_resolver_is_asked_for_each_name_of_a_request_and_of_its_redirects) {
    std::string port;
    const scripted_server server([&](const asked& a) {
        if (a.has("Host: one."))
            return scripted_server::text("302 Found", "", "Location: http://two.invalid:" + port + "/\r\n");
        return scripted_server::text("200 OK", a.head);
    });
    port = server.port();
    std::vector<std::string> asked_for;
    http::client_options options;
    options.resolver([&](std::string host) -> muster::task<std::vector<std::string>> {
        asked_for.push_back(host);
        co_await muster::sleep_for(1ms);
        std::vector<std::string> all{"127.0.0.1"};
        co_return all;
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get("http://one.invalid:" + port + "/");
        EXPECT_NE(reply.body.find("Host: two.invalid:" + port), std::string::npos) << reply.body;
        auto ask = http::request("http://one.invalid:" + port + "/").retry(http::resend_policy(1));
        reply = co_await client.send(std::move(ask));
        EXPECT_EQ(reply.status, 200);
        auto stream = co_await client.open(http::request("http://one.invalid:" + port + "/"));
        EXPECT_EQ(stream.status(), 200);
        co_await stream.close();
        reply = co_await client.get(server.url());
        EXPECT_EQ(reply.status, 200);
    };
    run(body, options.connections(1));
    const std::vector<std::string> twice{
        "one.invalid", "two.invalid", "one.invalid", "two.invalid", "one.invalid", "two.invalid"};
    EXPECT_EQ(asked_for, twice);
}

TEST_F(http_names, a_resolver_that_fails_or_knows_nothing_ends_the_request) {
    http::client_options options;
    options.connect_timeout(50ms).resolver([](std::string host) -> muster::task<std::vector<std::string>> {
        std::vector<std::string> all;
        if (host == "throws.invalid")
            throw std::domain_error("no such zone");
        if (host == "odd.invalid")
            all.push_back("not an address");
        if (host == "slow.invalid")
            co_await muster::sleep_for(1h);
        co_return all;
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto thrown = co_await muster::as_outcome(client.get("http://throws.invalid/"));
        EXPECT_TRUE(thrown.failed_with<std::domain_error>()) << muster::to_string(thrown);
        for (const auto* name : {"http://none.invalid/", "http://odd.invalid/"}) {
            auto ended = co_await muster::as_outcome(client.get(name));
            EXPECT_TRUE(ended.failed_with<http::resolve_error>()) << muster::to_string(ended);
        }
        auto late = co_await muster::as_outcome(client.get("http://slow.invalid/"));
        EXPECT_TRUE(late.failed_with<http::timeout_error>()) << muster::to_string(late);
        auto waiting = muster::create_task(client.get("http://slow.invalid/"));
        co_await muster::sleep_for(2ms);
        EXPECT_EQ(client.statistics().under_way, 0u);
        waiting.cancel();
        auto end = muster::wait_for(waiting, 30s);
        auto gone = co_await muster::as_outcome(std::move(end));
        EXPECT_TRUE(gone.was_cancelled()) << muster::to_string(gone);
        auto fine = co_await client.get(url("/ok"));
        EXPECT_EQ(fine.status, 200);
    };
    run(body, options);
}

TEST_F(http_names, the_progress_of_an_upload_is_told_up_to_its_end) {
    const std::size_t size = 600'000;
    const auto body = [&](http::client& client) -> muster::task<> {
        for (const bool from_source : {false, true}) {
            std::vector<std::uint64_t> told;
            auto ask = http::request(url("/echo")).method("PUT");
            if (from_source) {
                auto left = std::make_shared<std::size_t>(6);
                ask.body_from(
                    [left]() -> muster::task<std::optional<std::string>> {
                        if (*left == 0)
                            co_return std::nullopt;
                        --*left;
                        co_return std::optional<std::string>(std::string(100'000, 'x'));
                    },
                    600'000);
            } else {
                ask.body(std::string(size, 'x'));
            }
            ask.on_upload([&](std::uint64_t sent) { told.push_back(sent); });
            auto reply = co_await client.send(std::move(ask));
            EXPECT_EQ(reply.status, 200);
            EXPECT_TRUE(!told.empty() && told.back() == size) << told.size();
            EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
        }
        auto bad = http::request(url("/echo")).body("all of it");
        bad.on_upload([](std::uint64_t) { throw std::domain_error("no more"); });
        auto ended = co_await muster::as_outcome(client.send(std::move(bad)));
        EXPECT_TRUE(ended.failed_with<std::domain_error>()) << muster::to_string(ended);
    };
    run(body);
}

TEST_F(http_names, a_server_whose_key_is_not_the_pinned_one_is_a_tls_error) {
    const std::string other = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (const auto* bad : {"", "sha256//", "AAAA", "md5//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256//AA;"})
        EXPECT_THROW(http::tls_options().pin(bad), std::invalid_argument) << bad;
    if (!nginx_server::is_installed() || !nginx_test::certificates::can_be_made())
        GTEST_SKIP() << nginx_server::how_to_get_it;
    const nginx_server nginx(1, true);
    const auto good = nginx.tls_url(nginx_server::tls::good, "/logged");
    const auto certificate = std::filesystem::path(nginx.authority()).parent_path() / "good.pem";
    const std::string command = "openssl x509 -pubkey -noout -in " + certificate.string() +
                                " | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    std::string pin = "sha256//";
    std::FILE* const said = ::popen(command.c_str(), "re");
    for (int c = 0; said != nullptr && (c = std::fgetc(said)) > ' ';)
        pin += static_cast<char>(c);
    if (said != nullptr)
        ::pclose(said);
    const auto pinned = [&](const std::string& keys) {
        return http::client_options().tls(http::tls_options().ca_file(nginx.authority()).pin(keys));
    };
    expect_error<http::tls_error>(good, nullptr, pinned(other));
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(good);
        EXPECT_EQ(reply.status, 200);
    };
    run(body, pinned(pin));
    run(body, pinned(other + ';' + pin));
}

} // namespace
