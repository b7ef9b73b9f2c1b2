// SPDX-License-Identifier: MIT
// One HTTP client for a long time, against nginx: two seconds, or MUSTER_SOAK_MINUTES. Memory and descriptors must be
// flat and every count must add up.
#include <muster/http.hpp>

#include "support/nginx_server.hpp"
#include "support/own_resources.hpp"
#include "support/soak.hpp"

#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/testing/faulty_server.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

namespace http = muster::http;
using namespace std::chrono_literals;

[[maybe_unused]] const int no_proxy = ::setenv("no_proxy", "*", 1);

TEST(http_soak, a_client_that_lives_long_stays_as_large_as_it_was) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    const muster::testing::faulty_server behind;
    const nginx_test::nginx_server nginx(behind.port());
    std::vector<std::string> urls;
    for (int i = 0; i != 10; ++i)
        for (const auto* path : {"/small", "/small", "/small", "/closing", "/status/404", "/status/503", "/nothing",
                 "/gateway/ok", "/gateway/truncated/1000", "/gone/ok", "/circle/a", "/trickle"})
            urls.push_back(nginx.url(path));
    soak::flatness resident;
    soak::flatness descriptors;
    std::uint64_t rounds = 0;
    std::uint64_t requests = 0;
    const auto began = std::chrono::steady_clock::now();
    const auto body = [&]() -> muster::task<> {
        http::client client;
        const auto get = [&client](const std::string& u) -> muster::task<std::size_t> {
            // The trickle does not end by itself.
            auto ask = http::request(u).timeout(u.ends_with("/trickle") ? std::chrono::nanoseconds(20ms) : 30s);
            auto reply = co_await client.send(std::move(ask));
            reply.throw_if_error();
            co_return reply.body.size();
        };
        for (;;) {
            auto mapping = muster::map(urls, get).limit(50);
            auto all = co_await std::move(mapping).settle();
            EXPECT_EQ(all.succeeded(), 50u);
            EXPECT_EQ(all.failures_of<http::status_error>().size(), 30u);
            EXPECT_EQ(all.failures_of<http::reset_error>().size(), 20u);
            EXPECT_EQ(all.failures_of<http::protocol_error>().size(), 10u);
            EXPECT_EQ(all.failures_of<http::timeout_error>().size(), 10u);
            ++rounds;
            requests += all.size();
            const double done = (std::chrono::steady_clock::now() - began) / soak::real_time();
            resident.sample(done, soak::resident_kilobytes());
            descriptors.sample(done, static_cast<long>(own_resources::open_descriptors()));
            if (done >= 1 || ::testing::Test::HasFailure())
                co_return;
        }
    };
    muster::run(body(), muster::run_options().strict());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::cout << requests << " requests in " << rounds << " rounds, " << took.count()
              << " s; kilobytes resident: " << resident << "; descriptors: " << descriptors << '\n';
    EXPECT_LE(descriptors.growth(), 60) << descriptors;
    if (!soak::memory_can_be_measured)
        GTEST_SKIP() << "a sanitizer keeps memory that was freed";
    EXPECT_LE(resident.growth(), 2048) << resident;
}

} // namespace
