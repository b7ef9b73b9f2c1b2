// SPDX-License-Identifier: MIT
// No request waits for ever: the queue in front of libcurl, and the limits of each phase.
#include "support/http_fixture.hpp"

#include "http/admission.hpp"
#include "http/phase_clock.hpp"

#include <muster/gather.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace {

class http_waiting : public http_client {
protected:
    template <class E>
    static std::string problem_of(const muster::outcome<E>& ended) {
        const auto* error = ended.template error_as<http::timeout_error>();
        return error != nullptr ? error->problem() : muster::to_string(ended);
    }
};

// ---- the queue, without a loop ----

struct ticket : http::admission::ticket {
    std::string name;
};

std::string next_of(http::admission& queue) {
    auto* t = queue.admit_next();
    return t != nullptr ? static_cast<ticket*>(t)->name : "";
}

TEST(http_admission, is_first_come_first_served_for_each_server_and_holds_nobody_up_for_another_server) {
    http::admission queue(1, 3);
    std::deque<ticket> all(7);
    const std::vector<std::string> servers{"a", "a", "a", "b", "b", "c", "d"};
    std::vector<std::string> gone;
    for (std::size_t i = 0; i != all.size(); ++i) {
        all[i].name = servers[i] + std::to_string(i);
        if (queue.enter(all[i], servers[i]))
            gone.push_back(all[i].name);
    }
    EXPECT_EQ(gone, (std::vector<std::string>{"a0", "b3", "c5"}));
    EXPECT_EQ(queue.waiting(), 4u);
    EXPECT_EQ(next_of(queue), "");
    queue.leave(all[3]); // b is free, and has waited less than a, which is not
    EXPECT_EQ(next_of(queue), "b4");
    queue.leave(all[1]); // a waiter that gives up
    queue.leave(all[0]);
    EXPECT_EQ(next_of(queue), "a2");
    EXPECT_EQ(next_of(queue), "");
    queue.leave(all[5]);
    EXPECT_EQ(next_of(queue), "d6");
    EXPECT_EQ(queue.admitted(), 3u);
    for (auto& t : all)
        queue.leave(t);
    EXPECT_EQ(queue.admitted() + queue.waiting(), 0u);
}

TEST(http_admission, serves_in_the_order_of_arrival_under_a_limit_in_all) {
    http::admission queue(0, 1);
    std::deque<ticket> all(6);
    std::size_t at_once = 0;
    for (std::size_t i = 0; i != all.size(); ++i) {
        all[i].name = std::to_string(i);
        at_once += queue.enter(all[i], i % 2 == 0 ? "even" : "odd") ? 1 : 0;
    }
    EXPECT_EQ(at_once, 1u);
    for (std::size_t i = 0; i + 1 != all.size(); ++i) {
        queue.leave(all[i]);
        EXPECT_EQ(next_of(queue), std::to_string(i + 1));
    }
    queue.leave(all.back());
}

TEST(http_admission, without_limits_everything_goes_at_once) {
    http::admission queue(0, 0);
    std::deque<ticket> all(100);
    for (auto& t : all)
        EXPECT_TRUE(queue.enter(t, ""));
    for (auto& t : all)
        queue.leave(t);
    EXPECT_EQ(queue.admitted(), 0u);
}

// ---- the clock, without a loop ----

TEST(http_phase_clock, each_phase_has_its_limit_and_the_text_names_the_option) {
    http::phase_limits limits;
    limits.total = 1s;
    limits.each = {10ms, 20ms, 30ms, 40ms};
    const std::array<http::waits_for, 4> phases{
        http::waits_for::admission, http::waits_for::connection, http::waits_for::first_byte, http::waits_for::more};
    const std::array<const char*, 4> options{
        "(wait_timeout)", "(connect_timeout)", "(first_byte_timeout)", "(idle_timeout)"};
    for (std::size_t i = 0; i != phases.size(); ++i) {
        http::phase_clock clock;
        clock.begin(limits, 5ms);
        clock.enter(phases[i], 100ms);
        EXPECT_EQ(clock.next(), 100ms + limits.each[i]);
        EXPECT_FALSE(clock.phase_is_over(99ms + limits.each[i]));
        EXPECT_TRUE(clock.phase_is_over(100ms + limits.each[i]));
        EXPECT_NE(clock.text(100ms + limits.each[i]).find(options[i]), std::string::npos);
        clock.progress(110ms);
        EXPECT_FALSE(clock.phase_is_over(100ms + limits.each[i]));
        EXPECT_TRUE(clock.all_is_over(1005ms));
        EXPECT_NE(clock.text(1005ms).find("(timeout)"), std::string::npos);
    }
    http::phase_clock none;
    none.begin({}, 0ms);
    EXPECT_EQ(none.next(), std::nullopt);
}

// ---- both, with servers ----

TEST_F(http_waiting, the_wait_for_a_connection_counts_towards_the_time_limit) {
    for (const bool in_all : {false, true}) {
        const auto body = [&](http::client& client) -> muster::task<> {
            auto stream = co_await client.open(http::request(url("/drip/1000/1000")));
            auto limited = http::request(url("/ok")).timeout(60ms);
            auto ended = co_await muster::as_outcome(client.send(std::move(limited)));
            EXPECT_NE(problem_of(ended).find("its turn"), std::string::npos) << problem_of(ended);
            auto other = co_await muster::as_outcome(client.get(url("/ok")));
            EXPECT_NE(problem_of(other).find("(wait_timeout)"), std::string::npos) << problem_of(other);
            co_await stream.close();
            auto reply = co_await client.get(url("/ok"));
            EXPECT_EQ(reply.status, 200);
        };
        http::client_options options;
        options.wait_timeout(150ms);
        in_all ? options.connections(1) : options.connections_per_host(1);
        run(body, options);
    }
}

