// SPDX-License-Identifier: MIT
// Real faults for the HTTP client, each put through the same checks: it ends as the table says, every request is in one
// count, nothing is reported, no descriptor and no coroutine frame is left.
#include <muster/http.hpp>

#include "support/fault_table.hpp"
#include "support/own_resources.hpp"

#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/map.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <sys/resource.h>

namespace {

namespace http = muster::http;
using namespace fault_table;
using namespace std::chrono_literals;

// A proxy of whoever runs the tests must not stand between them and loopback. Before there are threads.
[[maybe_unused]] const int no_proxy = ::setenv("no_proxy", "*", 1);

std::size_t open_descriptors() {
    // What the runtime and libcurl open once and keep is opened before the first count.
    [[maybe_unused]] static const bool warm = [] {
        muster::run([]() -> muster::task<> { co_return; }());
        const http::client opens_what_libcurl_keeps;
        return true;
    }();
    return own_resources::open_descriptors();
}

/// The type's name without its namespaces; "" for a success.
std::string type_of(const muster::outcome_base& o) {
    if (o.succeeded())
        return "";
    if (!o.failed())
        return "no error";
    const auto name = muster::type_name(o.error());
    return name.substr(name.rfind(':') + 1);
}

muster::task<int> status_of(http::client& client, std::string url, std::chrono::nanoseconds limit) {
    auto ask = http::request(std::move(url)).timeout(limit);
    auto reply = co_await client.send(std::move(ask));
    reply.throw_if_error();
    co_return reply.status;
}

/// For a fault that ends by its time limit, and for all others.
constexpr std::chrono::nanoseconds short_limit = 300ms;
constexpr std::chrono::nanoseconds long_limit = 60s;

class http_faults : public ::testing::Test {
protected:
    ~http_faults() override {
        bed_.stop();
        EXPECT_EQ(muster::testing::live_frames(), frames_);
        // A thread of libcurl's that looks up a name nobody waits for any more takes a moment to go.
        for (int i = 0; i != 400 && open_descriptors() != descriptors_; ++i)
            std::this_thread::sleep_for(5ms);
        EXPECT_EQ(open_descriptors(), descriptors_);
    }

    /// Asks for all of them at once, so many at a time, with one client.
    void expect_ends(const std::vector<fault>& faults, std::size_t limit, int rounds = 1) {
        struct asked {
            asked(const fault& f, std::string u) : of(&f), url(std::move(u)) {}
            const fault* of;
            std::string url;
        };
        std::vector<asked> all;
        for (int i = 0; i != rounds; ++i)
            for (const auto& f : faults)
                if (fault_bed::missing(f) == nullptr)
                    all.emplace_back(f, bed_.url(f));
        const auto body = [&](http::client& client) -> muster::task<> {
            const auto get = [&](const asked& a) {
                return status_of(client, a.url, a.of->times_out ? short_limit : long_limit);
            };
            auto mapping = muster::map(all, get).limit(limit);
            auto ended = co_await std::move(mapping).settle();
            EXPECT_EQ(ended.size(), all.size());
            EXPECT_EQ(ended.succeeded() + ended.failed(), all.size());
            std::size_t succeeded = 0;
            for (std::size_t i = 0; i != all.size(); ++i) {
                EXPECT_EQ(type_of(ended[i]), all[i].of->ends_as)
                    << all[i].of->name << ' ' << all[i].url << ' ' << muster::to_string(ended[i]);
                succeeded += all[i].of->ends_as[0] == '\0' ? 1 : 0;
                if (const auto* e = ended[i].error_as<http::error>()) {
                    EXPECT_EQ(e->url(), all[i].url);
                    EXPECT_FALSE(e->problem().empty()) << all[i].url;
                }
            }
            EXPECT_EQ(ended.succeeded(), succeeded);
            // The client is as good as before.
            auto after = co_await client.get(bed_.server().url("/ok"));
            EXPECT_EQ(after.status, 200);
        };
        run(body);
    }

    template <class Body>
    void run(Body body, const http::client_options& options = http::client_options().body_limit(largest_body)) {
        muster::run(in_client(body, options), muster::run_options().strict());
    }

