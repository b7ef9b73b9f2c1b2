// SPDX-License-Identifier: MIT
// Hostile workers: what one sends, and what it does instead of answering. Each is a row of a table. However it behaves,
// its call ends with an error, the next call is made, and the program has as many descriptors and children as before.
#include "process_pool/wire.hpp"

#include "support/own_resources.hpp"

#include <muster/error.hpp>
#include <muster/process_pool.hpp>
#include <muster/run.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using muster::process_pool;
using muster::process_pool_options;
using bytes = std::vector<std::uint8_t>;

constexpr int own_socket = muster::workers::wire::worker_descriptor;

const muster::remote_function twice("twice", [](int n) { return 2 * n; });

/// Sends what it is given, and ends with the pool or when it is asked for more.
const muster::remote_function says("says", [](bytes what) -> int {
    static_cast<void>(::send(own_socket, what.data(), what.size(), MSG_NOSIGNAL));
    pollfd more{own_socket, POLLIN, 0};
    while (::poll(&more, 1, -1) != 1) {}
    std::_Exit(0);
});

struct unknown {
    int number = 5;
};

void nest(int depth) {
    try {
        if (depth == 0)
            throw std::runtime_error(std::string(1000, 'x'));
        nest(depth - 1);
    } catch (...) {
        std::throw_with_nested(std::runtime_error("outer\x1b[2J\n"));
    }
}

const muster::remote_function does("does", [](std::string what) -> int {
    if (what == "exit")
        std::exit(0);
    if (what == "exit with 3")
        std::_Exit(3);
    if (what == "abort")
        std::abort();
    if (what == "terminate")
        std::terminate();
    if (what.starts_with("signal "))
        ::raise(std::stoi(what.substr(7)));
    if (what == "hang up")
        ::close(own_socket);
    if (what == "half hang up")
        ::shutdown(own_socket, SHUT_WR);
    if (what == "refuse to be asked")
        ::shutdown(own_socket, SHUT_RD);
    if (what == "close everything")
        for (int fd = 0; fd != 100; ++fd)
            ::close(fd);
    if (what == "throw a number")
        throw 5;
    if (what == "throw a text")
        throw std::string("a\n\x1b[2J");
    if (what == "throw what nobody knows")
        throw unknown();
    if (what == "throw much")
        throw std::runtime_error(std::string(1'000'000, 'x'));
    if (what == "throw more than a message")
        throw std::runtime_error(std::string(3'000'000, 'x'));
    if (what == "throw what is no text")
        throw std::runtime_error("\xff\xfe\x9b");
    if (what == "throw nested")
        nest(100);
    if (what == "leave a child")
        if (::fork() != 0)
            std::_Exit(0);
    if (what == "leave the group") {
        ::setsid();
        ::signal(SIGTERM, SIG_IGN);
    }
    if (what == "dribble") {
        for (;;) {
            const char byte = 0;
            if (::send(own_socket, &byte, 1, MSG_NOSIGNAL) != 1)
                break;
            ::usleep(1000);
        }
    }
    if (what == "flood") {
        const bytes zeros(1 << 16);
        while (::send(own_socket, zeros.data(), zeros.size(), MSG_NOSIGNAL) > 0) {}
    }
    for (;;)
        ::pause();
});

bytes framed(std::uint32_t length, std::uint64_t number, const bytes& body) {
    const auto head = muster::workers::wire::write(muster::workers::wire::header(length, number));
    bytes all(head.size() + body.size());
    std::copy(body.begin(), body.end(), std::copy(head.begin(), head.end(), all.begin()));
    return all;
}

bytes message(const bytes& body, std::uint64_t number = 1) {
    return framed(static_cast<std::uint32_t>(body.size()), number, body);
}

bytes message(const char* json) { return message(nlohmann::json::to_cbor(nlohmann::json::parse(json))); }

enum class ends { wire_error, died, timeout, thrown, any_error };

bool is(const std::exception_ptr& error, ends how) {
    switch (how) {
    case ends::wire_error:
        return muster::is_a<muster::wire_error>(error);
    case ends::died:
        return muster::is_a<muster::worker_died_error>(error);
    case ends::timeout:
        return muster::is_a<muster::timeout_error>(error);
    case ends::thrown:
        return muster::is_a<std::runtime_error>(error) && !muster::is_a<muster::worker_died_error>(error);
    case ends::any_error:
        break;
    }
    return error != nullptr;
}

process_pool_options hostile_pool() {
    return process_pool_options().processes(1).message_limit(2'000'000).value_limit(1000).call_timeout(20s).output(
        "/dev/null");
}

/// Whether the process that made the call is replaced: what can be read and is only not what was asked for costs no
/// process.
enum class next_call { is_made, is_left_out };

/// *Returns* the error that the call of a pool of its own ends with; the next call must be made.
template <class Call>
std::exception_ptr error_of(const process_pool_options& options, Call call, next_call next = next_call::is_made) {
    process_pool pool(options);
    std::exception_ptr error;
    try {
        muster::run(muster::run_in_executor(pool, std::move(call)).as_task());
    } catch (...) {
        error = std::current_exception();
    }
    if (next == next_call::is_made) {
        EXPECT_EQ(muster::run(muster::run_in_executor(pool, twice(21)).as_task()), 42);
    }
    return error;
}

/// The first loop of a program opens what stays open.
std::size_t descriptors_after_a_first_run() {
    static_cast<void>(error_of(hostile_pool(), does("exit")));
    return own_resources::open_descriptors();
}

