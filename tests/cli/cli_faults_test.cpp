// SPDX-License-Identifier: MIT
// Real faults for `muster fetch`, each put through the same checks: every URL ends as the table says, the counts add up
// to what was asked, the lines of the log parse and there is one for each URL, the exit status is right, and the
// program ends.
#include "support/cli_program.hpp"

#include "support/fault_table.hpp"

#include <algorithm>
#include <random>
#include <thread>

namespace {

using namespace cli;
using namespace fault_table;

class fetch_faults : public muster_command {
protected:
    struct asked {
        asked(const fault& f, std::string u) : of(f), url(std::move(u)) {}
        fault of;
        std::string url;
    };

    [[nodiscard]] std::vector<asked> urls_of(const std::vector<fault>& faults, std::size_t rounds = 1) {
        std::vector<asked> all;
        for (std::size_t i = 0; i != rounds; ++i)
            for (const auto& f : faults)
                if (fault_bed::missing(f) == nullptr)
                    all.emplace_back(f, bed_.url(f));
        return all;
    }
    [[nodiscard]] std::string list_of(const std::vector<asked>& all) const {
        std::string text;
        for (const auto& a : all)
            text += a.url + '\n';
        return write("urls", text);
    }

    /// What is true of every run that was not interrupted: the log is the table's, the ledger is the log's.
    void expect_ends(const std::vector<asked>& all, std::vector<std::string> more) {
        std::vector<std::string> words{
            "fetch", "-f", list_of(all), "--jsonl", path("log"), "--max-size", std::to_string(largest_body)};
        words.insert(words.end(), more.begin(), more.end());
        fs::remove(path("log"));
        program p(words);
        const int status = p.wait(120s);
        const bool all_well = std::ranges::all_of(all, [](const asked& a) { return a.of.ends_as[0] == '\0'; });
        EXPECT_EQ(status, all_well ? 0 : 1) << p.err;
        EXPECT_EQ(p.err, "");
        const auto c = ledger_of(p.out);
        EXPECT_EQ(c.submitted, all.size());
        EXPECT_EQ(c.cancelled + c.not_started, 0u);
        const auto log = lines_of(read(path("log")));
        expect_same(log, c);
        for (const auto& line : log) {
            const auto& a = all.at(line.at("index").get<std::size_t>());
            EXPECT_EQ(line.at("url"), a.url);
            EXPECT_EQ(line.value("error_type", ""), a.of.ends_as) << a.of.name << ' ' << line;
        }
    }

    /// What is true of every run that a signal ended.
    void expect_interrupted(program& p, int signal, std::size_t submitted) {
        const int status = p.wait(60s);
        SCOPED_TRACE(p.err);
        EXPECT_TRUE(status == 128 + signal || status <= 1) << status;
        // It may come before the program listens for it, when nothing was asked of anybody, or after all was said.
        if (p.was_killed() && p.out.empty()) {
            EXPECT_EQ(read(path("log")), "");
            return;
        }
        const auto c = ledger_of(p.out);
        EXPECT_EQ(c.submitted, submitted);
        EXPECT_TRUE(status == 128 + signal || c.cancelled + c.not_started == 0) << p.out;
        expect_same(lines_of(read(path("log"))), c);
    }

    static std::size_t files_in(const std::string& folder, const std::string& ending = {}) {
        std::size_t count = 0;
        for (const auto& entry : fs::directory_iterator(folder))
            count += entry.path().string().ends_with(ending) ? 1 : 0;
        return count;
    }

