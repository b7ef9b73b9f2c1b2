// SPDX-License-Identifier: MIT
// Workers of a pool on other hosts, which are this one: the launchers start the agent here, or spoil what it says.
#include <muster/process_pool.hpp>

#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/host_lost_error.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/own_resources.hpp"

namespace {

using namespace std::chrono_literals;
using muster::process_pool;
using muster::process_pool_options;
using muster::hosts::begun;
using muster::hosts::host_lost_error;

// ---- what the workers can do ----

/// Says in a file that this call was begun, with one write, as others write there at the same time.
void note(const std::string& file, const std::string& text) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const auto line = text + '\n';
    if (fd < 0 || ::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        throw std::runtime_error("a note can't be written");
    ::close(fd);
}

int count_begun(const std::string& file, int id) {
    note(file, std::to_string(id));
    std::this_thread::sleep_for(5ms);
    return id * 2;
}
const muster::remote_function remote_count("count_begun", &count_begun);

std::vector<std::uint8_t> echo(std::vector<std::uint8_t> bytes) { return bytes; }
const muster::remote_function remote_echo("echo", &echo);

void sleep_long(const std::string& file) {
    note(file, std::to_string(::getpid()));
    std::this_thread::sleep_for(10min);
}
const muster::remote_function remote_sleep("sleep_long", &sleep_long);

void fail(const std::string& how) {
    if (how == "abort")
        std::abort();
    throw std::invalid_argument(how);
}
const muster::remote_function remote_fail("fail", &fail);

std::string look_around() {
    const char* const home = std::getenv("HOME");
    const char* const named = std::getenv("MUSTER_TEST_NAMED");
    std::printf("this is no frame\n");
    return std::filesystem::current_path().string() + '|' + (home != nullptr ? "home" : "") + '|' +
           (named != nullptr ? named : "");
}
const muster::remote_function remote_look("look_around", &look_around);

// ---- the tests' own ----

bool is_alive(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto end = stat.rfind(')');
    return end != std::string::npos && stat.size() > end + 2 && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
}

template <class Condition>
bool soon(Condition holds) {
    for (int i = 0; i != 3000; ++i) {
        if (holds())
            return true;
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

template <class Condition>
muster::task<> until(Condition holds) {
    for (int i = 0; i != 3000; ++i) {
        if (holds())
            co_return;
        co_await muster::sleep_for(10ms);
    }
    throw std::runtime_error("what was waited for has not come");
}

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

/// Waits for the end of a task, whatever that is.
muster::task<> ended(muster::task_handle<void> handle) {
    auto ending = end_of(handle);
    static_cast<void>(co_await muster::as_outcome(std::move(ending)));
}

class process_pool_hosts : public ::testing::Test {
protected:
    void SetUp() override {
        folder_ = (std::filesystem::temp_directory_path() / "muster-pool-hosts-XXXXXX").string();
        ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
        // What the first loop of a program opens stays open.
        muster::run([]() -> muster::task<> { co_await muster::sleep_for(1ms); }());
        descriptors_ = own_resources::open_descriptors();
        children_ = own_resources::children();
    }
    void TearDown() override {
        EXPECT_EQ(own_resources::open_descriptors(), descriptors_);
        EXPECT_EQ(own_resources::children(), children_);
        std::filesystem::remove_all(folder_);
    }
    [[nodiscard]] std::string path(const std::string& name) const { return folder_ + '/' + name; }
    [[nodiscard]] std::vector<int> numbers(const std::string& name) const {
        std::vector<int> all;
        std::ifstream in(path(name));
        for (int n = 0; in >> n;)
            all.push_back(n);
        return all;
    }
    /// The words of a launcher that is a line of shell; "$@" is the agent.
    static std::vector<std::string> shell(const std::string& line) { return {"sh", "-c", line, "sh"}; }
    static std::vector<std::string> plain() { return shell("exec \"$@\""); }

    /// What has become of the calls 0 to n - 1 of count_begun.
    struct tally {
        int succeeded = 0;
        int lost_begun = 0;
        int lost_unknown = 0;
    };
    /// Makes the calls, and checks each: that it was begun at most once, and that its outcome says so.
    tally make_calls(process_pool& pool, int n, const std::string& file,
        const std::function<muster::task<>()>& meanwhile = {}) const {
        std::vector<int> ids(static_cast<std::size_t>(n));
        for (int i = 0; i != n; ++i)
            ids[static_cast<std::size_t>(i)] = i;
        tally t;
        muster::run([&]() -> muster::task<> {
            auto call = [&](int id) -> muster::task<int> {
                auto result = co_await muster::run_in_executor(pool, remote_count(path(file), id));
                co_return result;
            };
            std::optional<muster::task_handle<void>> other;
            if (meanwhile)
                other = muster::create_task(meanwhile());
            auto outcomes = co_await muster::map(ids, call).settle();
            if (other)
                co_await *other;
            std::map<int, int> began;
            for (const int id : numbers(file))
                ++began[id];
            for (const int id : ids) {
                const auto& o = outcomes[static_cast<std::size_t>(id)];
                EXPECT_LE(began[id], 1) << id;
                if (o.succeeded()) {
                    ++t.succeeded;
                    EXPECT_EQ(o.value(), 2 * id);
                    EXPECT_EQ(began[id], 1) << id;
                    continue;
                }
                const auto* const lost = muster::get_if<host_lost_error>(o.as_exception());
                if (lost == nullptr) {
                    ADD_FAILURE() << id << ": " << muster::describe(o.as_exception());
                    continue;
                }
                EXPECT_NE(lost->begun(), begun::no) << lost->what();
                ++(lost->begun() == begun::yes ? t.lost_begun : t.lost_unknown);
            }
        }());
        EXPECT_EQ(t.succeeded + t.lost_begun + t.lost_unknown, n);
        return t;
    }
    template <class F>
    static std::string error_of(F call) {
        try {
            call();
        } catch (const std::exception& e) {
            return e.what();
        }
        return "no error";
    }

private:
    std::string folder_;
    std::size_t descriptors_ = 0;
    std::size_t children_ = 0;
};

TEST_F(process_pool_hosts, make_calls_as_processes_here_do) {
    process_pool pool(process_pool_options().launcher(plain(), 2, "one").launcher(plain(), 1, "two"));
    const auto t = make_calls(pool, 60, "began");
    EXPECT_EQ(t.succeeded, 60);
    EXPECT_EQ(pool.processes(), 3u);
    EXPECT_TRUE(pool.process_ids().empty());
    muster::run([&]() -> muster::task<> {
        auto thrown =
            co_await muster::as_outcome(muster::run_in_executor(pool, remote_fail("no such thing")).as_task());
        EXPECT_NE(muster::get_if<std::invalid_argument>(thrown.as_exception()), nullptr);
        auto died = co_await muster::as_outcome(muster::run_in_executor(pool, remote_fail("abort")).as_task());
        const auto* const e = muster::get_if<muster::worker_died_error>(died.as_exception());
        EXPECT_NE(e, nullptr);
        if (e != nullptr) {
            EXPECT_EQ(e->signal(), SIGABRT);
            EXPECT_GT(e->process(), 0);
            EXPECT_NE(std::string(e->what()).find(" on "), std::string::npos) << e->what();
        }
    }());
}

TEST_F(process_pool_hosts, carry_large_messages_while_others_are_answered) {
    process_pool pool(process_pool_options().launcher(plain(), 2));
    muster::run([&]() -> muster::task<> {
        std::vector<std::uint8_t> bytes(std::size_t{2} << 20);
        for (std::size_t i = 0; i != bytes.size(); ++i)
            bytes[i] = static_cast<std::uint8_t>(i * 7 % 251);
        auto large = muster::run_in_executor(pool, remote_echo(bytes)).as_task();
        auto small = muster::run_in_executor(pool, remote_count(path("began"), 4)).as_task();
        auto [back, eight] = co_await muster::gather(std::move(large), std::move(small));
        EXPECT_TRUE(back == bytes);
        EXPECT_EQ(eight, 8);
    }());
}

TEST_F(process_pool_hosts, are_found_behind_the_text_of_a_login) {
    process_pool pool(process_pool_options().launcher(
        shell("echo Welcome; echo to this host >&2; yes | head -c 30000; exec \"$@\"")));
    EXPECT_EQ(make_calls(pool, 3, "began").succeeded, 3);
}

TEST_F(process_pool_hosts, have_the_folder_the_environment_and_the_output_that_the_pool_says) {
    ::setenv("MUSTER_TEST_NAMED", "it's here", 1);
    process_pool pool(process_pool_options()
                          .launcher(plain())
                          .folder("/usr")
                          .environment({"MUSTER_TEST_NAMED"})
                          .output(path("printed")));
    muster::run([&]() -> muster::task<> {
        auto seen = co_await muster::run_in_executor(pool, remote_look());
        EXPECT_EQ(seen, "/usr||it's here");
    }());
    ::unsetenv("MUSTER_TEST_NAMED");
    std::ifstream in(path("printed"));
    std::string line;
    std::getline(in, line);
    EXPECT_EQ(line, "this is no frame");
}

TEST_F(process_pool_hosts, that_can_not_be_reached_fail_calls_only_if_no_other_host_is_left) {
    const auto bad = shell("echo no route to bad >&2; exit 255");
    {
        process_pool pool(process_pool_options().launcher(bad, 2, "bad").launcher(plain(), 2, "good"));
        EXPECT_EQ(make_calls(pool, 20, "began").succeeded, 20);
    }
    process_pool pool(process_pool_options().launcher(bad, 2, "bad"));
    const auto text = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
    });
    EXPECT_NE(text.find("bad: the connection ended: no route to bad"), std::string::npos) << text;
    process_pool none(process_pool_options().launcher({"/no/such/launcher"}, 1, "none"));
    const auto missing = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(none, remote_sleep(path("x"))); }());
    });
    EXPECT_NE(missing.find("'/no/such/launcher' can't be started"), std::string::npos) << missing;
}

