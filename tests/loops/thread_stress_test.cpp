// SPDX-License-Identifier: MIT
// Many hand-overs between loops, pools, futures and threads, with all that can go wrong at the same time: cancellations
// that race with completions, loops that end while others still post to them, pools that stop while they are submitted
// to. Each hand-over has a number, and is accounted for by it: it is run at most once, ends exactly once, and the ends
// add up.
//
// MUSTER_STRESS_HANDOVERS says how many there are in all tests together (1000000 is what is promised); a fraction of
// that unless it is set.
#include <muster/event_loop.hpp>
#include <muster/loop_handle.hpp>
#include <muster/promise.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/stop_token.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/thread_pool.hpp>
#include <muster/wait.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

using muster::testing::live_frames;

namespace {

constexpr std::size_t threads = 8;
constexpr std::size_t kinds = 8; ///< of hand-over: each test has as many of them

std::size_t share_of_each() {
    const char* text = std::getenv("MUSTER_STRESS_HANDOVERS");
    const auto all = text != nullptr ? std::strtoull(text, nullptr, 10) : 400'000;
    return std::max<std::size_t>(all / kinds, 64);
}

enum class end : std::uint8_t { none, value, error, cancelled, not_started, refused };
constexpr std::array<const char*, 6> end_names{"no end", "value", "error", "cancelled", "not started", "refused"};

/// What became of each hand-over. *Thread safety*: any thread.
class ledger {
public:
    ledger() : fates_(share_of_each()) {}

    /// The number of a new hand-over, or nothing once all have been given out.
    std::optional<std::size_t> next() noexcept {
        const auto n = next_.fetch_add(1, std::memory_order_relaxed);
        return n < fates_.size() ? std::optional(n) : std::nullopt;
    }
    [[nodiscard]] std::size_t size() const noexcept { return fates_.size(); }

    void ran(std::size_t n) noexcept { fates_[n].runs.fetch_add(1, std::memory_order_relaxed); }
    void ended(std::size_t n, end how) noexcept {
        fates_[n].ends.fetch_add(1, std::memory_order_relaxed);
        fates_[n].how.store(how, std::memory_order_relaxed);
        done_.fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] std::size_t done() const noexcept { return done_.load(std::memory_order_relaxed); }

    /// How many ended so, once all threads are over.
    [[nodiscard]] std::size_t count(end how) const {
        return static_cast<std::size_t>(std::count_if(fates_.begin(), fates_.end(),
            [how](const fate& f) { return f.how.load(std::memory_order_relaxed) == how; }));
    }