    fault_bed bed_;
};

// ---- one at a time ----

class fetch_fault : public fetch_faults, public ::testing::WithParamInterface<fault> {};

TEST_P(fetch_fault, ends_as_the_table_says_in_one_count_and_one_line) {
    if (const auto* missing = fault_bed::missing(GetParam()))
        GTEST_SKIP() << missing;
    expect_ends(urls_of({GetParam()}), {"--timeout", GetParam().times_out ? "300ms" : "60s"});
}

const auto name_of_row = [](const ::testing::TestParamInfo<fault>& row) { return std::string(row.param.name); };
INSTANTIATE_TEST_SUITE_P(server, fetch_fault, ::testing::ValuesIn(server_faults), name_of_row);
INSTANTIATE_TEST_SUITE_P(nginx, fetch_fault, ::testing::ValuesIn(nginx_faults), name_of_row);
INSTANTIATE_TEST_SUITE_P(tls, fetch_fault, ::testing::ValuesIn(tls_faults), name_of_row);

// ---- all at once ----

std::vector<fault> every_fault() {
    auto all = server_faults;
    all.insert(all.end(), nginx_faults.begin(), nginx_faults.end());
    return all;
}

/// Those of which none needs its time to be up.
std::vector<fault> without_time_outs(std::vector<fault> all) {
    std::erase_if(all, [](const fault& f) { return f.times_out; });
    return all;
}

TEST_F(fetch_faults, every_fault_in_one_list_ends_each_line_as_itself_whatever_the_limit) {
    expect_ends(urls_of(every_fault()), {"--timeout", "2s", "--limit", "6"});
    expect_ends(urls_of(every_fault(), 4), {"--timeout", "2s", "--limit", "1000"});
}

TEST_F(fetch_faults, every_fault_in_one_list_with_retries_and_files_leaves_a_file_for_each_success) {
    const auto all = urls_of(without_time_outs(every_fault()), 2);
    expect_ends(all, {"--timeout", "60s", "--retries", "1", "-o", path("out")});
    const auto good = std::ranges::count_if(all, [](const asked& a) { return a.of.ends_as[0] == '\0'; });
    EXPECT_EQ(files_in(path("out")), static_cast<std::size_t>(good));
    EXPECT_EQ(files_in(path("out"), ".part"), 0u);
}

TEST_F(fetch_faults, faults_on_standard_input_in_pieces_end_as_those_of_a_file) {
    setting s;
    s.input_file.clear();
    const auto all = urls_of(without_time_outs(server_faults));
    program p({"fetch", "--timeout", "60s", "--max-size", "5M", "--jsonl", path("log"), "-"}, s);
    for (const auto& a : all) {
        p.write_input(a.url.substr(0, 9));
        std::this_thread::sleep_for(2ms);
        p.write_input(a.url.substr(9) + '\n');
    }
    p.end_input();
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, all.size());
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log) {
        const auto& a = all.at(line.at("index").get<std::size_t>());
        EXPECT_EQ(line.value("error_type", ""), a.of.ends_as) << a.of.name << ' ' << line;
    }
}

TEST_F(fetch_faults, a_server_that_is_killed_in_the_middle_costs_its_own_lines_only) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    auto& nginx = bed_.nginx();
    std::string text;
    for (int i = 0; i != 40; ++i)
        text += nginx.url("/trickle") + '\n' + url("/slow/400") + '\n';
    program p({"fetch", "--limit", "100", "-f", write("urls", text), "--jsonl", path("log"), "-o", path("out")});
    for (int i = 0; i != 2000 && server_.stats().requests < 40; ++i)
        std::this_thread::sleep_for(5ms);
    std::this_thread::sleep_for(100ms);
    nginx.stop(SIGKILL);
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 40u);
    EXPECT_EQ(c.failed, 40u);
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_EQ(files_in(path("out")), 40u);
}

TEST_F(fetch_faults, retry_after_of_nginx_is_a_503_that_is_tried_again_and_reported_once) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    program p({"fetch", "--retries", "2", "--jsonl", path("log"), bed_.nginx().url("/status/503"),
        bed_.nginx().url("/status/404")});
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.failed, 2u);
    for (const auto& line : lines_of(read(path("log"))))
        EXPECT_EQ(line.at("attempts"), line.at("status") == 503 ? 3 : 1) << line;
}

