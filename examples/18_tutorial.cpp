// SPDX-License-Identifier: MIT
// The steps of docs/1_tutorial.md: one function for each, and `main` runs them in that order. Every step asks weather
// stations for a temperature; one station does not exist, and one never answers.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// [task]
class no_station : public std::runtime_error {
public:
    explicit no_station(const std::string& city) : std::runtime_error("no station in " + city) {}
};

muster::task<int> temperature(std::string city) {
    co_await muster::sleep_for(10ms); // stands for a question over the network
    if (city == "Atlantis")
        throw no_station(city);
    if (city == "Nuuk")
        co_await muster::sleep_for(24h); // this station does not answer
    co_return static_cast<int>(city.size());
}

muster::task<> one_city() {
    auto degrees = co_await temperature("Oslo");
    fmt::print("Oslo: {}\n", degrees);
}
// [/task]

// [gather]
muster::task<> three_cities() {
    auto [oslo, rome, lisbon] =
        co_await muster::gather(temperature("Oslo"), temperature("Rome"), temperature("Lisbon"));
    fmt::print("Oslo: {}, Rome: {}, Lisbon: {}\n", oslo, rome, lisbon);
}
// [/gather]

// [failure]
muster::task<> one_fails() {
    try {
        auto [lost, slow] = co_await muster::gather(temperature("Atlantis"), temperature("Nuuk"));
        fmt::print("never printed: {} {}\n", lost, slow);
    } catch (const no_station& e) {
        fmt::print("{}; Nuuk was cancelled, and has ended\n", e.what());
    }
}
// [/failure]

// [settle]
muster::task<> every_outcome() {
    std::vector<muster::task<int>> tasks;
    for (const auto* city : {"Oslo", "Atlantis", "Rome"})
        tasks.push_back(temperature(city));
    auto outcomes = co_await muster::settle(std::move(tasks));

    fmt::print("{} of {} answered\n", outcomes.succeeded(), outcomes.submitted());
    for (const auto& [index, degrees] : outcomes.successes())
        fmt::print("  {}: {}\n", index, degrees.get());
    for (const auto& failure : outcomes.failures_of<no_station>())
        fmt::print("  {}: {}\n", failure.index(), failure->what());
}
// [/settle]

// [map]
muster::task<> many_cities() {
    const std::vector<std::string> cities = {"Oslo", "Rome", "Atlantis", "Lisbon", "Nuuk", "Bern"};
    auto outcomes = co_await muster::map(cities, temperature).limit(2).each_within(100ms).retry(1).settle();

    for (std::size_t i = 0; i != cities.size(); ++i)
        fmt::print(
            "  {}: {}\n", cities[i], outcomes[i].succeeded() ? std::to_string(*outcomes[i]) : to_string(outcomes[i]));
    fmt::print("{} attempts more than cities\n", outcomes.retries());
}
// [/map]

// [timeout]
muster::task<> not_for_ever() {
    try {
        auto degrees = co_await muster::wait_for(temperature("Nuuk"), 50ms);
        fmt::print("never printed: {}\n", degrees);
    } catch (const muster::timeout_error&) {
        fmt::print("Nuuk took longer than 50 ms\n");
    }
}
// [/timeout]

// [handle]
muster::task<> on_its_own() {
    auto oslo = muster::create_task(temperature("Oslo"), "ask Oslo"); // runs while we go on
    auto nuuk = muster::create_task(temperature("Nuuk"), "ask Nuuk");
    auto degrees = co_await oslo;
    fmt::print("Oslo: {}\n", degrees);

    nuuk.cancel("enough of waiting");
    const std::vector handles{oslo, nuuk}; // named: g++ 12 takes no braced list inside a co_await expression
    auto both = co_await muster::settle(handles);
    fmt::print("{}: {}\n", nuuk.name(), to_string(both[1]));
}
// [/handle]

// [group]
muster::task<> in_a_scope() {
    auto body = [](muster::task_group& group) -> muster::task<> {
        group.create_task(temperature("Nuuk"));
        group.create_task(temperature("Atlantis"));
        co_return;
    };
    try {
        co_await muster::with_task_group(body); // ends when both tasks have ended
    } catch (const muster::exception_group& failures) {
        fmt::print("{}\n", failures.what());
    }
}
// [/group]

// [main]
int main() {
    muster::run(one_city());
    muster::run(three_cities());
    muster::run(one_fails());
    muster::run(every_outcome());
    muster::run(many_cities());
    muster::run(not_for_ever());
    muster::run(on_its_own());
    muster::run(in_a_scope());
}
// [/main]
