// SPDX-License-Identifier: MIT
// `muster run --on` with a queue, and `muster worker`. All tests share one PostgreSQL server, which this program
// starts, and each has a queue of its own there; without PostgreSQL they are skipped.
#include "support/cli_program.hpp"
#include "support/loopback_listener.hpp"
#include "support/soon.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>

namespace {

using namespace std::chrono_literals;
using cli::ledger_of;
using cli::program;

bool has_queues() {
    return std::filesystem::exists(std::filesystem::path(MUSTER_PROGRAM).parent_path() / "muster-queue");
}

} // namespace

class muster_worker : public cli::muster_command {
protected:
    static void SetUpTestSuite() {
        if (!has_queues()) {
            why_not_ = "this muster was built without libpq";
            return;
        }
        server_ = std::make_unique<program>(std::vector<std::string>{"queue", "demo"});
        const std::string begin = "MUSTER_QUEUE='";
        const bool is_there = soon([&] {
            server_->read_for(1ms);
            return server_->out.find("Ctrl-C") != std::string::npos || !server_->err.empty();
        });
        if (!is_there || !server_->out.starts_with(begin)) {
            why_not_ = "there is no PostgreSQL server: " + server_->err;
            return;
        }
        address_ = server_->out.substr(begin.size(), server_->out.find('\'', begin.size()) - begin.size());
    }
    static void TearDownTestSuite() {
        if (server_) {
            server_->signal(SIGINT);
            static_cast<void>(server_->wait());
        }
        server_.reset();
    }
    void SetUp() override {
        if (!why_not_.empty())
            GTEST_SKIP() << why_not_;
        static int number = 0;
        schema_ = "t" + std::to_string(++number);
        make_queue({});
    }
    void make_queue(std::vector<std::string> more) const {
        program p(with({"queue", "init"}, std::move(more)));
        ASSERT_EQ(p.wait(), 0) << p.err;
    }
    /// The words, the queue, and more.
    [[nodiscard]] std::vector<std::string> with(
        std::vector<std::string> words, std::vector<std::string> more, const std::string& role = {}) const {
        const auto as = role.empty() ? std::string() : " options='-c role=" + schema_ + '_' + role + "'";
        words.insert(words.end(), {"--on", address_ + as, "--schema", schema_});
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    [[nodiscard]] std::vector<std::string> run(std::vector<std::string> more) const {
        return with({"run"}, std::move(more));
    }
    [[nodiscard]] std::vector<std::string> worker(std::vector<std::string> more) const {
        return with({"worker"}, std::move(more));
    }
    static bool says(program& p, const std::string& words) {
        return soon([&] {
            p.read_for(1ms);
            return p.err.find(words) != std::string::npos;
        });
    }
    static void expect_words(const std::string& text, std::initializer_list<std::string> all) {
        for (const auto& words : all)
            EXPECT_NE(text.find(words), std::string::npos) << words << "\nis not in\n" << text;
    }
    /// Has a worker leave.
    static void end(program& w) {
        w.signal(SIGTERM);
        EXPECT_EQ(w.wait(), 0) << w.err;
    }
    /// *Returns* the entries of a log in the order of the inputs.
    [[nodiscard]] std::vector<nlohmann::json> entries(const std::string& name) const {
        auto all = lines_of(read(path(name)));
        std::erase_if(all, [](const nlohmann::json& o) { return o.at("index").is_null(); });
        std::multimap<std::uint64_t, nlohmann::json> sorted; // those of one input stay in the order of the log
        for (auto& o : all)
            sorted.emplace(o.at("index").get<std::uint64_t>(), o);
        all.clear();
        for (auto& [index, o] : sorted)
            all.push_back(o);
        return all;
    }
    [[nodiscard]] std::vector<std::string> lines(const std::string& name) const {
        std::vector<std::string> all;
        std::istringstream in(read(path(name)));
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        return all;
    }
    /// *Returns* whether a process with that among its arguments lives.
    static bool lives(const std::string& argument) {
        for (const auto& entry : cli::fs::directory_iterator("/proc")) {
            const auto name = entry.path().filename().string();
            if (name.find_first_not_of("0123456789") != std::string::npos)
                continue;
            const auto words = '\0' + read(entry.path() / "cmdline");
            if (words.find('\0' + argument + '\0') != std::string::npos)
                return true;
        }
        return false;
    }
    /// *Returns* the worker's own process, whose parent is its warden.
    static pid_t process_of(const program& w) {
        const auto warden = std::to_string(w.pid());
        pid_t child = 0;
        std::ifstream("/proc/" + warden + "/task/" + warden + "/children") >> child;
        return child;
    }

    /// *Returns* whether so many commands wait in the queue, as soon as they do.
    [[nodiscard]] bool wait_in_queue(int count) const {
        return soon([&] {
            program q(with({"queue"}, {}));
            return q.wait() == 0 && q.out.starts_with("queued     " + std::to_string(count) + '\n');
        });
    }
    /// As long as this lives the server's processes are stopped.
    class silent_server {
    public:
        silent_server() {
            add_children_of(server_->pid());
            for (const auto process : processes_)
                ::kill(process, SIGSTOP);
        }
        ~silent_server() {
            for (const auto process : processes_)
                ::kill(process, SIGCONT);
        }
        silent_server(const silent_server&) = delete;
        silent_server& operator=(const silent_server&) = delete;

    private:
        void add_children_of(pid_t parent) {
            const auto name = std::to_string(parent);
            std::ifstream children("/proc/" + name + "/task/" + name + "/children");
            for (pid_t child = 0; children >> child;) {
                processes_.push_back(child);
                add_children_of(child);
            }
        }
        std::vector<pid_t> processes_;
    };

    static inline std::unique_ptr<program> server_;
    static inline std::string address_;
    static inline std::string why_not_;
    std::string schema_;
};

TEST_F(muster_worker, runs_commands_that_end_as_the_same_commands_here) {
    const auto commands = write("commands", "echo a\nfalse\necho b; echo c >&2; exit 3\nkill -9 $$\nsleep 61.5\n"
                                            "no_such_program\nprintf '\\377\\000x'\n");
    program w(worker(
        {"--slots", "4", "--allow", "echo", "--allow", "false", "--allow", "s[hl]*", "--allow", "no_such_program"}));
    const auto how = [&](const std::string& log) {
        return std::vector<std::string>{
            "-k", "--timeout", "2s", "--linger", "0", "--jsonl", path(log), "--ledger", "always", "-f", commands};
    };
    auto here = how("here");
    here.insert(here.begin(), "run");
    program a(here);
    program b(run(how("there")));
    EXPECT_EQ(a.wait(), 1) << a.err;
    EXPECT_EQ(b.wait(), 1) << b.err;
    EXPECT_EQ(a.out, b.out) << b.err;
    const auto c = ledger_of(b.err.substr(b.err.find("7 submitted")));
    EXPECT_EQ(c.succeeded, 2u) << b.err;
    const auto one = entries("here");
    const auto other = entries("there");
    ASSERT_EQ(one.size(), 7u);
    ASSERT_EQ(other.size(), 7u) << read(path("there"));
    for (std::size_t i = 0; i != one.size(); ++i)
        for (const char* field : {"index", "line", "input", "command", "key", "outcome", "exit_status", "signal",
                 "bytes", "attempts", "host", "error_type", "error"})
            EXPECT_EQ(one[i].value(field, nlohmann::json()), other[i].value(field, nlohmann::json()))
                << field << ' ' << other[i];
    EXPECT_FALSE(lives("61.5"));
    end(w);
    expect_words(
        w.err, {"began ", "ended ", "exit status 3", "the worker has left; 7 commands have ended, 5 of them failed"});
}

TEST_F(muster_worker, gives_what_a_template_asks_for_and_retries) {
    program w(worker({"--slots", "2", "--allow", "echo", "--allow", "sh", "--wd", "/usr", "-q"}));
    program p(run({"-k", "--tagstring", "{host}:{}", "--results", path("results"), "--retries", "1", "--jsonl",
        path("log"), "echo {} on {host} in $PWD; mkdir " + path("") + "{} && exit 4; true", ":::", "1", "{host 2}"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    const auto host = entries("log").at(0).at("host").get<std::string>();
    EXPECT_EQ(p.out, host + ":1\t1 on " + host + " in /usr\n" + host + ":{host 2}\t{host 2} on " + host + " in /usr\n");
    for (const auto& entry : entries("log"))
        EXPECT_EQ(entry.at("attempts"), 2) << entry;
    EXPECT_EQ(read(path("results/000001-1.out")), "1 on " + host + " in /usr\n");
    program dry(run({"--dry-run", "echo {} on {host}", ":::", "1"}));
    EXPECT_EQ(dry.wait(), 0) << dry.err;
    EXPECT_EQ(dry.out, "echo 1 on '{host}'\n");
    end(w);
}

TEST_F(muster_worker, ends_what_is_cancelled_and_never_begins_what_waits) {
    program w(worker({"--slots", "1", "--allow", "sleep"}));
    program p(run({"--jsonl", path("log"), "sleep", ":::", "62.25", "62.26"}));
    ASSERT_TRUE(says(w, "began 1")) << w.err << p.err;
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 130) << p.err;
    EXPECT_EQ(ledger_of(p.err.substr(p.err.find("2 submitted"))).cancelled, 2u) << p.err;
    EXPECT_TRUE(soon([] { return !lives("62.25") && !lives("62.26"); }));
    end(w);
    EXPECT_EQ(w.err.find("began 2"), std::string::npos) << w.err;
    // What was cancelled runs again where the log is gone on with.
    program again_by(worker({"--slots", "2", "--allow", "sleep"}));
    program again(run(
        {"--jsonl", path("log"), "--resume", "--fail-fast", "--timeout", "10ms", "sleep", ":::", "62.25", "62.26"}));
    EXPECT_EQ(again.wait(), 1) << again.err;
    expect_words(again.err, {"time limit"});
    end(again_by);
}

TEST_F(muster_worker, that_is_killed_leaves_an_error_of_its_kind_and_no_process) {
    for (const bool kills_the_warden : {false, true}) {
        const std::string time = kills_the_warden ? "63.5" : "63.25";
        program w(worker({"--slots", "1", "--allow", "sleep"}));
        program p(run({"--jsonl", path("log"), "sleep", ":::", time}));
        ASSERT_TRUE(says(w, "began 1")) << w.err << p.err;
        ::kill(kills_the_warden ? w.pid() : process_of(w), SIGKILL);
        EXPECT_EQ(p.wait(), 1) << p.err;
        expect_words(p.err, {"worker died", kills_the_warden ? "was told to end" : "its session ended"});
        EXPECT_EQ(entries("log").at(0).at("error_type"), "postgres::worker_died_error");
        EXPECT_TRUE(soon([&] { return !lives(time); }));
    }
}

TEST_F(muster_worker, gives_no_command_its_terminal_and_ends_a_time_limit_with_the_process) {
    program w(worker({"--slots", "1", "--allow", "sh"}));
    program p(run({"--timeout", "2s", "--linger", "20s", "-k",
        R"(read -r pid name state parent group session rest < /proc/$$/stat; test "$session" = $$ && echo {}; sleep 3 &)",
        ":::", "1"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "1\n") << p.err;
    end(w);
}

TEST_F(muster_worker, leaves_when_told_and_hands_back_what_has_not_begun) {
    const std::string wait = "until test -e " + path("go") + "; do sleep 0.02; done; echo {}";
    program first(worker({"--slots", "1", "--allow", "sh"}));
    program p(run({"-k", wait, ":::", "1", "2"}));
    ASSERT_TRUE(says(first, "began 1")) << first.err << p.err;
    first.signal(SIGTERM);
    ASSERT_TRUE(says(first, "takes no more commands")) << first.err;
    program second(worker({"--slots", "1", "--allow", "sh"}));
    ASSERT_TRUE(says(second, "began 1")) << second.err;
    write("go", "");
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "1\n2\n");
    EXPECT_EQ(first.wait(), 0) << first.err;
    end(second);
}

TEST_F(muster_worker, counts_a_signal_to_its_whole_process_group_once) {
    program w(worker({"--slots", "1", "--allow", "sh"}));
    program p(run({"until test -e " + path("go") + "; do sleep 0.02; done; echo {}", ":::", "1"}));
    ASSERT_TRUE(says(w, "began 1")) << w.err << p.err;
    // The warden passes its own on, so that the worker gets two.
    const auto signal_both = [&] {
        ::kill(process_of(w), SIGTERM);
        w.signal(SIGTERM);
    };
    signal_both();
    ASSERT_TRUE(says(w, "takes no more commands")) << w.err;
    write("go", "");
    EXPECT_EQ(w.wait(), 0) << w.err;
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(w.err.find("ends what runs; once"), std::string::npos) << w.err;

    program again(worker({"--slots", "1", "--allow", "sleep"}));
    program q(run({"sleep", ":::", "64.125"}));
    ASSERT_TRUE(says(again, "began 1")) << again.err << q.err;
    const auto process = process_of(again);
    for (int i = 0; i != 2; ++i) {
        ::kill(process, SIGTERM);
        again.signal(SIGTERM);
        ASSERT_TRUE(says(again, i == 0 ? "takes no more commands" : "once more kills it")) << again.err;
    }
    EXPECT_EQ(again.wait(), 143) << again.err;
    EXPECT_EQ(q.wait(), 1) << q.err;
}

TEST_F(muster_worker, ends_what_runs_at_the_second_signal) {
    program w(worker({"--slots", "1", "--allow", "sleep"}));
    program p(run({"sleep", ":::", "64.5"}));
    ASSERT_TRUE(says(w, "began 1")) << w.err << p.err;
    w.signal(SIGTERM);
    ASSERT_TRUE(says(w, "takes no more commands")) << w.err;
    w.signal(SIGTERM);
    EXPECT_EQ(w.wait(), 143) << w.err;
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_FALSE(lives("64.5"));
    expect_words(p.err, {"worker died", "was told to end"});

    program first(worker({"--slots", "1", "--allow", "sh"}));
    const std::string once_more =
        "echo {} >> " + path("begun") + "; test $(wc -l < " + path("begun") + ") = 2 || sleep 64.75";
    program elsewhere(run({"--retry-elsewhere", once_more, ":::", "1"}));
    ASSERT_TRUE(says(first, "began 1") && soon([&] { return lines("begun").size() == 1; }))
        << first.err << elsewhere.err;
    program second(worker({"--slots", "1", "--allow", "sh"}));
    first.signal(SIGQUIT);
    EXPECT_EQ(first.wait(), 131) << first.err;
    EXPECT_EQ(elsewhere.wait(), 0) << elsewhere.err;
    EXPECT_EQ(lines("begun").size(), 2u);
    end(second);
}

TEST_F(muster_worker, starts_nothing_twice_when_the_submitting_muster_is_killed_and_comes_back) {
    program w(worker({"--slots", "2", "--allow", "sh"}));
    const std::string what = "echo {} >> " + path("begun") + "; sleep 0.1; test {} != 3";
    const auto with_log = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--jsonl", path("log"), "--ledger", "always"});
        more.insert(more.end(), {what, ":::", "1", "2", "3", "4", "5", "6"});
        return run(more);
    };
    program killed(with_log({}));
    ASSERT_TRUE(soon([&] { return lines("begun").size() >= 2; })) << killed.err << w.err;
    killed.signal(SIGKILL);
    static_cast<void>(killed.wait());
    program back(with_log({"--resume"}));
    EXPECT_EQ(back.wait(), 1) << back.err;
    auto begun = lines("begun");
    std::ranges::sort(begun);
    EXPECT_EQ(begun, (std::vector<std::string>{"1", "2", "3", "4", "5", "6"}));
    // What is known to have failed is run again; then that is known as well.
    program again(with_log({"--resume"}));
    EXPECT_EQ(again.wait(), 1) << again.err;
    EXPECT_EQ(lines("begun").size(), 7u);

    const auto named = [&] { return run({"--attach", "night", what, ":::", "7", "8"}); };
    program also_killed(named());
    ASSERT_TRUE(soon([&] { return lines("begun").size() == 9; })) << also_killed.err << w.err;
    also_killed.signal(SIGKILL);
    static_cast<void>(also_killed.wait());
    program attached(named());
    EXPECT_EQ(attached.wait(), 0) << attached.err;
    EXPECT_EQ(lines("begun").size(), 9u);
    program another(run({"--attach", "night", "--timeout", "9s", what, ":::", "7"}));
    EXPECT_EQ(another.wait(), 1) << another.err;
    expect_words(another.err, {"not just so", "--worker-tag", "--timeout", "{#}"});
    end(w);
}

TEST_F(muster_worker, starts_nothing_twice_that_was_cancelled_while_the_database_was_silent) {
    const auto with_log = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--jsonl", path("log"), "--ledger", "always"});
        more.insert(more.end(), {"echo {} >> " + path("begun"), ":::", "1", "2"});
        return run(more);
    };
    program p(with_log({}));
    ASSERT_TRUE(wait_in_queue(2)) << p.err;
    {
        const silent_server silence;
        p.signal(SIGINT);
        EXPECT_EQ(p.wait(), 130) << p.err;
    }
    for (const auto& entry : entries("log")) {
        EXPECT_EQ(entry.at("outcome"), "error") << entry;
        EXPECT_EQ(entry.value("error_type", ""), "postgres::unreachable_error") << entry;
        EXPECT_EQ(entry.at("ended_in_queue"), 0) << entry;
    }
    EXPECT_EQ(entries("log").size(), 2u);
    program w(worker({"--slots", "2", "--allow", "sh"}));
    program back(with_log({"--resume"}));
    EXPECT_EQ(back.wait(), 0) << back.err;
    auto begun = lines("begun");
    std::ranges::sort(begun);
    EXPECT_EQ(begun, (std::vector<std::string>{"1", "2"}));
    end(w);
}

TEST_F(muster_worker, runs_again_what_was_cancelled_in_the_queue_and_not_logged) {
    const std::vector<std::string> what{"echo", ":::", "1", "2"};
    const auto with_words = [&](std::vector<std::string> more) {
        more.insert(more.end(), what.begin(), what.end());
        return run(more);
    };
    program killed(with_words({"--jsonl", path("log")}));
    ASSERT_TRUE(wait_in_queue(2)) << killed.err;
    killed.signal(SIGKILL);
    static_cast<void>(killed.wait());
    const auto name = lines_of(read(path("log"))).at(0).at("run").get<std::string>();
    program other(with_words({"--attach", name, "--jsonl", path("other")}));
    // Until it says so its calls may not have been submitted, and then their cancellation would not be confirmed.
    ASSERT_TRUE(says(other, "no worker is there")) << other.err;
    other.signal(SIGINT);
    EXPECT_EQ(other.wait(), 130) << other.err;
    for (const auto& entry : entries("other"))
        EXPECT_EQ(entry.at("outcome"), "cancelled") << entry;
    ASSERT_TRUE(wait_in_queue(0));
    program w(worker({"--slots", "2", "--allow", "echo"}));
    program attached(with_words({"--attach", name, "--jsonl", path("attached"), "--ledger", "always"}));
    EXPECT_EQ(attached.wait(), 1) << attached.err;
    for (const auto& entry : entries("attached")) {
        EXPECT_EQ(entry.at("outcome"), "cancelled") << entry;
        EXPECT_EQ(entry.value("reason", ""), "in the queue") << entry;
    }
    program back(with_words({"-k", "--jsonl", path("log"), "--resume"}));
    EXPECT_EQ(back.wait(), 0) << back.err;
    EXPECT_EQ(back.out, "1\n2\n");
    end(w);
}

TEST_F(muster_worker, refuses_to_go_on_with_a_log_of_another_queue_or_without_its_queue) {
    const std::vector<std::string> more{"--jsonl", path("log"), "--resume", "echo", ":::", "1"};
    program p(run({"--jsonl", path("log"), "echo", ":::", "1"}));
    ASSERT_TRUE(wait_in_queue(1)) << p.err;
    p.signal(SIGKILL);
    static_cast<void>(p.wait());
    auto here = more;
    here.insert(here.begin(), "run");
    program without(here);
    EXPECT_EQ(without.wait(), 2) << without.err;
    expect_words(without.err, {"went to a queue", "give the same --on", "another --jsonl"});
    const auto schema = std::exchange(schema_, schema_ + "_other");
    make_queue({});
    program elsewhere(run(more));
    EXPECT_EQ(elsewhere.wait(), 2) << elsewhere.err;
    expect_words(elsewhere.err, {"went to another queue", "give the same --on"});
    EXPECT_TRUE(wait_in_queue(0));
    schema_ = schema;
    program w(worker({"--allow", "echo"}));
    program same(run(more));
    EXPECT_EQ(same.wait(), 0) << same.err;
    EXPECT_EQ(same.out, "1\n");
    end(w);
}

TEST_F(muster_worker, refuses_to_go_on_with_a_log_of_a_run_of_another_name) {
    const auto with_name = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--jsonl", path("log")});
        more.insert(more.end(), {"echo {} >> " + path("begun"), ":::", "1"});
        return run(more);
    };
    program first(with_name({"--attach", "night"}));
    ASSERT_TRUE(wait_in_queue(1)) << first.err;
    first.signal(SIGKILL);
    static_cast<void>(first.wait());
    const auto before = read(path("log"));
    program other(with_name({"--resume", "--attach", "day"}));
    EXPECT_EQ(other.wait(), 2) << other.err;
    expect_words(other.err, {"the run night in the queue", "--attach night", "another --jsonl"});
    EXPECT_EQ(read(path("log")), before);
    EXPECT_TRUE(wait_in_queue(1));
    program w(worker({"--allow", "sh"}));
    for (const bool is_named : {true, false}) {
        program back(with_name(is_named ? std::vector<std::string>{"--resume", "--attach", "night"}
                                        : std::vector<std::string>{"--resume"}));
        EXPECT_EQ(back.wait(), 0) << back.err;
    }
    EXPECT_EQ(lines("begun"), std::vector<std::string>{"1"});
    end(w);
}

TEST_F(muster_worker, a_signal_while_the_queue_is_looked_at_ends_with_the_ledger) {
    for (const int number : {SIGINT, SIGTERM}) {
        // A database that takes a connection, and says nothing.
        std::atomic<bool> was_asked = false;
        const loopback_listener database([&was_asked](int connection) {
            for (std::string asked; loopback::more(connection, asked);)
                was_asked = true;
        });
        program p({"run", "--on", "host=127.0.0.1 sslmode=disable dbname=x port=" + std::to_string(database.port()),
            "--jsonl", path("log"), "--ledger", "always", "echo", ":::", "1", "2"});
        EXPECT_TRUE(soon([&] { return was_asked.load(); }));
        p.signal(number);
        EXPECT_EQ(p.wait(), 128 + number) << p.err;
        const auto c = ledger_of(p.err.substr(p.err.find("2 submitted")));
        EXPECT_EQ(c.not_started, 2u) << p.err;
        EXPECT_EQ(p.err.find("nothing was run"), std::string::npos) << p.err;
        for (const auto& entry : entries("log"))
            EXPECT_EQ(entry.at("outcome"), "not_started") << entry;
        EXPECT_EQ(entries("log").size(), 2u);
    }
}

TEST_F(muster_worker, goes_on_when_a_signal_comes_that_was_ignored_when_it_was_started) {
    cli::setting s;
    s.ignored = {SIGHUP};
    program w(with({"worker"}, {"--allow", "echo"}, "worker"), s);
    ASSERT_TRUE(says(w, "runs echo")) << w.err;
    w.signal(SIGHUP);
    ::kill(process_of(w), SIGHUP);
    program p(run({"echo", ":::", "1"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    end(w);
    EXPECT_EQ(w.err.find("SIGHUP"), std::string::npos) << w.err;
}

TEST_F(muster_worker, leaves_an_output_open_and_that_is_said) {
    write("stay", ""); // goes with the folder, and ends what was left behind
    program w(worker({"--allow", "sh"}));
    // Both attempts at the first line leave one open, and the last line none.
    program p(run({"--linger", "0", "-k", "--retries", "1", "--ledger", "always",
        "if [ {} != 3 ]; then setsid sh -c 'while test -e " + path("stay") +
            "; do sleep 0.05; done' & fi; echo {}; test {} != 1",
        ":::", "1", "2", "3"}));
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(p.out, "1\n2\n3\n");
    expect_words(
        p.err, {"outputs of 2 commands are still open and not read any more", "the first of them that of line 1"});
    program quiet(run({"-q", "--linger", "0", "setsid sleep 1 & echo {}", ":::", "1"}));
    EXPECT_EQ(quiet.wait(), 0);
    EXPECT_EQ(quiet.err.find("still open"), std::string::npos) << quiet.err;
    end(w);
}

TEST_F(muster_worker, submits_nothing_when_the_name_of_the_run_can_not_be_written) {
    program p(run({"--jsonl", "/dev/full", "echo", ":::", "1"}));
    EXPECT_EQ(p.wait(), 2) << p.err;
    expect_words(p.err, {"--jsonl: /dev/full can't be written"});
    EXPECT_TRUE(wait_in_queue(0));
}

TEST_F(muster_worker, begins_a_command_three_times_at_most_whichever_way_its_workers_end) {
    program p(
        run({"--retry-elsewhere", "--jsonl", path("log"), "echo {} >> " + path("begun") + "; sleep 65.5", ":::", "x"}));
    for (std::size_t i = 1; i <= 3; ++i) {
        program w(worker({"--slots", "1", "--allow", "sh"}));
        ASSERT_TRUE(soon([&] { return lines("begun").size() == i; })) << w.err << p.err;
        if (i == 2) {
            w.signal(SIGTERM);
            ASSERT_TRUE(says(w, "takes no more commands")) << w.err;
            w.signal(SIGTERM);
        } else {
            ::kill(process_of(w), SIGKILL);
        }
        static_cast<void>(w.wait());
    }
    program last(worker({"--slots", "1", "--allow", "sh"}));
    EXPECT_EQ(p.wait(), 1) << p.err;
    EXPECT_EQ(lines("begun").size(), 3u);
    EXPECT_EQ(entries("log").at(0).value("error_type", ""), "postgres::worker_died_error");
    end(last);
}

TEST_F(muster_worker, allows_nothing_by_default_and_no_way_around_what_it_allows) {
    program nothing(worker({}));
    EXPECT_EQ(nothing.wait(), 2);
    expect_words(nothing.err, {"nothing is allowed", "--allow"});
    program relative(worker({"--allow", "./tool"}));
    EXPECT_EQ(relative.wait(), 2);
    expect_words(relative.err, {"--allow ./tool", "absolute path"});
    program brief(worker({"--allow", "true", "--lease", "100ms"}));
    EXPECT_EQ(brief.wait(), 2);
    expect_words(brief.err, {"--lease", "300ms"});

    std::filesystem::create_directories(path("tools"));
    std::filesystem::create_symlink("/bin/echo", path("tools/say"));
    program w(worker({"--allow", "true", "--allow", path("tools/*"), "--wd", path("tools"), "--lease", "1m"}));
    program fine(run({"-k", "-f", write("fine", "true x\n" + path("tools/say") + " hello\n")}));
    EXPECT_EQ(fine.wait(), 0) << fine.err;
    EXPECT_EQ(fine.out, "hello\n");
    const auto marked = path("marked");
    const auto ways =
        write("ways", "touch " + marked + "\n/usr/bin/touch " + marked + "\n./say x\nsay x\n../tools/say x\n" +
                          path("tools/../tools/say") + " x\n" + path("tools//say") + " x\n" + path("tools/./say") +
                          " x\ntrue; touch " + marked + "\nPATH=/bin touch " + marked + "\n$(touch " + marked +
                          ")\nenv touch " + marked + "\n/bin/true x\n");
    program p(run({"--jsonl", path("log"), "-f", ways}));
    EXPECT_EQ(p.wait(), 1) << p.err;
    for (const auto& entry : entries("log"))
        EXPECT_EQ(entry.value("error_type", ""), "command_refused_error") << entry;
    EXPECT_EQ(entries("log").size(), 13u);
    expect_words(p.err, {"not allowed", "it allows true, "});
    EXPECT_FALSE(std::filesystem::exists(marked));
    program empty(run({"", "x", ":::", "y"}));
    EXPECT_EQ(empty.wait(), 2);
    end(w);
    program shell(worker({"--allow", "sh"}));
    EXPECT_TRUE(says(shell, "sh runs whatever it is told")) << shell.err;
    end(shell);
}

TEST_F(muster_worker, keeps_its_way_to_the_database_from_its_commands) {
    ::setenv("PGAPPNAME", "worker of the test", 1);
    ::setenv("MUSTER_QUEUE", address_.c_str(), 1);
    program w({"worker", "--schema", schema_, "--allow", "env"});
    ::unsetenv("PGAPPNAME");
    ::unsetenv("MUSTER_QUEUE");
    program p(run({"env", "LAST={}", "env", ":::", "x"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_NE(p.out.find("LAST=x\n"), std::string::npos) << p.out;
    EXPECT_EQ(p.out.find("PGAPPNAME"), std::string::npos) << p.out;
    EXPECT_EQ(p.out.find("MUSTER_QUEUE"), std::string::npos) << p.out;
    end(w);
}

TEST_F(muster_worker, runs_commands_as_another_user) {
    if (::geteuid() != 0) {
        program w(worker({"--allow", "id", "--user", "root"}));
        EXPECT_EQ(w.wait(), 2);
        expect_words(w.err, {"only root"});
        return;
    }
    program nobody(worker({"--allow", "id", "--user", "no-such-user"}));
    EXPECT_EQ(nobody.wait(), 2);
    expect_words(nobody.err, {"no user 'no-such-user'"});
    program w(worker({"--allow", "id", "--allow", "sh", "--user", "daemon", "--wd", "/"}));
    program p(run({"-k", "id -{}; pwd; echo $HOME", ":::", "un", "G"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out.substr(0, p.out.find('\n')), "daemon");
    EXPECT_EQ(p.out.find("root"), std::string::npos) << p.out;
    EXPECT_NE(p.out.find("/usr/sbin"), std::string::npos) << p.out;
    end(w);
}

TEST_F(muster_worker, with_a_tag_gets_what_is_for_it_and_muster_says_when_nobody_does) {
    program untagged(worker({"--allow", "echo", "-q"}));
    program p(run({"--worker-tag", "gpu", "echo", ":::", "x"}));
    ASSERT_TRUE(says(p, "no worker has the tag gpu")) << p.err;
    program tagged(worker({"--allow", "echo", "--tags", "big,gpu"}));
    EXPECT_EQ(p.wait(), 0) << p.err;
    EXPECT_EQ(p.out, "x\n");
    end(tagged);
    end(untagged);
    program waiting(run({"echo", ":::", "y"}));
    ASSERT_TRUE(says(waiting, "no worker is there")) << waiting.err;
    waiting.signal(SIGTERM);
    EXPECT_EQ(waiting.wait(), 143) << waiting.err;
}

TEST_F(muster_worker, tells_the_payload_limit_by_its_name) {
    make_queue({"--payload-limit", "100K"});
    program w(worker({"--allow", "head", "--allow", "true"}));
    program p(run({"--jsonl", path("log"), "head -c {} /dev/zero", ":::", "1K", "200K"}));
    EXPECT_EQ(p.wait(), 1) << p.err;
    expect_words(p.err, {"too much output", "payload limit"});
    program limited(run({"--max-output", "1000", "head -c {} /dev/zero", ":::", "1001"}));
    EXPECT_EQ(limited.wait(), 1) << limited.err;
    expect_words(limited.err, {"--max-output"});
    program large(run({"true", ":::", std::string(110'000, 'x')}));
    EXPECT_EQ(large.wait(), 1) << large.err;
    expect_words(large.err, {"payload limit", "100 KiB"});
    end(w);
}

TEST_F(muster_worker, can_not_submit_and_a_client_can_not_work) {
    program client(with({"worker"}, {"--allow", "echo"}, "client"));
    EXPECT_EQ(client.wait(), 1) << client.err;
    expect_words(client.err, {"permission denied", "a client needs the role"});
    program w(with({"worker"}, {"--allow", "echo"}, "worker"));
    program wrong(with({"run"}, {"--jsonl", path("log"), "echo", ":::", "x", "y", "z"}, "worker"));
    EXPECT_EQ(wrong.wait(), 1) << wrong.err;
    expect_words(wrong.err, {"permission denied", "a worker SCHEMA_worker", "3 failed"});
    // An end that is not known is not logged as one of a command that was cancelled.
    for (const auto& entry : entries("log"))
        EXPECT_EQ(entry.value("error_type", ""), "postgres::database_error") << entry;
    program right(with({"run"}, {"echo", ":::", "x"}, "client"));
    EXPECT_EQ(right.wait(), 0) << right.err;
    EXPECT_EQ(right.out, "x\n");
    end(w);
}

TEST_F(muster_worker, is_not_asked_for_what_can_not_go_through_a_queue) {
    const std::pair<std::vector<std::string>, const char*> all[] = {{{"-u"}, "--ungroup"}, {{"--lb"}, "--line-buffer"},
        {{"--tty"}, "--tty"}, {{"--transfer"}, "--transfer"}, {{"--env", "PATH"}, "--env"}, {{"--wd", "/"}, "--wd"},
        {{"--nice", "3"}, "--nice"}, {{"--stdin-from", "/dev/null"}, "--stdin-from"},
        {{"--hosts-min", "2"}, "--hosts-min"}, {{"--launcher", "env"}, "--launcher"}, {{"--on", "host1"}, "one queue"},
        {{"--worker-tag", "a b"}, "no tag"}, {{"--schema", "NO"}, "schema"}};
    for (const auto& [words, said] : all) {
        auto more = words;
        more.insert(more.end(), {"echo", ":::", "x"});
        program p(run(more));
        EXPECT_EQ(p.wait(), 2) << said;
        expect_words(p.err, {said});
    }
    program slot(run({"echo {%}", ":::", "x"}));
    EXPECT_EQ(slot.wait(), 2);
    expect_words(slot.err, {"{%}"});
    program pipe(run({"--pipe", "cat", "-f", write("lines", "x\n")}));
    EXPECT_EQ(pipe.wait(), 2);
    expect_words(pipe.err, {"--pipe"});
    program secret({"run", "--on", "postgresql://user:secret@host/database", "echo", ":::", "x"});
    EXPECT_EQ(secret.wait(), 2);
    expect_words(secret.err, {"PGPASSFILE"});
    EXPECT_EQ(secret.err.find("secret"), std::string::npos) << secret.err;
    program nowhere({"run", "--on", "host=/nonexistent dbname=x", "echo", ":::", "x"});
    EXPECT_EQ(nowhere.wait(), 1);
    expect_words(nowhere.err, {"can't be reached", "nothing was run", "1 not started"});
    program no_queue({"run", "--attach", "x", "echo", ":::", "x"});
    EXPECT_EQ(no_queue.wait(), 2);
    expect_words(no_queue.err, {"--attach"});
    program hosts({"hosts", "--on", "service=jobs"});
    EXPECT_EQ(hosts.wait(), 2);
    expect_words(hosts.err, {"muster queue"});
}
