// SPDX-License-Identifier: MIT
// Three transactions: bad, good, bad. `settle` gives back how each of them ended, in order, and never
// throws. The question that matters here - is there a transaction_error among them? - is one line.
// How many failed, which ones, of what types, and all failures as one exception: one line each.

#include <muster/muster.hpp>

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

class bank_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};
class transaction_error : public bank_error { // catch (bank_error&) gets these, too
public:
    using bank_error::bank_error;
};

muster::task<std::string> bad() {
    co_await muster::yield();
    throw transaction_error("card declined");
}
muster::task<std::string> good() {
    co_await muster::yield();
    co_return "OK";
}
muster::task<std::string> worse() {
    co_await muster::yield();
    throw std::out_of_range("no such account");
}

muster::task<> roll_back() {
    fmt::print("rolled back\n");
    co_return;
}

std::string shown(const muster::outcome<std::string>& o) {
    return o.succeeded() ? fmt::format("'{}'", *o) : to_string(o);
}

// [mixed_results]
muster::task<> transactions() {
    std::vector<muster::task<std::string>> tasks;
    tasks.push_back(bad());
    tasks.push_back(good());
    tasks.push_back(worse());
    auto outcomes = co_await muster::settle(std::move(tasks));

    fmt::print("{}, {}, {}\n", shown(outcomes[0]), shown(outcomes[1]), shown(outcomes[2]));
    if (outcomes.any_failed<transaction_error>())
        co_await roll_back();

    fmt::print("{} of {} succeeded, {} failed\n", outcomes.succeeded(), outcomes.submitted(), outcomes.failed());
    for (const auto& [index, value] : outcomes.successes())
        fmt::print("success {}: {}\n", index, value.get());
    for (const auto& failure : outcomes.failures())
        fmt::print("failure {}: {}\n", failure.index(), failure.what());
    fmt::print("types: {}\n", fmt::join(outcomes.error_types(), ", "));
    for (const auto& failure : outcomes.failures_of<bank_error>()) // base classes count
        fmt::print("bank_error {}: {}\n", failure.index(), failure->what());

    try {
        outcomes.throw_if_any_failed();
    } catch (const muster::exception_group& all) {
        fmt::print("caught a group with {}\n", fmt::join(all.error_types(), " and "));
        fmt::print("a transaction_error among them: {}\n", all.contains<transaction_error>());
        fmt::print("a timeout_error among them: {}\n", all.contains<muster::timeout_error>());
    }
}
// [/mixed_results]

int main() { return muster::run_main(transactions()); }
