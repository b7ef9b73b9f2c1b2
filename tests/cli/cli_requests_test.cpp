// SPDX-License-Identifier: MIT
// How muster fetch asks: whom, how often, with which names, passwords and cookies, and what it refuses to ask for.
#include "support/cli_program.hpp"
#include "support/http_fixture.hpp"

#include <atomic>
#include <map>
#include <mutex>

namespace {

using namespace cli;

class muster_requests : public muster_command {
protected:
    /// *Returns* what it says.
    static std::string fetch(std::vector<std::string> arguments, int status = 0, const setting& s = {}) {
        arguments.insert(arguments.begin(), "fetch");
        program p(std::move(arguments), s);
        EXPECT_EQ(p.wait(), status) << p.out << p.err;
        return p.out + p.err;
    }
    static bool contains(const std::string& text, const std::string& part) {
        return text.find(part) != std::string::npos;
    }
    /// The attempts of the only line of a log on standard output.
    static int attempts_of(std::vector<std::string> arguments, const setting& s = {}) {
        arguments.insert(arguments.begin(), {"fetch", "--retries", "2", "--jsonl", "-", "-q"});
        program p(arguments, s);
        if (p.wait() == 126)
            return -1;
        return lines_of(p.out).at(0).at("attempts").get<int>();
    }
};

// ---- names of hosts ----

TEST_F(muster_requests, an_international_name_needs_no_locale) {
    setting s;
    s.c_locale = true;
    const auto said = fetch({"http://b\xc3\xbc"
                             "cher.invalid/"},
        1, s);
    EXPECT_TRUE(contains(said, "unknown host")) << said;
    EXPECT_TRUE(contains(said, "xn--bcher-kva.invalid")) << said;
}

TEST_F(muster_requests, a_look_up_is_repeated_only_if_it_failed_for_now) {
    // A label of a name has 63 bytes at most: no server is asked.
    EXPECT_EQ(attempts_of({"http://" + std::string(64, 'a') + "/"}), 1);
    setting s;
    s.no_network = true;
    const auto without_network = attempts_of({"http://example.com/"}, s);
    if (without_network == -1)
        GTEST_SKIP() << "a process without a network can't be had here";
    EXPECT_EQ(without_network, 3);
}

TEST_F(muster_requests, mistakes_in_urls_are_said_in_the_words_of_users) {
    const std::vector<std::pair<std::string, std::string>> mistakes = {
        {"/with space", "it must begin with http:// or https://"},
        {"localhost:80/x", "it must begin with http:// or https://"},
        {"example.org", "it must begin with http:// or https://"},
        {"ftp://127.0.0.1/", "only http and https are supported"},
        {"http://" + std::string(300, 'a') + ".example/", "host"},
    };
    for (const auto& [text, words] : mistakes) {
        const auto said = fetch({text}, 1);
        EXPECT_TRUE(contains(said, words)) << said;
    }
    expect_refused({"fetch", "-4", url("/ok")}, "there is no option '-4'");
    expect_refused({"fetch", "-X", "GET IT", url("/ok")}, "--method: 'GET IT' is no method");
    expect_refused({"fetch", "-H", "A B: x", url("/ok")}, "--header: 'A B' is no name");
    expect_refused({"fetch", "-u", "a\nb:c", url("/ok")}, "--user: there is a line break");
}

TEST_F(muster_requests, an_input_does_not_climb_out_of_its_folder) {
    for (const auto* input : {"..", ".", "%2e%2e", ".%2E"}) {
        const auto said = fetch({"--no-encode", "-X", "DELETE", url("/user/{}/delete"), ":::", input, "x"}, 1);
        EXPECT_TRUE(contains(said, "bad line")) << input << said;
        EXPECT_TRUE(contains(said, "would be . or .. in the path")) << input << said;
    }
    EXPECT_TRUE(contains(fetch({url("/user/{}/x"), ":::", ".."}, 1), "bad line"));
    EXPECT_TRUE(contains(fetch({"--no-encode", url("/user/{}"), ":::", "a/../b"}, 1), "bad line"));
    EXPECT_TRUE(contains(fetch({"--no-encode", url("/user/{}"), ":::", "a\\..\\b"}, 1), "bad line"));
    expect_refused({"fetch", url("/a/../{}"), ":::", "x"}, "without . and ..");
    EXPECT_EQ(server_.stats().requests, 4u); // those of the inputs x
    // What is no segment of its own stays as it is, and so does a path that somebody wrote.
    EXPECT_EQ(ledger_of(fetch({url("/ok?{}"), ":::", "..", "...", "a.."})).succeeded, 3u);
    const scripted_server server([](const asked& a) {
        return scripted_server::text(a.head.starts_with("GET /a/../b/./c ") ? "200 OK" : "400 Bad", "");
    });
    EXPECT_EQ(ledger_of(fetch({server.url("/a/../b/./c")})).succeeded, 1u);
}

TEST_F(muster_requests, blanks_and_letters_go_out_as_browsers_send_them) {
    const scripted_server server([](const asked& a) {
        const bool right = a.head.starts_with("GET /a%20b/%C3%A4?q=%C3%BC%20x ");
        return scripted_server::text(right ? "200 OK" : "400 Bad", "");
    });
    EXPECT_EQ(ledger_of(fetch({"-f", write("urls", server.url("/a b/\xc3\xa4?q=\xc3\xbc x") + "\n")})).succeeded, 1u);
}

// ---- how many at once ----

TEST_F(muster_requests, a_server_gets_no_more_than_its_share_while_others_go_on) {
    const faulty_server other;
    std::string list;
    for (int i = 0; i != 12; ++i)
        list += url("/slow/50?" + std::to_string(i)) + '\n';
    for (int i = 0; i != 12; ++i)
        list += other.url("/ok?" + std::to_string(i)) + '\n';
    const auto said = fetch({"--limit", "8", "--per-host", "2", "--jsonl", path("log"), "-f", write("urls", list)});
    EXPECT_EQ(ledger_of(said).succeeded, 24u);
    EXPECT_LE(server_.stats().peak_connections, 2u);
    EXPECT_LE(other.stats().peak_connections, 2u);
    // The other server's are not behind all of the slow one's.
    const auto log = lines_of(read(path("log")));
    EXPECT_GE(log.back().at("index").get<int>(), 0);
    EXPECT_LT(log.back().at("index").get<int>(), 12);
}

TEST_F(muster_requests, a_server_has_a_rate_of_its_own) {
    const faulty_server other;
    std::vector<std::string> arguments{"--per-host-rate", "5/s", other.url("/ok")};
    for (int i = 0; i != 6; ++i)
        arguments.push_back(url("/ok?" + std::to_string(i)));
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(ledger_of(fetch(arguments)).succeeded, 7u);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 1s);
}

