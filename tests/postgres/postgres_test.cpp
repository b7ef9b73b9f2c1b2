// SPDX-License-Identifier: MIT
/// muster::postgres against a server of this program's own. Workers are tasks in this process where that will do, and
/// this program itself where they are to be killed.
#include <muster/gather.hpp>
#include <muster/postgres.hpp>

#include "postgres/schema.hpp"
#include "support/own_resources.hpp"
#include "support/queue_fixture.hpp"

#include <algorithm>
#include <mutex>

namespace {

class price_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
const muster::remote_exception<price_error> price_errors("price_error");

// What processes of a worker's pool make.
const muster::remote_function add(
    "add", +[](int a, int b) { return a + b; });
const muster::remote_function refuse(
    "refuse", +[](const std::string& why) { throw price_error(why); });
const muster::remote_function crash(
    "crash", +[] { std::abort(); });
const muster::remote_function nobodys(
    "nobodys", +[](int n) { return n; });

} // namespace

// ---- without a server ----

TEST(a_call_key, is_read_as_it_is_written) {
    const auto key = call_key::make();
    EXPECT_EQ(call_key(key.text()), key);
    EXPECT_EQ(key.text()[14], '7');
    EXPECT_NE(call_key::make(), key);
    EXPECT_EQ(call_key("0192F0C17A3E7B1C9D533F1D2A9C55E0").text(), "0192f0c1-7a3e-7b1c-9d53-3f1d2a9c55e0");
    EXPECT_EQ(key.numbered(255).text().substr(24), "0000000000ff");
    for (const char* wrong :
        {"", "0192f0c1", "0192f0c1-7a3e-7b1c-9d53-3f1d2a9c55e00", "0192f0c1-7a3e-7b1c-9d53-3f1d2a9c55eg"})
        EXPECT_THROW(call_key{wrong}, std::invalid_argument) << wrong;
    EXPECT_THROW(static_cast<void>(key.numbered(std::uint64_t{1} << 48)), std::invalid_argument);
}

TEST(an_address, with_a_password_is_known_as_one) {
    EXPECT_TRUE(postgres::has_password("postgresql://user:secret@host/database"));
    EXPECT_TRUE(postgres::has_password("host=x password=secret"));
    EXPECT_FALSE(postgres::has_password("postgresql://user@host/database?sslmode=verify-full"));
    EXPECT_THROW(postgres::executor_options("postgres:/x=y"), std::invalid_argument);
    EXPECT_THROW(postgres::worker_options(""), std::invalid_argument);
    EXPECT_THROW(postgres::worker_options("dbname=x").look_every(6s), std::invalid_argument);
    EXPECT_THROW(postgres::worker_options("dbname=x").lease(1ms), std::invalid_argument);
    for (const char* wrong : {"", "a b", "1a", "pg_x", "A", "x;y"})
        EXPECT_THROW(postgres::executor_options("dbname=x").schema(wrong), std::invalid_argument) << wrong;
}

TEST(a_call, fails_when_no_database_is_there_in_time) {
    const auto calling = []() -> task<> {
        postgres::executor queue(postgres::executor_options("host=/nonexistent dbname=x").reconnect_limit(1ms));
        auto call = muster::run_in_executor(queue, add(1, 2)).as_task();
        auto called = co_await muster::as_outcome(std::move(call));
        EXPECT_TRUE(called.failed_with<postgres::unreachable_error>());
    };
    muster::run(calling());
}

// ---- what a call gives ----

