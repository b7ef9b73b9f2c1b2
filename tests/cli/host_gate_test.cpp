// SPDX-License-Identifier: MIT
// Which URLs count as one server for --per-host.
#include "host_gate.hpp"

#include <gtest/gtest.h>

namespace {

using tool::server_of;

TEST(one_server, has_one_name_however_its_port_is_written) {
    for (const auto* url : {"http://h/x", "http://H:80/x", "HTTP://h:080?q", "http://al:pw@h:/x#f", "h", "h:80"})
        EXPECT_EQ(server_of(url), "h") << url;
    for (const auto* url : {"https://h", "https://h:443/", "https://u@H:0443"})
        EXPECT_EQ(server_of(url), "h") << url;
    for (const auto* url : {"http://[::1]/", "http://[::1]:80/", "https://[::1]:443/"})
        EXPECT_EQ(server_of(url), "[::1]") << url;
}

TEST(one_server, has_another_name_with_another_port) {
    EXPECT_EQ(server_of("http://h:8080/x"), "h:8080");
    EXPECT_EQ(server_of("http://h:08080/x"), "h:8080");
    EXPECT_EQ(server_of("http://h:443/"), "h:443");
    EXPECT_EQ(server_of("https://h:80/"), "h:80");
    EXPECT_EQ(server_of("http://[::1]:8080/"), "[::1]:8080");
    // What is no number is left to the client, which refuses it.
    EXPECT_EQ(server_of("http://h:x/"), "h:x");
}

} // namespace
