// SPDX-License-Identifier: MIT
// Who asks, through whom, in which HTTP, over which TLS.
#include "support/http_fixture.hpp"

#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/sleep.hpp>

#include <csignal>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <utility>

#include <sys/wait.h>

namespace {

class http_options : public http_client {};

// ---- who asks ----

TEST_F(http_options, a_name_and_a_password_or_a_token_go_to_the_server) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto basic = http::request(url("/headers")).basic_auth("Aladdin", "open sesame");
        auto reply = co_await client.send(std::move(basic));
        EXPECT_NE(reply.body.find("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), std::string::npos)
            << reply.body;
        auto bearer = http::request(url("/headers")).bearer_auth("abc.def");
        reply = co_await client.send(std::move(bearer));
        EXPECT_NE(reply.body.find("Authorization: Bearer abc.def\r\n"), std::string::npos) << reply.body;
        reply = co_await client.get(url("/headers"));
        EXPECT_EQ(reply.body.find("Authorization"), std::string::npos) << reply.body;
    };
    run(body);
    EXPECT_THROW(http::request("http://a/").basic_auth("a:b", "c"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").basic_auth("a", "c\n"), std::invalid_argument);
    EXPECT_THROW(http::request("http://a/").bearer_auth("a\r\nEvil: b"), std::invalid_argument);
}

TEST_F(http_options, a_password_does_not_go_where_a_redirect_leads) {
    const scripted_server other([](const asked& a) { return scripted_server::text("200 OK", a.head); });
    const scripted_server server([&](const asked&) {
        return scripted_server::text("302 Found", "", "Location: " + other.url("/there") + "\r\n");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto basic = http::request(server.url()).basic_auth("name", "secret");
        auto reply = co_await client.send(std::move(basic));
        EXPECT_NE(reply.body.find("GET /there"), std::string::npos) << reply.body;
        EXPECT_EQ(reply.body.find("Authorization"), std::string::npos) << reply.body;
        auto bearer = http::request(server.url()).bearer_auth("secret");
        reply = co_await client.send(std::move(bearer));
        EXPECT_EQ(reply.body.find("Authorization"), std::string::npos) << reply.body;
    };
    run(body);
}

TEST_F(http_options, cookies_are_kept_only_if_asked_for) {
    const scripted_server server([](const asked& a) {
        return scripted_server::text("200 OK", a.head, a.has("/set") ? "Set-Cookie: colour=green; Path=/\r\n" : "");
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url("/set"));
        EXPECT_EQ(reply.body.find("Cookie"), std::string::npos) << reply.body;
        reply = co_await client.get(server.url("/get"));
        EXPECT_NE(reply.body.find("Cookie: colour=green\r\n"), std::string::npos) << reply.body;
        // Another of the client's handles has them, too.
        std::vector<std::string> urls(5, server.url("/get"));
        const auto get = [&](const std::string& u) { return client.get(u); };
        auto all = co_await muster::map(urls, get);
        for (const auto& one : all)
            EXPECT_NE(one.body.find("Cookie: colour=green\r\n"), std::string::npos) << one.body;
    };
    run(body, http::client_options().cookies(true));
    const auto without = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url("/set"));
        reply = co_await client.get(server.url("/get"));
        EXPECT_EQ(reply.body.find("Cookie"), std::string::npos) << reply.body;
    };
    run(without);
}

TEST_F(http_options, the_cookies_of_a_request_and_those_that_are_kept_are_one_line) {
    const scripted_server server(
        [](const asked& a) { return scripted_server::text("200 OK", a.head, "Set-Cookie: kept=1; Path=/\r\n"); });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        auto ask = http::request(server.url()).header("Cookie", "own=2").header("cookie", "other=3");
        reply = co_await client.send(std::move(ask));
        const auto first = reply.body.find("Cookie: ");
        EXPECT_NE(first, std::string::npos) << reply.body;
        EXPECT_EQ(reply.body.find("ookie: ", first + 8), std::string::npos) << reply.body;
        for (const auto* one : {"kept=1", "own=2", "other=3"})
            EXPECT_NE(reply.body.find(one), std::string::npos) << reply.body;
        // They are not kept.
        reply = co_await client.get(server.url());
        EXPECT_EQ(reply.body.find("own=2"), std::string::npos) << reply.body;
        EXPECT_NE(reply.body.find("kept=1"), std::string::npos) << reply.body;
    };
    run(body, http::client_options().cookies(true));
}

TEST_F(http_options, compression_is_asked_for_unless_it_is_turned_off) {
    const auto with = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/headers"));
        EXPECT_NE(reply.body.find("Accept-Encoding: "), std::string::npos) << reply.body;
    };
    run(with);
    const auto without = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/headers"));
        EXPECT_EQ(reply.body.find("Accept-Encoding: "), std::string::npos) << reply.body;
        reply = co_await client.get(url("/gzip-bomb/1"));
        EXPECT_LT(reply.body.size(), 10'000u);
    };
    run(without, http::client_options().compression(false));
}