TEST_F(a_queue, gives_values_and_typed_errors_and_deaths_of_processes) {
    const auto children = own_resources::children();
    const auto body = [&]() -> task<> {
        auto options = worker(2).functions({"add", "refuse", "crash"});
        auto serving = muster::create_task(postgres::serve(options), "worker");
        postgres::executor queue(client());
        auto sum = co_await muster::run_in_executor(queue, add(2, 40));
        EXPECT_EQ(sum, 42);
        auto refusing = muster::run_in_executor(queue, refuse("too dear")).as_task();
        auto refused = co_await muster::as_outcome(std::move(refusing));
        EXPECT_TRUE(refused.failed_with<price_error>());
        auto crashing = muster::run_in_executor(queue, crash()).as_task();
        auto crashed = co_await muster::as_outcome(std::move(crashing));
        EXPECT_TRUE(crashed.failed_with<muster::worker_died_error>());
        if (crashed.failed_with<muster::worker_died_error>()) {
            EXPECT_EQ(muster::get_if<muster::worker_died_error>(crashed.error())->signal(), SIGABRT);
        }
        auto handle = muster::start_in_executor(queue, add(1, 1));
        auto two = co_await handle;
        EXPECT_EQ(two, 2);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    EXPECT_EQ(own_resources::children(), children);
}

TEST_F(a_queue, is_mapped_over_as_a_pool_is) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker(20);
        postgres::executor queue(client().window(50));
        std::vector<int> numbers(200);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto call = [&](int n) { return muster::run_in_executor(queue, note(n)).as_task(); };
        auto outcomes = co_await muster::map(numbers, call).limit(100).settle();
        EXPECT_EQ(outcomes.succeeded(), 200u);
        for (int n = 0; n != 200; ++n)
            EXPECT_EQ(outcomes[static_cast<std::size_t>(n)].value(), 2 * n);
        std::sort(started.begin(), started.end());
        EXPECT_EQ(started, numbers);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, takes_no_call_that_is_larger_than_its_limit) {
    sql(in_schema("UPDATE @.setting SET payload_limit = 1000"));
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        postgres::executor queue(client());
        auto large = muster::run_in_executor(queue, measure(std::string(1000, 'x'))).as_task();
        auto refused = co_await muster::as_outcome(std::move(large));
        EXPECT_TRUE(refused.failed_with<muster::wire_error>());
        auto size = co_await muster::run_in_executor(queue, measure(std::string(900, 'x')));
        EXPECT_EQ(size, 900u);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

// ---- keys ----

TEST_F(a_queue, starts_a_key_once_and_keeps_its_one_outcome) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        const auto key = call_key::make();
        for (int i = 0; i != 3; ++i) {
            postgres::executor queue(client());
            auto twice = co_await muster::run_in_executor(queue, submission(note(21)).key(key));
            EXPECT_EQ(twice, 42);
        }
        EXPECT_EQ(started, std::vector<int>{21});
        postgres::executor queue(client());
        auto other = muster::run_in_executor(queue, submission(note(22)).key(key)).as_task();
        auto refused = co_await muster::as_outcome(std::move(other));
        EXPECT_TRUE(refused.failed_with<postgres::key_in_use_error>());
        EXPECT_EQ(started.size(), 1u);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, keeps_the_call_that_waits_when_another_with_its_key_is_refused) {
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        const auto key = call_key::make();
        auto first = muster::start_in_executor(queue, submission(note(21)).key(key));
        co_await muster::sleep_for(1ms);
        auto other = muster::run_in_executor(queue, submission(note(22)).key(key)).as_task();
        auto refused = co_await muster::as_outcome(std::move(other));
        EXPECT_TRUE(refused.failed_with<postgres::key_in_use_error>());
        auto serving = start_worker();
        auto value = co_await first;
        EXPECT_EQ(value, 42);
        EXPECT_EQ(started, std::vector<int>{21});
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, keeps_an_outcome_for_ever_if_it_is_asked_to) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        postgres::executor queue(client());
        const auto key = call_key::make();
        auto value =
            co_await muster::run_in_executor(queue, submission(note(21)).key(key).keep(std::chrono::seconds::max()));
        EXPECT_EQ(value, 42);
        auto again = co_await muster::run_in_executor(queue, submission(note(21)).key(key));
        EXPECT_EQ(again, 42);
        EXPECT_EQ(started, std::vector<int>{21});
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, answers_with_the_longest_name_that_it_takes) {
    const std::string name(30, 'q');
    const auto body = [&]() -> task<> {
        auto making = postgres::init(server->address(), name);
        co_await std::move(making);
        auto serving = muster::create_task(postgres::serve(worker().schema(name), handlers()), "worker");
        postgres::executor queue(client().schema(name));
        auto value = co_await muster::run_in_executor(queue, note(21));
        EXPECT_EQ(value, 42);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    EXPECT_THROW(client().schema(name + 'q'), std::invalid_argument);
}

TEST_F(a_queue, gives_a_client_that_comes_back_its_outcomes) {
    const auto body = [&]() -> task<> {
        const auto run = call_key::make();
        std::vector<int> numbers(60);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto all = [&](postgres::executor& queue) {
            const auto call = [&](int n) {
                return muster::run_in_executor(
                    queue, submission(note(n)).key(run.numbered(static_cast<std::uint64_t>(n))))
                    .as_task();
            };
            return muster::map(numbers, call).settle();
        };
        auto serving = start_worker(2);
        postgres::executor first(client());
        const auto halves = [&]() -> task<> {
            auto outcomes = co_await all(first);
            EXPECT_EQ(outcomes.failed(), 0u);
        };
        auto half = muster::create_task(halves(), "first client");
        co_await until([] { return started.size() > 10; });
        first.stop(); // nothing is said to the queue
        auto ending = end_of(half);
        static_cast<void>(co_await muster::as_outcome(std::move(ending)));
        postgres::executor second(client());
        auto outcomes = co_await all(second);
        EXPECT_EQ(outcomes.succeeded(), 60u);
        std::sort(started.begin(), started.end());
        EXPECT_EQ(started, numbers);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, says_that_an_outcome_has_expired_and_starts_nothing) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        const auto key = call_key::make();
        postgres::executor queue(client());
        static_cast<void>(co_await muster::run_in_executor(queue, submission(note(1)).key(key).keep(1s)));
        sql(in_schema("UPDATE @.call SET expires_at = now() - interval '1 second'; SELECT @.expire(10)"));
        auto calling = muster::run_in_executor(queue, submission(note(1)).key(key)).as_task();
        auto called = co_await muster::as_outcome(std::move(calling));
        EXPECT_TRUE(called.failed_with<postgres::outcome_expired_error>());
        EXPECT_EQ(started.size(), 1u);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

// ---- what waits ----

TEST_F(a_queue, never_starts_a_call_that_was_cancelled_while_it_waited) {
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, note(1));
        co_await until([&] { return sql(in_schema("SELECT count(*) FROM @.call WHERE state = 0")) == "1"; });
        handle.cancel();
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(handle);
        auto waited = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(waited.was_cancelled());
        EXPECT_EQ(sql(in_schema("SELECT how FROM @.call")), "cancelled");
        EXPECT_EQ(sql(in_schema("SELECT sum(queued) FROM @.load")), "0");
        auto serving = start_worker();
        static_cast<void>(co_await muster::run_in_executor(queue, note(2)));
        EXPECT_EQ(started, std::vector<int>{2});
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, has_a_worker_end_a_call_that_is_cancelled_while_it_runs) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, hang(1));
        co_await until([] { return started.size() == 1; });
        handle.cancel();
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(handle);
        auto waited = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(waited.was_cancelled());
        EXPECT_EQ(sql(in_schema("SELECT state FROM @.call")), "2");
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, refuses_a_call_when_it_is_full) {
    sql(in_schema("UPDATE @.setting SET queue_limit = 10"));
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<int> numbers(15);
        const auto call = [&](int n) { return muster::run_in_executor(queue, note(n)).as_task(); };
        const auto settling = [&]() -> task<> {
            auto outcomes = co_await muster::map(numbers, call).settle();
            std::size_t refused = 0;
            for (const auto& failure : outcomes.failures_of<muster::queue_full>()) {
                static_cast<void>(failure);
                ++refused;
            }
            EXPECT_EQ(refused, 5u);
            EXPECT_EQ(outcomes.succeeded(), 10u);
        };
        auto settled = muster::create_task(settling(), "calls");
        co_await until([&] { return queue.submitted() == 10 && queue.waiting() == 0; });
        auto serving = start_worker();
        auto ending = end_of(settled);
        co_await std::move(ending);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, has_no_more_calls_of_a_client_than_its_window) {
    const auto body = [&]() -> task<> {
        postgres::executor queue(client().window(3));
        std::vector<muster::task_handle<int>> handles;
        for (int n = 0; n != 10; ++n)
            handles.push_back(muster::start_in_executor(queue, note(n)));
        co_await until([&] { return sql(in_schema("SELECT count(*) FROM @.call")) == "3"; });
        EXPECT_EQ(queue.waiting(), 7u);
        auto serving = start_worker();
        for (auto& h : handles)
            static_cast<void>(co_await h);
        EXPECT_EQ(started.size(), 10u);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, begins_calls_of_a_higher_priority_first_and_delayed_ones_later) {
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        std::vector<muster::task_handle<int>> handles;
        handles.push_back(muster::start_in_executor(queue, submission(note(9)).priority(9).delay(300ms)));
        for (const int n : {1, 5, 3, 5})
            handles.push_back(muster::start_in_executor(queue, submission(note(n)).priority(n)));
        co_await until([&] { return sql(in_schema("SELECT count(*) FROM @.call WHERE state = 0")) == "5"; });
        sql(in_schema("UPDATE @.call SET due_at = now() + interval '1 hour' WHERE priority = 9"));
        auto serving = start_worker(1);
        co_await until([] { return started.size() == 4; });
        EXPECT_EQ(started, (std::vector<int>{5, 5, 3, 1}));
        sql(in_schema("UPDATE @.call SET due_at = now() WHERE priority = 9"));
        for (auto& h : handles)
            static_cast<void>(co_await h);
        EXPECT_EQ(started.back(), 9);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, tells_of_a_function_that_no_worker_serves) {
    std::mutex lock;
    std::vector<std::string> told;
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        postgres::executor queue(client().on_unserved([&](const std::string& function, const std::string& why) {
            const std::lock_guard own(lock);
            told.push_back(function + ": " + why);
        }));
        static_cast<void>(co_await muster::run_in_executor(queue, note(1)));
        auto handle = muster::start_in_executor(queue, nobodys(1));
        co_await until([&] {
            const std::lock_guard own(lock);
            return !told.empty() && told.back().starts_with("nobodys");
        });
        handle.cancel();
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(handle);
        static_cast<void>(co_await muster::as_outcome(std::move(waiting)));
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    EXPECT_EQ(told.back(), "nobodys: none of the workers has it");
}

// ---- workers that leave and die ----

TEST_F(a_queue, gets_back_what_a_leaving_worker_has_not_begun) {
    const auto body = [&]() -> task<> {
        auto leaving =
            muster::create_task(postgres::serve(worker(1).ahead(5).drain_limit(200ms), handlers()), "leaving");
        postgres::executor queue(client());
        auto hanging = muster::start_in_executor(queue, hang(0));
        co_await until([] { return started.size() == 1; });
        std::vector<muster::task_handle<int>> handles;
        for (int n = 1; n != 6; ++n)
            handles.push_back(muster::start_in_executor(queue, note(n)));
        co_await until([&] { return sql(in_schema("SELECT count(*) FROM @.call WHERE state = 1")) == "6"; });
        auto stopping = stop(leaving);
        co_await std::move(stopping);
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(hanging);
        auto waited = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(waited.failed_with<postgres::worker_died_error>());
        if (waited.failed_with<postgres::worker_died_error>()) {
            EXPECT_EQ(muster::get_if<postgres::worker_died_error>(waited.error())->how(),
                postgres::worker_died_error::sign::left);
        }
        EXPECT_EQ(started, std::vector<int>{0});
        auto serving = start_worker();
        for (auto& h : handles)
            static_cast<void>(co_await h);
        EXPECT_EQ(started.size(), 6u);
        EXPECT_EQ(sql(in_schema("SELECT max(attempt) FROM @.call")), "1");
        auto stopping_too = stop(serving);
        co_await std::move(stopping_too);
    };
    muster::run(body());
}

TEST_F(a_queue, ends_the_calls_of_a_killed_worker_by_its_session) {
    const auto file = new_file();
    worker_process first(schema_, file);
    const int process = first.process();
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        auto once = muster::start_in_executor(queue, hang(1));
        auto thrice = muster::start_in_executor(queue, submission(hang(2)).starts(2));
        co_await until([&] { return lines_of(file).size() == 2; });
        first.end(SIGKILL);
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(once);
        auto waited = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(waited.failed_with<postgres::worker_died_error>());
        if (waited.failed_with<postgres::worker_died_error>()) {
            const auto* e = muster::get_if<postgres::worker_died_error>(waited.error());
            EXPECT_EQ(e->how(), postgres::worker_died_error::sign::session);
            EXPECT_EQ(e->process(), process);
            EXPECT_FALSE(e->host().empty());
        }
        // The other may start once more, and ends with its second worker: what kills each worker does not go on for
        // ever.
        worker_process second(schema_, file);
        co_await until([&] { return lines_of(file).size() == 3; });
        EXPECT_FALSE(thrice.done());
        second.end(SIGKILL);
        auto waiting_again = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(thrice);
        auto waited_again = co_await muster::as_outcome(std::move(waiting_again));
        EXPECT_TRUE(waited_again.failed_with<postgres::worker_died_error>());
        EXPECT_EQ(lines_of(file).size(), 3u);
    };
    muster::run(body());
}

