// SPDX-License-Identifier: MIT
// Awaitables that are made, and awaited only when the object that made them is gone, or was moved: each gives an error
// or has its own share of what it needs. The table is meant to run under AddressSanitizer, too.
#include "support/virtual_run.hpp"

#include <muster/as_completed.hpp>
#include <muster/barrier.hpp>
#include <muster/condition.hpp>
#include <muster/error.hpp>
#include <muster/event.hpp>
#include <muster/generator.hpp>
#include <muster/io.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/run.hpp>
#include <muster/semaphore.hpp>
#include <muster/subprocess.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace play;

namespace {

/// Owns the object until the test lets it go.
using object = std::shared_ptr<void>;

/// Makes an object and something to await of it, as a task that awaits it.
struct late_await {
    late_await(std::string said, std::function<muster::task<>(object&)> made)
        : name(std::move(said)),
          make(std::move(made)) {}
    std::string name;
    std::function<muster::task<>(object&)> make;
};

template <class T, class... Args>
T& made(object& o, Args&&... args) {
    auto fresh = std::make_shared<T>(std::forward<Args>(args)...);
    T& subject = *fresh;
    o = std::move(fresh);
    return subject;
}

muster::generator<int> one_number() { co_yield 1; }

/// Awaitables of objects that are held by address.
std::vector<late_await> of_what_is_held_by_address() {
    std::vector<late_await> all;
    const auto add = [&all](std::string name, std::function<muster::task<>(object&)> make) {
        all.emplace_back(std::move(name), std::move(make));
    };
    add("event::wait", [](object& o) { return only_await(made<muster::event>(o).wait()); });
    add("event::wait, set", [](object& o) {
        auto& e = made<muster::event>(o);
        e.set();
        return only_await(e.wait());
    });
    add("event::wait, a copy", [](object& o) {
        const auto waiting = made<muster::event>(o).wait();
        return only_await(waiting);
    });
    add("event::wait in a gather",
        [](object& o) { return only_await(muster::gather(made<muster::event>(o).wait(), muster::sleep_for(1ms))); });
    add("event::wait with a limit",
        [](object& o) { return only_await(muster::wait_for(made<muster::event>(o).wait(), 1ms)); });
    add("mutex::lock", [](object& o) { return only_await(made<muster::mutex>(o).lock()); });
    add("mutex::scoped_lock", [](object& o) { return only_await(made<muster::mutex>(o).scoped_lock()); });
    add("semaphore::acquire", [](object& o) { return only_await(made<muster::semaphore>(o).acquire()); });
    add("semaphore::scoped_acquire", [](object& o) { return only_await(made<muster::semaphore>(o).scoped_acquire()); });
    add("bounded_semaphore::acquire",
        [](object& o) { return only_await(made<muster::bounded_semaphore>(o, 2).acquire()); });
    add("condition::lock", [](object& o) { return only_await(made<muster::condition>(o).lock()); });
    add("condition::scoped_lock", [](object& o) { return only_await(made<muster::condition>(o).scoped_lock()); });
    add("condition::wait", [](object& o) { return only_await(made<muster::condition>(o).wait()); });
    add("condition::wait with a predicate", [](object& o) {
        const auto always = [] { return true; };
        return only_await(made<muster::condition>(o).wait(always));
    });
    add("barrier::wait", [](object& o) { return only_await(made<muster::barrier>(o, 1).wait()); });
    add("barrier::reset", [](object& o) { return only_await(made<muster::barrier>(o, 1).reset()); });
    add("barrier::abort", [](object& o) { return only_await(made<muster::barrier>(o, 1).abort()); });
    add("queue::get", [](object& o) { return only_await(made<muster::queue<int>>(o).get()); });
    add("queue::next", [](object& o) { return only_await(made<muster::lifo_queue<int>>(o).next()); });
    add("queue::join", [](object& o) { return only_await(made<muster::priority_queue<int>>(o).join()); });
    add("task_group::run", [](object& o) {
        const auto body = [](muster::task_group&) -> muster::task<> { co_return; };
        return only_await(made<muster::task_group>(o).run(body));
    });
    add("task_group::run, in a gather", [](object& o) {
        const auto body = [](muster::task_group&) -> muster::task<> { co_return; };
        return only_await(muster::gather(made<muster::task_group>(o).run(body)));
    });
    add("timeout_scope::run", [](object& o) {
        const auto body = []() -> muster::task<> { co_return; };
        return only_await(made<muster::timeout_scope>(o, 1h).run(body));
    });
    add("timeout_scope::run with a value", [](object& o) {
        const auto body = [](muster::timeout_scope&) -> muster::task<int> { co_return 1; };
        return only_await(made<muster::timeout_scope>(o).run(body));
    });
    add("as_completed::next", [](object& o) {
        const std::vector<muster::task_handle<void>> handles{muster::create_task(nothing_after(0ms))};
        return only_await(made<muster::as_completed<muster::task_handle<void>>>(o, handles).next());
    });
    add("generator::next", [](object& o) { return only_await(made<muster::generator<int>>(o, one_number()).next()); });
    add("generator::next of one that was moved", [](object& o) {
        auto& g = made<muster::generator<int>>(o, one_number());
        const auto keep_and_let_go = [](auto next, muster::generator<int> moved) -> muster::task<> {
            std::optional<muster::generator<int>> kept(std::move(moved));
            kept.reset();
            auto n = co_await std::move(next);
            static_cast<void>(n);
        };
        auto next = g.next();
        return keep_and_let_go(std::move(next), std::move(g));
    });
    return all;
}

} // namespace

