// SPDX-License-Identifier: MIT
// The messages between muster run and muster worker: each side reads what the other might not have written.
#include "queue_message.hpp"

#include "units.hpp"

#include "process_pool/wire.hpp"

#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using kind = tool::queued_end::kind;

std::string as_text(const json& o) {
    const auto bytes = muster::wire::write(o);
    return {bytes.begin(), bytes.end()};
}

json an_end() { return {{"how", "ended"}, {"host", "h"}, {"process", 7u}, {"out", ""}, {"err", ""}, {"status", 0u}}; }
json a_command() { return {{"words", {"a"}}, {"grace", 1u}, {"linger", 1u}, {"most_output", 0u}}; }

} // namespace

TEST(a_message, comes_back_as_it_was_written_whatever_bytes_are_in_it) {
    tool::queued_command what;
    what.words = {"a", "\xff\n", ""};
    what.host_mark = "{host 0123456789abcdef0123456789abcdef}";
    what.timeout = 3s;
    what.grace = 1s;
    what.most_output = 12;
    const auto read = tool::read_command(tool::write_message(what));
    EXPECT_EQ(read.words, what.words);
    EXPECT_EQ(read.host_mark, what.host_mark);
    EXPECT_EQ(read.timeout, what.timeout);
    EXPECT_EQ(read.grace, 1s);
    EXPECT_EQ(read.most_output, 12u);
    EXPECT_FALSE(tool::read_command(as_text(a_command())).timeout);

    tool::queued_end end;
    end.how = kind::ended;
    end.host = "h";
    end.done.pid = 77;
    end.done.signal = 9;
    end.done.out = std::string("\xff\x00", 2);
    end.done.err = "e";
    const auto other = tool::read_end(tool::write_message(end));
    EXPECT_EQ(other.how, kind::ended);
    EXPECT_EQ(other.done.signal, 9);
    EXPECT_EQ(other.done.status, -1);
    EXPECT_EQ(other.done.out, end.done.out);
    EXPECT_EQ(other.done.pid, 77);
}

TEST(a_message, that_no_worker_writes_is_refused) {
    EXPECT_EQ(tool::read_end(as_text(an_end())).done.status, 0);
    const auto refused = [](const json& changes) {
        auto o = an_end();
        o.merge_patch(changes);
        EXPECT_THROW(static_cast<void>(tool::read_end(as_text(o))), std::invalid_argument) << changes;
    };
    for (const auto& changes :
        {json{{"how", "failed"}}, json{{"how", "no such end"}}, json{{"how", 1}}, json{{"status", 256}},
            json{{"status", -1}}, json{{"status", 0.5}}, json{{"signal", 65}}, json{{"status", nullptr}},
            json{{"process", -1}}, json{{"process", 1LL << 40}}, json{{"out", 1}}, json{{"err", nullptr}},
            json{{"host", nullptr}}, json{{"code", 1 << 20}, {"how", "not started"}}, json{{"core", 1}}})
        refused(changes);
    for (const std::string& text :
        {std::string(), std::string("x"), std::string("\xff\xff"), as_text(json::array()), as_text(7)})
        EXPECT_THROW(static_cast<void>(tool::read_end(text)), std::invalid_argument);
}

TEST(a_message, that_no_client_writes_is_refused) {
    const auto refused = [](const json& changes) {
        auto o = a_command();
        o.merge_patch(changes);
        EXPECT_THROW(static_cast<void>(tool::read_command(as_text(o))), std::invalid_argument) << changes;
    };
    for (const auto& changes : {json{{"words", json::array()}}, json{{"words", "a"}}, json{{"words", {1}}},
             json{{"words", nullptr}}, json{{"grace", -1}}, json{{"grace", UINT64_MAX}}, json{{"linger", "1"}},
             json{{"timeout", -1}}, json{{"most_output", 0.5}}, json{{"host_mark", 1}},
             // Replaced by the name of a host, a mark of one letter would make a word of megabytes one of gigabytes.
             json{{"host_mark", "a"}}, json{{"host_mark", "{host 0123456789abcdef0123456789abcdeg}"}},
             json{{"words", {""}}}, json{{"words", {std::string("a\0b", 3)}}},
             json{{"words", {"a", std::string("\0", 1)}}}, json{{"words", {"a", std::string(17U << 20U, 'x')}}}})
        refused(changes);
    EXPECT_THROW(static_cast<void>(tool::read_command("")), std::invalid_argument);
}

TEST(a_tag, has_letters_digits_and_little_else) {
    EXPECT_EQ(tool::name_of_function_for(""), "muster run");
    EXPECT_EQ(tool::name_of_function_for("gpu-2.x_y"), "muster run on gpu-2.x_y");
    for (const std::string tag : {"a b", "a,b", "a\n", "\xc3\xa4"})
        EXPECT_THROW(static_cast<void>(tool::name_of_function_for(tag)), tool::usage_error) << tag;
    EXPECT_THROW(static_cast<void>(tool::name_of_function_for(std::string(41, 'x'))), tool::usage_error);
}
