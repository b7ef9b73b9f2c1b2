// SPDX-License-Identifier: MIT
#include <muster/io/connect_schedule.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace {

using namespace std::chrono_literals;
using muster::io::address;
using muster::io::connect_options;
using muster::io::connect_schedule;
using std::chrono::milliseconds;

/// An attempt that fails some time after it began; -1: it is never answered.
struct attempt_row {
    int fails_after;
};

struct schedule_row {
    const char* what;
    connect_options options;
    std::vector<attempt_row> attempts;
    std::string expected; ///< "0@0" an attempt begins, "t0@30000" it has timed out, "end@..." all have failed
};

/// Plays the schedule without a clock: time goes to the next thing that happens.
std::string play(const schedule_row& row) {
    connect_schedule plan(row.attempts.size(), row.options);
    std::vector<milliseconds> fails_at(row.attempts.size(), milliseconds::max());
    std::vector<bool> seen(row.attempts.size());
    milliseconds now = 1000ms; // any beginning will do
    std::string said;
    const auto say = [&](const std::string& text) {
        said += (said.empty() ? "" : " ") + text + '@' + std::to_string((now - 1000ms).count());
    };
    for (int steps = 0; steps < 1000; ++steps) {
        const auto step = plan.next(now);
        for (std::size_t i = 0; i < seen.size(); ++i) {
            if (plan.timed_out(i) && !seen[i]) {
                seen[i] = true;
                say('t' + std::to_string(i));
            }
        }
        if (step.what == connect_schedule::action::give_up) {
            say("end");
            return said;
        }
        if (step.what == connect_schedule::action::begin) {
            say(std::to_string(step.attempt));
            const int after = row.attempts[step.attempt].fails_after;
            if (after == 0)
                plan.failed(step.attempt);
            else if (after > 0)
                fails_at[step.attempt] = now + milliseconds(after);
            continue;
        }
        auto next = std::chrono::duration_cast<milliseconds>(step.until);
        for (const auto t : fails_at)
            next = std::min(next, t);
        now = next;
        for (std::size_t i = 0; i < fails_at.size(); ++i) {
            if (fails_at[i] == now) {
                fails_at[i] = milliseconds::max();
                if (plan.runs(i))
                    plan.failed(i);
            }
        }
    }
    return said + " ...";
}

TEST(io_connect_schedule, attempts_begin_when_rfc_8305_says) {
    const connect_options usual;
    const auto quick = connect_options().attempt_delay(100ms).address_limit(1s);
    const std::vector<schedule_row> rows{
        {"no address", usual, {}, "end@0"},
        {"one that is refused", usual, {{0}}, "0@0 end@0"},
        {"one that fails late", usual, {{70}}, "0@0 end@70"},
        {"one that is never answered", usual, {{-1}}, "0@0 t0@30000 end@30000"},
        {"a refused one makes the next begin at once", usual, {{0}, {0}, {0}}, "0@0 1@0 2@0 end@0"},
        {"one that fails within the delay makes the next begin", usual, {{40}, {40}}, "0@0 1@40 end@80"},
        {"a slow one gets company after the delay", usual, {{-1}, {10}}, "0@0 1@250 t0@30000 end@30000"},
        {"each begins a delay after the one before", usual, {{-1}, {-1}, {-1}, {0}},
            "0@0 1@250 2@500 3@750 t0@30000 t1@30250 t2@30500 end@30500"},
        {"a failure in between moves the next one up, and the delay counts from then", quick, {{-1}, {30}, {-1}, {0}},
            "0@0 1@100 2@130 3@230 t0@1000 t2@1130 end@1130"},
        {"a limit shorter than the delay", connect_options().address_limit(50ms), {{-1}, {-1}},
            "0@0 t0@50 1@50 t1@100 end@100"},
        {"an old attempt's failure also moves the next one up", quick, {{150}, {-1}, {0}},
            "0@0 1@100 2@150 t1@1100 end@1100"},
    };
    for (const auto& row : rows)
        EXPECT_EQ(play(row), row.expected) << row.what;
}

TEST(io_connect_schedule, options_that_make_no_sense_are_refused) {
    EXPECT_THROW(connect_options().attempt_delay(9ms), std::invalid_argument);
    EXPECT_THROW(connect_options().attempt_delay(-1s), std::invalid_argument);
    EXPECT_THROW(connect_options().address_limit(0s), std::invalid_argument);
    EXPECT_EQ(connect_options().attempt_delay(10ms).attempt_delay(), 10ms);
    connect_schedule forever(1, connect_options().address_limit(std::chrono::nanoseconds::max()));
    static_cast<void>(forever.next(1h));
    EXPECT_TRUE(forever.runs(0));
}

address four(const char* text) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    ::inet_pton(AF_INET, text, &name.sin_addr);
    return address(&name, sizeof name);
}

address six(const char* text) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, text, &name.sin6_addr);
    return address(&name, sizeof name);
}

TEST(io_connect_schedule, families_take_turns_and_keep_their_order) {
    const auto hosts = [](std::vector<address> all) {
        std::string said;
        for (const auto& a : muster::io::with_alternating_families(std::move(all)))
            said += a.host() + ' ';
        return said;
    };
    EXPECT_EQ(hosts({}), "");
    EXPECT_EQ(hosts({four("1.0.0.1")}), "1.0.0.1 ");
    EXPECT_EQ(hosts({four("1.0.0.1"), four("1.0.0.2")}), "1.0.0.1 1.0.0.2 ");
    EXPECT_EQ(hosts({six("::1"), six("::2"), six("::3"), four("1.0.0.1")}), "::1 1.0.0.1 ::2 ::3 ");
    EXPECT_EQ(
        hosts({four("1.0.0.1"), six("::1"), six("::2"), four("1.0.0.2"), six("::3")}), "1.0.0.1 ::1 1.0.0.2 ::2 ::3 ");
}

} // namespace
