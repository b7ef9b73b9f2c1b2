// SPDX-License-Identifier: MIT
// Random programs of tasks that race over queues, semaphores, an event, sleeps and time limits, and are cancelled at
// random. At the end everything is accounted for: an item was received, is still in its queue, or was reported as lost;
// a permit is held, is free, or was reported; no task waits, and no frame is left.
//
// MUSTER_RANDOM_RACES says how many programs run on either loop (300 on the virtual one, 100 on the real one), and
// MUSTER_RANDOM_RACES_SEED which is the first (1). With a single program every step is printed.
// MUSTER_RANDOM_RACES_NESTED says how deep races are nested (2).
#include <muster/detail/sync_watch.hpp>
#include <muster/event.hpp>
#include <muster/event_loop.hpp>
#include <muster/gather.hpp>
#include <muster/queue.hpp>
#include <muster/race.hpp>
#include <muster/run_options.hpp>
#include <muster/semaphore.hpp>
#include <muster/sleep.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using muster::task;
using std::chrono::milliseconds;

/// What a child of a race gives: an item is positive, nothing is 0, and permits are negative.
using token = int;
constexpr token nothing = 0;
constexpr std::size_t kinds_of_queue = 3;
constexpr std::size_t semaphores = 2;

token permit_of(std::size_t s) { return -1 - static_cast<token>(s); }