TEST_F(http_waiting, no_request_is_overtaken_by_another_one_to_the_same_server) {
    std::mutex mutex;
    std::string order;
    const scripted_server server([&](const asked& a) {
        const std::lock_guard lock(mutex);
        order += a.head.substr(5, a.head.find(' ', 5) - 5) + ' ';
        return scripted_server::text("200 OK", "");
    });
    std::string expected;
    const auto body = [&](http::client& client) -> muster::task<> {
        std::vector<muster::task_handle<http::response>> all;
        for (int i = 0; i != 50; ++i) {
            expected += std::to_string(i) + ' ';
            all.push_back(muster::create_task(client.get(server.url("/" + std::to_string(i)))));
        }
        auto ended = co_await muster::settle(all);
        EXPECT_EQ(ended.succeeded(), 50u);
    };
    run(body, http::client_options().connections_per_host(1));
    EXPECT_EQ(order, expected);
}

TEST_F(http_waiting, a_request_that_is_cancelled_while_it_waits_leaves_its_place_to_the_next) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto first = muster::create_task(client.get(url("/slow/60")));
        auto second = muster::create_task(client.get(url("/ok")));
        auto third = muster::create_task(client.get(url("/ok")));
        co_await muster::sleep_for(20ms);
        EXPECT_EQ(client.statistics().waiting, 2u);
        EXPECT_EQ(client.statistics().under_way, 1u);
        second.cancel();
        std::vector<muster::task_handle<http::response>> all{first, second, third};
        auto ended = co_await muster::settle(all);
        EXPECT_EQ(ended.succeeded(), 2u);
        EXPECT_EQ(ended.cancelled(), 1u);
    };
    run(body, http::client_options().connections_per_host(1));
    EXPECT_EQ(server_.stats().requests, 2u);
}

TEST_F(http_waiting, a_server_that_does_not_begin_to_answer_ends_with_the_first_byte_timeout) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ended = co_await muster::as_outcome(client.get(url("/never")));
        EXPECT_NE(problem_of(ended).find("(first_byte_timeout)"), std::string::npos) << problem_of(ended);
    };
    run(body, http::client_options().first_byte_timeout(60ms));
}

TEST_F(http_waiting, a_body_that_was_sent_long_ago_does_not_count_as_the_begin_of_a_wait) {
    const auto body = [&](http::client& client) -> muster::task<> {
        // The total limit lies before the second end of the other one.
        auto waits = http::request(url("/never")).body("order").timeout(5900ms);
        auto ended = co_await muster::as_outcome(client.send(std::move(waits)));
        EXPECT_NE(problem_of(ended).find("(first_byte_timeout)"), std::string::npos) << problem_of(ended);
        auto short_of_time = http::request(url("/never")).body("order").timeout(300ms);
        auto late = co_await muster::as_outcome(client.send(std::move(short_of_time)));
        EXPECT_NE(problem_of(late).find("(timeout)"), std::string::npos) << problem_of(late);
        EXPECT_EQ(problem_of(late).find("for the last 0 ms"), std::string::npos) << problem_of(late);
    };
    run(body, http::client_options().first_byte_timeout(3s));
}

TEST_F(http_waiting, a_server_that_falls_silent_ends_with_the_idle_timeout_but_time_in_which_nobody_reads_does_not) {
    const scripted_server silent([](const asked& a) {
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
        if (a.has(" /silent "))
            return head + "begun";
        return head + std::string(300'000, 'x');
    });
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ended = co_await muster::as_outcome(client.get(silent.url("/silent")));
        EXPECT_NE(problem_of(ended).find("(idle_timeout)"), std::string::npos) << problem_of(ended);
        auto stream = co_await client.open(http::request(silent.url("/all")));
        co_await muster::sleep_for(400ms);
        auto all = co_await stream.read_all();
        EXPECT_EQ(all.size(), 300'000u);
    };
    run(body, http::client_options().idle_timeout(100ms));
}

TEST_F(http_waiting, an_idle_connection_that_its_server_closes_is_closed_while_no_request_asks_for_it) {
    // It does not say that it closes the connection.
    faulty_server server({.script = [](const muster::testing::faulty_request&) {
        using muster::testing::faulty_answer;
        return std::optional(faulty_answer(scripted_server::text("200 OK", "ok"), faulty_answer::ending::close));
    }});
    const auto body = [&](http::client& client) -> muster::task<> {
        const auto before = own_resources::open_descriptors();
        for (int round = 0; round != 2; ++round) {
            auto reply = co_await client.get(server.url("/"));
            EXPECT_EQ(reply.body, "ok");
            std::size_t open = 0;
            for (int i = 0; i != 400 && (open = own_resources::open_descriptors()) != before; ++i)
                co_await muster::sleep_for(50ms);
            EXPECT_EQ(open, before);
        }
    };
    run(body);
}

TEST_F(http_waiting, a_client_that_rests_on_one_loop_is_used_on_another_and_destroyed_on_a_third_thread) {
    auto client = std::make_unique<http::client>();
    const auto ask = [&]() -> muster::task<> {
        auto reply = co_await client->get(url("/ok"));
        EXPECT_EQ(reply.status, 200);
    };
    std::atomic<int> step{0};
    std::thread first([&] {
        const auto body = [&]() -> muster::task<> {
            auto asking = ask();
            co_await std::move(asking);
            step = 1;
            while (step != 2)
                co_await muster::sleep_for(5ms);
        };
        muster::run(body());
    });
    while (step != 1)
        std::this_thread::sleep_for(1ms);
    std::thread([&] { muster::run(ask()); }).join();
    std::thread([&] { client.reset(); }).join();
    step = 2;
    first.join();
}

} // namespace
