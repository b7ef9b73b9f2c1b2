// SPDX-License-Identifier: MIT
// The program of docs/guide/testing.md: coroutines that wait are tested on a virtual clock, one is stopped at a certain
// time, a deadlock is an error that can be checked, and a body is cancelled at each place where it waits. The checks
// print a line; in a test they would be assertions of the test framework.

#include <muster/muster.hpp>
#include <muster/testing/faults.hpp>
#include <muster/testing/manual_loop.hpp>

#include <fmt/core.h>

#include <chrono>
#include <string>

using namespace std::chrono_literals;
using muster::testing::manual_loop;

// [subject]
/// Sends a heartbeat each minute; ends, as failed, if one takes longer than ten seconds.
class heart {
public:
    explicit heart(std::chrono::seconds takes) : takes_(takes) {}
    int beats() const { return beats_; }

    muster::task<> beat() {
        while (true) {
            co_await muster::wait_for(muster::sleep_for(takes_), 10s); // stands for a request
            ++beats_;
            co_await muster::sleep_for(1min);
        }
    }

private:
    std::chrono::seconds takes_;
    int beats_ = 0;
};
// [/subject]

void check(const char* what, bool holds) { fmt::print("{}: {}\n", what, holds ? "yes" : "NO"); }

// [exact]
void a_slow_heartbeat_fails_after_ten_seconds() {
    manual_loop loop;
    heart slow(30s);
    bool timed_out = false;
    try {
        loop.run(slow.beat());
    } catch (const muster::timeout_error&) {
        timed_out = true;
    }
    check("it fails", timed_out);
    check("after exactly ten seconds", loop.elapsed() == 10s);
}
// [/exact]

// [stepwise]
void a_heartbeat_comes_each_minute() {
    manual_loop loop;
    heart quick(1s);
    auto beating = loop.start(quick.beat(), "heart");
    loop.advance(1s);
    check("one beat after a second", quick.beats() == 1);
    loop.advance(1h);
    check("sixty in the first hour", quick.beats() == 60);
    beating.cancel();
    loop.run_ready();
    check("it stops when it is cancelled", beating.cancelled());
}
// [/stepwise]

// [deadlock]
void a_deadlock_is_an_error() {
    manual_loop loop;
    muster::event never_set;
    auto waits = [&never_set]() -> muster::task<> { co_await never_set.wait(); };
    try {
        loop.run(waits());
    } catch (const muster::deadlock_error& e) {
        check("one task waits", e.waiters().size() == 1);
        check("for an event", e.waiters().front().find("event::wait") != std::string::npos);
    }
}
// [/deadlock]

// [faults]
void permits_come_back_whatever_is_cancelled() {
    muster::semaphore permits(1);
    const auto guest = [&permits]() -> muster::task<> {
        auto permit = co_await permits.scoped_acquire();
        co_await muster::sleep_for(1s);
    };
    const auto body = [&guest]() -> muster::task<> { co_await muster::gather(guest(), guest()); };
    const auto result = muster::testing::cancel_at_each_suspension(body);
    check("nothing was found", result.clean());
    check("the permit is back", !permits.locked());
}
// [/faults]

int main() {
    a_slow_heartbeat_fails_after_ten_seconds();
    a_heartbeat_comes_each_minute();
    a_deadlock_is_an_error();
    permits_come_back_whatever_is_cancelled();
    check("every coroutine frame was freed", muster::testing::live_frames() == 0);
}
