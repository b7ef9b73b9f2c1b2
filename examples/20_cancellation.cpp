// SPDX-License-Identifier: MIT
// The program of docs/2_cancellation.md: a cancellation arrives once, it is counted, it says why, it can be held back,
// and the code that it ends may clean up. The loop's clock is virtual, so the hours below take no time.

#include <muster/muster.hpp>
#include <muster/testing/manual_loop.hpp>

#include <fmt/core.h>

#include <chrono>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// [asked]
muster::task<> worker() {
    try {
        co_await muster::sleep_for(1h);
    } catch (const muster::cancelled_error& e) { // no std::exception: catch (const std::exception&) lets it pass
        fmt::print("{}, by {}: {}\n", to_string(e.reason()), e.requested_by(), e.message());
        throw; // always, unless this task is the one that cancelled
    }
}

muster::task<> asked() {
    auto handle = muster::create_task(worker(), "worker");
    co_await muster::sleep_for(1s); // the worker waits now
    handle.cancel("the user has left");
    co_await muster::wait(std::vector(1, handle)); // until it has ended
    fmt::print("cancelled: {}\n", handle.cancelled());
}
// [/asked]

// [once]
muster::task<> stubborn() {
    try {
        co_await muster::sleep_for(1h);
    } catch (const muster::cancelled_error&) {
        fmt::print("asked {} time(s) to stop\n", muster::this_task::cancelling());
        fmt::print("and after uncancel() {} time(s)\n", muster::this_task::uncancel());
    }
    co_await muster::sleep_for(1s); // not interrupted: the request was delivered
}

muster::task<> once() {
    auto handle = muster::create_task(stubborn());
    co_await muster::sleep_for(1s);
    handle.cancel();
    co_await handle;
    fmt::print("cancelled: {}\n", handle.cancelled());
}
// [/once]

// [cleanup]
muster::task<> say(std::string_view what) {
    co_await muster::sleep_for(1s); // stands for a message to a database
    fmt::print("{}\n", what);
}

muster::task<> transaction() {
    auto body = []() -> muster::task<> { co_await muster::sleep_for(1h); };
    auto cleanup = [](const muster::outcome<>& ended) -> muster::task<> {
        co_await say(ended.succeeded() ? "commit" : "roll back");
    };
    co_await muster::with_cleanup(body, cleanup);
}

muster::task<> cleaned_up() {
    auto handle = muster::create_task(transaction());
    co_await muster::sleep_for(1s);
    handle.cancel();
    co_await muster::wait(std::vector(1, handle));
    fmt::print("cancelled: {}\n", handle.cancelled());
}
// [/cleanup]

// [hold]
muster::task<> pay() {
    co_await muster::hold_cancellation(say("paid, to the end"));
    fmt::print("the request is still due\n");
    co_await muster::sleep_for(1h); // it ends here
}

muster::task<> held() {
    auto handle = muster::create_task(pay());
    co_await muster::sleep_for(500ms);
    handle.cancel();
    co_await muster::wait(std::vector(1, handle));
    fmt::print("cancelled: {}\n", handle.cancelled());
}
// [/hold]

// [shield]
muster::task<> wait_for_mail(muster::task_handle<> mail) { co_await muster::shield(mail); }

muster::task<> shielded() {
    auto mail = muster::create_task(say("sent"));
    auto waiting = muster::create_task(wait_for_mail(mail));
    co_await muster::sleep_for(500ms);
    waiting.cancel();
    co_await muster::wait(std::vector(1, waiting));
    fmt::print("the waiter was cancelled: {}; the mail has ended: {}\n", waiting.cancelled(), mail.done());
    co_await mail;
}
// [/shield]

// [timeout]
muster::task<> limits() {
    auto body = [](muster::timeout_scope& scope) -> muster::task<> {
        co_await muster::sleep_for(1s);
        scope.reschedule(muster::loop_clock::now() + 5s); // there is progress: five more seconds
        co_await muster::sleep_for(1h);
    };
    try {
        co_await muster::timeout(2s, body);
    } catch (const muster::timeout_error& e) { // an error, and no cancellation
        fmt::print("{}; asked to stop: {}\n", e.what(), muster::this_task::cancelling());
    }
}
// [/timeout]

// [circle]
struct couple {
    muster::task_handle<> first;
    muster::task_handle<> second;
};

muster::task<> wait_for_second(const couple& both) { co_await both.second; }
muster::task<> wait_for_first(const couple& both) { co_await both.first; }

muster::task<> circle() {
    couple both;
    both.first = muster::create_task(wait_for_second(both));
    both.second = muster::create_task(wait_for_first(both));
    co_await muster::sleep_for(1s); // each waits for the other
    both.first.cancel();
    co_await muster::sleep_for(1s);
    fmt::print("cancelled: {} and {}\n", both.first.cancelled(), both.second.cancelled());
}
// [/circle]

// [as_outcome]
muster::task<> looks_first() {
    auto ended = co_await muster::as_outcome(say("never printed"));
    fmt::print("{}\n", to_string(ended));
    co_await muster::sleep_for(1h); // the request is still due, and ends this wait
}

muster::task<> not_used_up() {
    auto handle = muster::create_task(looks_first());
    co_await muster::sleep_for(500ms);
    handle.cancel();
    co_await muster::wait(std::vector(1, handle));
    fmt::print("cancelled: {}\n", handle.cancelled());
}
// [/as_outcome]

// [droppable]
muster::droppable_task<> sensor() { co_await muster::sleep_for(24h); }

muster::task<> many_sensors() {
    muster::task_group group;
    auto body = [&group]() -> muster::task<> {
        for (int i = 0; i != 1000; ++i)
            group.create_task(muster::task<>(sensor()));
        co_await muster::sleep_for(1s);
        group.cancel(); // a thousand frames are destroyed, and nothing is thrown
    };
    co_await group.run(body);
    fmt::print("still running: {}\n", group.running());
}
// [/droppable]

void show(const char* title, muster::task<> program) {
    fmt::print("--- {}\n", title);
    muster::testing::manual_loop loop;
    loop.run(std::move(program));
    fmt::print("({} s)\n", loop.elapsed() / 1s);
}

int main() {
    show("asked", asked());
    show("once", once());
    show("cleaned up", cleaned_up());
    show("held", held());
    show("shielded", shielded());
    show("time limit", limits());
    show("as an outcome", not_used_up());
    show("circle", circle());
    show("droppable", many_sensors());
}
