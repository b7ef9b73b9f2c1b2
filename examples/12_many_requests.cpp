// SPDX-License-Identifier: MIT
// Two hundred HTTP requests to a server that is slow, resets, answers 503 or garbage, at most twenty at a
// time, each tried again twice where that may help. Every request is accounted for: the counts add up,
// and the failures are grouped by type. The server runs in this program, on loopback.

#include <muster/http.hpp>
#include <muster/muster.hpp>
#include <muster/testing/faulty_server.hpp>

#include <fmt/core.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <map>
#include <string>
#include <vector>

using namespace std::chrono_literals;
namespace http = muster::http;

std::vector<std::string> two_hundred_urls(const muster::testing::faulty_server& server) {
    const std::array<std::string, 8> paths{
        "/ok", "/slow/20", "/flaky/KEY/2", "/status/404", "/reset", "/garbage", "/truncated/500", "/never"};
    std::vector<std::string> urls;
    for (std::size_t i = 0; i != 200; ++i) {
        auto path = paths[i % paths.size()];
        if (const auto key = path.find("KEY"); key != std::string::npos)
            path.replace(key, 3, std::to_string(i)); // 503 twice, then 200
        urls.push_back(server.url(path));
    }
    return urls;
}

// [many_requests]
/// Whether to try again: a server that is busy, or that hung up, may do better; a missing page stays missing.
bool may_help(const std::exception_ptr& error) {
    const auto* answer = muster::get_if<http::status_error>(error);
    return answer != nullptr ? answer->status() == 503 : muster::is_a<http::reset_error>(error);
}

muster::task<std::size_t> page_size(http::client& client, const std::string& url) {
    auto page = co_await client.get(url);
    page.throw_if_error();
    co_return page.body.size();
}

muster::task<> many_requests(std::vector<std::string> urls) {
    http::client client;
    auto fetch = [&client](const std::string& url) { return page_size(client, url); };
    auto outcomes = co_await muster::map(urls, fetch)
                        .limit(20)
                        .each_within(500ms)
                        .retry(muster::retry_policy(2).first_delay(1ms).when(may_help))
                        .settle();

    fmt::print("{} submitted = {} succeeded + {} failed + {} cancelled + {} not started\n", outcomes.submitted(),
        outcomes.succeeded(), outcomes.failed(), outcomes.cancelled(), outcomes.not_started());
    fmt::print("{} further attempts\n", outcomes.retries());
    std::map<std::string, std::size_t> by_type;
    for (const auto& failure : outcomes.failures())
        ++by_type[muster::type_name(failure.error())];
    for (const auto& failure : outcomes.failures_of<http::status_error>())
        ++by_type["status " + std::to_string(failure->status())];
    for (const auto& [type, count] : by_type)
        fmt::print("{:4} {}\n", count, type);
}
// [/many_requests]

int main() {
    const muster::testing::faulty_server server;
    return muster::run_main(many_requests(two_hundred_urls(server)));
}