TEST_F(a_queue, takes_no_answer_of_a_worker_that_slept_past_its_lease) {
    const auto file = new_file();
    worker_process sleeper(schema_, file);
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        auto handle = muster::start_in_executor(queue, hang(1));
        co_await until([&] { return lines_of(file).size() == 1; });
        sql(in_schema("UPDATE @.worker SET lease = interval '500 milliseconds'"));
        sleeper.signal(SIGSTOP);
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(handle);
        auto waited = co_await muster::as_outcome(std::move(waiting));
        EXPECT_TRUE(waited.failed_with<postgres::worker_died_error>());
        if (waited.failed_with<postgres::worker_died_error>()) {
            EXPECT_EQ(muster::get_if<postgres::worker_died_error>(waited.error())->how(),
                postgres::worker_died_error::sign::lease);
        }
        sleeper.signal(SIGCONT);
        // It learns that it was taken for dead, and serves anew, as another worker.
        auto twice = co_await muster::run_in_executor(queue, note(4));
        EXPECT_EQ(twice, 8);
        EXPECT_EQ(sql(in_schema("SELECT count(*) FROM @.worker")), "2");
        EXPECT_EQ(sql(in_schema("SELECT how FROM @.call WHERE function = 'hang'")), "lease");
    };
    muster::run(body());
    const int status = sleeper.end(SIGTERM);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// ---- who may do what, and where ----

