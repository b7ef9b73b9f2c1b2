// SPDX-License-Identifier: MIT
// The command's SHA-256: the examples of FIPS 180-4, and texts of all lengths beside libcrypto's.
#include "sha256.hpp"

#include "http/digest.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace {

std::string in_hexadecimal(std::string_view text) {
    std::string digits;
    for (const unsigned byte : tool::sha256(text)) {
        digits += "0123456789abcdef"[byte >> 4U];
        digits += "0123456789abcdef"[byte & 0xfU];
    }
    return digits;
}

TEST(sha256, is_that_of_the_standard) {
    EXPECT_EQ(in_hexadecimal(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(in_hexadecimal("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(in_hexadecimal("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(in_hexadecimal(std::string(1'000'000, 'a')),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(sha256, is_libcryptos_for_texts_of_every_length) {
    std::string text;
    for (int i = 0; i != 300; ++i) {
        muster::http::digest check("sha256:" + in_hexadecimal(text));
        check.take(text);
        EXPECT_EQ(check.difference(), "") << text.size();
        text += static_cast<char>(i * 37);
    }
}

} // namespace
