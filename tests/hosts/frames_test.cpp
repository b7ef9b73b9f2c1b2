// SPDX-License-Identifier: MIT
/// The frames of muster::hosts without a connection: whatever bytes come, in whatever pieces.
#include "frames/silence_watch.hpp"
#include "hosts/frames.hpp"
#include "hosts/this_host.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

using namespace std::chrono_literals;
namespace hosts = muster::hosts;
using hosts::frame_type;

namespace {

std::vector<hosts::frame> frames_of(hosts::frame_parser& in) {
    std::vector<hosts::frame> all;
    for (auto f = in.next(); f; f = in.next())
        all.push_back(std::move(*f));
    return all;
}

std::string described(const muster::command& what) { return hosts::description_of(what); }

} // namespace

TEST(frames, are_the_same_wherever_the_stream_is_cut) {
    const std::string bytes = to_bytes(frame_type::beat, "") + to_bytes(frame_type::go, std::string(8, '\x01')) +
                              to_bytes(frame_type::output, std::string(300, 'x'));
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        hosts::frame_parser in;
        in.take(std::string_view(bytes).substr(0, cut));
        auto all = frames_of(in);
        in.take(std::string_view(bytes).substr(cut));
        for (auto& f : frames_of(in))
            all.push_back(std::move(f));
        ASSERT_EQ(all.size(), 3u) << cut;
        EXPECT_EQ(all[0].type, frame_type::beat);
        EXPECT_EQ(all[1].payload, std::string(8, '\x01'));
        EXPECT_EQ(all[2].payload, std::string(300, 'x'));
    }
}

TEST(frames, come_one_by_one_from_single_bytes) {
    hosts::frame_parser in;
    std::size_t count = 0;
    for (int i = 0; i != 1000; ++i) {
        for (const char c : to_bytes(frame_type::part, std::to_string(i))) {
            in.take(std::string_view(&c, 1));
            for (const auto& f : frames_of(in))
                EXPECT_EQ(f.payload, std::to_string(count++));
        }
    }
    EXPECT_EQ(count, 1000u);
}

TEST(frames, of_a_hostile_length_are_refused_before_their_payload_comes) {
    for (const std::uint32_t length :
        {static_cast<std::uint32_t>(hosts::largest_frame) + 1, 0x7fffffffu, 0xffffffffu}) {
        hosts::frame_parser in;
        in.take(hosts::payload_writer().number8(23).number32(length).take());
        EXPECT_THROW(static_cast<void>(in.next()), hosts::frame_error) << length;
    }
    hosts::frame_parser in;
    in.take(to_bytes(frame_type::output, std::string(hosts::largest_frame, 'x')));
    EXPECT_TRUE(in.next());
}

TEST(frames, of_an_unknown_type_are_refused_at_their_first_byte) {
    for (int type = 0; type != 256; ++type) {
        const bool is_known = type == 1 || type == 2 || (type >= 10 && type <= 16) || (type >= 20 && type <= 26) ||
                              (type >= 40 && type <= 48);
        hosts::frame_parser in;
        in.take(std::string(1, static_cast<char>(type)));
        if (is_known)
            EXPECT_FALSE(in.next());
        else
            EXPECT_THROW(static_cast<void>(in.next()), hosts::frame_error) << type;
    }
}

TEST(greeting, is_found_behind_the_text_of_a_login_shell_wherever_that_is_cut) {
    const std::string bytes =
        "Welcome!\n\x01muster-ag\x01muster-agent\x02" + std::string(hosts::magic) + "and what follows";
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        hosts::greeting_scanner scanner;
        bool found = scanner.take(std::string_view(bytes).substr(0, cut));
        std::string rest;
        if (found) {
            rest = scanner.take_rest() + bytes.substr(cut);
        } else {
            found = scanner.take(std::string_view(bytes).substr(cut));
            rest = scanner.take_rest();
        }
        EXPECT_TRUE(found) << cut;
        EXPECT_EQ(rest, "and what follows") << cut;
        EXPECT_EQ(scanner.preamble(), "Welcome!\n\x01muster-ag\x01muster-agent\x02") << cut;
    }
}

TEST(greeting, that_never_comes_ends_after_64_kib_of_text) {
    hosts::greeting_scanner scanner;
    const std::string line(1024, '.');
    for (int i = 0; i != 64; ++i)
        EXPECT_FALSE(scanner.take(line));
    EXPECT_THROW(static_cast<void>(scanner.take(line)), hosts::frame_error);
}

TEST(hello, of_another_version_is_refused_with_both_versions) {
    const auto hello = hosts::payload_writer().number32(7).text("9.9.9").rest("whatever that version says").take();
    try {
        static_cast<void>(hosts::facts_of(hello));
        ADD_FAILURE() << "it was taken";
    } catch (const hosts::frame_error& e) {
        const std::string text = e.what();
        EXPECT_NE(text.find("version 7 (muster 9.9.9)"), std::string::npos) << text;
        EXPECT_NE(text.find("version 1 (muster " + muster::frames::own_version() + ")"), std::string::npos) << text;
    }
}