TEST_F(process_pool_hosts, that_send_what_they_must_not_are_lost) {
    const std::string magic = "printf '\\001muster-agent\\002\\r\\n\\000";
    const std::vector<std::pair<std::string, std::string>> all{
        {"\\377'", "it sent a frame of the unknown type 255"},
        {"\\050\\377\\377\\377\\377'", "it sent a frame of 4294967295 bytes"},
        {"\\057\\000\\000\\000\\004\\000\\000\\000\\001'", "it sent a handshake that begins with another frame"},
        {"\\050\\000\\000\\000\\002hi'", "a frame that ends too early"},
        {"\\050\\000\\000\\000\\011\\000\\000\\000\\011\\000\\000\\000\\001x'", "has muster x, protocol 9"},
    };
    for (const auto& [bytes, words] : all) {
        process_pool pool(process_pool_options().launcher(shell(magic + bytes + "; exec sleep 600"), 2, "bad"));
        const auto text = error_of([&] {
            muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
        });
        EXPECT_NE(text.find(words), std::string::npos) << text;
    }
}

TEST_F(process_pool_hosts, that_do_not_answer_are_given_up_in_time) {
    process_pool pool(process_pool_options().launcher(shell("echo hello; exec sleep 600")).start_timeout(300ms));
    const auto text = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
    });
    EXPECT_TRUE(text.find("no agent has answered in time: it wrote hello") != std::string::npos ||
                text.find("was not ready within 0.3 s") != std::string::npos)
        << text;
}

