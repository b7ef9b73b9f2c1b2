// SPDX-License-Identifier: MIT
/// muster::postgres when something goes wrong at one place: a connection that leaves a statement behind, a row that
/// can't be changed, a database that says nothing, a server that loses a process. Each test is named after what was
/// lost.
#include <muster/event.hpp>
#include <muster/postgres.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include "postgres/schema.hpp"
#include "support/faulty_relay.hpp"
#include "support/queue_fixture.hpp"

namespace {

/// A value that must come: what hangs fails, and does not hang the test.
template <class T>
task<T> soon(muster::task_handle<T> handle) {
    auto waiting = muster::wait_for(value_of(handle), 30s);
    if constexpr (std::is_void_v<T>) {
        co_await std::move(waiting);
    } else {
        auto value = co_await std::move(waiting);
        co_return value;
    }
}

template <class T>
task<muster::outcome<T>> outcome_soon(muster::task_handle<T> handle) {
    auto waiting = soon(handle);
    auto ended = co_await muster::as_outcome(std::move(waiting));
    EXPECT_FALSE(ended.template failed_with<muster::timeout_error>()) << "it has not ended in 30 s";
    co_return ended;
}

/// What a worker says of itself.
class heard_events {
public:
    [[nodiscard]] std::function<void(const std::string&)> listener() {
        return [this](const std::string& what) { all_ += what + "\n"; };
    }
    [[nodiscard]] bool has(const std::string& what) const { return all_.find(what) != std::string::npos; }

private:
    std::string all_;
};

constexpr const char* one_key = "0192f0c1-7a3e-7b1c-9d53-3f1d2a9c55e0";

} // namespace

// ---- statements that come late, or twice ----