    /// Each hand-over ended once, was run once if it gave a value and at most once otherwise, and not at all if it is
    /// said not to have been.
    void check() const {
        std::size_t wrong = 0;
        std::array<std::size_t, end_names.size()> counts{};
        for (std::size_t n = 0; n != fates_.size(); ++n) {
            const auto& f = fates_[n];
            const auto runs = f.runs.load(std::memory_order_relaxed);
            const auto ends = f.ends.load(std::memory_order_relaxed);
            const auto how = f.how.load(std::memory_order_relaxed);
            ++counts[static_cast<std::size_t>(how)];
            const bool must_run = how == end::value || how == end::error;
            const bool must_not_run = how == end::not_started || how == end::refused;
            if (ends == 1 && runs <= 1 && !(must_run && runs == 0) && !(must_not_run && runs != 0))
                continue;
            if (++wrong <= 5)
                ADD_FAILURE() << "hand-over " << n << " was run " << runs << " times and ended " << ends
                              << " times, as " << end_names[static_cast<std::size_t>(how)];
        }
        EXPECT_EQ(wrong, 0u);
        EXPECT_EQ(done(), fates_.size());
        std::string line = std::to_string(fates_.size()) + " hand-overs:";
        for (std::size_t i = 0; i != counts.size(); ++i) {
            if (counts[i] != 0)
                line += " " + std::to_string(counts[i]) + " " + end_names[i] + ",";
        }
        line.back() = '\n';
        std::fputs(line.c_str(), stdout);
    }

private:
    struct fate {
        std::atomic<std::uint8_t> runs{0};
        std::atomic<std::uint8_t> ends{0};
        std::atomic<end> how{end::none};
    };
    std::vector<fate> fates_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::size_t> done_{0};
};

/// The failure of one hand-over.
struct lost_parcel : std::runtime_error {
    explicit lost_parcel(std::size_t n) : std::runtime_error("parcel " + std::to_string(n)), number(n) {}
    std::size_t number;
};

/// Small random numbers, other ones for each thread.
class dice {
public:
    explicit dice(std::size_t seed) noexcept : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    std::size_t below(std::size_t n) noexcept {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::size_t>(state_ >> 33) % n;
    }

private:
    std::uint64_t state_;
};

/// The loop that is up at the moment, for threads that give work to whichever there is.
class current_loop {
public:
    void put(std::optional<muster::loop_handle> h) {
        const std::lock_guard lock(lock_);
        handle_ = std::move(h);
    }
    [[nodiscard]] std::optional<muster::loop_handle> get() const {
        const std::lock_guard lock(lock_);
        return handle_;
    }

private:
    mutable std::mutex lock_;
    std::optional<muster::loop_handle> handle_;
};

/// What waits to be taken by any of several threads.
template <class T>
class counter_top {
public:
    void put(T thing) {
        const std::lock_guard lock(lock_);
        things_.push_back(std::move(thing));
        came_.notify_one();
    }
    /// Blocks. *Returns* nothing once it is closed and empty.
    std::optional<T> take() {
        std::unique_lock lock(lock_);
        came_.wait(lock, [this] { return closed_ || !things_.empty(); });
        if (things_.empty())
            return std::nullopt;
        std::optional<T> thing(std::move(things_.front()));
        things_.pop_front();
        return thing;
    }
    void close() {
        const std::lock_guard lock(lock_);
        closed_ = true;
        came_.notify_all();
    }

private:
    std::mutex lock_;
    std::condition_variable came_;
    std::deque<T> things_;
    bool closed_ = false;
};

/// Counts the parcels' failures that are reported; any other report is one too many.
muster::report_handler counting(std::atomic<std::size_t>& failures) {
    return [&failures](const muster::report& r) {
        if (muster::is_a<lost_parcel>(r.error))
            failures.fetch_add(1, std::memory_order_relaxed);
        else
            ADD_FAILURE() << muster::to_string(r);
    };
}
muster::run_options quiet(std::atomic<std::size_t>& failures) {
    return muster::run_options().on_report(counting(failures));
}

/// The same for what is reported once its loop has gone.
class program_reports {
public:
    explicit program_reports(std::atomic<std::size_t>& failures)
        : before_(muster::set_report_handler(counting(failures))) {}
    program_reports(const program_reports&) = delete;
    program_reports& operator=(const program_reports&) = delete;
    ~program_reports() { muster::set_report_handler(std::move(before_)); }

private:
    muster::report_handler before_;
};

} // namespace

// ---- functions for a loop ----

namespace {

/// Part of a function that is handed over: it sees whether that was called, and that it is destroyed.
class parcel {
public:
    parcel(ledger& book, std::size_t number) noexcept : book_(&book), number_(number) {}
    parcel(parcel&& other) noexcept
        : book_(std::exchange(other.book_, nullptr)),
          number_(other.number_),
          called_(other.called_) {}
    ~parcel() {
        if (book_ != nullptr)
            book_->ended(number_, called_ ? end::value : end::not_started);
    }
    void call() noexcept {
        called_ = true;
        book_->ran(number_);
    }

private:
    ledger* book_;
    std::size_t number_;
    bool called_ = false;
};

} // namespace