TEST(hello, says_what_the_host_has) {
    const auto facts = hosts::facts_of(hosts::hello_of_this_host());
    EXPECT_EQ(facts.version, muster::frames::own_version());
    EXPECT_GE(facts.processors, 1u);
    EXPECT_GT(facts.memory, facts.available_memory);
    EXPECT_GT(facts.available_memory, 0u);
}

TEST(hello, of_a_host_that_boasts_asks_for_no_million_commands) {
    const auto hello = hosts::payload_writer().number32(hosts::protocol_version).text("0").text("h\x1b[2J");
    auto most = hello;
    most.number32(0xffffffff).number64(UINT64_MAX).number64(UINT64_MAX).number64(UINT64_MAX);
    const auto facts = hosts::facts_of(most.take());
    EXPECT_LE(facts.processors, 8192u);
    EXPECT_LE(facts.load, 1e6);
    EXPECT_EQ(facts.name, "h\\x1b[2J");
    auto none = hello;
    none.number32(0).number64(0).number64(0).number64(0);
    EXPECT_EQ(hosts::facts_of(none.take()).processors, 1u);
}

TEST(hello, that_was_cut_anywhere_is_refused) {
    const auto hello = hosts::hello_of_this_host();
    for (std::size_t cut = 0; cut != hello.size(); ++cut)
        EXPECT_THROW(static_cast<void>(hosts::facts_of(std::string_view(hello).substr(0, cut))), hosts::frame_error);
    EXPECT_THROW(static_cast<void>(hosts::facts_of(hello + 'x')), hosts::frame_error);
}

TEST(description, gives_the_same_command_there) {
    auto what = muster::command("printf", "%s", "two\nlines", "").env("A", "1").env("B", "").unset_env("C");
    what.directory("/tmp").merge_stderr().grace(1s).linger(20ms);
    const auto there = hosts::command_of(described(what));
    EXPECT_EQ(there.words(), what.words());
    EXPECT_EQ(described(there), described(what));
    EXPECT_TRUE(there.parts().err.merged);
    EXPECT_EQ(there.parts().grace, 1s);
    EXPECT_EQ(there.parts().linger, 20ms);
    EXPECT_FALSE(there.parts().environment[2].value);
    const auto bare =
        hosts::command_of(described(muster::command("true").clear_env().stdout_to(muster::output::discard)));
    EXPECT_TRUE(bare.parts().clear_environment);
    EXPECT_EQ(bare.parts().out.to, muster::output::discard);
}

TEST(description, that_was_cut_anywhere_is_refused) {
    const auto bytes = described(muster::command("sh", "-c", "true").env("A", "1").directory("/"));
    for (std::size_t cut = 0; cut != bytes.size(); ++cut)
        EXPECT_THROW(static_cast<void>(hosts::command_of(std::string_view(bytes).substr(0, cut))), hosts::frame_error);
    EXPECT_THROW(static_cast<void>(hosts::command_of(bytes + '\0')), hosts::frame_error);
}

TEST(description, of_what_no_process_can_be_given_is_refused) {
    using hosts::payload_writer;
    const std::string no_words = payload_writer().number32(0).take();
    const std::string nul = payload_writer().number32(1).text(std::string_view("a\0b", 3)).take();
    const std::string many = payload_writer().number32(0xffffffff).text("a").take();
    for (const auto& bytes : {no_words, nul, many})
        EXPECT_THROW(static_cast<void>(hosts::command_of(bytes)), hosts::frame_error);
}

TEST(end, that_no_process_has_is_refused) {
    struct row {
        int status;
        int signal;
        bool is_fine;
    };
    for (const row r : {row{0, 0, true}, row{255, 0, true}, row{-1, 9, true}, row{256, 0, false}, row{-1, 0, false},
             row{3, 9, false}, row{-1, 128, false}, row{-2, 0, false}}) {
        hosts::remote_end end;
        end.process.status = r.status;
        end.process.signal = r.signal;
        const auto payload = hosts::payload_of(1, end);
        hosts::payload_reader from(payload);
        EXPECT_EQ(from.number64(), 1u);
        if (r.is_fine)
            EXPECT_EQ(hosts::read_end(from).process.status, r.status);
        else
            EXPECT_THROW(static_cast<void>(hosts::read_end(from)), hosts::frame_error) << r.status << ' ' << r.signal;
    }
}

TEST(silence, is_only_believed_at_the_second_look) {
    using verdict = muster::frames::silence_watch::verdict;
    muster::frames::silence_watch watch(4s, 0s);
    EXPECT_EQ(watch.interval(), 1s);
    EXPECT_EQ(watch.look(3999ms), verdict::heard);
    EXPECT_EQ(watch.look(4s), verdict::doubted);
    watch.heard(4500ms);
    EXPECT_EQ(watch.look(5s), verdict::heard);
    EXPECT_EQ(watch.look(9s), verdict::doubted);
    EXPECT_EQ(watch.look(10s), verdict::silent);
}

TEST(silence, of_a_process_that_was_stopped_itself_is_doubted_first) {
    using verdict = muster::frames::silence_watch::verdict;
    muster::frames::silence_watch watch(4s, 0s);
    EXPECT_EQ(watch.look(1h), verdict::doubted);
    watch.heard(1h); // what had come meanwhile is read now
    EXPECT_EQ(watch.look(1h + 1s), verdict::heard);
}