TEST_F(muster_requests, bodies_are_read_no_faster_than_they_may) {
    const auto began = std::chrono::steady_clock::now();
    // --limit-rate makes pauses in which fetch itself reads nothing: --stall-timeout must not count them.
    const auto said =
        fetch({"--limit-rate", "200K", "--stall-timeout", "200ms", url("/bytes/150000"), url("/bytes/150000")});
    EXPECT_EQ(ledger_of(said).succeeded, 2u);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 1400ms);
    EXPECT_TRUE(contains(said, "300 KB received")) << said;
}

TEST_F(muster_requests, a_time_limit_begins_when_a_request_is_let_go) {
    std::vector<std::string> arguments{"--limit", "8", "--per-host", "1", "--timeout", "2s"};
    for (int i = 0; i != 6; ++i)
        arguments.push_back(url("/slow/500?" + std::to_string(i)));
    EXPECT_EQ(ledger_of(fetch(arguments)).succeeded, 6u);
    arguments = {"--limit", "1", "--timeout", "2s"};
    for (int i = 0; i != 6; ++i)
        arguments.push_back(url("/slow/500?" + std::to_string(i)));
    EXPECT_EQ(ledger_of(fetch(arguments)).succeeded, 6u);
}

// ---- who asks ----

TEST_F(muster_requests, headers_and_passwords_come_from_files) {
    const auto headers = write("headers", "Authorization: Bearer secret\r\n\nX-B: 2\n");
    EXPECT_TRUE(
        contains(fetch({"-q", "-o", "-", "-H", "@" + headers, url("/headers")}), "Authorization: Bearer secret"));
    EXPECT_TRUE(contains(fetch({"-q", "-o", "-", "-H", "@" + headers, url("/headers")}), "X-B: 2"));
    const auto login = write("login", "me:p:w\n");
    EXPECT_TRUE(contains(fetch({"-q", "-o", "-", "-u", "@" + login, url("/headers")}), "Basic bWU6cDp3"));
    expect_refused({"fetch", "-H", "@" + path("none"), url("/ok")}, "can't be read");
    expect_refused({"fetch", "-u", "@" + write("empty", ""), url("/ok")}, "there is nothing in");
    expect_refused({"fetch", "-H", "@" + write("bad", "no header\n"), url("/ok")}, "is no header");
}