TEST(thread_stress, functions_are_posted_to_loops_that_end_meanwhile) {
    ledger book;
    current_loop up;
    std::atomic<std::size_t> over = 0;
    std::atomic<std::size_t> accepted = 0;
    std::size_t called = 0; // on one loop's thread after the other: all of them this one
    {
        std::vector<std::jthread> posters;
        for (std::size_t t = 0; t != threads; ++t)
            posters.emplace_back([&] {
                for (auto n = book.next(); n;) {
                    const auto loop = up.get();
                    if (!loop) {
                        std::this_thread::yield();
                        continue;
                    }
                    for (int burst = 0; n && burst != 100; ++burst) {
                        const bool taken = loop->post([p = parcel(book, *n), &called]() mutable {
                            p.call();
                            ++called;
                        });
                        accepted.fetch_add(taken ? 1 : 0, std::memory_order_relaxed);
                        n = book.next();
                    }
                }
                over.fetch_add(1);
            });
        std::size_t loops = 0;
        while (over.load() != threads) {
            muster::run([](current_loop& here, std::atomic<std::size_t>& ended, std::size_t& calls) -> muster::task<> {
                here.put(muster::loop_handle::current());
                const auto enough = calls + 500;
                while (calls < enough && ended.load() != threads)
                    co_await muster::yield();
                // From here on others still post, until they find that the loop has gone.
            }(up, over, called));
            ++loops;
        }
        EXPECT_GE(loops, 1u);
        up.put(std::nullopt);
    }
    book.check();
    EXPECT_EQ(called, book.count(end::value));
    EXPECT_LE(called, accepted);
}

TEST(thread_stress, a_loop_that_waits_for_its_handles_calls_everything_that_was_posted) {
    ledger book;
    std::vector<std::jthread> posters;
    std::vector<std::size_t> last(threads, 0);
    bool in_order = true;
    muster::run([](ledger& all, std::vector<std::jthread>& to, std::vector<std::size_t>& seen,
                    bool& ordered) -> muster::task<> {
        for (std::size_t t = 0; t != threads; ++t)
            to.emplace_back([&all, &seen, &ordered, t, h = std::optional(muster::loop_handle::current())]() mutable {
                std::size_t count = 0;
                while (const auto n = all.next()) {
                    ++count;
                    EXPECT_TRUE(h->post([p = parcel(all, *n), &mine = seen[t], &ordered, count]() mutable {
                        p.call();
                        ordered = ordered && mine + 1 == count;
                        mine = count;
                    }));
                }
                h.reset();
            });
        // If one were lost this would never be over: with the last handle gone, that is a deadlock, and an error.
        auto& loop = muster::detail::scheduler::require("the test");
        while (all.done() != all.size()) {
            co_await muster::yield();
            if (!loop.has_ready())
                std::this_thread::yield();
        }
    }(book, posters, last, in_order));
    posters.clear();
    book.check();
    EXPECT_EQ(book.count(end::value), book.size());
    EXPECT_TRUE(in_order);
}

// ---- coroutines for a loop ----

namespace {

muster::task<std::size_t> carry(ledger& book, std::size_t n, std::size_t steps, bool fails) {
    book.ran(n);
    for (std::size_t i = 0; i != steps; ++i)
        co_await muster::yield();
    if (fails)
        co_await muster::fail(lost_parcel(n));
    co_return n;
}

/// What get() says of it.
end taken(muster::remote_task<std::size_t>& from, std::size_t n) {
    try {
        EXPECT_EQ(from.get(), n);
        return end::value;
    } catch (const lost_parcel& e) {
        EXPECT_EQ(e.number, n);
        return end::error;
    } catch (const muster::cancelled_error&) {
        return end::cancelled;
    }
}

} // namespace

TEST(thread_stress, coroutines_are_submitted_to_loops_that_end_meanwhile_and_are_cancelled) {
    const auto frames = live_frames();
    ledger book;
    current_loop up;
    std::atomic<std::size_t> over = 0;
    std::atomic<std::size_t> reported = 0;
    {
        std::vector<std::jthread> submitters;
        for (std::size_t t = 0; t != threads; ++t)
            submitters.emplace_back([&, t] {
                dice random(t);
                std::vector<std::pair<std::size_t, muster::remote_task<std::size_t>>> waiting;
                for (auto n = book.next(); n;) {
                    const auto loop = up.get();
                    if (!loop) {
                        std::this_thread::yield();
                        continue;
                    }
                    for (int burst = 0; n && burst != 32; ++burst) {
                        const auto steps = random.below(3);
                        const bool fails = random.below(16) == 0;
                        waiting.emplace_back(*n, loop->submit([&book, number = *n, steps, fails] {
                            return carry(book, number, steps, fails);
                        }));
                        if (random.below(4) == 0)
                            waiting[random.below(waiting.size())].second.cancel();
                        n = book.next();
                    }
                    for (auto& [number, task] : waiting)
                        book.ended(number, taken(task, number));
                    waiting.clear();
                }
                over.fetch_add(1);
            });
        while (over.load() != threads) {
            muster::run(
                [](current_loop& here, ledger& all, std::atomic<std::size_t>& ended) -> muster::task<> {
                    here.put(muster::loop_handle::current());
                    const auto enough = all.done() + 1000;
                    while (all.done() < enough && ended.load() != threads)
                        co_await muster::yield();
                }(up, book, over),
                quiet(reported));
        }
        up.put(std::nullopt);
    }
    book.check();
    // A failure was taken, or it was cancelled: none was left to be reported.
    EXPECT_EQ(reported, 0u);
    EXPECT_GT(book.count(end::value), 0u);
    EXPECT_EQ(live_frames(), frames);
}

