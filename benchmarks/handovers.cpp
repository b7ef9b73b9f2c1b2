// SPDX-License-Identifier: MIT
// What crosses threads: letters between two loops, and posts from a thread without a loop. All rows are wall time.
#include "measure.hpp"

#include <muster/event.hpp>
#include <muster/event_loop.hpp>
#include <muster/loop_handle.hpp>

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <future>
#include <thread>
#include <utility>

void add_handovers();

namespace {

using muster::task;

/// While it lives, this thread and those that it starts run on the first `count` of the processors that it may use.
class on_processors {
public:
    explicit on_processors(std::size_t count) noexcept {
        sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t chosen;
        CPU_ZERO(&chosen);
        for (std::size_t cpu = 0; cpu != CPU_SETSIZE && count != 0; ++cpu) {
            if (CPU_ISSET(cpu, &before_)) {
                CPU_SET(cpu, &chosen);
                --count;
            }
        }
        sched_setaffinity(0, sizeof chosen, &chosen);
    }
    ~on_processors() { sched_setaffinity(0, sizeof before_, &before_); }
    on_processors(const on_processors&) = delete;
    on_processors& operator=(const on_processors&) = delete;

private:
    cpu_set_t before_{};
};

// ---- the floor: two threads with an eventfd and an epoll each ----

class bare_side {
public:
    bare_side() {
        epoll_event what{};
        what.events = EPOLLIN;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &what);
    }
    ~bare_side() {
        close(event_);
        close(epoll_);
    }
    bare_side(const bare_side&) = delete;
    bare_side& operator=(const bare_side&) = delete;

    void wake() const noexcept {
        const std::uint64_t one = 1;
        check(write(event_, &one, sizeof one));
    }
    void wait() const noexcept {
        epoll_event got{};
        check(epoll_wait(epoll_, &got, 1, -1));
        std::uint64_t count = 0;
        check(read(event_, &count, sizeof count));
    }

private:
    static void check(ssize_t result) noexcept {
        if (result <= 0)
            std::terminate();
    }
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    int event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};

double bare_ping_pong(std::size_t n, std::size_t processors) {
    const on_processors on(processors);
    std::array<bare_side, 2> sides;
    std::thread other([&] {
        for (std::size_t i = 0; i != n; ++i) {
            sides[1].wait();
            sides[0].wake();
        }
    });
    const double begin = bench::wall_now();
    for (std::size_t i = 0; i != n; ++i) {
        sides[1].wake();
        sides[0].wait();
    }
    const double took = bench::wall_now() - begin;
    other.join();
    return took / static_cast<double>(n);
}

// ---- two loops ----

/// One of the two: its task waits for an event, which the other side's task has set here.
struct side {
    explicit side(muster::loop_handle h) : handle(std::move(h)) {}
    muster::loop_handle handle;
    muster::event turn;
    void pass() {
        handle.post([this] { turn.set(); });
    }
};

task<> answer(std::promise<side*>& made, std::shared_future<side*> first, std::size_t n) {
    side own(muster::loop_handle::current());
    made.set_value(&own);
    side& other = *first.get();
    for (std::size_t i = 0; i != n; ++i) {
        co_await own.turn.wait();
        own.turn.clear();
        other.pass();
    }
}

task<double> ask(std::promise<side*>& made, std::shared_future<side*> second, std::size_t n) {
    side own(muster::loop_handle::current());
    made.set_value(&own);
    side& other = *second.get();
    const double begin = bench::wall_now();
    for (std::size_t i = 0; i != n; ++i) {
        other.pass();
        co_await own.turn.wait();
        own.turn.clear();
    }
    co_return bench::wall_now() - begin;
}

double ping_pong(std::size_t n, std::size_t processors) {
    const on_processors on(processors);
    std::promise<side*> first;
    std::promise<side*> second;
    const auto first_made = first.get_future().share();
    std::thread other([&] { muster::event_loop().run(answer(second, first_made, n)); });
    const double took = bench::on_loop(ask(first, second.get_future().share(), n));
    other.join();
    return took;
}

// ---- posts ----

task<> until(muster::event& done) { co_await done.wait(); }

/// A thread posts as fast as it can, and the loop counts.
task<double> posted(std::size_t n) {
    muster::event done;
    const auto handle = muster::loop_handle::current();
    std::size_t seen = 0;
    const double begin = bench::wall_now();
    std::thread poster([&] {
        for (std::size_t i = 0; i != n; ++i)
            handle.post([&] {
                if (++seen == n)
                    done.set();
            });
    });
    co_await until(done);
    poster.join();
    co_return bench::wall_now() - begin;
}

} // namespace

void add_handovers() {
    for (const std::size_t processors : {1u, 2u})
        bench::add_row(
            bench::row(processors == 1 ? "ping-pong of two loops, on one processor" : "ping-pong of two loops, on two",
                {10'000})
                .floor_is([=](std::size_t n) { return bare_ping_pong(n, processors); })
                .goal({processors == 1 ? 1.2 : 0.5}),
            [=](std::size_t n) { return ping_pong(n, processors); });
    bench::add_row(bench::row("posts to a loop from another thread", {100'000}).floor_of([] { return posted(1); }),
        [](std::size_t n) { return bench::on_loop(posted(n)); });
}
