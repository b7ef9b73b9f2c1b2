// SPDX-License-Identifier: MIT
// The keys by which a log knows its inputs: the beginning of the SHA-256 of FIPS 180-4, read back as they are written.
#include "content_key.hpp"

#include <string>

#include <gtest/gtest.h>

namespace {

using tool::content_key;

TEST(content_key, is_the_beginning_of_the_standards_sha_256) {
    EXPECT_EQ(content_key(std::string()).text(), "e3b0c44298fc1c149afbf4c8996fb924");
    EXPECT_EQ(content_key("abc").text(), "ba7816bf8f01cfea414140de5dae2223");
    EXPECT_EQ(content_key("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").text(),
        "248d6a61d20638b8e5c026930c3e6039");
    EXPECT_EQ(content_key(std::string(1'000'000, 'a')).text(), "cdc76e5c9914fb9281a1c7e284d73e67");
}

TEST(content_key, is_read_as_it_was_written) {
    const content_key key("input");
    EXPECT_EQ(content_key::from(key.text()), key);
    EXPECT_NE(content_key::from(key.text()), content_key("inpuT"));
    for (const auto* bad : {"", "ba7816bf8f01cfea", "ba7816bf8f01cfea414140de5dae222",
             "ga7816bf8f01cfea414140de5dae2223", "ba7816bf8f01cfea414140de5dae22233"})
        EXPECT_EQ(content_key::from(bad), std::nullopt) << bad;
}

} // namespace
