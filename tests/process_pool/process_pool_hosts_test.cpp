// SPDX-License-Identifier: MIT
// Workers of a pool on other hosts, which are this one: the launchers start the agent here, or spoil what it says.
#include <muster/process_pool.hpp>

#include <muster/event.hpp>
#include <muster/gather.hpp>
#include <muster/host_lost_error.hpp>
#include <muster/map.hpp>
#include <muster/report.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <array>
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
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "frames/frames.hpp"
#include "process_pool/agent_terms.hpp"
#include "process_pool/wire.hpp"
#include "support/own_resources.hpp"
#include "support/own_sshd.hpp"
#include "support/soon.hpp"
#include "support/stdio_relay.hpp"

namespace {

using namespace std::chrono_literals;
using muster::process_pool;
using muster::process_pool_options;
using muster::frames::frame_type;
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

std::size_t note_bytes(const std::string& file, const std::vector<std::uint8_t>& bytes) {
    note(file, std::to_string(bytes.size()));
    return bytes.size();
}
const muster::remote_function remote_note("note_bytes", &note_bytes);

void print_errors(std::size_t count) {
    const std::string text(count, 'e');
    for (std::string_view left(text); !left.empty();) {
        const auto n = ::write(STDERR_FILENO, left.data(), left.size());
        if (n <= 0)
            throw std::runtime_error("standard error can't be written");
        left.remove_prefix(static_cast<std::size_t>(n));
    }
}
const muster::remote_function remote_print("print_errors", &print_errors);

/// Writes what is no answer to the pool, until nobody takes it any more.
void flood_pool() {
    const std::vector<char> zeros(std::size_t{64} << 10);
    while (::send(muster::wire::worker_descriptor, zeros.data(), zeros.size(), MSG_NOSIGNAL) > 0) {}
}
void flood(const std::string& how) {
    if (how == "as a child that left the group") {
        if (::fork() == 0) {
            ::setsid();
            flood_pool();
            std::_Exit(0);
        }
        std::this_thread::sleep_for(100ms);
        std::_Exit(0);
    }
    flood_pool();
}
const muster::remote_function remote_flood("flood", &flood);

/// Takes a second to be read where it is awaited.
struct slow {
    int n = 0;
};
void to_json(nlohmann::json& j, const slow& s) { j = s.n; }
void from_json(const nlohmann::json& j, slow& s) {
    std::this_thread::sleep_for(1s);
    s.n = j.get<int>();
}
slow flood_behind_answer(int n) {
    if (::fork() == 0) {
        std::this_thread::sleep_for(200ms);
        flood_pool();
        std::_Exit(0);
    }
    slow s;
    s.n = n;
    return s;
}
const muster::remote_function remote_slow("flood_behind_answer", &flood_behind_answer);

/// Answers at once. A child sends what nobody has asked for once there is a file, and then says so in another one.
int flood_when_told(const std::string& when, const std::string& done) {
    if (::fork() == 0) {
        for (int i = 0; i != 30'000 && ::access(when.c_str(), F_OK) != 0; ++i)
            std::this_thread::sleep_for(1ms);
        const std::array<char, 64> zeros{};
        static_cast<void>(::send(muster::wire::worker_descriptor, zeros.data(), zeros.size(), MSG_NOSIGNAL));
        note(done, "1");
        std::_Exit(0);
    }
    return 1;
}
const muster::remote_function remote_late("flood_when_told", &flood_when_told);

std::string say_much() { return std::string(190'000, 'a'); }
const muster::remote_function remote_much("say_much", &say_much);

// ---- an agent that a test plays, in a process of its own ----

class played_agent {
public:
    played_agent() {
        const auto hello = muster::workers::hello_of_agent({});
        send(std::string(muster::frames::magic) + to_bytes(frame_type::pool_hello, hello));
    }
    /// From now on frames are kept, until hang_up().
    void keep() noexcept { keeps_ = true; }
    /// Sends all that was kept, and ends the connection at once.
    void hang_up() {
        keeps_ = false;
        send(kept_);
        ::shutdown(STDOUT_FILENO, SHUT_RDWR);
        std::_Exit(0);
    }
    void say(frame_type type, std::uint32_t worker, std::string_view rest = {}) {
        send(to_bytes(type, muster::frames::payload_writer().number32(worker).rest(rest).take()));
    }
    /// *Returns* what stands behind the worker's number in the next frame of the type.
    std::string await(frame_type type) {
        for (;;) {
            while (is_greeted_) {
                const auto f = parser_.next();
                if (!f)
                    break;
                if (f->type == type)
                    return f->payload.substr(4);
            }
            std::array<char, 65536> bytes{};
            const auto n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
            if (n <= 0)
                std::_Exit(1);
            const std::string_view text(bytes.data(), static_cast<std::size_t>(n));
            if (is_greeted_) {
                parser_.take(text);
            } else if (scanner_.take(text)) {
                is_greeted_ = true;
                parser_.take(scanner_.take_rest());
            }
        }
    }
    /// Plays a worker's start.
    void start(std::uint32_t worker) {
        static_cast<void>(await(frame_type::worker_last));
        say_message(worker, 0, {{"muster", muster::wire::version}});
    }
    void say_message(std::uint32_t worker, std::uint64_t number, const nlohmann::json& body) {
        const auto text = muster::wire::write(body);
        const auto head = muster::wire::write(muster::wire::header(static_cast<std::uint32_t>(text.size()), number));
        std::string all(head.begin(), head.end());
        all.append(text.begin(), text.end());
        for (std::string_view left(all); !left.empty(); left.remove_prefix(std::min<std::size_t>(left.size(), 60'000)))
            say(frame_type::worker_data, worker, left.substr(0, 60'000));
    }
    /// *Returns* the number of a message that has come in one piece.
    static std::uint64_t number_of(const std::string& message) {
        return muster::wire::read_header(reinterpret_cast<const std::uint8_t*>(message.data())).number;
    }

private:
    void send(std::string_view bytes) {
        if (keeps_) {
            kept_ += bytes;
            return;
        }
        while (!bytes.empty()) {
            const auto n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
            if (n <= 0)
                std::_Exit(1);
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    muster::frames::greeting_scanner scanner_;
    muster::frames::frame_parser parser_;
    std::string kept_;
    bool keeps_ = false;
    bool is_greeted_ = false;
};

/// Answers the call of the first worker with more than the pool reads at once and is gone, while the call of the second
/// one, which is longer than the connection takes, is on its way. It plays once.
void answer_and_go(const std::string& starts) {
    if (std::filesystem::exists(starts))
        std::_Exit(1);
    note(starts, "1");
    played_agent agent;
    agent.start(1);
    const auto call = agent.await(frame_type::worker_last);
    agent.start(2);
    static_cast<void>(agent.await(frame_type::worker_data));
    agent.keep();
    agent.say(frame_type::worker_begun, 1);
    agent.say_message(1, played_agent::number_of(call), {{"value", say_much()}});
    agent.hang_up();
}

/// Answers the call, says more than the pool reads at once, and is gone.
void answer_and_say_more(const std::string& starts) {
    note(starts, "1");
    played_agent agent;
    agent.start(1);
    const auto call = agent.await(frame_type::worker_last);
    agent.say(frame_type::worker_begun, 1);
    agent.say_message(1, played_agent::number_of(call), {{"value", 7}});
    const std::string more(50'000, 'x');
    for (int i = 0; i != 16; ++i)
        agent.say(frame_type::worker_data, 1, more);
    std::_Exit(0);
}

// ---- the tests' own ----

bool is_alive(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto end = stat.rfind(')');
    return end != std::string::npos && stat.size() > end + 2 && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
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

template <class T>
muster::task<> end_of(muster::task_handle<T> handle) {
    co_await handle;
}

/// Waits for the end of a task, whatever that is.
template <class T>
muster::task<> ended(muster::task_handle<T> handle) {
    auto ending = end_of(handle);
    static_cast<void>(co_await muster::as_outcome(std::move(ending)));
}

/// What pools report while this lives. Their own threads do that.
class reports_of_pool {
public:
    reports_of_pool() : before_(muster::set_report_handler([all = all_](const muster::report& r) { all->add(r); })) {}
    ~reports_of_pool() { muster::set_report_handler(before_); }
    reports_of_pool(const reports_of_pool&) = delete;
    reports_of_pool& operator=(const reports_of_pool&) = delete;
    /// *Returns* how many have these words, once there is one.
    [[nodiscard]] int count(const std::string& words) const {
        static_cast<void>(soon([&] { return all_->count(words) != 0; }));
        return all_->count(words);
    }

private:
    class list {
    public:
        void add(const muster::report& r) {
            const std::lock_guard own(lock_);
            lines_.push_back(muster::to_string(r));
        }
        int count(const std::string& words) {
            const std::lock_guard own(lock_);
            return static_cast<int>(std::ranges::count_if(
                lines_, [&](const std::string& line) { return line.find(words) != std::string::npos; }));
        }

    private:
        std::mutex lock_;
        std::vector<std::string> lines_;
    };
    std::shared_ptr<list> all_ = std::make_shared<list>();
    muster::report_handler before_;
};

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
    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
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
    /// This program as a relay between the pool and the agent: each piece is late by up to so many milliseconds, and
    /// after so many bytes of both directions it ends, if that is not 0.
    static std::vector<std::string> relayed(int late_by, int cut_at) {
        return {std::filesystem::read_symlink("/proc/self/exe").string(), "--relay", std::to_string(late_by),
            std::to_string(cut_at)};
    }
    /// An agent that this program plays.
    static std::vector<std::string> played(const std::string& how, const std::string& file = {}) {
        return {std::filesystem::read_symlink("/proc/self/exe").string(), "--played", how, file};
    }

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
    process_pool silent(process_pool_options().launcher(shell("exit 0"), 1, "silent"));
    const auto no_worker = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(silent, remote_sleep(path("x"))); }());
    });
    EXPECT_NE(no_worker.find("does the program there call process_pool::serve_if_worker()?"), std::string::npos)
        << no_worker;
    process_pool none(process_pool_options().launcher({"/no/such/launcher"}, 1, "none"));
    const auto missing = error_of([&] {
        muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(none, remote_sleep(path("x"))); }());
    });
    EXPECT_NE(missing.find("'/no/such/launcher' can't be started"), std::string::npos) << missing;
}

TEST_F(process_pool_hosts, that_send_what_they_must_not_are_lost) {
    const std::string magic = "printf '\\001muster-agent\\002\\r\\n\\000";
    /// The end of the command that writes the hello of an agent of this version.
    const auto hello = [](const std::vector<std::uint8_t>& rest) {
        muster::frames::payload_writer payload;
        payload.number32(muster::frames::protocol_version).text(muster::frames::own_version());
        payload.rest(std::string_view(reinterpret_cast<const char*>(rest.data()), rest.size()));
        std::string text;
        for (const char c : to_bytes(frame_type::pool_hello, payload.take())) {
            std::array<char, 5> octal{};
            std::snprintf(octal.data(), octal.size(), "\\%03o", static_cast<unsigned>(static_cast<unsigned char>(c)));
            text += octal.data();
        }
        return text + '\'';
    };
    const std::vector<std::pair<std::string, std::string>> all{
        {"\\377'", "it sent a frame of the unknown type 255"},
        {"\\050\\377\\377\\377\\377'", "it sent a frame of 4294967295 bytes"},
        {"\\057\\000\\000\\000\\004\\000\\000\\000\\001'", "it sent a handshake that begins with another frame"},
        {"\\050\\000\\000\\000\\002hi'", "a frame that ends too early"},
        {"\\050\\000\\000\\000\\011\\000\\000\\000\\011\\000\\000\\000\\001x'", "has muster x, protocol 9"},
        {hello(muster::wire::write({{"problem", "no\x1b[2J\nroom"}})), "no\\x1b[2J\\nroom"},
        {hello(muster::wire::write({{"problem", 7}})), "a hello that can't be read"},
        {hello(muster::wire::write({{"functions", 7}})), "install the same program on both"},
        {hello(muster::wire::write(7)), "a hello that can't be read"},
        {hello({}), "a hello that can't be read"},
        {hello({0x9a, 0xff, 0xff, 0xff, 0xff}), "a hello that can't be read"},
        {hello(muster::wire::write({{"functions", {{"shape\x1b", "s\x1b[2J"}, {"shape", "s\x1b[2J"}}}})),
            "install the same program on both"},
    };
    for (const auto& [bytes, words] : all) {
        process_pool pool(process_pool_options().launcher(shell(magic + bytes + "; exec sleep 600"), 2, "bad"));
        const auto text = error_of([&] {
            muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
        });
        EXPECT_NE(text.find(words), std::string::npos) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    }
    const std::pair<std::string, std::string> launchers[] = {
        {"head -c 100000 /dev/zero | tr '\\0' '\\033'; exec sleep 600", "64 KiB of text, and no agent has answered"},
        {"printf '\\033[2Jgo away\\233' >&2; exit 1", "\\x1b[2Jgo away\\x9b"},
        {"printf '\\033[2Jgo away'; exit 1", "it wrote \\x1b[2Jgo away"}};
    for (const auto& [line, words] : launchers) {
        process_pool pool(process_pool_options().launcher(shell(line), 2, "bad"));
        const auto text = error_of([&] {
            muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_sleep(path("x"))); }());
        });
        EXPECT_NE(text.find(words), std::string::npos) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    }
}

TEST_F(process_pool_hosts, whose_pool_says_numbers_of_another_kind_or_range_are_not_served) {
    const nlohmann::json fine{{"pool", "p"}, {"arguments", nlohmann::json::array()},
        {"through", nlohmann::json::array()}, {"folder", ""}, {"output", ""}, {"cgroup", ""}, {"limits", {{7, 100}}},
        {"message_limit", 1000}, {"silence_limit", 1000}};
    const auto hello = [&](const nlohmann::json& changes) {
        auto j = fine;
        j.merge_patch(changes);
        const auto bytes = muster::wire::write(j);
        return muster::frames::payload_writer()
            .number32(muster::frames::protocol_version)
            .text(muster::frames::own_version())
            .rest(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()))
            .take();
    };
    EXPECT_EQ(muster::workers::terms_of(hello(nlohmann::json::object())).around.limits.front().second, 100u);
    for (const auto& changes : {nlohmann::json{{"message_limit", -1}}, nlohmann::json{{"message_limit", 1e300}},
             nlohmann::json{{"message_limit", true}}, nlohmann::json{{"silence_limit", 1e300}},
             nlohmann::json{{"silence_limit", UINT64_MAX}}, nlohmann::json{{"silence_limit", INT64_MAX}},
             nlohmann::json{{"silence_limit", 99}}, nlohmann::json{{"silence_limit", 86'400'001}},
             nlohmann::json{{"limits", {{1e300, 1}}}}, nlohmann::json{{"limits", {{7, -1}}}},
             nlohmann::json{{"limits", {{7}}}}, nlohmann::json{{"limits", 7}}, nlohmann::json{{"pool", 7}},
             nlohmann::json{{"arguments", "a"}}, nlohmann::json{{"environment", {7}}},
             nlohmann::json{{"folder", nullptr}}})
        EXPECT_THROW(static_cast<void>(muster::workers::terms_of(hello(changes))), muster::frames::frame_error)
            << changes;
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

/// So many calls for each way to lose a host; MUSTER_CHAOS_CALLS says more.
int calls_in_chaos() {
    const char* const more = std::getenv("MUSTER_CHAOS_CALLS");
    return more != nullptr ? std::max(1, std::atoi(more)) : 150;
}

TEST_F(process_pool_hosts, that_are_killed_stopped_cut_and_late_lose_no_call_and_begin_none_twice) {
    const auto noted = shell("echo $$ >> " + path("agents") + "; exec \"$@\"");
    // The pool can't kill this one, which wakes up after it was taken for lost.
    const auto detached = shell("exec setsid sh -c 'echo $$ >> \"" + path("agents") + "\"; exec \"$@\"' sh \"$@\"");
    enum class harm : std::uint8_t { killed, stopped, none };
    struct row {
        std::string name;
        std::vector<std::string> words;
        harm done;
    };
    const std::vector<row> rows{{"killed", noted, harm::killed}, {"stopped", detached, harm::stopped},
        {"late", relayed(3, 0), harm::none}, {"cut early", relayed(0, 900), harm::none},
        {"cut later", relayed(0, 5000), harm::none}, {"late and cut", relayed(2, 3000), harm::none}};
    for (const auto& r : rows) {
        SCOPED_TRACE(r.name);
        std::mt19937 random(17);
        std::filesystem::remove(path("agents"));
        // One worker here, as all hosts may be lost at the same time.
        process_pool pool(process_pool_options()
                              .processes(1)
                              .launcher(r.words, 2, "one")
                              .launcher(r.words, 2, "two")
                              .silence_limit(r.done == harm::stopped ? 400ms : 15s));
        const auto t = make_calls(pool, calls_in_chaos(), "began " + r.name, [&]() -> muster::task<> {
            for (std::size_t harmed = 0; r.done != harm::none; ++harmed) {
                co_await until([&] { return numbers("agents").size() > harmed || pool.queued() == 0; });
                const auto agents = numbers("agents");
                if (agents.size() <= harmed || pool.queued() == 0)
                    co_return;
                const auto wait = std::chrono::milliseconds(random() % 80);
                co_await muster::sleep_for(wait);
                if (r.done == harm::killed) {
                    ::kill(agents[harmed], SIGKILL);
                    continue;
                }
                ::kill(agents[harmed], SIGSTOP);
                co_await muster::sleep_for(900ms);
                ::kill(agents[harmed], SIGCONT);
            }
        });
        EXPECT_GE(t.succeeded, 1);
    }
}

TEST_F(process_pool_hosts, are_reached_by_ssh) {
    const own_sshd server(folder());
    if (!server.answers())
        GTEST_SKIP() << own_sshd::none;
    process_pool pool(process_pool_options().launcher(server.launcher(), 2, "loopback"));
    EXPECT_EQ(make_calls(pool, 50, "began").succeeded, 50);
    // The pool reaches its host by one session of ssh at a time: to kill the session is to lose the host.
    const auto t = make_calls(pool, calls_in_chaos(), "began again", [&]() -> muster::task<> {
        for (int i = 0; i != 2; ++i) {
            const auto begun_before = numbers("began again").size();
            co_await until([&] { return numbers("began again").size() > begun_before || pool.queued() == 0; });
            for (const pid_t session : server.sessions())
                ::kill(session, SIGKILL);
        }
    });
    EXPECT_GE(t.succeeded, 1);
    muster::run([&]() -> muster::task<> {
        auto call = muster::create_task(muster::run_in_executor(pool, remote_sleep(path("pids"))).as_task());
        co_await until([&] { return numbers("pids").size() == 1; });
        call.cancel();
        co_await ended(call);
        EXPECT_TRUE(call.cancelled());
        EXPECT_TRUE(soon([&] { return !is_alive(numbers("pids")[0]); }));
    }());
}

TEST_F(process_pool_hosts, whose_worker_sends_what_is_no_answer_for_ever_end_its_call_and_serve_the_others) {
    process_pool pool(process_pool_options().launcher(plain(), 2, "one").message_limit(1'000'000));
    muster::run([&]() -> muster::task<> {
        for (const std::string how : {"as the worker", "as a child that left the group"}) {
            const auto file = "began " + how;
            auto flooding = muster::create_task(muster::run_in_executor(pool, remote_flood(how)).as_task());
            auto counting = muster::create_task(muster::run_in_executor(pool, remote_count(path(file), 4)).as_task());
            auto flooded = muster::wait_for(end_of(flooding), 2min);
            auto ended = co_await muster::as_outcome(std::move(flooded));
            EXPECT_NE(muster::get_if<muster::wire_error>(ended.as_exception()), nullptr)
                << how << ": " << muster::describe(ended.as_exception());
            auto eight = co_await counting;
            EXPECT_EQ(eight, 8);
        }
        auto next = co_await muster::run_in_executor(pool, remote_count(path("next"), 5));
        EXPECT_EQ(next, 10);
    }());
}

TEST_F(process_pool_hosts, are_not_lost_to_one_worker_whose_child_floods_while_its_answer_is_read) {
    process_pool pool(process_pool_options().launcher(plain(), 2, "one").message_limit(1'000'000));
    muster::run([&]() -> muster::task<> {
        auto slow_call = muster::create_task(muster::run_in_executor(pool, remote_slow(3)).as_task());
        auto all_well = [&]() -> muster::task<> {
            for (int i = 0; !slow_call.done(); ++i) {
                auto twice = co_await muster::run_in_executor(pool, remote_count(path("began"), i));
                EXPECT_EQ(twice, 2 * i);
            }
        };
        auto others = all_well();
        co_await std::move(others);
        // The child may have been faster than the answer.
        EXPECT_TRUE(!slow_call.exception() || muster::is_a<muster::wire_error>(slow_call.exception()))
            << muster::describe(slow_call.exception());
        // The worker whose child floods is free now, and must not get the next call.
        auto next = co_await muster::run_in_executor(pool, remote_count(path("next"), 5));
        EXPECT_EQ(next, 10);
        EXPECT_EQ(numbers("next"), std::vector<int>{5});
    }());
}

TEST_F(process_pool_hosts, lose_no_call_to_a_worker_that_has_sent_something_unasked_while_its_answer_was_read) {
    for (const bool is_distant : {false, true}) {
        const reports_of_pool reports;
        const auto began = "began " + std::to_string(is_distant ? 1 : 0);
        auto options = process_pool_options().message_limit(1'000'000);
        process_pool pool(is_distant ? options.launcher(plain(), 1, "one") : options.processes(1));
        muster::run([&]() -> muster::task<> {
            auto slow_call = muster::create_task(muster::run_in_executor(pool, remote_slow(3)).as_task());
            // It waits for the only worker, whose child floods while the answer to the first call is read.
            auto next = co_await muster::run_in_executor(pool, remote_count(path(began), 5));
            EXPECT_EQ(next, 10);
            auto slow = co_await slow_call;
            EXPECT_EQ(slow.n, 3);
            EXPECT_EQ(numbers(began), std::vector<int>{5});
        }());
        EXPECT_EQ(reports.count("while it made no call"), 1) << is_distant;
    }
}

TEST_F(process_pool_hosts, hand_over_no_call_to_a_worker_that_has_sent_something_unasked_since_its_answer) {
    const reports_of_pool reports;
    const auto noted = shell("echo $$ >> " + path("agents") + "; exec \"$@\"");
    process_pool pool(process_pool_options().launcher(noted, 1, "one").message_limit(1'000'000));
    muster::run([&]() -> muster::task<> {
        auto first = co_await muster::run_in_executor(pool, remote_late(path("go"), path("flooded")));
        EXPECT_EQ(first, 1);
        // The agent has the call and the bytes before it when it goes on, and looks at the call first.
        ::kill(numbers("agents").back(), SIGSTOP);
        auto call = muster::create_task(muster::run_in_executor(pool, remote_count(path("began"), 5)).as_task());
        co_await until([&] { return pool.running() == 1; });
        note(path("go"), "1");
        co_await until([&] { return numbers("flooded").size() == 1; });
        ::kill(numbers("agents").back(), SIGCONT);
        auto ten = co_await call;
        EXPECT_EQ(ten, 10);
        EXPECT_EQ(numbers("began"), std::vector<int>{5});
    }());
    EXPECT_EQ(reports.count("while it made no call"), 1);
}

TEST_F(process_pool_hosts, that_end_while_a_call_is_on_its_way_give_the_answers_that_had_come) {
    for (int i = 0; i != 3; ++i) {
        const auto starts = path("starts" + std::to_string(i));
        process_pool pool(process_pool_options().launcher(played("answer and go", starts), 2, "played"));
        muster::run([&]() -> muster::task<> {
            auto much = muster::create_task(muster::run_in_executor(pool, remote_much()).as_task());
            co_await until([&] { return pool.running() == 1; });
            const std::vector<std::uint8_t> bytes(std::size_t{4} << 20);
            auto note = muster::run_in_executor(pool, remote_note(path("began"), bytes)).as_task();
            auto other = muster::create_task(std::move(note));
            co_await ended(other);
            auto answer = co_await much;
            EXPECT_EQ(answer, say_much());
            // It had not begun, and no other host could make it.
            EXPECT_TRUE(muster::is_a<muster::worker_start_error>(other.exception()))
                << muster::describe(other.exception());
            EXPECT_TRUE(numbers("began").empty());
        }());
    }
}

TEST_F(process_pool_hosts, are_not_started_again_for_workers_that_have_ended) {
    process_pool pool(process_pool_options().launcher(played("answer and say more", path("starts")), 1, "played"));
    muster::run([&]() -> muster::task<> {
        auto seven = co_await muster::run_in_executor(pool, remote_slow(3));
        EXPECT_EQ(seven.n, 7);
        EXPECT_EQ(numbers("starts").size(), 1u);
    }());
}

TEST_F(process_pool_hosts, that_ended_before_a_call_was_read_have_not_begun_it) {
    // The launcher lives on, and may still say why the connection has ended: the pool waits for that.
    const auto line = "sh -c 'echo $$ >> \"" + path("agents") +
                      "\"; exec \"$@\"' sh \"$@\"; exec <&- >&-; echo 1 >> \"" + path("closed") + "\"; sleep 1";
    process_pool pool(process_pool_options().launcher(shell(line), 1, "one"));
    muster::run([&]() -> muster::task<> {
        auto first = co_await muster::run_in_executor(pool, remote_count(path("began"), 1));
        EXPECT_EQ(first, 2);
        ::kill(numbers("agents").back(), SIGKILL);
        co_await until([&] { return !numbers("closed").empty(); });
        auto second = co_await muster::run_in_executor(pool, remote_count(path("began"), 2));
        EXPECT_EQ(second, 4);
        EXPECT_EQ(numbers("began"), (std::vector<int>{1, 2}));
    }());
}

TEST_F(process_pool_hosts, that_are_lost_do_not_bring_back_a_call_whose_task_was_cancelled) {
    const auto noted = shell("echo $$ >> " + path("agents") + "; exec \"$@\"");
    process_pool pool(process_pool_options().launcher(noted, 1, "one").kill_cancelled(false));
    muster::run([&]() -> muster::task<> {
        const std::vector<std::uint8_t> bytes(std::size_t{4} << 20);
        auto first = co_await muster::run_in_executor(pool, remote_note(path("began"), bytes));
        EXPECT_EQ(first, bytes.size());
        ::kill(numbers("agents").back(), SIGSTOP);
        auto call = muster::create_task(muster::run_in_executor(pool, remote_note(path("began"), bytes)).as_task());
        co_await until([&] { return pool.running() == 1; });
        call.cancel();
        co_await muster::sleep_for(10ms);
        EXPECT_FALSE(call.done());
        ::kill(numbers("agents").back(), SIGKILL);
        co_await ended(call);
        EXPECT_TRUE(call.cancelled());
        auto next = co_await muster::run_in_executor(pool, remote_count(path("next"), 5));
        EXPECT_EQ(next, 10);
        EXPECT_EQ(numbers("began").size(), 1u);
    }());
}

/// Standard error is a pipe that takes nothing, until the rest of it is read.
class full_errors {
public:
    full_errors() {
        if (::pipe2(ends_.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("no pipe");
        before_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        const auto flags = ::fcntl(ends_[1], F_GETFL);
        ::fcntl(ends_[1], F_SETFL, flags | O_NONBLOCK);
        const std::string page(4096, '#');
        while (::write(ends_[1], page.data(), page.size()) > 0) {}
        ::fcntl(ends_[1], F_SETFL, flags);
        ::dup2(ends_[1], STDERR_FILENO);
    }
    ~full_errors() {
        ::dup2(before_, STDERR_FILENO);
        for (const int fd : {ends_[0], ends_[1], before_})
            ::close(fd);
    }
    full_errors(const full_errors&) = delete;
    full_errors& operator=(const full_errors&) = delete;
    /// Reads until the condition holds for what has come, without what filled the pipe.
    template <class Condition>
    std::string read_until(Condition holds) {
        std::string all;
        for (int i = 0; i != 3000 && !holds(all); ++i) {
            pollfd p{ends_[0], POLLIN, 0};
            std::array<char, 65536> bytes{};
            if (::poll(&p, 1, 10) <= 0)
                continue;
            const auto n = ::read(ends_[0], bytes.data(), bytes.size());
            all.append(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
            std::erase(all, '#');
        }
        return all;
    }

private:
    std::array<int, 2> ends_{};
    int before_ = -1;
};

TEST_F(process_pool_hosts, are_not_lost_while_standard_error_here_takes_nothing) {
    process_pool pool(process_pool_options().launcher(plain(), 1, "one").silence_limit(500ms));
    full_errors errors;
    muster::run([&]() -> muster::task<> {
        auto printing = muster::wait_for(muster::run_in_executor(pool, remote_print(100'000)), 1min);
        co_await std::move(printing);
        co_await muster::sleep_for(1500ms);
        auto twice = co_await muster::run_in_executor(pool, remote_count(path("began"), 4));
        EXPECT_EQ(twice, 8);
    }());
    const auto kept = errors.read_until([](const std::string& s) { return s.size() >= 100'000; });
    EXPECT_EQ(kept, std::string(100'000, 'e'));
}

TEST_F(process_pool_hosts, whose_words_are_left_out_are_named_once_standard_error_takes_something_again) {
    process_pool pool(process_pool_options().launcher(plain(), 1, "one"));
    full_errors errors;
    muster::run([&]() -> muster::task<> { co_await muster::run_in_executor(pool, remote_print(1'000'000)); }());
    const auto said = errors.read_until([](const std::string& s) { return s.find('\n') != s.rfind('\n'); });
    const auto line = said.substr(std::min(said.find('\n'), said.size()));
    EXPECT_NE(line.find(" bytes that one wrote are left out here"), std::string::npos) << line;
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
    const auto argument = [&](int i) { return std::string(i < argc ? argv[i] : ""); };
    if (argument(1) == "--played") {
        if (argument(2) == "answer and go")
            answer_and_go(argument(3));
        answer_and_say_more(argument(3));
    }
    if (argument(1) == "--relay" && argc > 4)
        stdio_relay(static_cast<unsigned>(std::atoi(argv[2])), std::atol(argv[3]), argv + 4);
    process_pool::serve_if_worker();
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