TEST_F(a_queue, lets_no_client_claim_and_no_worker_submit) {
    sql(in_schema("CREATE ROLE @_c LOGIN; GRANT @_client TO @_c; CREATE ROLE @_w LOGIN; GRANT @_worker TO @_w"));
    const auto c = in_schema("@_c");
    const auto w = in_schema("@_w");
    const std::string denied = "42501";
    EXPECT_EQ(sql(in_schema("SELECT @.announce('h', 1, 1, 1000, '{}', '{}', repeat('x', 32))"), c), denied);
    EXPECT_EQ(sql(in_schema("SELECT @.exchange(1, 1, '{}', '{}', '{}', 1, 1)"), c), denied);
    EXPECT_EQ(sql(in_schema("SELECT @.release(1, 1, '{}', '{}')"), c), denied);
    EXPECT_EQ(sql(in_schema("SELECT @.submit('x', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')"), w), denied);
    EXPECT_EQ(sql(in_schema("SELECT @.cancel('{}')"), w), denied);
    EXPECT_EQ(sql(in_schema("SELECT @.fetch('{}', 1)"), w), denied);
    for (const auto& role : {c, w}) {
        EXPECT_EQ(sql(in_schema("SELECT * FROM @.call"), role), denied);
        EXPECT_EQ(sql(in_schema("SELECT @.bury(NULL, 'x')"), role), denied);
        EXPECT_EQ(sql(in_schema("SELECT @.enter(1, 1)"), role), denied);
        EXPECT_EQ(sql(in_schema("UPDATE @.setting SET queue_limit = 1"), role), denied);
    }
    const auto body = [&]() -> task<> {
        auto as_worker = postgres::worker_options(server->address(w)).schema(schema_).slots(2).look_every(50ms);
        auto serving = muster::create_task(postgres::serve(as_worker, handlers()), "worker");
        postgres::executor queue(postgres::executor_options(server->address(c)).schema(schema_));
        auto twice = co_await muster::run_in_executor(queue, note(3));
        EXPECT_EQ(twice, 6);
        auto stopping = stop(serving);
        co_await std::move(stopping);
        postgres::executor wrong(postgres::executor_options(server->address(w)).schema(schema_));
        auto calling = muster::run_in_executor(wrong, note(3)).as_task();
        auto called = co_await muster::as_outcome(std::move(calling));
        EXPECT_TRUE(called.failed_with<postgres::database_error>());
    };
    muster::run(body());
}

