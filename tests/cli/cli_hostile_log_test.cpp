// SPDX-License-Identifier: MIT
// Hostile logs: files that somebody else wrote, given to --resume. Each is a row of a table: it is refused with a
// message and stays as it is to the byte, and nothing is run; or it is taken up, and every line of the input ends as it
// must.
#include "support/cli_program.hpp"

namespace {

using namespace cli;

enum class expected { refused, taken_up };

struct row {
    const char* name;
    std::string text;
    expected then;
};

class hostile_log : public muster_command {
protected:
    /// An entry of a real log of the same run, for the input at `index`.
    [[nodiscard]] std::string entry(std::size_t index) {
        if (entries_.empty()) {
            program p({"run", "--jsonl", path("real"), "-j", "1", "true {}", ":::", "a", "b", "c"});
            EXPECT_EQ(p.wait(), 0) << p.err;
            std::istringstream in(read(path("real")));
            for (std::string line; std::getline(in, line);)
                entries_.push_back(line + '\n');
        }
        return entries_.at(index);
    }
    /// The first entry with a member replaced.
    [[nodiscard]] std::string with(const std::string& member, const std::string& value) {
        auto o = nlohmann::ordered_json::parse(entry(0));
        o[member] = nullptr;
        auto text = o.dump();
        const auto at = text.find('"' + member + "\":null");
        return text.replace(at + member.size() + 3, 4, value) + '\n';
    }

    std::vector<std::string> entries_;
};

TEST_F(hostile_log, is_refused_as_it_is_or_taken_up_whole) {
    using namespace std::string_literals;
    const std::string first = entry(0);
    const std::vector<row> rows = {
        {"nothing", "", expected::taken_up},
        {"an entry", first, expected::taken_up},
        {"all entries", first + entry(1) + entry(2), expected::taken_up},
        {"entries in another order", entry(2) + first, expected::taken_up},
        {"an entry twice", first + first, expected::taken_up},
        {"the beginning of an entry", first + entry(1).substr(0, 20), expected::taken_up},
        {"one letter of an entry", "{", expected::taken_up},
        {"a private key", "-----BEGIN PRIVATE KEY-----\nMIIE\n", expected::refused},
        {"a text without a line feed", "do not touch this", expected::refused},
        {"another JSON", "{\"name\": 1}\n", expected::refused},
        {"JSON that is no object", "[1, 2]\n", expected::refused},
        {"a number", "17\n", expected::refused},
        {"NULs", std::string(100, '\0'), expected::refused},
        {"bytes that are no text", "\xff\xfe\x00\x9b[2J"s, expected::refused},
        {"an entry and rubbish behind it", first + "rubbish\n", expected::refused},
        {"rubbish and an entry behind it", "rubbish\n" + first, expected::refused},
        {"an index that is larger than any", "{\"index\":184467440737095516150}\n", expected::refused},
        {"an index below zero", with("index", "-1"), expected::refused},
        {"an index with a fraction", with("index", "0.5"), expected::refused},
        {"an index that is not finite", with("index", "1e999"), expected::refused},
        {"an index that is a text", with("index", "\"0\""), expected::refused},
        {"an index beyond the input", with("index", "1000000"), expected::taken_up},
        {"a key that is none", with("key", "\"zz\""), expected::refused},
        {"a key that is too short", with("key", "\"0000000000000000\""), expected::refused},
        {"a key with a sign", with("key", "\"-0000000000000000000000000000001\""), expected::refused},
        {"a key that is a number", with("key", "1"), expected::refused},
        {"a key of another input", with("key", "\"00000000000000000000000000000000\""), expected::refused},
        {"an outcome that is a list", with("outcome", "[]"), expected::refused},
        {"an entry of the other command",
            "{\"index\":0,\"line\":1,\"url\":\"http://h/\",\"key\":\"000000000000000000000000deadbeef\","
            "\"outcome\":\"ok\"}\n",
            expected::refused},
        {"nested ten thousand levels deep", "{\"index\":" + std::string(10'000, '[') + "\n", expected::refused},
        {"controls and marks in an entry", with("input", "\"\x1b[2J\""), expected::refused},
    };
    EXPECT_GE(rows.size(), 24u);
    for (const auto& r : rows) {
        const auto log = write("log", r.text);
        program p({"run", "--resume", "--jsonl", log, "-j", "1", "true {}", ":::", "a", "b", "c"});
        const int status = p.wait();
        if (r.then == expected::refused) {
            EXPECT_EQ(status, 2) << r.name << ": " << p.out << p.err;
            EXPECT_EQ(read(log), r.text) << r.name;
            EXPECT_EQ(p.out, "") << r.name;
            EXPECT_NE(p.err.find("muster: "), std::string::npos) << r.name;
            EXPECT_EQ(p.err.find('\x1b'), std::string::npos) << r.name << p.err;
        } else {
            EXPECT_EQ(status, 0) << r.name << ": " << p.err;
            std::set<std::string> done;
            for (const auto& line : lines_of(read(log)))
                done.insert(line.at("input").get<std::string>());
            EXPECT_EQ(done, (std::set<std::string>{"a", "b", "c"})) << r.name;
        }
    }
}

TEST_F(hostile_log, takes_no_more_memory_for_a_line_of_many_values_than_the_line_has_bytes) {
    const std::string begin = R"({"index":0,"line":1,"key":"00000000000000000000000000000000","outcome":"ok","x":)";
    std::string lists = begin + '[';
    std::string objects = begin + '[';
    for (std::size_t i = 0; i != 1'000'000; ++i)
        lists.append("[\"\"],");
    for (std::size_t i = 0; i != 800'000; ++i)
        objects.append("{\"a\":{}},");
    for (const auto& text : {begin + std::string(8'000'000, '['), lists + "0]}", objects + "0]}"}) {
        const bool is_entry = text.ends_with('}');
        program p({"run", "-q", "--resume", "--jsonl", write("log", text + '\n'), "true", ":::", "a"});
        // A well-formed one is of another list.
        EXPECT_EQ(p.wait(), 2) << p.err;
        EXPECT_NE(p.err.find(is_entry ? "another list" : "no entry of a log"), std::string::npos) << p.err;
        EXPECT_LT(p.peak_kilobytes(), with_sanitizer ? 1'000'000 : 100'000);
    }
}

TEST_F(hostile_log, knows_inputs_by_a_digest_in_which_no_two_can_be_made_alike) {
    program p({"run", "--jsonl", path("log"), "true {}", ":::", "a"});
    EXPECT_EQ(p.wait(), 0) << p.err;
    // Of the SHA-256 of the template, a NUL and the input.
    EXPECT_EQ(lines_of(read(path("log"))).at(0).at("key"), "a2766c446e664a2021a40a12721618d6");
}

} // namespace