TEST_F(fetch_faults, certificates_are_judged_by_the_authority_that_is_named) {
    program help({"fetch", "--help"});
    help.wait();
    if (help.out.find("--cacert") == std::string::npos)
        GTEST_SKIP() << "muster fetch has no --cacert";
    for (const auto& f : tls_faults)
        if (const auto* missing = fault_bed::missing(f))
            GTEST_SKIP() << missing;
    const auto authority = bed_.nginx(true).authority();
    auto judged = tls_faults;
    judged[0].ends_as = "";
    expect_ends(urls_of(judged), {"--cacert", authority});
    const auto log = read(path("log"));
    for (const auto* words : {"expired", "subject"})
        EXPECT_NE(log.find(words), std::string::npos) << log;
}

// ---- many ----

TEST_F(fetch_faults, ten_thousand_requests_at_a_limit_of_a_thousand_each_get_one_line) {
    const std::vector<std::string> kinds{"/ok", "/slow/20", "/status/404", "/reset", "/truncated/100"};
    std::string text;
    for (std::size_t i = 0; i != 10'000; ++i)
        text += url(kinds[i % kinds.size()]) + '\n';
    program p({"fetch", "--limit", "1000", "-f", write("urls", text), "--jsonl", path("log")});
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 10'000u);
    EXPECT_EQ(c.succeeded, 4000u);
    EXPECT_EQ(c.failed, 6000u);
    for (const auto* words : {"2000  status 404", "2000  connection reset", "2000  answer cut off"})
        EXPECT_NE(p.out.find(words), std::string::npos) << p.out;
    expect_same(lines_of(read(path("log"))), c);
    EXPECT_LE(server_.stats().peak_connections, 1000u);
}

TEST_F(fetch_faults, a_limit_that_needs_more_descriptors_than_there_are_is_lowered_and_said) {
    std::string text;
    for (std::size_t i = 0; i != 1000; ++i)
        text += url(i % 2 == 0 ? "/bytes/10" : "/slow/20") + '\n';
    setting s;
    s.descriptors = 100;
    program p({"fetch", "--limit", "1000", "-f", write("urls", text), "-o", path("out"), "--jsonl", path("log")}, s);
    std::size_t most = 0;
    for (int i = 0; i != 20; ++i, std::this_thread::sleep_for(5ms))
        most = std::max(most, p.open_descriptors());
    EXPECT_EQ(p.wait(), 0) << p.out << p.err;
    EXPECT_LE(most, 100u);
    EXPECT_NE(p.err.find("ulimit -n"), std::string::npos) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.succeeded, 1000u);
    expect_same(lines_of(read(path("log"))), c);
}

TEST_F(fetch_faults, open_descriptors_stay_below_what_the_limit_needs) {
    std::string text;
    for (std::size_t i = 0; i != 2000; ++i)
        text += url(i % 2 == 0 ? "/reset" : "/slow/10") + '\n';
    program p({"fetch", "--limit", "20", "-f", write("urls", text), "-o", path("out")});
    std::size_t most = 0;
    for (int i = 0; i != 40; ++i, std::this_thread::sleep_for(5ms))
        most = std::max(most, p.open_descriptors());
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(ledger_of(p.out).submitted, 2000u);
    EXPECT_GE(most, 5u);
    // A socket and a file each, and what the program itself has.
    EXPECT_LE(most, 20u * 2 + 40);
}

// ---- signals ----