unsigned long long number(const char* variable, unsigned long long otherwise) {
    const char* const text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Knows how every queue and semaphore can be asked for its state.
struct states final : muster::detail::sync_watch {
    void about_to(muster::detail::sync_act, const void* primitive, reader read) noexcept override {
        readers.emplace(primitive, read);
    }
    [[nodiscard]] bool waited_for(const void* primitive) const {
        const auto found = readers.find(primitive);
        return found != readers.end() && found->second(primitive).is_waited_for;
    }
    std::map<const void*, reader> readers;
};

struct program {
    program(std::size_t seed, std::size_t deepest, bool prints)
        : random(static_cast<std::uint32_t>(seed)),
          plain(static_cast<std::ptrdiff_t>(draw(4))),
          last_first(static_cast<std::ptrdiff_t>(draw(4))),
          sorted(static_cast<std::ptrdiff_t>(draw(4))),
          first_permits{static_cast<std::ptrdiff_t>(draw(3)), static_cast<std::ptrdiff_t>(1 + draw(2))},
          permits{muster::semaphore(first_permits[0]), muster::semaphore(first_permits[1])},
          deepest_race(deepest),
          prints_steps(prints) {}

    std::size_t draw(std::size_t below) { return random() % below; }
    /// True once in `n` times.
    bool once_in(std::size_t n) { return draw(n) == 0; }
    milliseconds time() { return milliseconds(static_cast<int>(draw(4))); }

    void say(const std::string& line) const {
        if (prints_steps)
            std::printf("  %s\n", line.c_str());
    }
    void mistake(std::string text) {
        say("MISTAKE: " + text);
        mistakes.push_back(std::move(text));
    }

    // ---- what is accounted for ----

    token make_item() { return ++items_made; }
    void was_put(token item) {
        say("put " + std::to_string(item));
        put.insert(item);
    }
    token make_nothing() {
        ++nothings_made;
        return nothing;
    }
    /// A token was delivered to the one that wanted it.
    void receive(token got) {
        say("received " + std::to_string(got));
        if (got == nothing)
            ++nothings_received;
        else if (got < 0)
            ++held[static_cast<std::size_t>(-1 - got)];
        else if (!received.insert(got).second)
            mistake("item " + std::to_string(got) + " was received twice");
    }

    std::mt19937 random;
    muster::queue<token> plain;
    muster::lifo_queue<token> last_first;
    muster::priority_queue<token> sorted;
    std::ptrdiff_t first_permits[semaphores];
    muster::semaphore permits[semaphores];
    muster::event bell;

    token items_made = 0;
    std::set<token> put;
    std::set<token> received;
    std::set<token> left;
    std::ptrdiff_t held[semaphores] = {};
    std::ptrdiff_t nothings_made = 0;
    std::ptrdiff_t nothings_received = 0;
    std::ptrdiff_t reported = 0; ///< values that were reported as lost
    std::ptrdiff_t races = 0;
    bool stops = false;
    std::size_t deepest_race; ///< 0: races are not nested
    bool prints_steps;
    std::vector<std::string> mistakes;
};

// ---- the three kinds of queue ----

template <class Queue>
task<token> take_from(Queue& q) {
    auto item = co_await q.get();
    co_return item;
}
template <class Queue>
task<token> take_next_from(Queue& q) {
    auto item = co_await q.next();
    co_return item.value();
}
template <class Queue>
task<token> take_in_time_from(Queue& q, milliseconds limit) {
    auto item = co_await muster::wait_for(q.get(), limit);
    co_return item;
}
template <class Queue>
task<> put_into(program& p, Queue& q) {
    const token item = p.make_item();
    auto putting = q.put(token(item));
    co_await putting;
    p.was_put(item);
}

task<token> take(program& p) {
    const std::size_t queue = p.draw(kinds_of_queue);
    const std::size_t way = p.draw(3);
    const auto from = [&p, way](auto& q) {
        return way == 0 ? take_from(q) : way == 1 ? take_next_from(q) : take_in_time_from(q, p.time());
    };
    return queue == 0 ? from(p.plain) : queue == 1 ? from(p.last_first) : from(p.sorted);
}
task<> put(program& p) {
    const std::size_t queue = p.draw(kinds_of_queue);
    return queue == 0 ? put_into(p, p.plain) : queue == 1 ? put_into(p, p.last_first) : put_into(p, p.sorted);
}
/// *Returns* `nothing` if all are empty.
token take_at_once(program& p) {
    if (!p.plain.empty())
        return p.plain.get_nowait();
    if (!p.sorted.empty())
        return p.sorted.get_nowait();
    return p.last_first.empty() ? nothing : p.last_first.get_nowait();
}

// ---- the children of races ----

task<token> take_permit(program& p) {
    const std::size_t s = p.draw(semaphores);
    co_await p.permits[s].acquire();
    co_return permit_of(s);
}
/// The permit goes back by itself, however this ends.
task<token> take_under_permit(program& p) {
    auto permit = co_await p.permits[p.draw(semaphores)].scoped_acquire();
    auto item = co_await take(p);
    co_return item;
}
task<token> wait_for_bell(program& p) {
    co_await p.bell.wait();
    co_return p.make_nothing();
}
task<token> sleep_a_while(program& p) {
    co_await muster::sleep_for(p.time());
    co_return p.make_nothing();
}
task<token> fail_after_a_while(program& p) {
    co_await muster::sleep_for(p.time());
    throw std::runtime_error("bad");
}
/// Has an item, and refuses to be cancelled then.
task<token> take_and_keep(program& p) {
    auto item = co_await take(p);
    try {
        co_await muster::sleep_for(p.time());
    } catch (const muster::cancelled_error&) {
        p.say("kept " + std::to_string(item));
    }
    co_return item;
}
/// Takes an item only because it was cancelled.
task<token> take_when_cancelled(program& p) {
    try {
        co_await muster::sleep_for(p.time());
    } catch (const muster::cancelled_error&) {
        const token item = take_at_once(p);
        if (item == nothing)
            throw;
        p.say("took " + std::to_string(item) + " when cancelled");
        co_return item;
    }
    co_return p.make_nothing();
}
task<token> give_at_once(program& p) {
    const token item = take_at_once(p);
    co_return item != nothing ? item : p.make_nothing();
}
task<token> put_and_say_so(program& p) {
    co_await put(p);
    co_return p.make_nothing();
}
/// Waits for a task of its own, whose item is not lost if this is cancelled in the same instant.
task<token> wait_for_a_task(program& p) {
    auto taking = muster::create_task(take(p));
    try {
        co_await taking;
    } catch (const muster::cancelled_error&) {
        if (!taking.done() || !taking.ended_as().succeeded())
            throw;
    }
    co_return taking.result();
}

task<token> random_race(program& p, std::size_t depth);

task<token> child(program& p, std::size_t depth) {
    const std::size_t kind = p.draw(depth < p.deepest_race ? 16 : 13);
    p.say("child of kind " + std::to_string(kind));
    switch (kind) {
    case 0:
        return take_permit(p);
    case 1:
        return take_under_permit(p);
    case 2:
        return wait_for_bell(p);
    case 3:
        return sleep_a_while(p);
    case 4:
        return fail_after_a_while(p);
    case 5:
        return take_and_keep(p);
    case 6:
        return take_when_cancelled(p);
    case 7:
        return p.once_in(3) ? give_at_once(p) : take(p);
    case 8:
        return put_and_say_so(p);
    case 9:
        return wait_for_a_task(p);
    case 13:
    case 14:
    case 15:
        return random_race(p, depth + 1);
    default:
        return take(p);
    }
}
std::vector<task<token>> children(program& p, std::size_t depth, std::size_t at_least = 1) {
    std::vector<task<token>> all;
    for (std::size_t n = at_least + p.draw(4); n != 0; --n)
        all.push_back(child(p, depth));
    return all;
}

// ---- races: each returns one token, and receives what else it was given ----

task<token> race_of_many(program& p, std::size_t depth) {
    auto won = co_await muster::race(children(p, depth));
    co_return won.value();
}
task<token> race_of_many_in_time(program& p, std::size_t depth) {
    auto won = co_await muster::race(children(p, depth)).within(p.time());
    co_return won.value();
}
task<token> race_under_wait_for(program& p, std::size_t depth) {
    auto won = co_await muster::wait_for(muster::race(children(p, depth)), p.time() + 1ms);
    co_return won.value();
}
task<token> race_under_timeout(program& p, std::size_t depth) {
    const auto body = [&p, depth] { return race_of_many(p, depth); };
    auto limited = muster::timeout(p.time(), body);
    auto won = co_await std::move(limited);
    co_return won;
}
task<token> race_of_queues(program& p) {
    auto won = co_await muster::race(p.plain.get(), p.last_first.get(), p.sorted.get());
    co_return won.value();
}
task<token> race_of_queues_in_time(program& p) {
    auto won = co_await muster::race(p.sorted.get(), p.plain.get(), p.last_first.get()).within(p.time());
    co_return won.value();
}
task<token> race_of_queues_and_tasks(program& p, std::size_t depth) {
    auto won = co_await muster::race(child(p, depth), p.plain.get(), child(p, depth), p.sorted.get());
    co_return won.value();
}
task<token> race_a_few_at_once(program& p, std::size_t depth) {
    auto won = co_await muster::race(children(p, depth, 2)).limit(1 + p.draw(3));
    co_return won.value();
}
template <class Outcomes>
token share_out(program& p, const Outcomes& all) {
    std::vector<token> given;
    for (const auto& o : all)
        if (o.succeeded())
            given.push_back(o.value());
    all.mark_all_looked_at();
    if (given.empty())
        throw std::runtime_error("nobody won");
    for (std::size_t i = 1; i != given.size(); ++i)
        p.receive(given[i]);
    return given[0];
}
task<token> race_that_is_settled(program& p, std::size_t depth) {
    auto all = co_await muster::race(children(p, depth)).within(2 * p.time()).settle();
    co_return share_out(p, all);
}
task<token> quorum_of_many(program& p, std::size_t depth) {
    const std::size_t wanted = 1 + p.draw(3);
    auto won = co_await muster::gather(children(p, depth, wanted)).quorum(wanted);
    for (std::size_t i = 1; i != won.size(); ++i)
        p.receive(won[i].value());
    co_return won[0].value();
}
task<token> quorum_in_time(program& p, std::size_t depth) {
    const std::size_t wanted = 1 + p.draw(3);
    auto won = co_await muster::gather(children(p, depth, wanted)).within(p.time()).quorum(wanted);
    for (std::size_t i = 1; i != won.size(); ++i)
        p.receive(won[i].value());
    co_return won[0].value();
}
task<token> race_of_races(program& p, std::size_t depth) {
    auto won = co_await muster::race(muster::race(children(p, depth)), muster::race(children(p, depth)));
    co_return won.value().value();
}
task<token> race_of_races_of_queues(program& p) {
    auto won = co_await muster::race(
        muster::race(p.plain.get(), p.sorted.get()), muster::race(p.last_first.get(), p.plain.get()).within(p.time()));
    co_return won.value().value();
}
/// The values of handles are kept by their tasks: the one that is received is taken from there, and so are the others.
/// No such task races: as in CPython, it would be cancelled if it returned the value while it is asked to stop.
task<token> race_of_handles(program& p) {
    std::vector<muster::task_handle<token>> handles;
    for (std::size_t n = 1 + p.draw(3); n != 0; --n)
        handles.push_back(muster::create_task(child(p, p.deepest_race)));
    std::exception_ptr failed;
    try {
        auto copies = handles;
        auto won = co_await muster::race(std::move(copies));
        static_cast<void>(won);
    } catch (...) {
        failed = std::current_exception();
    }
    std::vector<token> given;
    for (auto& h : handles) {
        if (!h.done())
            p.mistake("a handle of a race has not ended");
        else if (h.ended_as().succeeded())
            given.push_back(h.result());
    }
    if (given.empty())
        std::rethrow_exception(failed);
    for (std::size_t i = 1; i != given.size(); ++i)
        p.receive(given[i]);
    co_return given[0];
}

task<token> random_race(program& p, std::size_t depth) {
    ++p.races;
    const std::size_t kind = p.draw(depth < p.deepest_race ? 14 : 12);
    p.say("race of kind " + std::to_string(kind) + " at depth " + std::to_string(depth));
    switch (kind) {
    case 0:
        return race_of_many_in_time(p, depth);
    case 1:
        return race_under_wait_for(p, depth);
    case 2:
        return race_under_timeout(p, depth);
    case 3:
        return race_of_queues(p);
    case 4:
        return race_of_queues_in_time(p);
    case 5:
        return race_of_queues_and_tasks(p, depth);
    case 6:
        return race_a_few_at_once(p, depth);
    case 7:
        return race_that_is_settled(p, depth);
    case 8:
        return quorum_of_many(p, depth);
    case 9:
        return quorum_in_time(p, depth);
    case 10:
        return race_of_handles(p);
    case 12:
        return race_of_races(p, depth + 1);
    case 13:
        return race_of_races_of_queues(p);
    default:
        return race_of_many(p, depth);
    }
}

// ---- the tasks of a program ----

task<> receive_from(program& p, task<token> source) {
    auto got = co_await std::move(source);
    p.receive(got);
}
task<> ring(program& p) {
    p.say("the bell rings");
    p.bell.set();
    co_await muster::yield();
    p.bell.clear();
}
task<> give_permit_back(program& p) {
    for (std::size_t s = 0; s != semaphores; ++s) {
        if (p.held[s] == 0)
            continue;
        --p.held[s];
        p.permits[s].release();
        p.say("a permit of semaphore " + std::to_string(s) + " is given back");
    }
    co_return;
}
task<> sleep_for(milliseconds d) { co_await muster::sleep_for(d); }

task<> step(program& p) {
    switch (p.draw(16)) {
    case 0:
    case 1:
    case 2:
        return put(p);
    case 3:
        return receive_from(p, take(p));
    case 4:
        return ring(p);
    case 5:
    case 6:
        return give_permit_back(p);
    case 7:
        return sleep_for(p.time());
    default:
        return receive_from(p, random_race(p, 0));
    }
}

/// Goes on after a cancellation, until the program stops.
task<> works(program& p, std::size_t steps) {
    for (; steps != 0 && !p.stops; --steps) {
        try {
            auto next = step(p);
            co_await std::move(next);
        } catch (const muster::cancelled_error& e) {
            p.say(std::string("a step was cancelled: ") + e.what());
        } catch (const std::exception& e) {
            p.say(std::string("a step failed: ") + e.what());
        }
    }
}
/// Several items may come in the same instant.
task<> fills_queues(program& p, std::size_t times) {
    for (; times != 0 && !p.stops; --times) {
        try {
            co_await muster::sleep_for(p.time());
            for (std::size_t n = 1 + p.draw(3); n != 0 && !p.stops; --n) {
                auto putting = put(p);
                co_await muster::wait_for(std::move(putting), 1ms);
            }
            auto giving = give_permit_back(p);
            co_await std::move(giving);
        } catch (const muster::cancelled_error&) {
            continue;
        } catch (const muster::timeout_error&) {
            continue;
        }
    }
}
task<> cancels_others(program& p, const std::vector<muster::task_handle<>>& others, std::size_t times) {
    for (; times != 0; --times) {
        co_await muster::sleep_for(p.time());
        // Several in the same instant, or after a part of a turn.
        for (std::size_t n = 1 + p.draw(2); n != 0; --n) {
            const std::size_t which = p.draw(others.size());
            p.say("task " + std::to_string(which) + " is cancelled");
            others[which].cancel();
            if (p.once_in(2))
                co_await muster::yield();
        }
    }
}

/// A permit that is free or an item that is there, and somebody who waits for it all the same.
void look_for_forgotten(program& p, const states& seen) {
    for (auto& s : p.permits)
        if (s.available() > 0 && seen.waited_for(&s))
            p.mistake("a semaphore with a free permit is waited for");
    const auto look_at = [&](auto& q) {
        if (!q.empty() && !q.full() && seen.waited_for(&q))
            p.mistake("a queue with an item and with room is waited for");
    };
    look_at(p.plain);
    look_at(p.last_first);
    look_at(p.sorted);
}

task<> runs(program& p, const states& seen, bool virtual_time) {
    std::vector<muster::task_handle<>> all;
    for (std::size_t n = 2 + p.draw(4); n != 0; --n)
        all.push_back(muster::create_task(works(p, 1 + p.draw(6))));
    for (std::size_t n = 1 + p.draw(2); n != 0; --n)
        all.push_back(muster::create_task(fills_queues(p, 1 + p.draw(4))));
    auto cancelling = muster::create_task(cancels_others(p, all, p.draw(5)));
    // All others sleep for whole milliseconds: nothing else happens now.
    co_await muster::sleep_for(8500us);
    if (virtual_time)
        look_for_forgotten(p, seen);
    p.say("all stop");
    p.stops = true;
    cancelling.cancel();
    all.push_back(std::move(cancelling));
    for (auto& h : all)
        h.cancel();
    for (auto& h : all) {
        try {
            co_await h;
        } catch (const muster::cancelled_error&) {
            continue;
        }
    }
    if (muster::all_tasks().size() != 1)
        p.mistake(std::to_string(muster::all_tasks().size() - 1) + " tasks are left");
    for (token item = take_at_once(p); item != nothing; item = take_at_once(p)) {
        p.say("left: " + std::to_string(item));
        if (!p.left.insert(item).second)
            p.mistake("item " + std::to_string(item) + " is in the queues twice");
    }
}

// ---- at the end ----

void check(program& p, const states& seen) {
    std::ptrdiff_t lost = p.nothings_made - p.nothings_received;
    if (lost < 0)
        p.mistake("more was received than there was");
    for (const token item : p.received)
        if (p.put.count(item) == 0 || p.left.count(item) != 0)
            p.mistake("item " + std::to_string(item) + " was received, and was not put or is left");
    for (const token item : p.left)
        if (p.put.count(item) == 0)
            p.mistake("item " + std::to_string(item) + " is left, and its put failed");
    std::string missing;
    for (const token item : p.put) {
        if (p.received.count(item) != 0 || p.left.count(item) != 0)
            continue;
        ++lost;
        missing += " item " + std::to_string(item);
    }
    for (std::size_t s = 0; s != semaphores; ++s) {
        const auto gone = p.first_permits[s] - p.held[s] - p.permits[s].available();
        if (gone < 0)
            p.mistake("semaphore " + std::to_string(s) + " has more permits than at first");
        if (gone > 0)
            missing += ' ' + std::to_string(gone) + " of semaphore " + std::to_string(s);
        lost += gone;
        if (seen.waited_for(&p.permits[s]))
            p.mistake("a task waits for a semaphore");
    }
    if (lost != p.reported)
        p.mistake(std::to_string(lost) + " values are missing, and " + std::to_string(p.reported) +
                  " were reported:" + missing);
    if (seen.waited_for(&p.plain) || seen.waited_for(&p.last_first) || seen.waited_for(&p.sorted) ||
        seen.waited_for(&p.bell))
        p.mistake("a task waits for a queue or the event");
}

void note(program& p, const muster::report& r) {
    p.say(to_string(r));
    const bool is_known = r.kind == muster::report_kind::suppressed || r.kind == muster::report_kind::never_retrieved;
    // A race that is handed to another one, which is decided before it begins, is reported so.
    const bool is_unbegun_race = p.deepest_race != 0 && r.kind == muster::report_kind::never_awaited;
    if (!is_known && !is_unbegun_race)
        p.mistake(to_string(r));
    if (r.kind == muster::report_kind::suppressed && !r.error)
        ++p.reported;
}

struct sums {
    std::size_t items = 0;
    std::size_t received = 0;
    std::ptrdiff_t reported = 0;
    std::ptrdiff_t races = 0;
};

template <class Loop>
void run_one(std::size_t seed, bool prints, const char* name, sums& all) {
    constexpr bool virtual_time = std::is_same_v<Loop, muster::testing::manual_loop>;
    const auto frames = muster::testing::live_frames();
    states seen;
    const muster::detail::sync_watch_scope watching(seen);
    program p(seed, number("MUSTER_RANDOM_RACES_NESTED", 2), prints);
    {
        Loop loop;
        if constexpr (virtual_time)
            loop.shuffle_ready(seed % 2 == 0 ? seed : 0);
        try {
            loop.run(runs(p, seen, virtual_time),
                muster::run_options().on_report([&p](const muster::report& r) { note(p, r); }));
        } catch (const std::exception& e) {
            p.mistake(e.what());
        }
    }
    check(p, seen);
    if (muster::testing::live_frames() != frames)
        p.mistake(std::to_string(muster::testing::live_frames() - frames) + " frames are left");
    EXPECT_EQ(p.mistakes, std::vector<std::string>())
        << "seed " << seed << "; to run just this one:\nMUSTER_RANDOM_RACES=1 MUSTER_RANDOM_RACES_SEED=" << seed
        << " random_races_test --gtest_filter=random_races." << name;
    all.items += p.put.size();
    all.received += p.received.size();
    all.reported += p.reported;
    all.races += p.races;
}

template <class Loop>
void run_many(std::size_t otherwise, const char* name) {
    const std::size_t count = number("MUSTER_RANDOM_RACES", otherwise);
    const std::size_t first = number("MUSTER_RANDOM_RACES_SEED", 1);
    sums all;
    int failed = 0;
    for (std::size_t seed = first; seed != first + count && failed != 10; ++seed) {
        const auto* const result = ::testing::UnitTest::GetInstance()->current_test_info()->result();
        const int before = result->total_part_count();
        run_one<Loop>(seed, count == 1, name, all);
        failed += result->total_part_count() != before;
    }
    std::printf("%zu programs: %td races, %zu items, %zu received, %td values reported\n", count, all.races, all.items,
        all.received, all.reported);
}

TEST(random_races, keep_every_value_in_virtual_time) {
    run_many<muster::testing::manual_loop>(300, "keep_every_value_in_virtual_time");
}

TEST(random_races, keep_every_value_on_the_real_loop) {
    run_many<muster::event_loop>(100, "keep_every_value_on_the_real_loop");
}

} // namespace