// ---- promises ----

namespace {

struct errand {
    errand(std::size_t n, muster::promise<std::size_t> p, bool has_time)
        : number(n),
          promised(std::move(p)),
          may_wait(has_time) {}
    std::size_t number;
    muster::promise<std::size_t> promised;
    bool may_wait; ///< its loop does not wait for it
};

end ended_of(const muster::future<std::size_t>& f, std::size_t n) {
    if (!f.done())
        return end::not_started; // its loop had ended
    const auto& o = f.ended_as();
    if (o.succeeded()) {
        EXPECT_EQ(*o, n);
        return end::value;
    }
    return o.failed() ? end::error : end::cancelled;
}

} // namespace

TEST(thread_stress, promises_are_kept_broken_and_dropped_while_their_futures_are_cancelled_and_their_loops_end) {
    const auto frames = live_frames();
    ledger book;
    counter_top<errand> top;
    std::vector<std::atomic<bool>> sent(book.size()); // set_value or set_exception said that it is on its way
    std::atomic<std::size_t> errors_sent = 0;
    std::atomic<std::size_t> reported = 0; // an error that crossed a cancellation
    const program_reports late(reported);
    std::vector<std::pair<std::size_t, muster::future<std::size_t>>> all;
    {
        std::vector<std::jthread> setters;
        for (std::size_t t = 0; t != threads; ++t)
            setters.emplace_back([&, t] {
                dice random(t);
                const auto set = [&](errand e) {
                    const auto n = e.number;
                    book.ran(n);
                    switch (random.below(8)) {
                    case 0:
                        sent[n] = e.promised.set_exception(lost_parcel(n));
                        errors_sent += sent[n];
                        break;
                    case 1:
                        break; // broken
                    default:
                        sent[n] = e.promised.set_value(n);
                        break;
                    }
                };
                std::deque<errand> later;
                while (auto e = top.take()) {
                    if (e->may_wait && random.below(2) == 0)
                        later.push_back(std::move(*e));
                    else
                        set(std::move(*e));
                    if (later.size() > 20) {
                        set(std::move(later.front()));
                        later.pop_front();
                    }
                }
                for (auto& e : later)
                    set(std::move(e));
            });
        for (std::size_t round = 0; all.size() != book.size(); ++round) {
            muster::run(
                [](ledger& numbers, counter_top<errand>& to, auto& mine, std::size_t seed) -> muster::task<> {
                    dice random(seed);
                    const auto first = mine.size();
                    // One loop in three ends with the first promise that is kept, with most of them outside.
                    const bool ends_early = random.below(3) == 0;
                    for (int i = 0; i != 300; ++i) {
                        const auto n = numbers.next();
                        if (!n)
                            break;
                        auto [p, f] = muster::make_promise<std::size_t>();
                        mine.emplace_back(*n, std::move(f));
                        to.put(errand(*n, std::move(p), ends_early));
                        if (random.below(4) == 0)
                            mine[first + random.below(mine.size() - first)].second.cancel();
                    }
                    std::vector<muster::any_handle> waits_for;
                    for (std::size_t i = first; i != mine.size(); ++i)
                        waits_for.push_back(mine[i].second);
                    if (waits_for.empty())
                        co_return;
                    const auto until =
                        ends_early ? muster::wait_until::first_completed : muster::wait_until::all_completed;
                    auto result = co_await muster::wait(waits_for, until);
                    EXPECT_FALSE(result.done.empty());
                }(book, top, all, round),
                quiet(reported));
        }
        top.close();
    }
    std::size_t without_loop = 0;
    std::size_t errors_told = 0;
    for (const auto& [n, f] : all) {
        const auto how = ended_of(f, n);
        book.ended(n, how == end::not_started ? end::cancelled : how);
        without_loop += how == end::not_started;
        // What arrived had been sent. What was not sent can only have been broken.
        const bool told = how == end::error && f.ended_as().failed_with<lost_parcel>();
        errors_told += told;
        if (how == end::value || told) {
            EXPECT_TRUE(sent[n]) << n;
        }
    }
    EXPECT_EQ(errors_sent, errors_told + reported) << "a failure that was sent is told or reported, and not both";
    book.check();
    EXPECT_GT(book.count(end::value), 0u);
    std::printf(
        "%zu futures whose loop had ended, %zu errors that crossed a cancellation\n", without_loop, reported.load());
    EXPECT_EQ(live_frames(), frames);
}

