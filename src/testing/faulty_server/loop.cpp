// SPDX-License-Identifier: MIT
#include "server_thread.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <new>
#include <system_error>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace muster::testing::faulty {

server_thread::server_thread(const faulty_server_options& chosen) : chosen_(chosen) {
    if (chosen.max_connections == 0)
        fail(EINVAL, "max_connections must be at least 1");
    if (chosen.max_request_bytes == 0)
        fail(EINVAL, "max_request_bytes must be at least 1");
    if (chosen.backlog < 1)
        fail(EINVAL, "backlog must be at least 1");
    listener_ = listen_on(chosen);
    port_ = port_of(listener_.get());
    epoll_ = unique_fd(::epoll_create1(EPOLL_CLOEXEC));
    if (epoll_.get() < 0)
        fail(errno, "cannot make an epoll descriptor");
    wake_ = unique_fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (wake_.get() < 0)
        fail(errno, "cannot make an event descriptor");
    watch(wake_.get(), wake_id, EPOLLIN);
    watch(listener_.get(), listener_id, EPOLLIN);

    const all_signals_blocked inherited;
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& failure) {
        throw std::system_error(failure.code(), "faulty_server: cannot start its thread");
    }
}

void server_thread::stop() {
    const std::lock_guard lock(stop_mutex_);
    if (!thread_.joinable())
        return;
    stopping_ = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    assert(written == sizeof one); // the counter starts at zero and is written once
    thread_.join();
}

void server_thread::watch(int fd, std::uint64_t id, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
        fail(errno, "cannot watch a descriptor");
}

void server_thread::run() {
    pthread_setname_np(pthread_self(), "faulty_server");
    std::array<epoll_event, 256> events{};
    while (!stopping_) {
        const int ready =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), milliseconds_to_wait());
        assert(ready >= 0 || errno == EINTR);
        turn_ = clock::now();
        for (int i = 0; i < ready; ++i)
            on_event(events[static_cast<std::size_t>(i)]);
        on_timers();
    }
    listener_.close();
    connections_.clear();
    timers_.clear();
    count([](auto& s) { s.open_connections = 0; });
}

int server_thread::milliseconds_to_wait() const {
    auto first = accept_again_;
    if (!timers_.empty() && (!first || timers_.begin()->first < *first))
        first = timers_.begin()->first;
    if (!first)
        return -1;
    // Rounded up, so that nothing happens before its time. A minute at most keeps the cast safe; an early wake-up costs
    // nothing.
    const auto left = std::chrono::ceil<milliseconds>(*first - clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

/// Runs a step of a connection, then closes it or watches for what it waits for next. Where memory runs out, that
/// connection is lost and the others go on: a test may well make allocations fail.
template <class Step>
void server_thread::guarded(connection& c, Step step) {
    try {
        step();
        if (!c.gone)
            settle(c);
    } catch (const std::bad_alloc&) {
        close_with_reset(c.socket.get());
        c.gone = true;
    }
    if (c.gone)
        drop(c);
}

void server_thread::on_event(const epoll_event& event) {
    const std::uint64_t id = event.data.u64; // a copy: the struct is packed, so no reference may be bound to it
    if (id == wake_id)
        return;
    if (id == listener_id) {
        accept_some();
        return;
    }
    const auto found = connections_.find(id);
    if (found == connections_.end())
        return;
    auto& c = *found->second;
    guarded(c, [&] {
        if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) {
            c.gone = true;
            return;
        }
        if ((event.events & EPOLLRDHUP) != 0)
            c.has_left = true;
        if ((event.events & EPOLLIN) != 0)
            read_some(c);
        if (!c.gone)
            advance(c);
    });
}

void server_thread::on_timers() {
    if (accept_again_ && *accept_again_ <= turn_)
        pause_accepting(false);
    // What is armed meanwhile lies after `turn_` (set_timer sees to it), so this ends.
    while (!timers_.empty() && timers_.begin()->first <= turn_) {
        auto& c = *connections_.at(timers_.begin()->second);
        clear_timer(c);
        guarded(c, [&] { on_timer(c); });
    }
}

void server_thread::set_timer(connection& c, clock::time_point due) {
    clear_timer(c);
    due = std::max(due, turn_ + std::chrono::microseconds(1));
    timers_.emplace(due, c.id);
    c.due = due;
}

void server_thread::clear_timer(connection& c) noexcept {
    if (c.due)
        timers_.erase({*c.due, c.id});
    c.due.reset();
}

/// Closes what is over, and brings the watched events in line with what the connection waits for.
void server_thread::settle(connection& c) {
    const bool waits_for_time =
        c.now == phase::delaying || c.now == phase::dripping || c.now == phase::swallowing || c.now == phase::ignoring;
    if ((waits_for_time && (c.has_left || c.at_end)) || (c.now == phase::lingering && c.at_end)) {
        c.gone = true;
        return;
    }
    const bool discards = c.now == phase::swallowing || c.now == phase::lingering;
    const bool has_room = discards || c.pending().size() <= chosen_.max_request_bytes;
    std::uint32_t wanted = 0;
    if (!c.at_end && has_room && c.now != phase::ignoring)
        wanted |= EPOLLIN;
    if (!c.has_left && !c.at_end)
        wanted |= EPOLLRDHUP;
    if (!c.output.empty() && c.now != phase::delaying)
        wanted |= EPOLLOUT;
    if (wanted == c.armed)
        return;
    epoll_event event{};
    event.events = wanted;
    event.data.u64 = c.id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.socket.get(), &event) != 0)
        c.gone = true;
    c.armed = wanted;
}

} // namespace muster::testing::faulty