TEST_F(a_queue, gives_no_call_to_a_connection_that_its_worker_has_left) {
    faulty_relay relay(socket());
    heard_events heard;
    const auto body = [&]() -> task<> {
        auto options = postgres::worker_options(relay.address()).schema(schema_).slots(1).look_every(5s).lease(60s);
        auto serving = muster::create_task(postgres::serve(options.on_event(heard.listener()), handlers()), "worker");
        // The worker sleeps for seconds once it has looked for dead ones, and takes a step when it wakes up.
        const auto asleep = in_schema("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query = 'SELECT "
                                      "@.reap()' AND clock_timestamp() - state_change > interval '300 milliseconds'");
        co_await until([&] { return sql(asleep) == "1"; });
        // The next step, which wants a call, gets no further than here.
        relay.hold();
        sql(in_schema("NOTIFY @_work"));
        co_await until([&] { return relay.held_bytes() != 0; });
        relay.serve_new_ones();
        relay.lose_clients();
        co_await until([&] { return heard.has("is back as worker"); });
        postgres::executor queue(client());
        auto first = muster::start_in_executor(queue, hang(1));
        co_await until([] { return started.size() == 1; });
        auto second = muster::start_in_executor(queue, note(2));
        co_await until([&] { return count_calls("state = 0") == "1"; });
        const auto sessions = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND "
                              "classid::bigint = (hashtext('muster queue @')::bigint & 4294967295)";
        EXPECT_EQ(sql(in_schema(sessions)), "2");
        relay.let_go();
        co_await until([&] { return sql(in_schema(sessions)) == "1"; });
        EXPECT_EQ(count_calls("state = 0"), "1");
        first.cancel();
        auto twice = co_await soon(second);
        EXPECT_EQ(twice, 4);
        EXPECT_EQ(started, (std::vector<int>{1, 2}));
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, refuses_every_statement_of_an_old_session) {
    const connection before;
    const connection after;
    EXPECT_EQ(before.value(in_schema("SELECT @.announce('here', 1, 1, 60000, '{note}', '{s}', repeat('x', 32))")), "1");
    EXPECT_EQ(before.value(in_schema("SELECT count(*) FROM @.exchange(1, 1, '{}', '{}', '{}', 1, 1000)")), "0");
    EXPECT_EQ(after.value(in_schema("SELECT @.resume(1, 2, repeat('x', 32))")), "t");
    const std::string refused = "08003";
    for (const auto* statement : {"SELECT count(*) FROM @.exchange(1, #, '{}', '{}', '{}', 1, 1000)",
             "SELECT count(*) FROM @.held(1, #)", "SELECT @.release(1, #, '{}', '{}')", "SELECT @.drain(1, #)",
             "SELECT @.leave(1, #)", "SELECT @.resume(1, #, repeat('x', 32))"}) {
        const auto with = [&](const char* session) {
            auto text = in_schema(statement);
            return text.replace(text.find('#'), 1, session);
        };
        EXPECT_EQ(before.value(with("1")), refused) << statement;
        // A session that somebody else plays.
        EXPECT_EQ(before.value(with("2")), refused) << statement;
        EXPECT_EQ(after.value(with("1")), refused) << statement;
    }
    EXPECT_EQ(after.value(in_schema("SELECT count(*) FROM @.exchange(1, 2, '{}', '{}', '{}', 1, 1000)")), "0");
}

TEST_F(a_queue, numbers_claims_so_that_a_late_hand_back_is_not_taken_for_part_of_the_next) {
    const connection own;
    const auto say = [&](std::string text) { return own.value(in_schema(text)); };
    const auto key = "ARRAY['" + std::string(one_key) + "']::uuid[]";
    EXPECT_EQ(
        say("SELECT verdict FROM @.submit('c', " + key + ", '{note}', '{s}', '{x}', '{0}', '{0}', '{1}', '{60}')"),
        "taken");
    EXPECT_EQ(say("SELECT @.announce('here', 1, 1, 60000, '{note}', '{s}', repeat('x', 32))"), "1");
    const auto exchange = "SELECT claim FROM @.exchange(1, 1, '{}', '{}', '{}', 1, 1000)";
    const auto release = "SELECT @.release(1, 1, " + key + ", '{1}')";
    EXPECT_EQ(say(exchange), "1");
    EXPECT_EQ(say(release), "1");
    EXPECT_EQ(say(exchange), "2");
    EXPECT_EQ(say("SELECT attempt FROM @.call"), "1");
    EXPECT_EQ(say(release), "0");
    EXPECT_EQ(say("SELECT state FROM @.call"), "1");
}

// ---- one bad row among many ----

TEST_F(a_queue, ends_the_calls_of_dead_workers_though_one_of_them_can_not_be_ended_as_usual) {
    const auto file = new_file();
    worker_process dying(schema_, file);
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<muster::task_handle<int>> handles;
        for (int n = 0; n != 4; ++n)
            handles.push_back(muster::start_in_executor(queue, submission(hang(n)).priority(n)));
        co_await until([&] { return lines_of(file).size() == 4; });
        // A time that no timestamp holds.
        sql(in_schema("UPDATE @.call SET keep = interval '300000 years' WHERE priority = 2"));
        dying.end(SIGKILL);
        for (auto& h : handles) {
            auto ended = co_await outcome_soon(h);
            EXPECT_TRUE(ended.failed_with<postgres::worker_died_error>());
        }
    };
    muster::run(body());
}