TEST_F(process_pool_hosts, whose_program_has_another_function_of_a_name_are_refused) {
    process_pool pool(process_pool_options()
                          .launcher(plain(), 1, "old")
                          .program(std::filesystem::read_symlink("/proc/self/exe").string(), {"--other"}));
    const auto text = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
    });
    EXPECT_NE(text.find("old: the function 'shape' is int (int) there, and double (double) in this program"),
        std::string::npos)
        << text;
}

TEST_F(process_pool_hosts, kill_the_process_of_a_call_that_is_cancelled_or_takes_too_long) {
    process_pool pool(process_pool_options().launcher(plain(), 1, "one").call_timeout(1h));
    muster::run([&]() -> muster::task<> {
        auto call = muster::create_task(muster::run_in_executor(pool, remote_sleep(path("pids"))).as_task());
        co_await until([&] { return numbers("pids").size() == 1; });
        EXPECT_TRUE(is_alive(numbers("pids")[0]));
        call.cancel();
        co_await ended(call);
        EXPECT_TRUE(call.cancelled());
        EXPECT_FALSE(is_alive(numbers("pids")[0]));
    }());
    process_pool hasty(process_pool_options().launcher(plain(), 1, "one").call_timeout(200ms));
    muster::run([&]() -> muster::task<> {
        auto ended = co_await muster::as_outcome(muster::run_in_executor(hasty, remote_sleep(path("late"))).as_task());
        EXPECT_NE(muster::get_if<muster::timeout_error>(ended.as_exception()), nullptr);
    }());
}

TEST_F(process_pool_hosts, stop_with_the_pool_and_leave_nothing) {
    process_pool pool(process_pool_options().launcher(plain(), 2, "one"));
    muster::run([&]() -> muster::task<> {
        auto call = muster::create_task(muster::run_in_executor(pool, remote_sleep(path("pids"))).as_task());
        co_await until([&] { return numbers("pids").size() == 1; });
        pool.stop();
        co_await ended(call);
        EXPECT_TRUE(call.cancelled());
    }());
    EXPECT_FALSE(is_alive(numbers("pids")[0]));
}

