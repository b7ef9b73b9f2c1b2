// SPDX-License-Identifier: MIT
// The table of faults of an answer, put through `muster fetch`: over HTTP/1.1 without and with TLS, and over HTTP/2
// with TLS, as the command speaks HTTP/2 without TLS only where a server offers it. Each row is one run with a second
// URL behind the faulty one, which must get its own answer.
#include "support/answer_faults.hpp"
#include "support/cli_program.hpp"

#include <functional>
#include <optional>
#include <set>

#if MUSTER_TEST_TLS
#include "support/tls_front.hpp"
#endif

namespace {

using namespace cli;
using answer_faults::fault;
using answer_faults::faults;
using muster::testing::faulty_answer;
using muster::testing::faulty_request;

class fetch_answers : public muster_command {
protected:
    /// Fetches the fault, then what must come whole; `more` are the options for the server.
    void expect_fault(
        const fault& one, const std::string& url, const std::string& next, const std::vector<std::string>& more) const {
        // A time limit is for the fault alone.
        const bool is_limited = one.timeout < 1s;
        std::vector<std::string> words{"fetch", "--jsonl", path("log"), "--max-size", "1000", "--limit", "1", "-o",
            path("bodies"), "--timeout", is_limited ? "300ms" : "60s", url};
        if (!is_limited)
            words.push_back(next);
        words.insert(words.end(), more.begin(), more.end());
        fs::remove(path("log"));
        fs::remove_all(path("bodies"));
        program p(words);
        const bool is_well = one.ends_as[0] == '\0';
        EXPECT_EQ(p.wait(60s), is_well ? 0 : 1) << one.name << ": " << p.err;
        const auto log = lines_of(read(path("log")));
        ASSERT_EQ(log.size(), is_limited ? 1U : 2U) << one.name << ": " << p.out << p.err;
        for (const auto& line : log) {
            const auto index = line.at("index").get<std::size_t>();
            EXPECT_EQ(line.value("error_type", ""), index == 0 ? one.ends_as : "") << one.name << ' ' << line;
        }
        // What did not come whole is no file, neither complete nor begun.
        std::multiset<std::string> bodies;
        if (is_well)
            bodies.insert(one.arrives);
        if (!is_limited)
            bodies.insert("mine");
        EXPECT_EQ(bodies_kept(), bodies) << one.name;
    }
    [[nodiscard]] std::multiset<std::string> bodies_kept() const {
        std::multiset<std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(path("bodies")))
            if (entry.is_regular_file())
                all.insert(read(entry.path()));
        return all;
    }
    static std::optional<faulty_answer> answer(const fault& one, const faulty_request& asked) {
        if (!asked.has(" /next "))
            return one.http1;
        return faulty_answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
    }
};

TEST_F(fetch_answers, a_fault_of_an_answer_ends_as_the_table_says_over_http1) {
    for (const auto& one : faults) {
        const faulty_server server({.script = [&](const faulty_request& asked) { return answer(one, asked); }});
        expect_fault(one, server.url("/"), server.url("/next"), {});
    }
}

#if MUSTER_TEST_TLS
TEST_F(fetch_answers, a_fault_of_an_answer_ends_as_the_table_says_over_http1_with_tls) {
    for (const auto& one : faults) {
        const faulty_server server({.script = [&](const faulty_request& asked) { return answer(one, asked); }});
        const tls_front front(server.port(), tls_front::speaks::http1);
        expect_fault(one, front.url("/"), front.url("/next"), {"--cacert", front.authority()});
    }
}

TEST_F(fetch_answers, a_fault_of_an_answer_ends_as_the_table_says_over_http2_with_tls) {
    for (const auto& one : faults) {
        const http2_server server([&](std::uint32_t s, std::size_t number) {
            if (number == 0)
                return one.http2(s);
            return h2::headers(s, "200", 0, h2::field("content-length", "4")) + h2::data(s, "mine", h2::end_stream);
        });
        const auto port = server.url().substr(server.url().rfind(':') + 1);
        const tls_front front(static_cast<std::uint16_t>(std::stoi(port)), tls_front::speaks::http2);
        expect_fault(one, front.url("/"), front.url("/next"), {"--cacert", front.authority(), "--http", "2"});
    }
}
#endif

} // namespace