TEST_F(a_queue, fails_only_the_call_that_the_database_refuses) {
    sql(in_schema(
        "CREATE FUNCTION @_unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.priority = 13 THEN "
        "RAISE EXCEPTION 'unlucky'; END IF; RETURN NEW; END $$; CREATE TRIGGER unlucky BEFORE INSERT ON @.call "
        "FOR EACH ROW EXECUTE FUNCTION @_unlucky()"));
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<muster::task_handle<int>> handles;
        for (int n = 0; n != 40; ++n)
            handles.push_back(muster::start_in_executor(queue, submission(note(n)).priority(n)));
        auto serving = start_worker();
        for (int n = 0; n != 40; ++n) {
            auto ended = co_await outcome_soon(handles[static_cast<std::size_t>(n)]);
            EXPECT_EQ(ended.succeeded(), n != 13) << n;
            if (n == 13) {
                EXPECT_TRUE(ended.failed_with<postgres::database_error>());
            }
        }
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, ends_a_call_whose_answer_the_database_refuses_and_keeps_its_worker) {
    // The values of these tests are shorter than any error.
    sql(in_schema("CREATE FUNCTION @_unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.priority = 13 AND "
                  "octet_length(NEW.answer) < 40 THEN RAISE EXCEPTION 'unlucky'; END IF; RETURN NEW; END $$; CREATE "
                  "TRIGGER unlucky BEFORE UPDATE ON @.call FOR EACH ROW EXECUTE FUNCTION @_unlucky()"));
    const auto body = [&]() -> task<> {
        auto serving = start_worker(20);
        postgres::executor queue(client());
        std::vector<muster::task_handle<int>> handles;
        for (int n = 0; n != 20; ++n)
            handles.push_back(muster::start_in_executor(queue, submission(note(n)).priority(n)));
        for (int n = 0; n != 20; ++n) {
            auto ended = co_await outcome_soon(handles[static_cast<std::size_t>(n)]);
            EXPECT_EQ(ended.succeeded(), n != 13) << n;
            if (n == 13) {
                EXPECT_NE(muster::describe(ended.error()).find("unlucky"), std::string::npos);
            }
        }
        EXPECT_EQ(sql(in_schema("SELECT count(*) FROM @.worker")), "1");
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

// ---- workers ----

TEST_F(a_queue, gets_a_slot_back_whose_call_was_cancelled_before_it_had_begun) {
    const auto cancel_the_next = []() -> task<> {
        // A call's task is cancelled in the round of the loop in which it was made, before its first step.
        for (int i = 0; i != 1000; ++i) {
            for (const auto& t : muster::all_tasks())
                if (t.name() == "call of note") {
                    t.cancel();
                    co_return;
                }
            co_await muster::yield();
        }
    };
    auto mine = handlers();
    mine["hang"] = [&](nlohmann::json) -> task<nlohmann::json> {
        auto cancelling = muster::create_task(cancel_the_next(), "cancels the next");
        static_cast<void>(cancelling);
        co_return 0;
    };
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        auto first = muster::start_in_executor(queue, submission(hang(1)).priority(2));
        auto second = muster::start_in_executor(queue, submission(note(2)).priority(1));
        co_await until([&] { return count_calls("state = 0") == "2"; });
        auto serving = muster::create_task(postgres::serve(worker(1).ahead(1), mine), "worker");
        static_cast<void>(co_await soon(first));
        auto ended = co_await outcome_soon(second);
        EXPECT_TRUE(ended.was_cancelled());
        EXPECT_TRUE(started.empty()) << "the call has begun before it was cancelled";
        auto third = muster::start_in_executor(queue, note(3));
        auto six = co_await soon(third);
        EXPECT_EQ(six, 6);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, has_no_call_run_past_the_lease_however_slowly_its_worker_comes_back) {
    faulty_relay relay(socket());
    std::string order;
    auto slow = handlers();
    slow["hang"] = [&](nlohmann::json) -> task<nlohmann::json> {
        order += "began ";
        const struct at_end {
            std::string& to;
            ~at_end() { to += "ended "; }
        } end{order};
        co_await muster::sleep_for(1h);
        co_return 0;
    };
    auto other = handlers();
    other["hang"] = [&](nlohmann::json) -> task<nlohmann::json> {
        order += "again ";
        co_return 0;
    };
    const auto body = [&]() -> task<> {
        auto options = postgres::worker_options(relay.address()).schema(schema_).slots(1).look_every(50ms).lease(2s);
        auto first = muster::create_task(postgres::serve(options, slow), "first worker");
        // With so long a grace the server takes the worker's session for alive all the while, so that only the lease
        // can tell that the worker is gone.
        sql(in_schema("UPDATE @.setting SET session_grace = interval '1 hour'"));
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, submission(hang(1)).starts(2));
        co_await until([&] { return order == "began "; });
        auto second = muster::create_task(postgres::serve(worker(1), other), "second worker");
        // Each answer comes in time, and all of them together take longer than the lease.
        relay.slow_down(900ms);
        relay.lose_clients();
        static_cast<void>(co_await soon(handle));
        EXPECT_TRUE(order.starts_with("began ended again")) << order;
        auto stopping = stop(second);
        co_await std::move(stopping);
        auto stopping_too = stop(first);
        co_await std::move(stopping_too);
    };
    muster::run(body());
}

TEST_F(a_queue, takes_what_a_leaving_worker_has_finished_though_something_else_still_runs) {
    faulty_relay relay(socket());
    const auto body = [&]() -> task<> {
        muster::event finish;
        bool has_finished = false;
        auto mine = handlers();
        mine["note"] = [&](nlohmann::json) -> task<nlohmann::json> {
            co_await finish.wait();
            has_finished = true;
            co_return 42;
        };
        auto options = postgres::worker_options(relay.address()).schema(schema_).slots(2).look_every(50ms).lease(60s);
        auto serving = muster::create_task(postgres::serve(options.drain_limit(500ms), mine), "worker");
        postgres::executor queue(client());
        auto hanging = muster::start_in_executor(queue, hang(1));
        auto finished = muster::start_in_executor(queue, note(2));
        co_await until([&] { return count_calls("state = 1") == "2" && started.size() == 1; });
        relay.hold();
        co_await until([&] { return relay.held_bytes() != 0; });
        finish.set();
        co_await until([&] { return has_finished; });
        serving.cancel();
        co_await muster::sleep_for(700ms); // past the time for leaving, while a step is still on its way
        relay.let_go();
        auto value = co_await soon(finished);
        EXPECT_EQ(value, 42);
        auto ended = co_await outcome_soon(hanging);
        EXPECT_TRUE(ended.failed_with<postgres::worker_died_error>());
        auto leaving = end_of(serving);
        static_cast<void>(co_await muster::as_outcome(std::move(leaving)));
    };
    muster::run(body());
}

TEST_F(a_queue, refuses_a_result_that_is_larger_than_its_limit) {
    sql(in_schema("UPDATE @.setting SET payload_limit = 1000"));
    auto mine = handlers();
    mine["note"] = [](nlohmann::json) -> task<nlohmann::json> { co_return std::string(2000, 'x'); };
    const auto body = [&]() -> task<> {
        auto serving = muster::create_task(postgres::serve(worker(), mine), "worker");
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, note(1));
        auto ended = co_await outcome_soon(handle);
        EXPECT_TRUE(ended.failed_with<muster::wire_error>());
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

// ---- a database that says nothing ----

TEST_F(a_queue, keeps_nobody_waiting_who_cancels_or_stops_while_the_database_is_silent) {
    faulty_relay relay(socket());
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        // An hour's wait would be that of the whole test.
        auto options = postgres::executor_options(relay.address()).schema(schema_).look_every(50ms).answer_limit(1h);
        postgres::executor queue(options.on_unserved([](const std::string&, const std::string&) {}));
        auto cancelled = muster::start_in_executor(queue, hang(1));
        auto stopped = muster::start_in_executor(queue, hang(2));
        co_await until([] { return started.size() == 2; });
        relay.hold();
        co_await until([&] { return relay.held_bytes() != 0; });
        cancelled.cancel();
        auto ended = co_await outcome_soon(cancelled);
        EXPECT_TRUE(ended.was_cancelled());
        EXPECT_EQ(count_calls("state = 1"), "2");
        // Once the database answers, it hears of it.
        relay.let_go();
        co_await until([&] { return count_calls("how = 'cancelled' OR how = 'answer'") == "1"; });
        EXPECT_FALSE(stopped.done());
        relay.hold();
        co_await until([&] { return relay.held_bytes() != 0; });
        queue.stop();
        auto ended_too = co_await outcome_soon(stopped);
        EXPECT_TRUE(ended_too.was_cancelled());
        EXPECT_EQ(count_calls("state = 1"), "1");
        auto leaving = muster::wait_for(stop(serving), 60s);
        sql(in_schema("UPDATE @.call SET stop = true"));
        co_await std::move(leaving);
    };
    muster::run(body());
}

// ---- the server ----

TEST_F(a_queue, takes_no_worker_for_dead_after_the_server_has_lost_a_process) {
    const auto file = new_file();
    worker_process away(schema_, file, 4, 60s);
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, hang(1));
        co_await until([&] { return lines_of(file).size() == 1; });
        // The worker is slow to come back.
        away.signal(SIGSTOP);
        {
            const connection lost;
            EXPECT_TRUE(lost.kill_server_process());
            co_await until([&] { return lost.value("SELECT 1") != "1"; });
        }
        // Everybody's session is gone now, and the server was not started anew.
        co_await until(
            [&] { return sql(in_schema("SELECT quiet_until > now() - interval '1 hour' FROM @.setting")) == "t"; });
        away.signal(SIGCONT);
        co_await until([&] { return sql(in_schema("SELECT session > 1 FROM @.worker")) == "t"; });
        co_await until([&] { return sql(in_schema("SELECT quiet_until < now() FROM @.setting")) == "t"; });
        EXPECT_EQ(sql(in_schema("SELECT count(*) FROM @.worker WHERE state = 0")), "1");
        EXPECT_EQ(count_calls("state = 1"), "1");
        handle.cancel();
        auto ended = co_await outcome_soon(handle);
        EXPECT_TRUE(ended.was_cancelled());
    };
    muster::run(body());
}