TEST_F(http_options, http_1_0_and_1_1_are_spoken_if_asked_for) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/echo"));
        EXPECT_NE(reply.body.find("HTTP/1.0\r\n"), std::string::npos) << reply.body;
    };
    run(body, http::client_options().version(http::http_version::http1_0));
    const auto newer = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(url("/echo"));
        EXPECT_EQ(reply.version, http::http_version::http1_1);
    };
    run(newer, http::client_options().version(http::http_version::http1_1));
}

TEST_F(http_options, texts_with_line_breaks_are_refused) {
    EXPECT_THROW(http::client_options().proxy("http://a\n"), std::invalid_argument);
    EXPECT_THROW(http::client_options().no_proxy("a\r"), std::invalid_argument);
    EXPECT_THROW(http::tls_options().ca_file(std::string("a\0b", 3)), std::invalid_argument);
    EXPECT_THROW(http::tls_options().client_certificate("a\n"), std::invalid_argument);
}

// ---- through whom ----

/// The environment's variable is set while it lives.
class variable {
public:
    variable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name))
            before_ = before;
        ::setenv(name, value.c_str(), 1);
    }
    ~variable() {
        if (before_)
            ::setenv(name_, before_->c_str(), 1);
        else
            ::unsetenv(name_);
    }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;

private:
    const char* name_;
    std::optional<std::string> before_;
};

TEST_F(http_options, a_proxy_is_asked_instead_of_the_server_as_options_and_environment_say) {
    const scripted_server proxy([](const asked& a) { return scripted_server::text("200 OK", "proxied " + a.head); });
    const variable no_exceptions("no_proxy", "");
    const auto expect_proxy = [&](bool used, const http::client_options& options) {
        const auto body = [&](http::client& client) -> muster::task<> {
            auto reply = co_await client.get(url("/echo"));
            EXPECT_EQ(reply.body.starts_with("proxied GET " + url("/echo") + " HTTP/1.1"), used) << reply.body;
        };
        run(body, options);
    };
    expect_proxy(false, http::client_options());
    expect_proxy(true, http::client_options().proxy(proxy.url()));
    expect_proxy(false, http::client_options().proxy(proxy.url()).no_proxy("127.0.0.1"));
    const variable chosen("http_proxy", proxy.url());
    expect_proxy(true, http::client_options());
    expect_proxy(false, http::client_options().proxy(""));
    expect_proxy(false, http::client_options().no_proxy("example.org,127.0.0.1"));
    const variable all_exceptions("no_proxy", "*");
    expect_proxy(false, http::client_options());
}

TEST_F(http_options, a_proxy_that_is_not_there_or_refuses_is_a_connect_error) {
    const auto port = std::to_string(faulty_server::unused_port());
    expect_error<http::connect_error>(
        url("/ok"), nullptr, http::client_options().proxy("http://127.0.0.1:" + port).no_proxy(""));
    expect_error<http::resolve_error>(
        url("/ok"), nullptr, http::client_options().proxy("http://no-such-proxy.invalid").no_proxy(""));
    const scripted_server refuses(
        [](const asked&) { return scripted_server::text("407 Proxy Authentication Required", ""); });
    expect_error<http::connect_error>(
        "https://127.0.0.1:1/", nullptr, http::client_options().proxy(refuses.url()).no_proxy(""));
}

// ---- TLS and HTTP/2, with nginx ----