// ---- calls on a pool ----

namespace {

muster::task<std::size_t> abandoned(
    muster::thread_pool& pool, ledger& book, std::atomic<std::size_t>& thrown, std::size_t n, bool fails) {
    auto call = [&book, &thrown, n, fails] {
        book.ran(n);
        if (fails) {
            ++thrown;
            throw lost_parcel(n);
        }
        return n;
    };
    auto wait = muster::run_in_executor(pool, call).abandon();
    auto value = co_await wait;
    co_return value;
}

end ended_of(const muster::task_handle<std::size_t>& h, std::size_t n) {
    const auto& o = h.ended_as();
    if (o.succeeded()) {
        EXPECT_EQ(*o, n);
        return end::value;
    }
    if (o.failed_with<lost_parcel>())
        return end::error;
    if (o.failed_with<muster::invalid_state_error>())
        return end::refused; // the pool had been shut down
    EXPECT_FALSE(o.failed()) << muster::to_string(o);
    return end::cancelled;
}

} // namespace

TEST(thread_stress, calls_on_a_pool_are_withdrawn_cancelled_and_left_behind_while_they_complete) {
    const auto frames = live_frames();
    ledger book;
    std::atomic<std::size_t> thrown = 0;
    std::atomic<std::size_t> reported = 0;
    std::atomic<std::size_t> as_errors = 0;
    const program_reports late(reported);
    {
        muster::thread_pool pool(muster::thread_pool_options().threads(threads / 2));
        std::vector<std::jthread> loops;
        for (std::size_t t = 0; t != threads / 2; ++t)
            loops.emplace_back([&, t] {
                auto body = [&](std::size_t seed) -> muster::task<> {
                    dice random(seed);
                    std::vector<std::size_t> numbers;
                    std::vector<muster::task_handle<std::size_t>> calls;
                    for (;;) {
                        calls.reserve(64);
                        for (int i = 0; i != 64; ++i) {
                            const auto n = book.next();
                            if (!n)
                                break;
                            const bool fails = random.below(16) == 0;
                            numbers.push_back(*n);
                            if (random.below(4) == 0) {
                                calls.push_back(muster::create_task(abandoned(pool, book, thrown, *n, fails)));
                                continue;
                            }
                            // The pool's threads ask siblings to stop: each vector lives until all of its calls are
                            // over.
                            const auto victim = random.below(64);
                            auto call = [&book, &thrown, &calls, n = *n, fails, victim] {
                                book.ran(n);
                                if (victim < calls.size())
                                    calls[victim].request_cancel();
                                if (fails) {
                                    ++thrown;
                                    throw lost_parcel(n);
                                }
                                return n;
                            };
                            calls.push_back(muster::start_in_executor(pool, call));
                        }
                        if (calls.empty())
                            co_return;
                        co_await muster::yield(); // now they are submitted
                        for (int i = 0; i != 16; ++i)
                            calls[random.below(calls.size())].cancel();
                        auto result = co_await muster::wait(calls);
                        EXPECT_TRUE(result.pending.empty());
                        for (std::size_t i = 0; i != calls.size(); ++i) {
                            const auto how = ended_of(calls[i], numbers[i]);
                            as_errors += how == end::error;
                            book.ended(numbers[i], how);
                        }
                        calls.clear();
                        numbers.clear();
                    }
                };
                muster::run(body(t), quiet(reported));
            });
        loops.clear();
        pool.shutdown();
    }
    book.check();
    EXPECT_GT(book.count(end::value), 0u);
    EXPECT_EQ(book.count(end::error), as_errors);
    EXPECT_EQ(thrown, as_errors + reported) << "a failure is told or reported, and not both";
    EXPECT_EQ(live_frames(), frames);
}