TEST_F(muster_requests, a_netrc_file_knows_the_server) {
    const auto netrc =
        write("netrc", "machine other.example login x password y\nmachine 127.0.0.1 login me password pw\n");
    EXPECT_TRUE(contains(fetch({"-q", "-o", "-", "--netrc-file", netrc, url("/headers")}), "Basic bWU6cHc="));
    expect_refused({"fetch", "--netrc-file", path("none"), url("/ok")}, "can't be read");
}

TEST_F(muster_requests, cookies_stay_from_run_to_run) {
    const scripted_server server([](const asked& a) {
        return scripted_server::text("200 OK", a.has("Cookie: id=42\r\n") ? "known" : "new",
            "Set-Cookie: id=42; Max-Age=1000\r\nSet-Cookie: s=1; Path=/elsewhere\r\n");
    });
    const std::vector<std::string> arguments{"-q", "-o", "-", "--cookie-jar", path("jar"), server.url()};
    EXPECT_EQ(fetch(arguments), "new");
    EXPECT_TRUE(contains(read(path("jar")), "\tid\t42\n")) << read(path("jar"));
    struct stat about {};
    ::stat(path("jar").c_str(), &about);
    EXPECT_EQ(about.st_mode & 0777, 0600u);
    EXPECT_EQ(fetch(arguments), "known");
    EXPECT_EQ(fetch({"-q", "-o", "-", server.url()}), "new");
    expect_refused({"fetch", "--cookie-jar", write("text", "my diary\n"), url("/ok")}, "no file of cookies");
    EXPECT_EQ(read(path("text")), "my diary\n");
}

TEST_F(muster_requests, inputs_go_into_headers_and_data) {
    const auto said = fetch({"-q", "-o", "-", "--keep-order", "-H", "X-Number: {#}", "-d", R"({"id": "{}"})",
        url("/echo"), ":::", "a b", "c"});
    for (const auto* part : {"X-Number: 1", R"({"id": "a b"})", "X-Number: 2", R"({"id": "c"})"})
        EXPECT_TRUE(contains(said, part)) << part << said;
    // Without inputs braces are themselves.
    EXPECT_TRUE(contains(fetch({"-q", "-o", "-", "-d", "{}", url("/echo")}), "\r\n\r\n{}"));
    EXPECT_EQ(ledger_of(fetch({"-d", "{}", url("/echo"), "-f", write("in", "1\n2\n")})).succeeded, 2u);
    const auto broken = fetch({"-H", "X: {}", url("/ok?{#}"), ":::", "a\r\nEvil: 1", "b"}, 1);
    EXPECT_EQ(ledger_of(broken).failed, 1u) << broken;
}

TEST_F(muster_requests, http_is_refused_where_only_https_may_be) {
    for (const auto& words : {std::vector<std::string>{"--https-only"}, {"--proto", "=https"}}) {
        auto all = words;
        all.push_back(url("/ok"));
        EXPECT_TRUE(contains(fetch(all, 1), "only https")) << words.front();
    }
    EXPECT_EQ(server_.stats().requests, 0u);
    expect_refused({"fetch", "--proto", "ftp", url("/ok")}, "=https");
}

TEST_F(muster_requests, addresses_of_this_machine_are_refused_where_only_public_ones_may_be) {
    for (const auto& where : {url("/ok"), std::string("http://localhost/"), std::string("http://[::1]/")})
        EXPECT_EQ(ledger_of(fetch({"--no-private-addresses", where}, 1)).failed, 1u);
    EXPECT_EQ(server_.stats().requests, 0u);
    expect_refused({"fetch", "--pin", "my key", url("/ok")}, "pin");
}

TEST_F(muster_requests, believing_any_server_is_warned_of) {
    EXPECT_TRUE(contains(fetch({"--insecure", url("/ok")}), "can pretend to be any server"));
}

// ---- the log ----

TEST_F(muster_requests, a_new_log_is_for_its_user_alone) {
    const auto mode_of = [&](const std::string& name) {
        struct stat about {};
        ::stat(path(name).c_str(), &about);
        return about.st_mode & 0777;
    };
    fetch({"--jsonl", path("log"), url("/ok")});
    EXPECT_EQ(mode_of("log"), 0600u);
    fetch({"--jsonl", path("open"), "--log-mode", "644", url("/ok")});
    EXPECT_EQ(mode_of("open"), 0644u);
    // The log of an earlier run stays as readable as it was.
    fetch({"--jsonl", path("open"), url("/ok")});
    EXPECT_EQ(mode_of("open"), 0644u);
    expect_refused({"fetch", "--log-mode", "7", "--jsonl", path("x"), url("/ok")}, "--log-mode");
}

} // namespace
