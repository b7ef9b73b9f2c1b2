// SPDX-License-Identifier: MIT
// The reader of messages, beside nlohmann's own reader of CBOR: what both take they must read alike.
#include "process_pool/wire.hpp"

#include <muster/process_pool.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

namespace wire = muster::workers::wire;
using bytes = std::vector<std::uint8_t>;
using nlohmann::json;

json theirs(const bytes& message) {
    return json::from_cbor(message.begin(), message.end(), true, true, json::cbor_tag_handler_t::store);
}

json ours(const bytes& message) { return wire::read(message, wire::no_value_limit); }

/// *Returns* the text of the error; "" without one.
std::string problem_with(const bytes& message) {
    try {
        static_cast<void>(ours(message));
    } catch (const muster::wire_error& e) {
        return e.what();
    }
    return {};
}

TEST(wire_test, every_kind_of_value_comes_back_as_it_was_written) {
    const json values = {nullptr, true, false, 0, 23, 24, 255, 256, 65535, 65536, 4294967295U, 4294967296U,
        std::numeric_limits<std::uint64_t>::max(), -1, -24, -25, -256, -257, -65537, -4294967297,
        std::numeric_limits<std::int64_t>::min(), 0.0, -0.0, 1.5, 1e300, std::numeric_limits<double>::infinity(), "",
        "text", "\xff\x80", std::string(70'000, 'x'), json::array(), json::object(), {1, {2, {3, json::array()}}},
        {{"a", 1}, {"b", {{"c", {1, 2, 3}}}}, {"", nullptr}}, json::binary({}), json::binary({0, 255}),
        json::binary({1}, 42), json::binary(bytes(70'000, 7), 1'000'000)};
    for (const auto& value : values)
        EXPECT_EQ(ours(wire::write(value)), value) << value.type_name();
    EXPECT_EQ(ours(wire::write(values)), values);
    for (const std::size_t count : std::vector<std::size_t>{0, 1, 23, 24, 255, 256, 70'000})
        EXPECT_EQ(ours(wire::write(std::vector<int>(count, 9))).size(), count);
}

TEST(wire_test, a_number_of_16_bits_is_what_nlohmann_takes_it_for) {
    for (unsigned i = 0; i != 65'536; ++i) {
        const bytes message{0xf9, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i & 255)};
        const double mine = ours(message).get<double>();
        const double its = theirs(message).get<double>();
        EXPECT_TRUE(std::isnan(its) ? std::isnan(mine) : mine == its) << i;
        EXPECT_EQ(std::signbit(mine), std::signbit(its)) << i;
    }
}

TEST(wire_test, forms_that_nobody_here_writes_are_read_as_nlohmann_reads_them) {
    const std::vector<bytes> messages{
        {0x18, 0x05},                                        // five, in more bytes than it takes
        {0x3b, 0, 0, 0, 0, 0, 0, 0, 4},                      // minus five, likewise
        {0xfa, 0x3f, 0xc0, 0, 0},                            // a number of 32 bits
        {0xc6, 0x41, 0x07},                                  // bytes with a small tag
        {0xd8, 0x2a, 0x41, 0x07},                            // bytes with a larger one
        {0xd9, 0x01, 0x00, 0x40},                            // with one of two bytes, and nothing in them
        {0xa2, 0x61, 'a', 0x01, 0x61, 'a', 0x02},            // a key that comes twice
        {0x9a, 0, 0, 0, 2, 0xf6, 0xf5},                      // the length of an array in four bytes
        {0x78, 0x01, 'x'},                                   // the length of a text in a byte of its own
        {0xb8, 0x01, 0x60, 0x80},                            // a map with an empty key
        {0x82, 0x82, 0x80, 0xa0, 0x82, 0xa1, 0x60, 0x80, 1}, // empty ones in others
    };
    for (std::size_t i = 0; i != messages.size(); ++i)
        EXPECT_EQ(ours(messages[i]), theirs(messages[i])) << i;
}

TEST(wire_test, what_json_does_not_have_is_refused) {
    EXPECT_NE(problem_with({0xf7}).find("a simple value that JSON does not have"), std::string::npos); // undefined
    EXPECT_NE(problem_with({0xe0}).find("a simple value"), std::string::npos);
    EXPECT_NE(problem_with({0xf8, 0xff}).find("a simple value"), std::string::npos);
    EXPECT_NE(problem_with({0xa1, 0x01, 0x01}).find("a key that is no text"), std::string::npos);
    EXPECT_NE(problem_with({0xa1, 0x41, 'a', 0x01}).find("a key that is no text"), std::string::npos);
    EXPECT_NE(problem_with({0xa1, 0xc1, 0x41, 'a', 0x01}).find("a key that is no text"), std::string::npos);
    EXPECT_NE(problem_with({0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0}).find("a negative number of more than 64 bits"),
        std::string::npos);
    EXPECT_EQ(ours({0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), std::numeric_limits<std::int64_t>::min());
}

TEST(wire_test, a_message_that_is_cut_anywhere_is_refused) {
    const auto whole =
        wire::write({{"text", "some"}, {"list", {1, 1000, 2.5, nullptr}}, {"b", json::binary({1}, 300)}});
    for (std::size_t size = 0; size != whole.size(); ++size)
        EXPECT_NE(problem_with(bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))), "") << size;
    EXPECT_EQ(problem_with(whole), "");
}

TEST(wire_test, dropped_texts_leave_the_numbers_where_they_are) {
    json value{{"a", "text"}, {"b", {1, "more", {{"c", json::binary({1, 2})}, {"d", 2.5}}}}};
    muster::detail::drop_texts(value);
    EXPECT_EQ(value, json({{"a", ""}, {"b", {1, "", {{"c", json::binary({})}, {"d", 2.5}}}}}));
}

} // namespace