TEST_F(a_queue, relies_on_no_setting_that_somebody_may_have_changed) {
    sql(in_schema(
        "CREATE TABLE @_seen (what text); CREATE FUNCTION @_see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.@_seen VALUES (current_setting('transaction_isolation') || ' ' || "
        "current_setting('statement_timeout') || ' ' || current_setting('synchronous_commit')); RETURN NEW; "
        "END $$; CREATE TRIGGER see BEFORE INSERT OR UPDATE ON @.call FOR EACH ROW EXECUTE FUNCTION @_see()"));
    sql("ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'");
    sql("ALTER DATABASE postgres SET statement_timeout = '30s'");
    sql("ALTER DATABASE postgres SET idle_session_timeout = '100ms'");
    sql("ALTER DATABASE postgres SET synchronous_commit = 'off'");
    sql("ALTER DATABASE postgres SET client_encoding = 'LATIN1'");
    sql("ALTER DATABASE postgres SET default_transaction_deferrable = 'on'");
    heard_events heard;
    const auto body = [&]() -> task<> {
        auto serving = muster::create_task(
            postgres::serve(worker().look_every(1s).on_event(heard.listener()), handlers()), "worker");
        postgres::executor queue(client());
        auto twice = co_await soon(muster::start_in_executor(queue, note(1)));
        EXPECT_EQ(twice, 2);
        co_await muster::sleep_for(300ms);
        auto again = co_await soon(muster::start_in_executor(queue, note(2)));
        EXPECT_EQ(again, 4);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    sql("ALTER DATABASE postgres RESET ALL");
    EXPECT_FALSE(heard.has("tries to connect again")) << "a session that rested was ended";
    EXPECT_EQ(sql(in_schema("SELECT string_agg(DISTINCT what, ', ') FROM @_seen")), "read committed 0 on");
}

// ---- steps that are too large ----

TEST_F(a_queue, gives_and_takes_no_more_bytes_at_once_than_a_step_has) {
    const connection own;
    const auto say = [&](std::string text) { return own.value(in_schema(text)); };
    sql(in_schema(
        "INSERT INTO @.call (key, function, signature, digest, payload, priority, due_at, starts, keep, client) "
        "SELECT gen_random_uuid(), 'note', 's', '', repeat('x', 1000)::bytea, 10 - n, now(), 1, '1 hour', 'c' "
        "FROM generate_series(1, 5) n"));
    EXPECT_EQ(say("SELECT @.announce('here', 1, 1, 60000, '{note}', '{s}', repeat('x', 32))"), "1");
    const auto exchange = "SELECT count(*) FROM @.exchange(1, 1, '{}', '{}', '{}', 100, 1500)";
    EXPECT_EQ(say(exchange), "2");
    EXPECT_EQ(say("SELECT string_agg(priority::text, ' ' ORDER BY priority DESC) FROM @.call WHERE state = 1"), "9 8");
    EXPECT_EQ(say(exchange), "2");
    EXPECT_EQ(say(exchange), "1");
    EXPECT_EQ(say(exchange), "0");
    sql(in_schema("UPDATE @.call SET state = 2, how = 'answer', answer = payload"));
    const auto fetch = "SELECT string_agg(later::text || ' ' || coalesce(length(answer), 0), ', ') FROM "
                       "@.fetch((SELECT array_agg(key) FROM @.call), 1500)";
    EXPECT_EQ(say(fetch), "false 1000, false 1000, true 0, true 0, true 0");
    EXPECT_EQ(say("SELECT count(*) FROM @.fetch((SELECT array_agg(key) FROM @.call), 1) WHERE NOT later"), "1");
}

TEST_F(a_queue, loses_no_lease_to_many_calls_and_answers_that_together_take_longer_than_it) {
    faulty_relay::faults slow;
    slow.rate = 2e6;
    const faulty_relay relay(socket(), slow);
    heard_events heard;
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<muster::task_handle<std::string>> handles;
        for (std::size_t n = 0; n != 18; ++n)
            handles.push_back(muster::start_in_executor(queue, give_back(std::string(500'000 + n, 'x'))));
        co_await until([&] { return count_calls("state = 0") == "18"; });
        // All of them on their way to the worker, or back, take 4.5 s.
        auto options = postgres::worker_options(relay.address()).schema(schema_).slots(18).look_every(50ms);
        options.lease(4s).on_event(heard.listener());
        auto serving = muster::create_task(postgres::serve(options, handlers()), "worker");
        for (std::size_t n = 0; n != handles.size(); ++n) {
            auto back = co_await soon(handles[n]);
            EXPECT_EQ(back.size(), 500'000 + n);
        }
        EXPECT_FALSE(heard.has("dead") || heard.has("again") || heard.has("lease"));
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, passes_on_more_than_one_step_holds) {
    auto mine = handlers();
    mine["measure"] = [](nlohmann::json arguments) -> task<nlohmann::json> {
        co_return arguments.at(0).get<std::string>().size();
    };
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<muster::task_handle<std::size_t>> handles;
        for (std::size_t n = 0; n != 6; ++n)
            handles.push_back(muster::start_in_executor(queue, measure(std::string((std::size_t{3} << 20) + n, 'x'))));
        co_await until([&] { return count_calls("state = 0") == "6"; });
        auto serving = muster::create_task(postgres::serve(worker(6), mine), "worker");
        for (std::size_t n = 0; n != 6; ++n) {
            auto size = co_await soon(handles[n]);
            EXPECT_EQ(size, (std::size_t{3} << 20) + n);
        }
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, forgets_what_is_due_however_much_it_is) {
    sql(in_schema(
        "INSERT INTO @.call (key, function, signature, digest, payload, priority, due_at, starts, keep, client, "
        "state, how, answer, expires_at) SELECT gen_random_uuid(), 'note', 's', '', '', 0, now(), 1, '1 hour', "
        "'c', 2 + n % 2, 'answer', 'x', now() - n % 2 * interval '40 days' - interval '1 second' "
        "FROM generate_series(1, 25000) n"));
    sql(in_schema("UPDATE @.setting SET purged_at = now() - interval '1 hour'"));
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        co_await until([&] { return count_calls("true") == "12500"; });
        co_await until([&] { return count_calls("state = 3 AND answer IS NULL") == "12500"; });
        // Meanwhile it serves.
        postgres::executor queue(client());
        auto twice = co_await soon(muster::start_in_executor(queue, note(1)));
        EXPECT_EQ(twice, 2);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

// ---- two databases of one server, which share its roles ----

TEST_F(a_queue, shares_its_roles_with_the_other_databases_of_the_server_which_are_kept_apart_by_who_may_connect) {
    EXPECT_EQ(sql(in_schema("CREATE DATABASE @_other")), "");
    const auto other = "host=" + server->folder() + " dbname=" + schema_ + "_other user=";
    muster::run(postgres::init(other + "postgres", schema_));
    sql(in_schema("CREATE ROLE @_c LOGIN IN ROLE @_client"));
    const auto body = [&]() -> task<> {
        auto serving = muster::create_task(
            postgres::serve(postgres::worker_options(other + "postgres").schema(schema_).slots(1), handlers()),
            "worker");
        const auto as_client = postgres::executor_options(other + schema_ + "_c").schema(schema_);
        {
            postgres::executor queue(as_client);
            auto twice = co_await soon(muster::start_in_executor(queue, note(1)));
            EXPECT_EQ(twice, 2);
        }
        sql(in_schema("REVOKE CONNECT ON DATABASE @_other FROM PUBLIC"));
        {
            postgres::executor queue(as_client);
            auto refused = co_await outcome_soon(muster::start_in_executor(queue, note(1)));
            EXPECT_TRUE(refused.failed_with<postgres::unreachable_error>());
        }
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

int main(int argc, char** argv) { return queue_test_main(argc, argv); }