    std::size_t descriptors_ = open_descriptors();
    std::int64_t frames_ = muster::testing::live_frames();
    fault_bed bed_;

private:
    template <class Body>
    static muster::task<> in_client(Body& body, http::client_options options) {
        http::client client(options);
        co_await body(client);
    }
};

// ---- one at a time ----

class http_fault : public http_faults, public ::testing::WithParamInterface<fault> {};

TEST_P(http_fault, ends_as_the_table_says_and_leaves_nothing) {
    if (const auto* missing = fault_bed::missing(GetParam()))
        GTEST_SKIP() << missing;
    expect_ends({GetParam()}, 1);
}

const auto name_of_row = [](const ::testing::TestParamInfo<fault>& row) { return std::string(row.param.name); };
INSTANTIATE_TEST_SUITE_P(server, http_fault, ::testing::ValuesIn(server_faults), name_of_row);
INSTANTIATE_TEST_SUITE_P(nginx, http_fault, ::testing::ValuesIn(nginx_faults), name_of_row);
INSTANTIATE_TEST_SUITE_P(tls, http_fault, ::testing::ValuesIn(tls_faults), name_of_row);

// ---- all at once ----

std::vector<fault> every_fault() {
    auto all = server_faults;
    all.insert(all.end(), nginx_faults.begin(), nginx_faults.end());
    return all;
}

TEST_F(http_faults, every_fault_at_once_ends_each_request_as_itself_whatever_the_limit) {
    for (const std::size_t limit : {std::size_t{3}, std::size_t{17}, std::size_t{1000}})
        expect_ends(every_fault(), limit, 3);
}

TEST_F(http_faults, a_server_that_is_killed_in_the_middle_breaks_each_of_its_requests) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    const auto body = [&](http::client& client) -> muster::task<> {
        auto& nginx = bed_.nginx();
        std::vector<muster::task_handle<int>> asked;
        for (int i = 0; i != 50; ++i)
            asked.push_back(muster::create_task(status_of(client, nginx.url("/trickle"), long_limit)));
        co_await muster::sleep_for(200ms);
        nginx.stop(SIGKILL);
        std::map<std::string, std::size_t> types;
        for (auto& each : asked) {
            auto waiting = muster::wait_for(each, 30s);
            auto ended = co_await muster::as_outcome(std::move(waiting));
            ++types[type_of(ended)];
        }
        // Connected and cut off, or not connected yet.
        EXPECT_EQ(types["truncated_error"] + types["reset_error"] + types["connect_error"], 50u);
        EXPECT_GE(types["truncated_error"] + types["reset_error"], 1u);
    };
    run(body);
}

TEST_F(http_faults, a_reset_is_a_reset_error_also_when_it_comes_before_anybody_looked_at_the_connection) {
    // Many at once, so that some are reset before their turn comes.
    const fault reset{"reset_when_accepted", place::resets, "/ok", "reset_error"};
    expect_ends({reset}, 300, 300);
}

TEST_F(http_faults, requests_cancelled_at_random_times_among_faults_add_up) {
    const auto seed = static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count());
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::minstd_rand random(seed);
    std::vector<std::string> urls;
    std::vector<int> delays;
    for (const auto& f : server_faults)
        for (int i = 0; i != 6; ++i) {
            if (fault_bed::missing(f) != nullptr)
                continue;
            urls.push_back(bed_.url(f));
            delays.push_back(static_cast<int>(random() % 60));
        }
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<muster::task_handle<int>> asked;
        for (const auto& u : urls)
            asked.push_back(muster::create_task(status_of(client, u, short_limit)));
        for (int now = 0; now != 60; ++now) {
            for (std::size_t i = 0; i != asked.size(); ++i)
                if (delays[i] == now)
                    asked[i].cancel();
            co_await muster::sleep_for(1ms);
        }
        auto all = co_await muster::gather(std::move(asked)).settle();
        EXPECT_EQ(all.succeeded() + all.failed() + all.cancelled(), urls.size());
        EXPECT_EQ(all.not_started(), 0u);
        EXPECT_GE(all.cancelled(), 1u);
        for (const auto& failure : all.failures())
            EXPECT_TRUE(muster::is_a<http::error>(failure.error())) << failure.what();
    };
    run(body);
}

// ---- many ----

TEST_F(http_faults, ten_thousand_requests_at_a_limit_of_a_thousand_each_get_their_answer) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    // Both ends of each connection are this process's.
    if (limit.rlim_max < 2200)
        GTEST_SKIP() << "2200 descriptors are needed; the hard limit is " << limit.rlim_max << " (ulimit -Hn)";
    const rlimit before = limit;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const std::vector<std::string> kinds{"/ok", "/slow/20", "/status/404", "/reset", "/truncated/100"};
    std::vector<std::string> urls;
    for (std::size_t i = 0; i != 10'000; ++i)
        urls.push_back(bed_.server().url(kinds[i % kinds.size()]));
    const auto body = [&](http::client& client) -> muster::task<> {
        const auto get = [&](const std::string& u) { return status_of(client, u, long_limit); };
        auto mapping = muster::map(urls, get).limit(1000);
        auto all = co_await std::move(mapping).settle();
        EXPECT_EQ(all.size(), 10'000u);
        std::map<std::string, std::size_t> types;
        for (std::size_t i = 0; i != all.size(); ++i)
            ++types[type_of(all[i])];
        EXPECT_EQ(types, (std::map<std::string, std::size_t>{
                             {"", 4000}, {"status_error", 2000}, {"reset_error", 2000}, {"truncated_error", 2000}}));
    };
    run(body);
    EXPECT_LE(bed_.server().stats().peak_connections, 1000u);
    // libcurl asks once more where a connection that it used before is reset without a byte of answer.
    EXPECT_GE(bed_.server().stats().requests, 10'000u);
    bed_.stop();
    ::setrlimit(RLIMIT_NOFILE, &before);
}

} // namespace
