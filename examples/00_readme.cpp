// SPDX-License-Identifier: MIT
// The program that README shows: many calls at once, some of which fail, and no failure is lost.
#include <muster/muster.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

class http_error : public std::runtime_error {
public:
    explicit http_error(int status) : std::runtime_error("status " + std::to_string(status)) {}
};

muster::task<std::string> call(std::string url) {
    if (url == "/slow")
        co_await muster::sleep_for(1h);
    co_await muster::sleep_for(10ms);
    if (url == "/broken")
        throw http_error(503);
    co_return "page " + url;
}

// [policies]
muster::task<> all_or_nothing() {
    // The first failure cancels the other, waits for it, and is thrown as itself.
    auto [user, cart] = co_await muster::gather(call("/user"), call("/cart"));
    std::printf("%s, %s\n", user.c_str(), cart.c_str());
}
// [/policies]

// [ledger]
muster::task<> know_everything(const std::vector<std::string>& urls) {
    auto outcomes = co_await muster::map(urls, call).limit(100).each_within(200ms).retry(1).settle();

    std::printf("%zu = %zu ok + %zu failed + %zu cancelled + %zu not started\n", outcomes.submitted(),
        outcomes.succeeded(), outcomes.failed(), outcomes.cancelled(), outcomes.not_started());
    for (const auto& failure : outcomes.failures_of<http_error>())
        std::printf("%s: %s\n", urls[failure.index()].c_str(), failure->what());
    if (outcomes.any_failed<muster::timeout_error>())
        std::printf("something was too slow\n");
    outcomes.throw_if_any_failed(); // one exception_group with all that failed
}

int main() {
    try {
        muster::run(all_or_nothing());
        muster::run(know_everything({"/user", "/broken", "/cart", "/slow"}));
    } catch (const muster::exception_group& group) {
        std::printf("%s\n", group.what());
    }
}
// [/ledger]