std::string program_path(const std::string& name) {
    for (const std::string folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/sbin/", "/usr/local/bin/"})
        if (::access((folder + name).c_str(), X_OK) == 0)
            return folder + name;
    return {};
}

/// nginx with a certificate of its own, in a folder of its own.
class tls_server {
public:
    [[nodiscard]] bool start() {
        const auto nginx = program_path("nginx");
        const auto openssl = program_path("openssl");
        if (nginx.empty() || openssl.empty())
            return false;
        char name[] = "/tmp/muster-tls-XXXXXX";
        folder_ = ::mkdtemp(name);
        const auto certificate = [&](const std::string& file) {
            return std::system((openssl +
                                " req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
                                "subjectAltName=IP:127.0.0.1,DNS:localhost -keyout " +
                                folder_ + '/' + file + ".key -out " + folder_ + '/' + file + ".pem 2>/dev/null")
                                   .c_str()) == 0;
        };
        if (!certificate("server") || !certificate("client"))
            return false;
        port_ = std::to_string(faulty_server::unused_port());
        port_with_client_ = std::to_string(faulty_server::unused_port());
        const auto server = [&](const std::string& port, const std::string& more) {
            return "server { listen 127.0.0.1:" + port + " ssl http2; ssl_certificate " + folder_ +
                   "/server.pem; ssl_certificate_key " + folder_ + "/server.key; ssl_protocols TLSv1.2; " + more +
                   "location / { return 200 'hello\\n'; } location /big { root " + folder_ + "; } }\n";
        };
        std::ofstream(folder_ + "/big") << std::string(8 << 20, 'x');
        std::ofstream(folder_ + "/nginx.conf")
            << "daemon off; master_process off; pid " << folder_ << "/pid; error_log /dev/null;\n"
            << "events {}\nhttp { access_log off; client_body_temp_path " << folder_ << "/b; proxy_temp_path "
            << folder_ << "/p; fastcgi_temp_path " << folder_ << "/f; uwsgi_temp_path " << folder_
            << "/u; scgi_temp_path " << folder_ << "/s;\n"
            << server(port_, "")
            << server(port_with_client_, "ssl_client_certificate " + folder_ + "/client.pem; ssl_verify_client on; ")
            << "}\n";
        child_ = ::fork();
        if (child_ == 0) {
            const auto conf = folder_ + "/nginx.conf";
            ::execl(
                nginx.c_str(), nginx.c_str(), "-e", "/dev/null", "-p", folder_.c_str(), "-c", conf.c_str(), nullptr);
            ::_exit(127);
        }
        for (int i = 0; i != 500; ++i) {
            if (::access((folder_ + "/pid").c_str(), F_OK) == 0)
                return true;
            if (::waitpid(child_, nullptr, WNOHANG) == child_) {
                child_ = -1;
                return false;
            }
            std::this_thread::sleep_for(10ms);
        }
        return false;
    }
    tls_server() = default;
    ~tls_server() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
        if (!folder_.empty())
            std::filesystem::remove_all(folder_);
    }
    tls_server(const tls_server&) = delete;
    tls_server& operator=(const tls_server&) = delete;

    [[nodiscard]] std::string url(const std::string& path = "/") const { return "https://127.0.0.1:" + port_ + path; }
    [[nodiscard]] std::string url_with_client() const { return "https://127.0.0.1:" + port_with_client_ + "/"; }
    [[nodiscard]] std::string file(const std::string& name) const { return folder_ + '/' + name; }

private:
    std::string folder_;
    std::string port_;
    std::string port_with_client_;
    pid_t child_ = -1;
};

TEST_F(http_options, tls_trusts_whom_it_is_told_to) {
    tls_server server;
    if (!server.start())
        GTEST_SKIP() << "nginx or openssl is not there, or nginx does not start";
    const auto with = [&](const http::tls_options& tls) { return http::client_options().tls(tls); };
    expect_error<http::tls_error>(server.url());
    expect_error<http::tls_error>(server.url(), nullptr, with(http::tls_options().ca_file("/no/such/file.pem")));
    expect_error<http::tls_error>(server.url(), nullptr, with(http::tls_options().ca_file(server.file("client.pem"))));
    const auto trusted = http::tls_options().ca_file(server.file("server.pem"));
    expect_error<http::tls_error>(
        server.url(), nullptr, with(http::tls_options(trusted).at_least(http::tls_version::tls1_3)));
    expect_error<http::tls_error>(
        server.url(), nullptr, with(http::tls_options(trusted).client_certificate("/no/such/certificate.pem")));
    const auto expect_hello = [&](const std::string& url, const http::tls_options& tls, int status) {
        const auto body = [&](http::client& client) -> muster::task<> {
            auto reply = co_await client.get(url);
            EXPECT_EQ(reply.status, status);
            EXPECT_EQ(reply.body == "hello\n", status == 200) << reply.body;
            EXPECT_GT(reply.timing.secured, 0us);
        };
        run(body, with(tls));
    };
    expect_hello(server.url(), trusted, 200);
    expect_hello(server.url(), http::tls_options().accept_any_certificate(), 200);
    expect_hello(server.url_with_client(), trusted, 400);
    expect_hello(server.url_with_client(),
        http::tls_options(trusted).client_certificate(server.file("client.pem"), server.file("client.key")), 200);
}

TEST_F(http_options, http2_is_agreed_on_and_its_requests_share_a_connection) {
    tls_server server;
    if (!server.start())
        GTEST_SKIP() << "nginx or openssl is not there, or nginx does not start";
    auto options = http::client_options().tls(http::tls_options().ca_file(server.file("server.pem")));
    const auto body = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        EXPECT_EQ(reply.version, http::http_version::http2);
        std::vector<std::string> urls(20, server.url());
        const auto get = [&](const std::string& u) { return client.get(u); };
        auto all = co_await muster::map(urls, get);
        for (const auto& one : all) {
            EXPECT_EQ(one.body, "hello\n");
            EXPECT_EQ(one.timing.secured, 0us) << "a connection of its own";
        }
        auto stream = co_await client.open(http::request(server.url("/big")));
        EXPECT_EQ(stream.head().version, http::http_version::http2);
        co_await muster::sleep_for(50ms);
        auto text = co_await stream.read_all();
        EXPECT_EQ(text.size(), std::size_t{8} << 20);
    };
    run(body, options);
    options.version(http::http_version::http1_1);
    const auto older = [&](http::client& client) -> muster::task<> {
        auto reply = co_await client.get(server.url());
        EXPECT_EQ(reply.version, http::http_version::http1_1);
    };
    run(older, options);
}

} // namespace