TEST(thread_stress, pools_are_stopped_and_shut_down_while_eight_loops_submit_to_them) {
    const auto frames = live_frames();
    ledger book;
    for (std::size_t round = 0; book.done() != book.size(); ++round) {
        muster::thread_pool pool(muster::thread_pool_options().threads(1 + round % 3));
        std::latch submitting(threads);
        std::atomic<std::size_t> reported = 0;
        std::vector<std::jthread> loops;
        for (std::size_t t = 0; t != threads; ++t)
            loops.emplace_back([&, t] {
                auto body = [&](std::size_t seed) -> muster::task<> {
                    dice random(seed);
                    bool open = true;
                    std::vector<std::size_t> numbers;
                    std::vector<muster::task_handle<std::size_t>> calls;
                    bool first = true;
                    while (open) {
                        for (int i = 0; i != 16; ++i) {
                            const auto n = book.next();
                            if (!n)
                                break;
                            numbers.push_back(*n);
                            calls.push_back(muster::start_in_executor(pool, [&book, n = *n] {
                                book.ran(n);
                                return n;
                            }));
                        }
                        if (std::exchange(first, false))
                            submitting.count_down();
                        if (calls.empty())
                            co_return;
                        co_await muster::yield();
                        if (random.below(2) == 0)
                            calls[random.below(calls.size())].cancel();
                        auto result = co_await muster::wait(calls);
                        EXPECT_TRUE(result.pending.empty());
                        for (std::size_t i = 0; i != calls.size(); ++i) {
                            const auto how = ended_of(calls[i], numbers[i]);
                            open = open && how != end::refused;
                            book.ended(numbers[i], how);
                        }
                        calls.clear();
                        numbers.clear();
                    }
                };
                muster::run(body(round * threads + t), quiet(reported));
            });
        submitting.wait();
        for (std::size_t i = round % 16; i != 0; --i)
            std::this_thread::yield();
        if (round % 2 == 0)
            pool.stop();
        else
            pool.shutdown();
        loops.clear();
        EXPECT_EQ(reported, 0u);
    }
    book.check();
    EXPECT_EQ(live_frames(), frames);
}

// ---- from loop to loop ----

namespace {

muster::task<> answer(muster::promise<std::size_t> to, ledger& book, std::size_t n) {
    book.ran(n);
    if (n % 3 == 0)
        co_await muster::yield();
    if (n % 16 == 0)
        to.set_exception(lost_parcel(n));
    else
        to.set_value(n);
}

} // namespace