TEST_F(fetch_faults, a_signal_at_a_random_time_leaves_counts_and_lines_that_add_up) {
    const auto seed = static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::printf("seed %u\n", seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::minstd_rand random(seed);
    auto all = urls_of(server_faults, 10);
    std::shuffle(all.begin(), all.end(), random);
    const auto file = list_of(all);
    for (int i = 0; i != 24; ++i) {
        const int signal = i % 2 == 0 ? SIGINT : SIGTERM;
        const auto delay = std::chrono::microseconds(random() % 150'000);
        SCOPED_TRACE("round " + std::to_string(i) + ", after " + std::to_string(delay.count()) + " us");
        fs::remove(path("log"));
        write("log", "");
        fs::remove_all(path("out"));
        program p({"fetch", "--limit", "30", "--timeout", "200ms", "--retries", "2", "--max-size", "1M", "-f", file,
            "--jsonl", path("log"), "-o", path("out")});
        std::this_thread::sleep_for(delay);
        p.signal(signal);
        expect_interrupted(p, signal, all.size());
        EXPECT_TRUE(!fs::exists(path("out")) || files_in(path("out"), ".part") == 0);
    }
}

TEST_F(fetch_faults, sigterm_cancels_and_still_prints_the_ledger) {
    std::string text;
    for (int i = 0; i != 50; ++i)
        text += url("/never") + '\n';
    program p({"fetch", "--limit", "10", "-f", write("urls", text), "--jsonl", path("log")});
    for (int i = 0; i != 2000 && server_.stats().requests < 10; ++i)
        std::this_thread::sleep_for(5ms);
    p.signal(SIGTERM);
    EXPECT_EQ(p.wait(), 143) << p.err;
    EXPECT_FALSE(p.was_killed());
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.cancelled, 10u);
    EXPECT_EQ(c.not_started, 40u);
    const auto log = lines_of(read(path("log")));
    expect_same(log, c);
    for (const auto& line : log)
        EXPECT_EQ(line.at("reason"), "interrupted");
}

TEST_F(fetch_faults, a_signal_in_the_moment_of_the_end_does_not_cost_the_ledger) {
    // Many short runs, so that some signals come while the last counts are made and printed.
    for (int i = 0; i != 30; ++i) {
        write("log", "");
        program p({"fetch", "--jsonl", path("log"), url("/ok"), url("/ok")});
        const auto until = server_.stats().requests + 2;
        for (int j = 0; j != 20'000 && server_.stats().requests < until; ++j)
            std::this_thread::sleep_for(100us);
        std::this_thread::sleep_for(std::chrono::microseconds(i * 50));
        p.signal(SIGTERM);
        const int status = p.wait();
        // Death by the signal is for when all has been said.
        EXPECT_TRUE(status == 0 || status == 143) << status;
        const auto c = ledger_of(p.out);
        EXPECT_EQ(c.submitted, 2u);
        expect_same(lines_of(read(path("log"))), c);
    }
}

TEST_F(fetch_faults, a_signal_that_it_was_started_to_ignore_is_ignored) {
    setting s;
    s.ignored = {SIGINT};
    program p({"fetch", url("/slow/500"), url("/slow/500")}, s);
    for (int i = 0; i != 2000 && server_.stats().requests < 2; ++i)
        std::this_thread::sleep_for(5ms);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(ledger_of(p.out).succeeded, 2u);
}

TEST_F(fetch_faults, two_signals_in_one_instant_end_it) {
    program p({"fetch", url("/never"), url("/never")});
    for (int i = 0; i != 2000 && server_.stats().requests < 2; ++i)
        std::this_thread::sleep_for(5ms);
    p.signal(SIGTERM);
    p.signal(SIGINT);
    const int status = p.wait();
    // Which of them libuv hands over first is its own affair.
    EXPECT_TRUE(status == 143 || status == 130) << status;
}

// ---- outputs ----

TEST_F(fetch_faults, a_disk_that_fills_under_bodies_and_log_costs_no_count) {
    setting s;
    s.file_size = 3000;
    std::vector<std::string> arguments{"fetch", "-o", path("out"), "--jsonl", path("log")};
    for (int i = 0; i != 40; ++i)
        arguments.push_back(url(i % 2 == 0 ? "/bytes/2000" : "/bytes/4000"));
    program p(arguments, s);
    EXPECT_EQ(p.wait(), 1) << p.err;
    const auto c = ledger_of(p.out);
    EXPECT_EQ(c.submitted, 40u);
    EXPECT_EQ(c.succeeded, 20u);
    EXPECT_EQ(c.failed, 20u);
    EXPECT_NE(p.out.find("file not written"), std::string::npos) << p.out;
    EXPECT_NE(p.err.find("the log is not complete"), std::string::npos) << p.err;
    EXPECT_EQ(files_in(path("out")), 20u);
    const auto text = read(path("log"));
    EXPECT_TRUE(text.size() <= 3000 && text.ends_with('\n')) << text;
    EXPECT_LT(lines_of(text).size(), 40u);
}

TEST_F(fetch_faults, with_all_standard_streams_closed_it_fetches_and_says_so_by_its_status) {
    setting s;
    s.close_input = s.close_output = s.close_error = true;
    program p({"fetch", "-o", path("out"), "--jsonl", path("log"), url("/bytes/3"), url("/status/404")}, s);
    EXPECT_EQ(p.wait(), 1);
    EXPECT_FALSE(p.was_killed());
    const auto log = lines_of(read(path("log")));
    EXPECT_EQ(log.size(), 2u);
    EXPECT_EQ(files_in(path("out")), 1u);
    for (const auto& entry : fs::directory_iterator(path("out")))
        EXPECT_EQ(read(entry.path()), "abc");
    EXPECT_EQ(server_.stats().bad_requests, 0u);
}

TEST_F(fetch_faults, a_closed_or_full_standard_error_changes_nothing_else) {
    setting closed;
    closed.close_error = true;
    setting full;
    full.error_file = "/dev/full";
    for (const auto* s : {&closed, &full}) {
        program p({"fetch", "--jsonl", "/dev/full", url("/ok"), url("/status/404")}, *s);
        EXPECT_EQ(p.wait(), 1);
        const auto c = ledger_of(p.out);
        EXPECT_EQ(c.succeeded, 1u);
        EXPECT_EQ(c.failed, 1u);
    }
}

TEST_F(fetch_faults, a_log_on_a_closed_standard_output_is_said_and_counted_all_the_same) {
    setting s;
    s.close_output = true;
    program p({"fetch", "--jsonl", "-", url("/ok"), url("/ok")}, s);
    EXPECT_EQ(p.wait(), 1);
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.succeeded, 2u);
    EXPECT_NE(p.err.find("the log is not complete"), std::string::npos) << p.err;
}

TEST_F(fetch_faults, a_reader_that_goes_away_costs_the_log_and_no_count) {
    std::vector<std::string> arguments{"fetch", "--limit", "4", "--jsonl", "-"};
    // The last ones end well after the reader has gone.
    for (int i = 0; i != 20; ++i)
        arguments.push_back(url(i < 16 ? "/ok" : "/slow/1500"));
    program p(arguments);
    for (int i = 0; i != 2000 && server_.stats().requests < 18; ++i)
        std::this_thread::sleep_for(1ms);
    p.stop_reading_output();
    EXPECT_EQ(p.wait(), 1);
    EXPECT_FALSE(p.was_killed()) << "by SIGPIPE";
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.succeeded, 20u);
    EXPECT_NE(p.err.find("Broken pipe: the log is not complete"), std::string::npos) << p.err;
}

TEST_F(fetch_faults, a_reader_that_does_not_read_cannot_keep_a_signal_from_ending_it) {
    // The log fills the pipe, which nobody reads.
    const std::string long_url = "no-url-" + std::string(2000, 'x') + '\n';
    std::string text;
    for (int i = 0; i != 200; ++i)
        text += long_url;
    text += url("/never") + '\n';
    program p({"fetch", "--jsonl", "-", "-f", write("urls", text)});
    // It is stuck once it has its log open and takes no more time; where that takes longer, the signal is early and all
    // the same to this test.
    std::this_thread::sleep_for(300ms);
    p.signal(SIGTERM);
    EXPECT_TRUE(p.ends_unread());
    EXPECT_EQ(p.wait(20s), 143) << p.err;
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.submitted, 201u);
    EXPECT_NE(p.err.find("the log is not complete"), std::string::npos) << p.err;
    // What was written is whole lines.
    EXPECT_TRUE(p.out.empty() || p.out.ends_with('\n'));
}

} // namespace
