// SPDX-License-Identifier: MIT
// HTTP requests when the system has no more to give: see resources_test.cpp.
#include <muster/http.hpp>

#include <muster/gather.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/testing/faulty_server.hpp>

#include "support/short_supply.hpp"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace http = muster::http;
using namespace std::chrono_literals;

namespace {

muster::task<int> number_after(std::chrono::nanoseconds time, int n) {
    co_await muster::sleep_for(time);
    co_return n;
}

} // namespace

TEST(http_resources, a_request_without_descriptors_fails_and_its_siblings_go_on) {
#if !MUSTER_TEST_CAN_REFUSE_THREADS
    GTEST_SKIP() << "a sanitizer opens descriptors of its own";
#endif
    const muster::testing::faulty_server server;
    muster::run(
        [](std::string url) -> muster::task<> {
            http::client client;
            {
                const short_supply::few_descriptors none(0);
                auto outcomes = co_await muster::gather(client.get(url), number_after(1ms, 3)).settle();
                auto& [refused, sibling] = outcomes;
                const auto* error = refused.error_as<http::connect_error>();
                EXPECT_NE(error, nullptr) << muster::to_string(refused);
                if (error != nullptr) {
                    EXPECT_EQ(error->code(), std::errc::too_many_files_open);
                    EXPECT_NE(std::string(error->what()).find("Too many open files"), std::string::npos)
                        << error->what();
                }
                EXPECT_EQ(*sibling, 3);
            }
            auto next = co_await client.get(url);
            EXPECT_EQ(next.status, 200);
        }(server.url("/ok")),
        muster::run_options().strict());
}

#if MUSTER_TEST_CAN_REFUSE_THREADS

TEST(http_resources, a_name_that_no_thread_can_look_up_fails_its_request_and_the_next_one_works) {
    const muster::testing::faulty_server server;
    muster::run(
        [](std::string url) -> muster::task<> {
            http::client client;
            {
                const short_supply::no_threads none;
                auto outcomes =
                    co_await muster::gather(client.get("http://muster.invalid/"), number_after(1ms, 2)).settle();
                auto& [refused, sibling] = outcomes;
                EXPECT_TRUE(refused.failed_with<http::error>()) << muster::to_string(refused);
                EXPECT_EQ(*sibling, 2);
            }
            auto next = co_await client.get(url);
            EXPECT_EQ(next.status, 200);
        }(server.url("/ok")),
        muster::run_options().strict());
}

#endif
