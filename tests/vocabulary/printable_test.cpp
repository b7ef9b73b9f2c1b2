// SPDX-License-Identifier: MIT
// Text from elsewhere that is printed: in itself, and in everything of the library that prints such text.
#include "vocabulary/printable.hpp"

#include <muster/muster.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace {

using muster::detail::printable;
using namespace std::string_literals;

/// *Returns* whether a terminal would obey any part of the text, or show it as several lines.
bool steers_a_terminal(std::string_view text) {
    for (std::size_t i = 0; i != text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x20 || c == 0x7f)
            return true;
        // U+0080 to U+009F, U+202A to U+202E, U+2066 to U+2069, and bytes that follow nothing.
        const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
        const auto third = static_cast<unsigned char>(i + 2 < text.size() ? text[i + 2] : 0);
        if (c == 0xc2 && next < 0xa0)
            return true;
        if (c == 0xe2 && ((next == 0x80 && third >= 0xa8 && third <= 0xae) || (next == 0x81 && third >= 0xa0)))
            return true;
        if (c >= 0x80 && c < 0xc0 && (i == 0 || static_cast<unsigned char>(text[i - 1]) < 0x80))
            return true;
    }
    return false;
}

const std::string hostile = "a\x1b[2J\n\r\tb\x7f\x9b" + "31mc\u0085\u009bd\u202ee\u2066f\u2028g\xff\xc0\x80h"s;

TEST(printable, what_steers_a_terminal_in_json_becomes_an_escape_of_json) {
    using muster::detail::printable_json;
    const std::pair<std::string, std::string> rows[] = {{"", ""}, {R"({"a":"b \u001b c"})", R"({"a":"b \u001b c"})"},
        {"{\"\u00e9\":\"\u4f60\"}", "{\"\u00e9\":\"\u4f60\"}"}, {"\"\x7f\"", R"("\u007f")"},
        {"\"a\u009b31m\"", R"("a\u009b31m")"}, {"\"\u202ea\u2066\"", R"("\u202ea\u2066")"},
        {"\"\u2028\ufeff\"", R"("\u2028\ufeff")"}, {"\"\U000e0041\"", R"("\udb40\udc41")"}};
    for (const auto& [json, expected] : rows) {
        EXPECT_EQ(printable_json(json), expected);
        EXPECT_FALSE(steers_a_terminal(printable_json(json)));
    }
}

TEST(printable, what_steers_a_terminal_becomes_an_escape) {
    const std::pair<std::string, std::string> rows[] = {
        {"", ""}, {"plain text, with \\ and 'quotes'", "plain text, with \\ and 'quotes'"}, {"a\nb", "a\\nb"},
        {"a\r\tb", "a\\r\\tb"}, {"\x1b[31m", "\\x1b[31m"}, {"\x07\x08\x7f", "\\x07\\x08\\x7f"}, {"\0"s, "\\x00"},
        {"\x9b" + "31m"s, "\\x9b31m"}, {"\u0080\u009b\u009f", "\\u{80}\\u{9b}\\u{9f}"},
        {"\u202eabc\u202c", "\\u{202e}abc\\u{202c}"},
        {"\u2066\u2067\u2068\u2069", "\\u{2066}\\u{2067}\\u{2068}\\u{2069}"},
        {"\u200e\u200f\u061c", "\\u{200e}\\u{200f}\\u{61c}"}, {"\u2028\u2029", "\\u{2028}\\u{2029}"},
        {"\ufeff\u200b\u2060\u00ad", "\\u{feff}\\u{200b}\\u{2060}\\u{ad}"},
        {"\U000e0041\U000e007f", "\\u{e0041}\\u{e007f}"}, {"\uffff", "\\u{ffff}"}, {"\xff\xfe", "\\xff\\xfe"},
        {"\xc0\xaf", "\\xc0\\xaf"},                   // overlong
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          // overlong
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          // a surrogate
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, // beyond Unicode
        {"caf\xc3", "caf\\xc3"},                      // cut off
        {"\xe2\x82" + "A"s, "\\xe2\\x82A"},           // cut off, and the rest is read
    };
    for (const auto& [text, expected] : rows)
        EXPECT_EQ(printable(text), expected);
}

TEST(printable, letters_of_every_script_stay) {
    for (const std::string text : {"Grüße, naïve façade", "Ελληνικά", "Русский", "עברית", "العربية",
             "فارسی‌ها", "हिन्दी", "ไทย", "한국어", "日本語", "中文", "አማርኛ", "ᚠᚢᚦ", "𐍈𐌰",
             "👩‍👩‍👧 🏳️‍🌈", "e\u0301", "\u00a0\u3000"})
        EXPECT_EQ(printable(text), text);
}

TEST(printable, is_bounded_and_ends_between_characters) {
    EXPECT_EQ(printable("abcdef", 6), "abcdef");
    EXPECT_EQ(printable("abcdefg", 6), "abcdef...");
    EXPECT_EQ(printable("ab\u00e9", 3), "ab...");
    EXPECT_EQ(printable(std::string(45'000'000, 'x'), 5), "xxxxx... (45000000 bytes)");
    // Escapes are longer than what they stand for.
    const auto text = printable(std::string(100'000, '\x1b'));
    EXPECT_LT(text.size(), muster::detail::longest_printed_text + 40);
    EXPECT_TRUE(text.ends_with("... (100000 bytes)")) << text;
    EXPECT_EQ(muster::detail::printable_lines("a\nb\x1b"), "a\nb\\x1b");
}

TEST(printable, every_text_of_the_library_is_safe_whatever_errors_say) {
    ASSERT_TRUE(steers_a_terminal(hostile));
    const auto error = std::make_exception_ptr(std::runtime_error(hostile));
    EXPECT_FALSE(steers_a_terminal(muster::describe(error))) << muster::describe(error);
    EXPECT_FALSE(steers_a_terminal(muster::describe(std::make_exception_ptr(hostile))));
    EXPECT_FALSE(steers_a_terminal(muster::describe(std::make_exception_ptr(hostile.c_str()))));
    const muster::cancelled_error cancelled(hostile);
    EXPECT_FALSE(steers_a_terminal(muster::describe(std::make_exception_ptr(cancelled))));
    const muster::exception_group group(hostile, {error});
    EXPECT_FALSE(steers_a_terminal(muster::describe(std::make_exception_ptr(group))));
    std::string tree = group.what();
    std::erase(tree, '\n');
    EXPECT_FALSE(steers_a_terminal(tree)) << tree;
    muster::report r(muster::report_kind::never_retrieved);
    r.name = hostile;
    r.error = error;
    EXPECT_FALSE(steers_a_terminal(to_string(r))) << to_string(r);
}

TEST(printable, an_error_of_45_megabytes_makes_a_short_line) {
    const auto error = std::make_exception_ptr(std::runtime_error(std::string(45'000'000, 'x')));
    EXPECT_LT(muster::describe(error).size(), 5000u);
    const muster::exception_group group("", {error});
    EXPECT_LT(std::string(group.what()).size(), 5000u);
}

} // namespace