TEST(destroyed_before_it_is_awaited, gives_an_error) {
    for (const auto& row : of_what_is_held_by_address()) {
        SCOPED_TRACE(row.name);
        expect_run(
            [&row]() -> muster::task<> {
                object o;
                auto late = row.make(o);
                o.reset();
                auto ended = co_await muster::as_outcome(std::move(late));
                EXPECT_TRUE(ended.failed_with<muster::invalid_state_error>()) << to_string(ended);
                co_await muster::yield();
            },
            0ms);
    }
}

TEST(destroyed_before_it_is_awaited, and_never_awaited_is_no_error) {
    for (const auto& row : of_what_is_held_by_address()) {
        SCOPED_TRACE(row.name);
        const auto before = muster::set_report_handler([](const muster::report&) {}); // "was never awaited"
        muster::run([](const late_await& one) -> muster::task<> {
            object o;
            {
                auto late = one.make(o);
                o.reset();
            }
            co_await muster::yield();
        }(row));
        static_cast<void>(muster::set_report_handler(before));
    }
}

TEST(destroyed_before_it_is_awaited, names_the_object_and_the_function) {
    expect_run(
        []() -> muster::task<> {
            auto e = std::make_unique<muster::event>();
            auto waiting = e->wait();
            e.reset();
            auto ended = co_await ending(std::move(waiting));
            EXPECT_EQ(text_of<muster::invalid_state_error>(ended),
                "the event was destroyed before this was awaited (event::wait): keep it until the await has ended");
            auto g = std::make_unique<muster::task_group>();
            const auto body = [](muster::task_group&) -> muster::task<> { co_return; };
            auto running = g->run(body);
            g.reset();
            auto of_group = co_await ending(std::move(running));
            EXPECT_EQ(text_of<muster::invalid_state_error>(of_group),
                "the task_group was destroyed before this was awaited (task_group::run): keep it until the await has "
                "ended");
        },
        0ms);
}

TEST(destroyed_before_it_is_awaited, queue_gives_the_item_of_a_put_back) {
    expect_run(
        []() -> muster::task<> {
            auto q = std::make_unique<muster::queue<std::unique_ptr<int>>>();
            auto putting = q->put(std::make_unique<int>(7));
            q.reset();
            bool refused = false;
            try {
                co_await putting;
            } catch (const muster::invalid_state_error&) {
                refused = true;
            }
            EXPECT_TRUE(refused);
            EXPECT_EQ(*putting.item(), 7);
        },
        0ms);
}

TEST(destroyed_while_it_is_held, guards_and_permits_hold_nothing_then) {
    expect_run(
        []() -> muster::task<> {
            auto m = std::make_unique<muster::mutex>();
            auto s = std::make_unique<muster::semaphore>(1);
            auto guard = co_await m->scoped_lock();
            auto permit = co_await s->scoped_acquire();
            auto other = co_await [](muster::mutex& held) -> muster::task<muster::mutex::guard> {
                co_return muster::mutex::guard(held); // takes over a mutex that is locked
            }(*m);
            m.reset();
            s.reset();
            EXPECT_THROW(guard.unlock(), muster::invalid_state_error);
            EXPECT_THROW(permit.release(), muster::invalid_state_error);
            auto moved = std::move(other);
            EXPECT_FALSE(other.holds()); // NOLINT: a use after the move is what is tested
        },
        0ms);
}

// ---- what shares its state: the awaitable has all that it needs, or ends as one of an object that was closed ----

TEST(destroyed_before_it_is_awaited, io_object_ends_its_operation_as_one_that_was_closed) {
    muster::run([]() -> muster::task<> {
        const auto all_errors = [](const muster::outcome<void>& o) {
            return o.failed_with<muster::invalid_state_error>() || o.failed_with<std::system_error>();
        };
        std::vector<late_await> rows;
        const auto add = [&rows](std::string name, std::function<muster::task<>(object&)> make) {
            rows.emplace_back(std::move(name), std::move(make));
        };
        static std::array<std::byte, 4> buffer;
        const auto half = [](object& o) -> muster::io::stream& {
            auto both = muster::io::make_pipe();
            auto shared = std::make_shared<muster::io::pipe_ends>(std::move(both));
            o = shared;
            return shared->reader;
        };
        add("stream::read_some", [half](object& o) { return only_await(half(o).read_some(buffer)); });
        add("stream::write", [](object& o) {
            auto shared = std::make_shared<muster::io::pipe_ends>(muster::io::make_pipe());
            o = shared;
            return only_await(shared->writer.write("text"));
        });
        add("reader::read_line", [half](object& o) {
            muster::io::reader from(half(o));
            return only_await(from.read_line());
        });
        add("reader::read_all", [half](object& o) {
            muster::io::reader from(half(o));
            return only_await(from.read_all());
        });
        auto door = co_await muster::io::listen("127.0.0.1", 0);
        add("listener::accept",
            [&door](object& o) { return only_await(made<muster::io::listener>(o, std::move(door)).accept()); });
        for (const auto& row : rows) {
            SCOPED_TRACE(row.name);
            object o;
            auto late = row.make(o);
            o.reset();
            auto ended = co_await muster::as_outcome(std::move(late));
            EXPECT_TRUE(all_errors(ended)) << to_string(ended);
        }
    }());
}

TEST(destroyed_before_it_is_awaited, process_says_how_it_was_ended) {
    muster::run([]() -> muster::task<> {
        std::optional<muster::process> p(muster::start_process(muster::command("sleep", "60")));
        auto waiting = p->wait();
        p.reset(); // kills it
        auto done = co_await std::move(waiting);
        EXPECT_EQ(done.signal, SIGKILL);
    }());
}