TEST(thread_stress, eight_loops_ask_each_other_and_end_one_after_the_other) {
    const auto frames = live_frames();
    ledger book;
    std::array<current_loop, threads> loops;
    std::latch all_up(threads);
    std::atomic<std::size_t> reported = 0;
    {
        std::vector<std::jthread> running;
        for (std::size_t t = 0; t != threads; ++t)
            running.emplace_back([&, t] {
                auto ask = [&](std::size_t n, std::size_t whom, bool cancel) -> muster::task<> {
                    auto [p, f] = muster::make_promise<std::size_t>();
                    bool taken = false;
                    {
                        // Not taken, the promise is broken here.
                        const auto other = loops[whom].get();
                        auto question = [q = std::move(p), &book, n]() mutable {
                            auto task = muster::create_task(answer(std::move(q), book, n));
                        };
                        taken = other && other->post(std::move(question));
                    }
                    if (cancel) {
                        co_await muster::yield();
                        f.cancel();
                    }
                    auto result = co_await muster::wait(std::vector<muster::any_handle>(1, f));
                    EXPECT_EQ(result.done.size(), 1u);
                    const auto& o = f.ended_as();
                    if (o.failed_with<muster::broken_promise_error>())
                        book.ended(n, taken ? end::cancelled : end::refused); // the other loop ended first
                    else
                        book.ended(n, ended_of(f, n));
                };
                auto body = [&](std::size_t seed) -> muster::task<> {
                    dice random(seed);
                    loops[seed].put(muster::loop_handle::current());
                    all_up.arrive_and_wait();
                    for (;;) {
                        std::vector<muster::task_handle<void>> asked;
                        for (int i = 0; i != 32; ++i) {
                            const auto n = book.next();
                            if (!n)
                                break;
                            asked.push_back(muster::create_task(ask(*n, random.below(threads), random.below(8) == 0)));
                        }
                        if (asked.empty())
                            break;
                        auto result = co_await muster::wait(asked);
                        EXPECT_TRUE(result.pending.empty());
                        for (const auto& h : result.done)
                            EXPECT_TRUE(h.ended_as().succeeded());
                        // They end one after the other, the last two with the last question.
                        if (seed + 2 < threads && book.done() > book.size() / 2 + seed * book.size() / 16)
                            break;
                    }
                    loops[seed].put(std::nullopt);
                };
                muster::run(body(t), quiet(reported));
            });
    }
    book.check();
    EXPECT_GT(book.count(end::value), 0u);
    EXPECT_EQ(live_frames(), frames);
}

// ---- requests to stop, and other libraries' awaitables ----

namespace {

/// Resumed by whichever thread takes it.
class foreign_errand {
public:
    explicit foreign_errand(counter_top<std::coroutine_handle<>>& to) noexcept : to_(&to) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) { to_->put(h); }
    void await_resume() const noexcept {}

private:
    counter_top<std::coroutine_handle<>>* to_;
};

} // namespace

TEST(thread_stress, threads_resume_foreign_awaitables_and_ask_their_tasks_to_stop) {
    const auto frames = live_frames();
    ledger book;
    std::atomic<std::size_t> reported = 0;
    counter_top<std::coroutine_handle<>> top;
    {
        std::vector<std::jthread> resumers;
        for (std::size_t t = 0; t != threads; ++t)
            resumers.emplace_back([&] {
                while (const auto h = top.take())
                    h->resume();
            });
        // The ones that ask are others: they must be over before the handles go.
        auto body = [&]() -> muster::task<> {
            dice random(1);
            auto waits = [&](std::size_t n) -> muster::task<std::size_t> {
                co_await foreign_errand(top);
                book.ran(n); // also if it was cancelled meanwhile: that comes with the next wait
                co_await muster::yield();
                co_return n;
            };
            for (;;) {
                std::vector<std::size_t> numbers;
                std::vector<muster::task_handle<std::size_t>> tasks;
                std::vector<muster::cancel_link> links;
                std::stop_source stop;
                for (int i = 0; i != 200; ++i) {
                    const auto n = book.next();
                    if (!n)
                        break;
                    numbers.push_back(*n);
                    tasks.push_back(muster::create_task(waits(*n)));
                    if (random.below(8) == 0)
                        links.push_back(muster::cancel_on(stop.get_token(), tasks.back()));
                }
                if (tasks.empty())
                    co_return;
                co_await muster::yield();
                std::jthread asks([&tasks, &stop, seed = random.below(1000)] {
                    dice own(seed);
                    for (int i = 0; i != 50; ++i)
                        tasks[own.below(tasks.size())].request_cancel();
                    stop.request_stop();
                });
                auto result = co_await muster::wait(tasks);
                EXPECT_TRUE(result.pending.empty());
                asks.join();
                for (std::size_t i = 0; i != tasks.size(); ++i) {
                    const auto how = ended_of(tasks[i], numbers[i]);
                    book.ended(numbers[i], how);
                }
            }
        };
        muster::run(body(), quiet(reported));
        top.close();
    }
    book.check();
    EXPECT_EQ(reported, 0u);
    EXPECT_GT(book.count(end::value), 0u);
    EXPECT_EQ(live_frames(), frames);
}