void expect_safe(const std::string& name, const std::exception_ptr& error) {
    const auto text = muster::describe(error);
    EXPECT_LT(text.size(), 200'000u) << name;
    EXPECT_EQ(text.find_first_of("\n\x1b"), std::string::npos) << name << ": " << text;
}

TEST(process_pool_hostile, whatever_a_worker_sends_costs_its_call_and_nothing_else) {
    std::vector<std::pair<std::string, bytes>> rows = {
        {"nothing but a head", framed(0, 1, {})},
        {"a length beyond the limit", framed(0xffffffff, 1, {})},
        {"a length one beyond the limit", framed(2'000'001, 1, {})},
        {"another call's number", message({0xa0}, 2)},
        {"no call's number", message({0xa0}, 0)},
        {"the largest number", message({0xa0}, UINT64_MAX)},
        {"bytes behind the answer", framed(1, 1, {0xa0, 0xa0})},
        {"no map", message({0x01})},
        {"an empty map", message({0xa0})},
        {"a list", message("[1]")},
        {"null", message("null")},
        {"an unknown member", message(R"({"x": 1})")},
        {"a text for a number", message(R"({"value": "1"})")},
        {"a fraction for a number", message(R"({"value": 1.5})")},
        {"true for a number", message(R"({"value": true})")},
        {"null for a number", message(R"({"value": null})")},
        {"a list for a number", message(R"({"value": [1]})")},
        {"a number beyond an int", message(R"({"value": 4294967296})")},
        {"a number beyond any", message(R"({"value": 18446744073709551615})")},
        {"an error that is none", message(R"({"error": 1})")},
        {"an error without members", message(R"({"error": {}})")},
        {"an error with a number for a type",
            message(R"({"error": {"type": 1, "message": "", "where": "", "causes": []}})")},
        {"an error with causes that are none",
            message(R"({"error": {"type": "", "message": "", "where": "", "causes": [1]}})")},
        {"a key that is a number", message({0xa1, 0x01, 0x01})},
        {"a text that is no UTF-8", message({0xa1, 0x61, 0xff, 0x01})},
        {"deeper than we go", message(bytes(1000, 0x81))},
        {"more values than the limit",
            [] {
                bytes many{0x99, 0x07, 0xd0};
                many.resize(3 + 2000, 0x01);
                return message(many);
            }()},
    };
    // Heads of every major type with a length that is reserved, cut off, larger than the message, or without an end.
    for (std::uint8_t major = 0; major != 8; ++major) {
        const auto head = [major](unsigned low) { return static_cast<std::uint8_t>(unsigned{major} << 5U | low); };
        const auto name = "major type " + std::to_string(major) + ", ";
        rows.emplace_back(name + "reserved 28", message({head(28)}));
        rows.emplace_back(name + "reserved 30", message({head(30)}));
        rows.emplace_back(name + "cut off", message({head(25), 0x01}));
        if (major >= 2 && major <= 5) {
            rows.emplace_back(name + "without an end", message({head(31)}));
            rows.emplace_back(
                name + "longer than memory", message({head(27), 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
        }
    }
    const auto descriptors = descriptors_after_a_first_run();
    for (const auto& [name, sent] : rows) {
        const bool is_of_another_kind = name.ends_with("for a number") || name.starts_with("a number beyond");
        const auto error =
            error_of(hostile_pool(), says(sent), is_of_another_kind ? next_call::is_left_out : next_call::is_made);
        EXPECT_TRUE(is(error, ends::wire_error)) << name << ": " << muster::describe(error);
        expect_safe(name, error);
    }
    EXPECT_EQ(own_resources::open_descriptors(), descriptors);
    EXPECT_GE(rows.size(), 55u);
}

TEST(process_pool_hostile, whatever_a_worker_does_costs_its_call_and_nothing_else) {
    const std::pair<const char*, ends> rows[] = {
        {"exit", ends::died},
        {"exit with 3", ends::died},
        {"abort", ends::died},
        {"terminate", ends::died},
        {"signal 9", ends::died},
        {"signal 15", ends::died},
        {"signal 2", ends::died},
        {"hang up", ends::died},
        {"half hang up", ends::died},
        {"close everything", ends::died},
        {"throw a number", ends::thrown},
        {"throw a text", ends::thrown},
        {"throw what nobody knows", ends::thrown},
        {"throw much", ends::thrown},
        {"throw more than a message", ends::any_error},
        {"throw what is no text", ends::any_error},
        {"throw nested", ends::thrown},
        {"leave a child", ends::died},
        {"leave the group", ends::timeout},
        {"refuse to be asked", ends::timeout},
        {"signal 19", ends::timeout},
        {"dribble", ends::any_error},
        {"flood", ends::any_error},
        {"wait for ever", ends::timeout},
    };
    const auto descriptors = descriptors_after_a_first_run();
    for (const auto& [what, how] : rows) {
        auto options = hostile_pool();
        if (how == ends::timeout)
            options.call_timeout(300ms);
        const auto error = error_of(options, does(what));
        EXPECT_TRUE(is(error, how)) << what << ": " << muster::describe(error);
        expect_safe(what, error);
    }
    EXPECT_EQ(own_resources::open_descriptors(), descriptors);
}

} // namespace

int main(int argc, char** argv) {
    process_pool::serve_if_worker();
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
