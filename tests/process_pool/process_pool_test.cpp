// SPDX-License-Identifier: MIT
#include <muster/process_pool.hpp>

#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_group.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/own_resources.hpp"

using namespace std::chrono_literals;
using muster::process_pool;
using muster::process_pool_options;
using muster::testing::live_frames;

namespace {

#if defined(__has_feature)
constexpr bool is_stopped_by_ubsan = __has_feature(undefined_behavior_sanitizer);
#else
constexpr bool is_stopped_by_ubsan = false;
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

// ---- what the workers can do ----

struct point {
    int x = 0;
    std::string label;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(point, x, label)

/// Can be read, but not written.
struct unwritable {
    int n = 0;
};
void to_json(nlohmann::json&, const unwritable&) { throw std::runtime_error("it has no text"); }
void from_json(const nlohmann::json& j, unwritable& u) { j.get_to(u.n); }

/// Can be written, but not read.
struct unreadable {
    int n = 0;
};
void to_json(nlohmann::json& j, const unreadable& u) { j = u.n; }
void from_json(const nlohmann::json&, unreadable&) { throw std::runtime_error("it means nothing"); }

class price_error : public std::runtime_error {
public:
    price_error(const std::string& what, int price) : std::runtime_error(what), price_(price) {}
    [[nodiscard]] int price() const noexcept { return price_; }

private:
    int price_;
};
class parse_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
class unknown_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// Known, but not to be written or read.
class shy_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
class dumb_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

const muster::remote_exception<price_error> price_errors(
    "price_error",
    [](const price_error& e) {
        return nlohmann::json{{"what", e.what()}, {"price", e.price()}};
    },
    [](const nlohmann::json& j) { return price_error(j.at("what").get<std::string>(), j.at("price").get<int>()); });
const muster::remote_exception<parse_error> parse_errors("parse_error");
const muster::remote_exception<shy_error> shy_errors(
    "shy_error", [](const shy_error&) -> nlohmann::json { throw std::logic_error("not me"); },
    [](const nlohmann::json&) { return shy_error("?"); });
const muster::remote_exception<dumb_error> dumb_errors(
    "dumb_error", [](const dumb_error&) { return nlohmann::json(1); },
    [](const nlohmann::json&) -> dumb_error { throw std::logic_error("what is this"); });

int twice_of(int n) noexcept { return 2 * n; }
const muster::remote_function twice("twice", &twice_of);
const muster::remote_function own_id(
    "own_id", +[] { return static_cast<int>(::getpid()); });
const muster::remote_function nothing("nothing", [] {});
const muster::remote_function moved("moved", [](point p) {
    p.label += '!';
    ++p.x;
    return p;
});
const muster::remote_function joined(
    "joined", [](const std::string& a, std::string&& b, const std::vector<std::string>& rest) {
        std::string text = a + std::move(b);
        for (const auto& r : rest)
            text += r;
        return text;
    });
const muster::remote_function reversed("reversed",
    [](std::vector<std::uint8_t> bytes) { return std::vector<std::uint8_t>(bytes.rbegin(), bytes.rend()); });
const muster::remote_function same_bytes("same_bytes", [](const std::vector<std::byte>& bytes) { return bytes; });
const muster::remote_function same_json("same_json", [](nlohmann::json j) { return j; });
const muster::remote_function deep("deep", [](int levels) {
    nlohmann::json j;
    for (int i = 0; i != levels; ++i)
        j = nlohmann::json::array({std::move(j)});
    return j;
});
const muster::remote_function same_number("same_number", [](double d) { return d; });
const muster::remote_function big("big", [](std::size_t n) { return std::string(n, 'x'); });
const muster::remote_function length("length", [](const std::string& text) { return text.size(); });
const muster::remote_function sleeps("sleeps", [](int ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    return ms;
});
const muster::remote_function spins("spins", [] {
    for (volatile bool on = true; on;) {}
});
const muster::remote_function dies_by("dies_by", [](int signal) {
    ::raise(signal);
    for (;;)
        ::pause();
});
const muster::remote_function aborts("aborts", [] { std::abort(); });
const muster::remote_function exits("exits", [](int status) { std::exit(status); });
const muster::remote_function prints("prints", [](const std::string& text) {
    std::printf("%s\n", text.c_str());
    return static_cast<int>(text.size());
});
const muster::remote_function limited("limited", [] {
    // The environment and the descriptors of a worker.
    std::string seen = std::getenv("MUSTER_WORKER") != nullptr ? "variable " : "";
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code none;
        const auto target = std::filesystem::read_symlink(entry.path(), none);
        if (entry.path().filename().string() > "3" && target.string().find("/proc/") == std::string::npos)
            seen += target.string() + ' ';
    }
    return seen;
});
const muster::remote_function allocates("allocates", [](std::size_t bytes) {
    std::vector<char> block(bytes);
    // A compiler that sees that nobody looks at the block need not allocate it, and clang then does not.
    const volatile char* const looked_at = block.data();
    return looked_at[bytes - 1] == 0 ? block.size() : 0;
});
const muster::remote_function leaves_child("leaves_child", [] {
    const pid_t child = ::fork();
    if (child == 0)
        for (;;)
            ::pause();
    return static_cast<int>(child);
});
const muster::remote_function throws("throws", [](const std::string& what) -> int {
    if (what == "price")
        throw price_error("too dear", 42);
    if (what == "parse")
        throw parse_error("line 3");
    if (what == "unknown")
        throw unknown_error("only the worker knows me");
    if (what == "shy")
        throw shy_error("shy");
    if (what == "dumb")
        throw dumb_error("dumb");
    if (what == "int")
        throw 5;
    if (what == "bytes")
        throw std::runtime_error("\xff\xfe no text \x80");
    if (what == "range")
        throw std::out_of_range("index 7");
    if (what == "system")
        throw std::system_error(ENOENT, std::generic_category(), "opening it");
    if (what == "memory")
        throw std::bad_alloc();
    if (what == "time")
        throw muster::timeout_error("the database took too long");
    if (what == "cancelled")
        throw muster::cancelled_error("enough of it");
    try {
        throw unknown_error("the disk is full");
    } catch (...) {
        std::throw_with_nested(std::runtime_error("can't save"));
    }
});
/// Takes a second to read.
struct slow_to_read {
    int n = 0;
};
void to_json(nlohmann::json& j, const slow_to_read& s) { j = s.n; }
void from_json(const nlohmann::json& j, slow_to_read& s) {
    std::this_thread::sleep_for(1s);
    j.get_to(s.n);
}
const muster::remote_function gives_slow("gives_slow", [] { return slow_to_read{7}; });
const muster::remote_function two_jsons("two_jsons", [](const nlohmann::json&, const nlohmann::json&) { return 2; });
const muster::remote_function many_numbers(
    "many_numbers", [](int n) { return std::vector<int>(static_cast<std::size_t>(n)); });

const muster::remote_function says_zeros("says_zeros", [](std::uint32_t count) {
    // {"value": [0, 0, ...]} as the answer to the first call.
    std::vector<std::uint8_t> body{0xa1, 0x65, 'v', 'a', 'l', 'u', 'e', 0x9a};
    for (int shift = 24; shift >= 0; shift -= 8)
        body.push_back(static_cast<std::uint8_t>(count >> shift & 0xff));
    body.resize(body.size() + count);
    std::vector<std::uint8_t> all{static_cast<std::uint8_t>(body.size() >> 24),
        static_cast<std::uint8_t>(body.size() >> 16 & 0xff), static_cast<std::uint8_t>(body.size() >> 8 & 0xff),
        static_cast<std::uint8_t>(body.size() & 0xff)};
    all.resize(12);
    all[11] = 1;
    all.insert(all.end(), body.begin(), body.end());
    for (std::size_t at = 0; at != all.size();)
        at += static_cast<std::size_t>(std::max<ssize_t>(0, ::send(3, all.data() + at, all.size() - at, MSG_NOSIGNAL)));
    return 1;
});
const muster::remote_function gives_unwritable("gives_unwritable", [] { return unwritable(); });
const muster::remote_function gives_unreadable("gives_unreadable", [] { return unreadable(); });

/// Writes what is no message at all to the socket.
void write_raw(const std::vector<std::uint8_t>& bytes) {
    static_cast<void>(::send(3, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}
const muster::remote_function says("says", [](const std::vector<std::uint8_t>& bytes) {
    write_raw(bytes);
    return 1;
});
const muster::remote_function says_later("says_later", [](const std::vector<std::uint8_t>& bytes) {
    std::thread([bytes] {
        std::this_thread::sleep_for(20ms);
        write_raw(bytes);
    }).detach();
    return 1;
});
const muster::remote_function hangs_up("hangs_up", [] {
    ::close(3);
    for (;;)
        ::pause();
});
const muster::remote_function nested_pool("nested_pool", [](int n) {
    process_pool inner(process_pool_options().processes(1));
    return muster::run([](process_pool& pool, int number) -> muster::task<int> {
        auto result = co_await muster::run_in_executor(pool, twice(number));
        co_return result;
    }(inner, n));
});

// ---- helpers ----

process_pool_options sized(std::size_t n) { return process_pool_options().processes(n); }

bool is_alive(int process) { return ::kill(process, 0) == 0; }

/// Each test ends without frames, descriptors and children that it has made.
class process_pool_test : public ::testing::Test {
protected:
    void TearDown() override {
        EXPECT_EQ(live_frames(), frames_);
        EXPECT_EQ(own_resources::open_descriptors(), descriptors_);
        EXPECT_EQ(own_resources::children(), children_);
    }

private:
    std::int64_t frames_ = live_frames();
    std::size_t children_ = own_resources::children();
    std::size_t descriptors_ = own_resources::open_descriptors();
};

/// The end of a call.
template <class R>
muster::task<muster::outcome<R>> outcome_of(process_pool& pool, muster::remote_call<R> call) {
    auto running = muster::run_in_executor(pool, std::move(call)).as_task();
    auto result = co_await muster::as_outcome(std::move(running));
    co_return result;
}

template <class R>
muster::outcome<R> ends_as(process_pool& pool, muster::remote_call<R> call) {
    return muster::run(outcome_of(pool, std::move(call)));
}

template <class R>
R value_of(process_pool& pool, muster::remote_call<R> call) {
    return ends_as(pool, std::move(call)).value();
}

/// The text of a failure of type E; says so if it is none.
template <class E, class R>
std::string text_of(const muster::outcome<R>& o) {
    const auto* e = o.template error_as<E>();
    return e != nullptr ? e->what() : "another end: " + muster::to_string(o);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

muster::task<> until(bool (*is_so)(process_pool&), process_pool& pool) {
    while (!is_so(pool))
        co_await muster::sleep_for(1ms);
}
bool one_runs(process_pool& pool) { return pool.running() == 1; }

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

std::vector<std::uint8_t> framed(std::uint32_t bytes, std::uint8_t number, std::vector<std::uint8_t> body) {
    std::vector<std::uint8_t> all{static_cast<std::uint8_t>(bytes >> 24), static_cast<std::uint8_t>(bytes >> 16 & 0xff),
        static_cast<std::uint8_t>(bytes >> 8 & 0xff), static_cast<std::uint8_t>(bytes & 0xff)};
    all.resize(12);
    all[11] = number;
    all.insert(all.end(), body.begin(), body.end());
    return all;
}

} // namespace

static_assert(muster::executor<process_pool>);
static_assert(std::is_same_v<muster::executor_result<process_pool, muster::remote_call<int>>, int>);

// ---- what a call gives ----

TEST_F(process_pool_test, calls_a_function_in_another_process_which_stays) {
    process_pool pool(sized(1));
    EXPECT_EQ(pool.processes(), 0u);
    EXPECT_EQ(value_of(pool, twice(21)), 42);
    const int id = value_of(pool, own_id());
    EXPECT_NE(id, static_cast<int>(::getpid()));
    EXPECT_EQ(value_of(pool, own_id()), id);
    EXPECT_EQ(pool.process_ids(), std::vector<int>{id});
    value_of(pool, nothing());
}

TEST_F(process_pool_test, sends_whatever_json_can_hold_and_bytes_as_bytes) {
    process_pool pool(sized(1));
    point p;
    p.x = 1;
    p.label = "here";
    const auto q = value_of(pool, moved(p));
    EXPECT_EQ(q.x, 2);
    EXPECT_EQ(q.label, "here!");
    EXPECT_EQ(value_of(pool, joined("a", "b", {"c", "d"})), "abcd");
    EXPECT_EQ(value_of(pool, reversed({0, 255, 7})), (std::vector<std::uint8_t>{7, 255, 0}));
    EXPECT_EQ(value_of(pool, same_bytes({std::byte{9}})), std::vector<std::byte>{std::byte{9}});
    EXPECT_TRUE(value_of(pool, same_bytes({})).empty());
    const nlohmann::json j{{"list", {1, nullptr, 2.5, "x"}}, {"bytes", nlohmann::json::binary({1, 2}, 42)}};
    EXPECT_EQ(value_of(pool, same_json(j)), j);
    EXPECT_EQ(value_of(pool, same_json(nullptr)), nlohmann::json());
    EXPECT_EQ(
        value_of(pool, same_number(std::numeric_limits<double>::infinity())), std::numeric_limits<double>::infinity());
    EXPECT_EQ(value_of(pool, joined("\xff", "\x80", {})), "\xff\x80");
}

TEST_F(process_pool_test, sends_more_than_a_socket_holds) {
    process_pool pool(sized(2));
    constexpr std::size_t bytes = 5'000'000;
    EXPECT_EQ(value_of(pool, big(bytes)).size(), bytes);
    EXPECT_EQ(value_of(pool, length(std::string(bytes, 'y'))), bytes);
}

TEST_F(process_pool_test, a_function_is_a_pool_of_its_own_if_it_likes) {
    process_pool pool(sized(1));
    EXPECT_EQ(value_of(pool, nested_pool(4)), 8);
}

TEST_F(process_pool_test, what_a_call_prints_is_no_message) {
    process_pool pool(sized(1));
    EXPECT_EQ(value_of(pool, prints("[a worker prints this]")), 22);
    EXPECT_EQ(value_of(pool, twice(1)), 2);
}

TEST_F(process_pool_test, a_worker_has_none_of_our_descriptors) {
    const int careless = ::open("/etc/passwd", O_RDONLY); // without O_CLOEXEC
    ASSERT_GE(careless, 0);
    {
        process_pool pool(sized(2));
        EXPECT_EQ(value_of(pool, limited()), "");
    }
    ::close(careless);
}

// ---- exceptions ----

TEST_F(process_pool_test, exceptions_arrive_as_themselves_if_both_sides_know_them) {
    process_pool pool(sized(1));
    const auto price = ends_as(pool, throws("price"));
    ASSERT_TRUE(price.failed_with<price_error>());
    EXPECT_EQ(price.error_as<price_error>()->price(), 42);
    EXPECT_EQ(text_of<parse_error>(ends_as(pool, throws("parse"))), "line 3");
    EXPECT_EQ(text_of<std::out_of_range>(ends_as(pool, throws("range"))), "index 7");
    EXPECT_EQ(text_of<muster::timeout_error>(ends_as(pool, throws("time"))), "the database took too long");
    EXPECT_TRUE(ends_as(pool, throws("memory")).failed_with<std::bad_alloc>());
    EXPECT_EQ(text_of<std::runtime_error>(ends_as(pool, throws("bytes"))), "\xff\xfe no text \x80");
    const auto system = ends_as(pool, throws("system"));
    ASSERT_TRUE(system.failed_with<std::system_error>());
    EXPECT_EQ(system.error_as<std::system_error>()->code(), std::errc::no_such_file_or_directory);
    EXPECT_STREQ(system.error_as<std::system_error>()->what(), "opening it: No such file or directory");
    EXPECT_EQ(value_of(pool, twice(1)), 2);
    EXPECT_EQ(pool.processes(), 1u);
}

TEST_F(process_pool_test, other_exceptions_arrive_as_remote_errors) {
    process_pool pool(sized(1));
    const auto unknown = ends_as(pool, throws("unknown"));
    const auto* e = unknown.error_as<muster::remote_error>();
    ASSERT_NE(e, nullptr) << muster::to_string(unknown);
    EXPECT_EQ(e->type(), "unknown_error");
    EXPECT_EQ(e->message(), "only the worker knows me");
    EXPECT_TRUE(contains(e->where(), "throws (process_pool_test.cpp:")) << e->where();
    EXPECT_TRUE(contains(e->what(), "unknown_error: only the worker knows me (thrown by throws (")) << e->what();

    const auto number = ends_as(pool, throws("int"));
    ASSERT_TRUE(number.failed_with<muster::remote_error>());
    EXPECT_EQ(number.error_as<muster::remote_error>()->type(), "int");
    EXPECT_EQ(number.error_as<muster::remote_error>()->message(), "5");

    const auto nested = ends_as(pool, throws("nested"));
    e = nested.error_as<muster::remote_error>();
    ASSERT_NE(e, nullptr) << muster::to_string(nested);
    EXPECT_EQ(e->type(), "std::runtime_error");
    EXPECT_EQ(e->message(), "can't save");
    ASSERT_EQ(e->causes().size(), 1u);
    EXPECT_EQ(e->causes()[0].type, "unknown_error");
    EXPECT_EQ(e->causes()[0].message, "the disk is full");
    EXPECT_TRUE(contains(e->what(), "; because of unknown_error: the disk is full")) << e->what();
}

TEST_F(process_pool_test, an_exception_that_can_not_be_sent_is_a_remote_error_that_says_why) {
    process_pool pool(sized(1));
    EXPECT_TRUE(contains(
        text_of<muster::remote_error>(ends_as(pool, throws("shy"))), "can't write it: std::logic_error: not me"));
    EXPECT_TRUE(contains(
        text_of<muster::remote_error>(ends_as(pool, throws("dumb"))), "can't read it: std::logic_error: what is"));
}

TEST_F(process_pool_test, a_function_that_throws_a_cancellation_is_cancelled) {
    process_pool pool(sized(1));
    const auto o = ends_as(pool, throws("cancelled"));
    EXPECT_TRUE(o.was_cancelled());
    EXPECT_EQ(o.message(), "enough of it");
}

// ---- deaths ----

TEST_F(process_pool_test, a_death_is_the_outcome_of_that_call_alone) {
    process_pool pool(sized(2));
    muster::run([](process_pool& p) -> muster::task<> {
        std::vector<muster::task<int>> calls;
        for (int i = 0; i != 20; ++i)
            calls.push_back(muster::run_in_executor(p, twice(i)).as_task());
        auto killed = muster::start_in_executor(p, dies_by(SIGKILL));
        auto aborted = muster::start_in_executor(p, aborts());
        auto exited = muster::start_in_executor(p, exits(3));
        auto outcomes = co_await muster::settle(std::move(calls));
        EXPECT_EQ(outcomes.succeeded(), 20u);
        auto ends = co_await muster::settle(killed, aborted, exited);
        const auto* kill = ends.get<0>().error_as<muster::worker_died_error>();
        EXPECT_TRUE(kill != nullptr && kill->signal() == SIGKILL && kill->exit_status() == -1 && kill->process() > 0);
        if (kill != nullptr) {
            EXPECT_TRUE(contains(kill->what(), "was killed by signal 9 (SIGKILL) while it called 'dies_by'"))
                << kill->what();
        }
        const auto* abort = ends.get<1>().error_as<muster::worker_died_error>();
        EXPECT_TRUE(abort != nullptr && abort->signal() == SIGABRT);
        const auto* exit = ends.get<2>().error_as<muster::worker_died_error>();
        EXPECT_TRUE(exit != nullptr && exit->signal() == 0 && exit->exit_status() == 3);
    }(pool));
    EXPECT_EQ(value_of(pool, twice(2)), 4);
}

TEST_F(process_pool_test, a_process_that_dies_without_a_call_is_replaced_unnoticed) {
    process_pool pool(sized(1));
    const int id = value_of(pool, own_id());
    for (int i = 0; i != 20; ++i) {
        const auto ids = pool.process_ids();
        ASSERT_LE(ids.size(), 1u);
        for (const int p : ids)
            ::kill(p, SIGKILL);
        if (i % 2 == 0) // sometimes before anybody can have noticed
            while (pool.processes() != 0)
                std::this_thread::yield();
        const auto o = ends_as(pool, own_id());
        // The signal may meet the next call, if that was quick.
        EXPECT_TRUE(o.succeeded() ? *o != id : o.failed_with<muster::worker_died_error>()) << muster::to_string(o);
    }
}

TEST_F(process_pool_test, an_endless_loop_is_ended_by_the_time_limit) {
    process_pool pool(sized(1).call_timeout(100ms).name("impatient"));
    const auto o = ends_as(pool, spins());
    const auto text = text_of<muster::timeout_error>(o);
    EXPECT_TRUE(contains(text, "'spins' took longer than 0.1 s, so process ")) << text;
    EXPECT_TRUE(contains(text, "of the pool 'impatient' was killed")) << text;
    EXPECT_TRUE(ends_as(pool, dies_by(SIGSTOP)).failed_with<muster::timeout_error>());
}

TEST_F(process_pool_test, no_time_limit_is_too_long) {
    process_pool pool(sized(1).call_timeout(std::chrono::nanoseconds::max()));
    EXPECT_EQ(value_of(pool, twice(2)), 4);
}

TEST_F(process_pool_test, a_program_that_ignores_its_children_still_hears_of_their_deaths) {
    const auto before = ::signal(SIGCHLD, SIG_IGN);
    {
        process_pool pool(sized(1));
        const auto o = ends_as(pool, aborts());
        EXPECT_TRUE(contains(text_of<muster::worker_died_error>(o), "ended (how is not known: "))
            << muster::to_string(o);
        EXPECT_EQ(value_of(pool, twice(2)), 4);
    }
    ::signal(SIGCHLD, before);
}

TEST_F(process_pool_test, what_a_call_has_started_ends_with_its_process) {
    int child = 0;
    {
        process_pool pool(sized(1));
        child = value_of(pool, leaves_child());
        EXPECT_TRUE(is_alive(child));
    }
    // It is another process's to be reaped: it may be seen dead for a moment.
    for (int i = 0; i != 5000 && is_alive(child); ++i) {
        std::FILE* status = std::fopen(("/proc/" + std::to_string(child) + "/stat").c_str(), "r");
        std::array<char, 256> text{};
        const bool read = status != nullptr && std::fgets(text.data(), text.size(), status) != nullptr;
        if (status != nullptr)
            std::fclose(status);
        if (!read || std::strstr(text.data(), ") Z ") != nullptr)
            return;
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_FALSE(is_alive(child));
}

TEST_F(process_pool_test, memory_beyond_the_limit_is_a_bad_alloc_of_that_call) {
    if (sanitized)
        GTEST_SKIP() << "a sanitizer reserves more address space than any limit";
    process_pool pool(sized(1).memory_limit(std::uint64_t{512} << 20));
    EXPECT_EQ(value_of(pool, allocates(1000)), 1000u);
    EXPECT_TRUE(ends_as(pool, allocates(std::size_t{1} << 30)).failed_with<std::bad_alloc>());
    EXPECT_EQ(value_of(pool, allocates(1000)), 1000u);
}

TEST_F(process_pool_test, ten_thousand_calls_have_ten_thousand_outcomes_while_processes_are_killed) {
    constexpr int count = 10'000;
    const int calls_a_kill = sanitized ? 200 : 50;
    process_pool pool(sized(3));
    std::atomic<int> ended{0};
    std::atomic<bool> over{false};
    int kills = 0;
    // Kills are counted by the calls that have ended, not by time: so the calls get on, however slow the machine is.
    std::thread killer([&] {
        std::uint32_t random = 12345;
        for (int next = calls_a_kill; !over; std::this_thread::sleep_for(50us)) {
            if (ended < next)
                continue;
            next = ended + calls_a_kill;
            const auto ids = pool.process_ids();
            if (ids.empty())
                continue;
            random = random * 1664525 + 1013904223;
            if (::kill(ids[(random >> 16) % ids.size()], SIGKILL) == 0)
                ++kills;
        }
    });
    std::vector<int> seen(count);
    muster::run([](process_pool& p, std::atomic<int>& done, std::vector<int>& times) -> muster::task<> {
        std::vector<int> numbers(count);
        for (int i = 0; i != count; ++i)
            numbers[static_cast<std::size_t>(i)] = i;
        auto call = [&p, &done, &times](int n) -> muster::task<int> {
            auto ended_as = co_await outcome_of(p, twice(n));
            ++done;
            ++times[static_cast<std::size_t>(n)];
            co_return std::move(ended_as).value();
        };
        auto outcomes = co_await muster::map(numbers, call).limit(64).settle();
        EXPECT_EQ(outcomes.size(), static_cast<std::size_t>(count));
        EXPECT_EQ(outcomes.succeeded() + outcomes.failed(), static_cast<std::size_t>(count));
        EXPECT_EQ(outcomes.cancelled(), 0u);
        EXPECT_EQ(outcomes.not_started(), 0u);
        for (std::size_t i = 0; i != outcomes.size(); ++i) {
            const auto& o = outcomes[i];
            if (o.succeeded()) {
                EXPECT_EQ(*o, 2 * static_cast<int>(i));
            } else {
                const auto* e = o.error_as<muster::worker_died_error>();
                EXPECT_TRUE(e != nullptr && e->signal() == SIGKILL) << muster::to_string(o);
            }
        }
        std::printf("%zu succeeded, %zu failed\n", outcomes.succeeded(), outcomes.failed());
        static_cast<void>(outcomes.failures());
    }(pool, ended, seen));
    over = true;
    killer.join();
    std::printf("%d kills\n", kills);
    EXPECT_GE(kills, count / calls_a_kill / 4);
    for (const int times : seen)
        EXPECT_EQ(times, 1);
}

// ---- cancellation ----

TEST_F(process_pool_test, cancelling_a_running_call_kills_its_process_and_waits_for_that) {
    process_pool pool(sized(1));
    muster::run([](process_pool& p) -> muster::task<> {
        auto h = muster::start_in_executor(p, spins());
        co_await until(one_runs, p);
        const auto ids = p.process_ids();
        h.cancel("too slow");
        auto ended = co_await muster::settle(h);
        EXPECT_TRUE(h.cancelled());
        EXPECT_EQ(h.ended_as().message(), "too slow");
        for (const int id : ids)
            EXPECT_FALSE(is_alive(id));

        bool timed_out = false;
        try {
            co_await muster::wait_for(muster::run_in_executor(p, spins()), 20ms);
        } catch (const muster::timeout_error&) {
            timed_out = true;
        }
        EXPECT_TRUE(timed_out);
        auto four = co_await muster::run_in_executor(p, twice(2));
        EXPECT_EQ(four, 4);
    }(pool));
}

TEST_F(process_pool_test, cancelling_a_call_that_waits_takes_it_back) {
    process_pool pool(sized(1));
    muster::run([](process_pool& p) -> muster::task<> {
        auto busy = muster::start_in_executor(p, sleeps(50));
        co_await until(one_runs, p);
        auto queued = muster::start_in_executor(p, aborts());
        co_await muster::yield();
        EXPECT_EQ(p.queued(), 1u);
        queued.cancel();
        EXPECT_EQ(p.queued(), 0u);
        auto fifty = co_await busy;
        EXPECT_EQ(fifty, 50);
        EXPECT_TRUE(queued.cancelled());
    }(pool));
}

TEST_F(process_pool_test, a_cancelled_call_is_waited_for_if_that_is_asked_for) {
    process_pool pool(sized(1).kill_cancelled(false));
    muster::run([](process_pool& p) -> muster::task<> {
        auto id = co_await muster::run_in_executor(p, own_id());
        auto h = muster::start_in_executor(p, sleeps(30));
        co_await until(one_runs, p);
        h.cancel();
        auto ended = co_await muster::settle(h);
        EXPECT_TRUE(h.cancelled());
        auto still = co_await muster::run_in_executor(p, own_id());
        EXPECT_EQ(id, still);
    }(pool));
}

TEST_F(process_pool_test, an_abandoned_call_is_not_waited_for) {
    process_pool pool(sized(1).kill_cancelled(false));
    muster::run([](process_pool& p) -> muster::task<> {
        auto h = muster::create_task([](process_pool& on) -> muster::task<> {
            auto call = muster::run_in_executor(on, sleeps(100)).abandon();
            static_cast<void>(co_await call);
        }(p));
        co_await until(one_runs, p);
        h.cancel();
        co_await muster::yield();
        EXPECT_TRUE(h.cancelled());
        EXPECT_EQ(p.running(), 1u);
    }(pool));
}

TEST_F(process_pool_test, a_loop_that_is_destroyed_ends_its_running_calls) {
    process_pool pool(sized(1));
    std::vector<muster::report_kind> kinds;
    const auto before = muster::set_report_handler([&kinds](const muster::report& r) { kinds.push_back(r.kind); });
    {
        muster::testing::manual_loop loop;
        auto h =
            loop.start([](process_pool& p) -> muster::task<> { co_await muster::run_in_executor(p, spins()); }(pool));
        std::thread destroyer([&pool] {
            while (pool.running() != 1)
                std::this_thread::sleep_for(1ms);
        });
        loop.advance(0ns);
        destroyer.join();
    }
    muster::set_report_handler(before);
    EXPECT_EQ(kinds, std::vector<muster::report_kind>{muster::report_kind::destroyed_pending});
    EXPECT_EQ(value_of(pool, twice(1)), 2);
}

TEST_F(process_pool_test, that_is_gone_when_a_call_made_for_it_is_awaited_gives_an_error) {
    muster::run([]() -> muster::task<> {
        auto pool = std::make_unique<process_pool>(sized(1));
        auto call = muster::run_in_executor(*pool, twice(1));
        auto task = muster::run_in_executor(*pool, twice(1)).as_task();
        auto started = muster::start_in_executor(*pool, twice(1));
        pool.reset();
        const auto is_refused = [](const auto& ended) {
            return ended.template failed_with<muster::invalid_state_error>();
        };
        auto first = co_await muster::as_outcome(std::move(call).as_task());
        EXPECT_TRUE(is_refused(first)) << muster::to_string(first);
        auto second = co_await muster::as_outcome(std::move(task));
        EXPECT_TRUE(is_refused(second)) << muster::to_string(second);
        auto third = co_await muster::settle(std::move(started));
        EXPECT_TRUE(is_refused(std::get<0>(third)));
    }());
}

// ---- queue and end ----

TEST_F(process_pool_test, a_full_queue_refuses_calls) {
    process_pool pool(sized(1).queue_limit(1));
    muster::run([](process_pool& p) -> muster::task<> {
        auto busy = muster::start_in_executor(p, sleeps(50));
        co_await until(one_runs, p);
        auto first = muster::start_in_executor(p, twice(1));
        auto second = muster::start_in_executor(p, twice(2));
        co_await muster::yield();
        EXPECT_TRUE(second.ended_as().failed_with<muster::queue_full>());
        static_cast<void>(second.exception());
        auto two = co_await first;
        EXPECT_EQ(two, 2);
        auto end = co_await muster::settle(busy);
    }(pool));
}

TEST_F(process_pool_test, shutdown_makes_the_calls_that_wait) {
    muster::run([]() -> muster::task<> {
        process_pool pool(sized(2));
        std::vector<muster::task_handle<int>> calls;
        for (int i = 0; i != 10; ++i)
            calls.push_back(muster::start_in_executor(pool, twice(i)));
        co_await muster::yield();
        pool.shutdown();
        EXPECT_EQ(pool.processes(), 0u);
        for (int i = 0; i != 10; ++i) {
            auto n = co_await calls[static_cast<std::size_t>(i)];
            EXPECT_EQ(n, 2 * i);
        }
        auto late = co_await outcome_of(pool, twice(1));
        EXPECT_TRUE(late.failed_with<muster::invalid_state_error>());
        pool.shutdown(); // again: nothing is left to do
    }());
}

TEST_F(process_pool_test, stop_kills_what_runs_and_does_not_make_what_waits) {
    muster::run([]() -> muster::task<> {
        process_pool pool(sized(1));
        auto busy = muster::start_in_executor(pool, spins());
        co_await until(one_runs, pool);
        auto queued = muster::start_in_executor(pool, aborts());
        co_await muster::yield();
        pool.stop();
        auto ended = co_await muster::settle(busy, queued);
        EXPECT_TRUE(busy.ended_as().was_cancelled());
        EXPECT_EQ(busy.ended_as().reason(), muster::cancel_reason::shutdown);
        EXPECT_EQ(queued.ended_as().reason(), muster::cancel_reason::shutdown);
    }());
}

TEST_F(process_pool_test, may_be_shut_down_by_two_threads_at_once) {
    for (int round = 0; round != 10; ++round) {
        process_pool pool(sized(2));
        EXPECT_EQ(value_of(pool, twice(1)), 2);
        std::jthread one([&pool] { pool.shutdown(); });
        std::jthread two([&pool] { pool.stop(); });
    }
}

TEST_F(process_pool_test, serves_several_loops) {
    process_pool pool(sized(2));
    std::atomic<int> sum{0};
    {
        std::vector<std::jthread> loops;
        for (int i = 0; i != 3; ++i)
            loops.emplace_back([&] {
                for (int n = 0; n != 50; ++n)
                    sum += value_of(pool, twice(1));
            });
    }
    EXPECT_EQ(sum, 300);
}

TEST_F(process_pool_test, cancellations_race_completions_and_deaths) {
    process_pool pool(sized(2));
    muster::run([](process_pool& p) -> muster::task<> {
        for (int i = 0; i != 200; ++i) {
            auto h = muster::start_in_executor(p, twice(i));
            for (int n = 0; n != i % 50; ++n)
                co_await muster::sleep_for(20us);
            h.cancel();
            auto ended = co_await muster::settle(h);
            EXPECT_TRUE(h.cancelled() || *h.ended_as() == 2 * i);
        }
    }(pool));
}

TEST_F(process_pool_test, options_that_make_no_sense_are_refused) {
    EXPECT_THROW(process_pool_options().processes(0), std::invalid_argument);
    EXPECT_THROW(process_pool_options().program(""), std::invalid_argument);
    EXPECT_THROW(process_pool_options().call_timeout(0s), std::invalid_argument);
    EXPECT_THROW(process_pool_options().start_timeout(-1s), std::invalid_argument);
    EXPECT_THROW(process_pool_options().memory_limit(0), std::invalid_argument);
    EXPECT_THROW(process_pool_options().message_limit(std::uint64_t{1} << 32), std::invalid_argument);
}

// ---- starting ----

TEST_F(process_pool_test, a_program_that_is_not_there_fails_the_calls) {
    process_pool pool(sized(2).program("/nowhere/at all").name("lost"));
    const auto text = text_of<muster::worker_start_error>(ends_as(pool, twice(1)));
    EXPECT_TRUE(contains(text, "no process of the pool 'lost' could be started to make the call of 'twice': ")) << text;
    EXPECT_TRUE(contains(text, "'/nowhere/at all' can't be started: No such file or directory")) << text;
    EXPECT_TRUE(ends_as(pool, twice(1)).failed_with<muster::worker_start_error>()); // and so does the next
}

TEST_F(process_pool_test, a_program_that_is_no_worker_fails_the_calls) {
    process_pool pool(sized(2).program("/bin/true"));
    const auto text = text_of<muster::worker_start_error>(ends_as(pool, twice(1)));
    EXPECT_TRUE(contains(text, "exited with status 0 before it was ready: does its main call ")) << text;

    process_pool silent(sized(1).program("/bin/sleep", {"1000"}).start_timeout(50ms));
    const auto late = text_of<muster::worker_start_error>(ends_as(silent, twice(1)));
    EXPECT_TRUE(contains(late, "was not ready within 0.05 s, and was killed")) << late;
}

TEST_F(process_pool_test, another_program_may_be_the_worker) {
    process_pool pool(sized(1).program("/usr/bin/env", {"SEEN=1", own_path()}));
    EXPECT_EQ(value_of(pool, twice(3)), 6);
}

TEST_F(process_pool_test, a_main_that_forgets_to_serve_is_told_instead_of_starting_itself_for_ever) {
    process_pool pool(sized(1).program(own_path(), {"--forgetful"}));
    const auto text = text_of<muster::worker_start_error>(ends_as(pool, twice(1)));
    EXPECT_TRUE(contains(text, "the worker runs a main that makes a pool of its own: call "
                               "muster::process_pool::serve_if_worker() as the first thing in the program's main"))
        << text;
    EXPECT_EQ(WEXITSTATUS(std::system(("'" + own_path() + "' --never-serves").c_str())), 7);
}

TEST_F(process_pool_test, two_functions_of_one_name_are_told) {
    EXPECT_EQ(WEXITSTATUS(std::system(("'" + own_path() + "' --twice-registered").c_str())), 8);
    process_pool pool(sized(1).program(own_path(), {"--twice-registered"}));
    const auto text = text_of<muster::worker_start_error>(ends_as(pool, twice(1)));
    EXPECT_TRUE(contains(text, "two functions are registered as 'twice', at process_pool_test.cpp:")) << text;
}

TEST_F(process_pool_test, a_function_that_the_other_program_lacks_fails_the_call) {
    process_pool pool(sized(1));
    const muster::remote_function here_only("here_only", [] { return 1; });
    const auto text = text_of<muster::wire_error>(ends_as(pool, here_only()));
    EXPECT_TRUE(contains(text, "the worker's program has no function 'here_only'")) << text;
    EXPECT_EQ(value_of(pool, twice(3)), 6);
}

TEST_F(process_pool_test, without_descriptors_calls_fail_and_later_ones_are_made) {
    process_pool pool(sized(1));
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    muster::run([](process_pool& p, rlimit saved) -> muster::task<> {
        rlimit none = saved;
        none.rlim_cur = 3;
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
        auto o = co_await outcome_of(p, twice(1));
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &saved), 0);
        const auto text = text_of<muster::worker_start_error>(o);
        EXPECT_TRUE(contains(text, "Too many open files")) << text;
        auto four = co_await muster::run_in_executor(p, twice(2));
        EXPECT_EQ(four, 4);
    }(pool, before));
}

TEST_F(process_pool_test, workers_die_with_the_program) {
    std::FILE* orphanage = ::popen(("'" + own_path() + "' --orphan").c_str(), "r");
    ASSERT_NE(orphanage, nullptr);
    int program = 0;
    int worker = 0;
    ASSERT_EQ(std::fscanf(orphanage, "%d %d", &program, &worker), 2);
    EXPECT_TRUE(is_alive(worker)); // in an endless loop
    ::kill(program, SIGKILL);
    ::pclose(orphanage);
    for (int i = 0; i != 10'000 && is_alive(worker); ++i) {
        // Without an init that reaps, it is seen dead for ever.
        std::FILE* stat = std::fopen(("/proc/" + std::to_string(worker) + "/stat").c_str(), "r");
        std::array<char, 256> text{};
        const bool read = stat != nullptr && std::fgets(text.data(), text.size(), stat) != nullptr;
        if (stat != nullptr)
            std::fclose(stat);
        if (!read || std::strstr(text.data(), ") Z ") != nullptr)
            return;
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_FALSE(is_alive(worker));
}

// ---- messages ----

TEST_F(process_pool_test, what_is_no_message_fails_the_call_and_costs_the_process) {
    const std::vector<std::vector<std::uint8_t>> garbage{
        framed(2, 1, {0xff, 0xff}),                                           // no CBOR
        framed(1, 1, {0xa1}),                                                 // a map that ends too early
        framed(0xffffffff, 1, {}),                                            // larger than anything
        framed(9, 1, {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), // an array of 2^64 - 1
        framed(1, 1, {0x01}),                                                 // an answer, but no map
        framed(1, 1, {0xa0}),                                                 // with nothing in it
        framed(8, 1, {0xa1, 0x65, 'e', 'r', 'r', 'o', 'r', 0x01}),            // with an error that is none
        framed(1, 99, {0xa0}),                                                // for another call
        framed(5, 1, {0xa0, 0xa0, 0xa0, 0xa0, 0xa0}),                         // and more than one
        framed(3, 1, {0xc1, 0xc1, 0x01}),                                     // tags
        framed(1000, 1, std::vector<std::uint8_t>(1000, 0x81)),               // deeper than we go
    };
    for (std::size_t i = 0; i != garbage.size(); ++i) {
        process_pool fresh(sized(1).message_limit(1 << 20)); // in which the call is number 1
        const auto text = text_of<muster::wire_error>(ends_as(fresh, says(garbage[i])));
        EXPECT_TRUE(contains(text, "was killed, because what it sent while it called 'says' can't be read: "))
            << i << text;
        EXPECT_EQ(value_of(fresh, twice(3)), 6);
    }
}

TEST_F(process_pool_test, an_answer_to_nothing_costs_the_process_and_no_call) {
    process_pool pool(sized(1));
    EXPECT_EQ(value_of(pool, says_later(framed(1, 1, {0xa0}))), 1);
    while (pool.processes() != 0)
        std::this_thread::sleep_for(1ms);
    EXPECT_EQ(value_of(pool, twice(3)), 6);

    EXPECT_EQ(value_of(pool, says_later({1, 2, 3})), 1); // nor does the beginning of one
    while (pool.processes() != 0)
        std::this_thread::sleep_for(1ms);
    EXPECT_EQ(value_of(pool, twice(3)), 6);
}

TEST_F(process_pool_test, a_process_that_hangs_up_is_replaced) {
    process_pool pool(sized(1));
    EXPECT_TRUE(ends_as(pool, hangs_up()).failed_with<muster::worker_died_error>());
    EXPECT_EQ(value_of(pool, twice(3)), 6);
}

TEST_F(process_pool_test, what_can_not_be_written_or_read_fails_the_call_and_nothing_else) {
    process_pool pool(sized(1).message_limit(100'000));
    const int id = value_of(pool, own_id());
    const auto unwritten = text_of<muster::wire_error>(ends_as(pool, gives_unwritable()));
    EXPECT_TRUE(
        contains(unwritten, "the result of 'gives_unwritable' can't be written: std::runtime_error: it has no text"))
        << unwritten;
    const auto unread = text_of<muster::wire_error>(ends_as(pool, gives_unreadable()));
    EXPECT_TRUE(
        contains(unread, "the result of 'gives_unreadable' can't be read: std::runtime_error: it means nothing"))
        << unread;
    const auto large = text_of<muster::wire_error>(ends_as(pool, big(100'000)));
    EXPECT_TRUE(contains(large, "the result of 'big' can't be sent: it is 100")) << large;
    const auto larger = text_of<muster::wire_error>(ends_as(pool, length(std::string(100'000, 'x'))));
    EXPECT_TRUE(contains(larger, "the arguments of 'length' are 100")) << larger;
    EXPECT_EQ(value_of(pool, own_id()), id);
}

TEST_F(process_pool_test, a_result_that_is_too_deep_fails_the_call_and_nothing_else) {
    process_pool pool(sized(1));
    const int id = value_of(pool, own_id());
    EXPECT_EQ(value_of(pool, deep(500)).size(), 1u);
    const auto text = text_of<muster::wire_error>(ends_as(pool, deep(1000)));
    EXPECT_TRUE(contains(text, "the result of 'deep' can't be sent: it is nested too deeply")) << text;
    EXPECT_EQ(value_of(pool, own_id()), id);
}

TEST_F(process_pool_test, arguments_that_are_too_deep_are_not_sent_and_named) {
    process_pool pool(sized(1));
    const int id = value_of(pool, own_id());
    nlohmann::json nested;
    for (int i = 0; i != 100'000; ++i)
        nested = nlohmann::json::array({std::move(nested)});
    const auto text = text_of<muster::wire_error>(ends_as(pool, two_jsons(1, nested)));
    EXPECT_TRUE(contains(text, "argument 2 of 'two_jsons' can't be sent: it is nested too deeply")) << text;
    // As deep as a message may be: two levels are the message's own.
    nlohmann::json deepest;
    for (int i = 0; i != 509; ++i)
        deepest = nlohmann::json::array({std::move(deepest)});
    EXPECT_EQ(value_of(pool, two_jsons(deepest, nullptr)), 2);
    EXPECT_EQ(value_of(pool, own_id()), id);
}

TEST_F(process_pool_test, arguments_that_are_too_large_are_not_sent_and_named) {
    process_pool pool(sized(1).message_limit(10'000).value_limit(100));
    const int id = value_of(pool, own_id());
    const auto large =
        text_of<muster::wire_error>(ends_as(pool, joined("a", std::string(20'000, 'x'), std::vector<std::string>())));
    EXPECT_TRUE(contains(large, "the arguments of 'joined' are 200")) << large;
    EXPECT_TRUE(contains(large, ": argument 2 has 20003 of them")) << large;
    const auto many = text_of<muster::wire_error>(ends_as(pool, joined("a", "b", std::vector<std::string>(100))));
    EXPECT_TRUE(
        contains(many, "are 103 values, and the value limit of the pool 'processes' is 100: argument 3 has 101"))
        << many;
    EXPECT_EQ(value_of(pool, own_id()), id);
}

TEST_F(process_pool_test, a_result_of_too_many_values_fails_the_call_and_nothing_else) {
    process_pool pool(sized(1).value_limit(1000));
    const int id = value_of(pool, own_id());
    EXPECT_EQ(value_of(pool, many_numbers(900)).size(), 900u);
    const auto text = text_of<muster::wire_error>(ends_as(pool, many_numbers(1000)));
    EXPECT_TRUE(contains(text, "the result of 'many_numbers' can't be sent: it has more than 1000 values")) << text;
    EXPECT_EQ(value_of(pool, own_id()), id);
}

TEST_F(process_pool_test, an_answer_of_too_many_values_is_refused_before_anything_is_built) {
    process_pool pool(sized(1));
    // {"value": [0, 0, ...]}: 30 MB that would be a gigabyte once they are built.
    constexpr std::uint32_t count = 30'000'000;
    const auto text = text_of<muster::wire_error>(ends_as(pool, says_zeros(count)));
    EXPECT_TRUE(contains(text, "it has more than 1000000 values")) << text;
    EXPECT_EQ(value_of(pool, twice(3)), 6);
}

TEST_F(process_pool_test, a_result_that_takes_long_to_read_holds_up_no_time_limit) {
    process_pool pool(sized(2).call_timeout(200ms));
    muster::run([](process_pool& p) -> muster::task<> {
        // Both have their processes before the first answer is there.
        auto warm = [&p]() -> muster::task<int> {
            auto result = co_await muster::run_in_executor(p, sleeps(20));
            co_return result;
        };
        co_await muster::gather(warm(), warm());
        auto slow = muster::start_in_executor(p, gives_slow());
        const auto begin = muster::loop_clock::now();
        auto endless = co_await outcome_of(p, spins());
        EXPECT_TRUE(endless.failed_with<muster::timeout_error>());
        EXPECT_LT(muster::loop_clock::now() - begin, 900ms); // it takes a second to read
        auto read = co_await std::move(slow);
        EXPECT_EQ(read.n, 7);
    }(pool));
}

namespace {

/// "" if a T can be read of the JSON, else the error.
template <class T>
std::string problem_with(const nlohmann::json& value) {
    try {
        static_cast<void>(muster::detail::from_wire<T>(value));
        return "";
    } catch (const muster::wire_error& e) {
        return e.what();
    }
}

} // namespace

TEST(process_pool_numbers, of_another_kind_or_range_are_wire_errors) {
    constexpr auto not_a_number = std::numeric_limits<double>::quiet_NaN();
    constexpr auto infinite = std::numeric_limits<double>::infinity();
    const std::vector<nlohmann::json> no_int{not_a_number, infinite, 1e300, -1e300, 1.5, 1.0, true, false, UINT64_MAX,
        std::int64_t{1} << 31, -(std::int64_t{1} << 31) - 1, std::int64_t{1} << 32, nullptr};
    for (const auto& value : no_int) {
        EXPECT_NE(problem_with<int>(value), "") << value;
        EXPECT_NE(problem_with<std::vector<int>>({1, value}), "") << value;
        EXPECT_NE((problem_with<std::array<int, 2>>({1, value})), "") << value;
        EXPECT_NE((problem_with<std::pair<std::string, int>>({"a", value})), "") << value;
        EXPECT_NE((problem_with<std::map<std::string, std::vector<int>>>({{"a", {value}}})), "") << value;
        EXPECT_NE((problem_with<std::map<int, int>>({{1, value}})), "") << value;
        // nlohmann's own conversion to int is undefined for a number that no int holds, and UBSan ends the program
        // there.
        const bool undefined = value.is_number_float() && !(std::abs(value.get<double>()) < 0x1p31);
        if (!value.is_null() && !(undefined && is_stopped_by_ubsan)) {
            // The members of a class are known to its from_json only. So the pool writes the class back to JSON and
            // compares the two texts, which shows a number that was changed on the way.
            EXPECT_NE(problem_with<point>({{"x", value}, {"label", ""}}), "") << value;
            EXPECT_NE(problem_with<std::vector<point>>({{{"x", value}, {"label", ""}}}), "") << value;
        }
    }
    EXPECT_EQ(problem_with<int>(not_a_number), "NaN is not a signed integer of this size");
    EXPECT_EQ(problem_with<int>(true), "true is not a signed integer of this size");
    EXPECT_NE(problem_with<std::uint8_t>(256), "");
    EXPECT_NE(problem_with<std::uint8_t>(-1), "");
    EXPECT_NE(problem_with<char>(300), "");
    EXPECT_NE(problem_with<std::uint64_t>(-1), "");
    EXPECT_NE(problem_with<std::int64_t>(UINT64_MAX), "");
    EXPECT_NE(problem_with<float>(1e300), "");
    EXPECT_NE(problem_with<double>(true), "");
    EXPECT_NE(problem_with<double>(UINT64_MAX), ""); // a digit would be lost
    EXPECT_NE(problem_with<bool>(1), "");
}

TEST(process_pool_numbers, of_the_right_kind_and_range_arrive) {
    EXPECT_EQ(muster::detail::from_wire<int>(std::numeric_limits<int>::min()), std::numeric_limits<int>::min());
    EXPECT_EQ(muster::detail::from_wire<std::uint64_t>(UINT64_MAX), UINT64_MAX);
    EXPECT_EQ(muster::detail::from_wire<float>(3), 3.0F);
    EXPECT_TRUE(std::isnan(muster::detail::from_wire<double>(std::numeric_limits<double>::quiet_NaN())));
    EXPECT_TRUE(std::isinf(muster::detail::from_wire<float>(std::numeric_limits<double>::infinity())));
    EXPECT_EQ(muster::detail::from_wire<point>({{"x", -5}, {"label", "p"}, {"more", 1e300}}).x, -5);
    EXPECT_EQ(muster::detail::from_wire<nlohmann::json>({1, 1.5, true}), nlohmann::json({1, 1.5, true}));
}

TEST_F(process_pool_test, a_number_that_a_result_can_not_hold_fails_the_call) {
    process_pool pool(sized(1));
    // {"value": 2^64 - 1}, and {"value": true}
    for (const auto& value : {std::vector<std::uint8_t>{0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
             std::vector<std::uint8_t>{0xf5}}) {
        process_pool fresh(sized(1));
        std::vector<std::uint8_t> body{0xa1, 0x65, 'v', 'a', 'l', 'u', 'e'};
        body.insert(body.end(), value.begin(), value.end());
        const auto text =
            text_of<muster::wire_error>(ends_as(fresh, says(framed(static_cast<std::uint32_t>(body.size()), 1, body))));
        EXPECT_TRUE(contains(text, "the result of 'says' can't be read: muster::wire_error: ")) << text;
    }
}

// A main of its own, because it is the workers' main, too.
int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    const auto message_of_pool = [] {
        try {
            process_pool pool;
        } catch (const muster::invalid_state_error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    if (mode == "--forgetful" || mode == "--never-serves")
        return contains(message_of_pool(), "call muster::process_pool::serve_if_worker() as the first thing") ? 7 : 1;
    if (mode == "--twice-registered") {
        const muster::remote_function again("twice", [](int n) { return 3 * n; });
        process_pool::serve_if_worker();
        return contains(message_of_pool(), "two functions are registered as 'twice', at ") ? 8 : 1;
    }
    process_pool::serve_if_worker();
    if (mode == "--orphan") {
        process_pool pool(sized(1));
        muster::run([](process_pool& p) -> muster::task<> {
            auto id = co_await muster::run_in_executor(p, own_id());
            auto h = muster::start_in_executor(p, spins());
            co_await until(one_runs, p);
            std::printf("%d %d\n", static_cast<int>(::getpid()), id);
            std::fflush(stdout);
            co_await h;
        }(pool));
    }
    // The first loop opens descriptors once for the whole program; they are no test's.
    muster::run([]() -> muster::task<> { co_await muster::sleep_for(1ns); }());
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