TEST_F(a_queue, knows_nothing_of_another_in_the_same_database) {
    muster::run(postgres::init(server->address(), "elsewhere"));
    const auto body = [&]() -> task<> {
        auto serving = start_worker();
        const auto key = call_key::make();
        postgres::executor here(client());
        postgres::executor there(client().schema("elsewhere"));
        auto handle = muster::start_in_executor(there, submission(note(2)).key(key));
        auto twice = co_await muster::run_in_executor(here, submission(note(1)).key(key));
        EXPECT_EQ(twice, 2);
        co_await until([&] { return sql("SELECT count(*) FROM elsewhere.call WHERE state = 0") == "1"; });
        EXPECT_EQ(started, std::vector<int>{1});
        auto status = co_await postgres::status(server->address(), "elsewhere");
        EXPECT_EQ(status.queued, 1u);
        EXPECT_TRUE(status.workers.empty());
        there.stop();
        auto waiting = [](muster::task_handle<int> h) -> task<> { static_cast<void>(co_await h); }(handle);
        static_cast<void>(co_await muster::as_outcome(std::move(waiting)));
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(a_queue, has_its_tables_brought_up_to_date_and_refuses_those_of_another_version) {
    // A schema that is something else's is left alone.
    sql("CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 7'");
    EXPECT_THROW(muster::run(postgres::init(server->address(), "public")), postgres::queue_error);
    EXPECT_EQ(sql("SELECT public.mine()"), "7");
    for (int from = 1; from != postgres::schema::version; ++from) {
        const auto old = schema_ + "_" + std::to_string(from);
        auto made = "CREATE SCHEMA " + old + "; " + postgres::schema::roles(old);
        for (int to = 1; to <= from; ++to)
            made += postgres::schema::migration(to, old);
        sql(made + "INSERT INTO " + old +
            ".call (key, function, signature, digest, payload, priority, due_at, starts, keep, client) "
            "VALUES (gen_random_uuid(), 'f', 's', '', 'x', 0, now(), 1, '1 day', repeat('\u00e4', 32))");
        EXPECT_EQ(sql("SELECT version FROM " + old + ".setting"), std::to_string(from));
        muster::run(postgres::init(server->address(), old));
        muster::run(postgres::init(server->address(), old));
        EXPECT_EQ(sql("SELECT version FROM " + old + ".setting"), std::to_string(postgres::schema::version));
        EXPECT_EQ(sql("SELECT octet_length(client) FROM " + old + ".call WHERE function = 'f' AND state = 0"), "32")
            << from;
        const auto use_it = [&]() -> task<> {
            auto serving = muster::create_task(postgres::serve(worker().schema(old), handlers()), "worker");
            {
                postgres::executor queue(client().schema(old));
                auto twice = co_await muster::run_in_executor(queue, note(from));
                EXPECT_EQ(twice, 2 * from);
            }
            auto stopping = stop(serving);
            co_await std::move(stopping);
        };
        muster::run(use_it());
    }
}

TEST_F(a_queue, of_another_version_says_what_to_run) {
    const auto error = [&](const std::string& schema) {
        std::string text;
        const auto body = [&]() -> task<> {
            postgres::executor queue(client().schema(schema));
            auto calling = muster::run_in_executor(queue, note(1)).as_task();
            auto called = co_await muster::as_outcome(std::move(calling));
            EXPECT_TRUE(called.failed_with<postgres::unreachable_error>()) << schema;
            if (called.failed())
                text = muster::describe(called.error());
        };
        muster::run(body());
        return text;
    };
    EXPECT_NE(error("nothing").find("`muster queue init`"), std::string::npos);
    sql(in_schema("UPDATE @.setting SET version = 3"));
    EXPECT_EQ(muster::run(postgres::status(server->address(), schema_)).version, 3);
    const auto older = error(schema_);
    EXPECT_NE(older.find("is of version 3, and this program needs version"), std::string::npos) << older;
    EXPECT_NE(older.find("run `muster queue init` once"), std::string::npos) << older;
    sql(in_schema("UPDATE @.setting SET version = 99"));
    EXPECT_THROW(muster::run(postgres::init(server->address(), schema_)), postgres::queue_error);
    EXPECT_NE(error(schema_).find("use the newer program"), std::string::npos);
}

int main(int argc, char** argv) { return queue_test_main(argc, argv); }