TEST_F(process_pool_hosts, that_are_silent_for_too_long_are_lost_and_the_call_had_begun) {
    process_pool pool(process_pool_options()
                          .launcher(shell("echo $$ >> " + path("agents") + "; exec \"$@\""), 1, "frozen")
                          .silence_limit(2s));
    muster::run([&]() -> muster::task<> {
        auto call = muster::create_task(muster::run_in_executor(pool, remote_sleep(path("pids"))).as_task());
        co_await until([&] { return numbers("pids").size() == 1; });
        ::kill(numbers("agents").back(), SIGSTOP);
        co_await ended(call);
        const auto* const lost = muster::get_if<host_lost_error>(call.exception());
        EXPECT_NE(lost, nullptr);
        if (lost != nullptr) {
            EXPECT_EQ(lost->host(), "frozen");
            EXPECT_EQ(lost->begun(), begun::yes);
            EXPECT_NE(std::string(lost->what()).find("it was silent for too long; the call of 'sleep_long' had begun"),
                std::string::npos)
                << lost->what();
        }
    }());
    // The agent was the launcher here, which is killed, and its worker with it.
    EXPECT_TRUE(soon([&] { return !is_alive(numbers("agents").back()) && !is_alive(numbers("pids")[0]); }));
}

TEST_F(process_pool_hosts, lost_before_a_call_had_begun_lose_none_wherever_the_connection_is_cut) {
    for (const int bytes : {1, 17, 22, 60, 250, 300, 350, 400, 450, 500, 700, 1500, 4000}) {
        for (const bool from_agent : {false, true}) {
            SCOPED_TRACE(std::to_string(bytes) + (from_agent ? " from the agent" : " to the agent"));
            // head would keep what it has read until its end.
            const auto cut = "dd bs=1 status=none count=" + std::to_string(bytes);
            const auto line = from_agent ? "\"$@\" | " + cut : cut + " | \"$@\"";
            const auto file = "began" + std::to_string(bytes) + (from_agent ? "f" : "t");
            process_pool pool(process_pool_options().launcher(shell(line), 2, "cut").launcher(plain(), 1, "whole"));
            const auto t = make_calls(pool, 12, file);
            EXPECT_GE(t.succeeded, 1);
        }
    }
}

TEST_F(process_pool_hosts, whose_agents_are_killed_at_random_begin_each_call_at_most_once) {
    const auto noted = shell("echo $$ >> " + path("agents") + "; exec \"$@\"");
    process_pool pool(
        process_pool_options().launcher(noted, 2, "one").launcher(noted, 2, "two").launcher(plain(), 1, "three"));
    std::mt19937 random(16);
    const auto t = make_calls(pool, 400, "began", [&]() -> muster::task<> {
        for (std::size_t killed = 0; killed != 6; ++killed) {
            co_await until([&] { return numbers("agents").size() > killed || numbers("began").size() > 380; });
            const auto agents = numbers("agents");
            if (agents.size() <= killed)
                co_return;
            const auto wait = std::chrono::milliseconds(random() % 60);
            co_await muster::sleep_for(wait);
            ::kill(agents[killed], SIGKILL);
        }
    });
    EXPECT_GE(t.succeeded, 360);
}

TEST_F(process_pool_hosts, refuse_options_that_make_no_sense) {
    EXPECT_THROW(process_pool_options().launcher({}), std::invalid_argument);
    EXPECT_THROW(process_pool_options().launcher({""}), std::invalid_argument);
    EXPECT_THROW(process_pool_options().launcher({"ssh", "a"}, 0), std::invalid_argument);
    EXPECT_THROW(process_pool_options().silence_limit(99ms), std::invalid_argument);
    EXPECT_THROW(process_pool_options().silence_limit(25h), std::invalid_argument);
}

} // namespace

int main(int argc, char** argv) {
    // An older program, say.
    const bool is_other = argc > 1 && std::string_view(argv[1]) == "--other";
    std::optional<muster::remote_function<int(int)>> other;
    std::optional<muster::remote_function<double(double)>> usual;
    if (is_other)
        other.emplace(
            "shape", +[](int i) { return i; });
    else
        usual.emplace(
            "shape", +[](double d) { return d; });
    process_pool::serve_if_worker();
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
