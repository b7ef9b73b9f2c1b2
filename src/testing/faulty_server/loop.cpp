// SPDX-License-Identifier: MIT
// The server's loop: it waits in epoll_wait() for sockets, for the earliest timer, or for stop(). Each event and each
// timer makes one step of one connection, after which settle() says what epoll is to report of it next. Events name a
// connection by its id, which is never used again, so that an event of one that is gone meets nobody else.
#include "testing/faulty_server/server_thread.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

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
    epoll_ = owned_fd(::epoll_create1(EPOLL_CLOEXEC));
    if (epoll_.get() < 0)
        fail(errno, "cannot make an epoll descriptor");
    wake_ = owned_fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (wake_.get() < 0)
        fail(errno, "cannot make an event descriptor");
    have_reported(wake_.get(), wake_id, EPOLLIN);
    have_reported(listener_.get(), listener_id, EPOLLIN);

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
    wake();
    thread_.join();
}

void server_thread::wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    MUSTER_ASSERT(written == sizeof one); // the counter is far from its end: the loop takes it back to zero
}

std::size_t server_thread::send_unasked(std::string_view bytes) {
    if (own_thread_.load() == std::this_thread::get_id())
        fail(EDEADLK, "send_unasked() waits for the thread that the script runs on");
    unasked mine{bytes};
    std::unique_lock own(unasked_mutex_);
    if (unasked_state_ == unasked_state::refused)
        return 0;
    unasked_.push_back(&mine);
    wake();
    unasked_sent_.wait(own, [&] { return std::find(unasked_.begin(), unasked_.end(), &mine) == unasked_.end(); });
    return mine.connections;
}

void server_thread::send_what_is_unasked() {
    const std::lock_guard own(unasked_mutex_);
    for (auto* one : unasked_) {
        std::vector<connection*> idle;
        for (const auto& [id, c] : connections_)
            if (c->phase.is(phase::reading) && !c->current && c->input.pending().empty())
                idle.push_back(c.get());
        for (auto* c : idle)
            guarded(*c, [&] {
                c->output.queue(std::string(one->bytes));
                static_cast<void>(flush(*c)); // what does not go now goes before the next answer
            });
        one->connections = idle.size();
    }
    if (!unasked_.empty())
        unasked_sent_.notify_all();
    unasked_.clear();
}

void server_thread::refuse_unasked() {
    const std::lock_guard own(unasked_mutex_);
    unasked_state_ = unasked_state::refused;
    unasked_.clear();
    unasked_sent_.notify_all();
}

void server_thread::have_reported(int fd, std::uint64_t id, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
        fail(errno, "cannot have epoll report a descriptor");
}

void server_thread::run() {
    pthread_setname_np(pthread_self(), "faulty_server");
    own_thread_ = std::this_thread::get_id();
    while (!stopping_) {
        look_at_events(milliseconds_to_wait());
        if (std::exchange(clients_wait_, false)) {
            const std::size_t count = accept_some();
            // A client that closes a connection before it makes another has at no time both, so the ends that have come
            // by now are seen before the new connections count.
            constexpr int most_looks = 16;
            for (int i = 0; i != most_looks && look_at_events(0); ++i) {}
            for (auto& socket : std::span(accepted_).first(count))
                admit(std::move(socket));
        }
        on_timers();
        send_what_is_unasked();
    }
    refuse_unasked();
    listener_.reset();
    connections_.clear();
    timers_.clear();
    count([](auto& s) { s.open_connections = 0; });
}

/// *Returns* whether there may be more events than were looked at.
bool server_thread::look_at_events(int timeout) {
    std::array<epoll_event, 256> events{};
    const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    MUSTER_ASSERT(ready >= 0 || errno == EINTR);
    now_ = clock::now();
    for (int i = 0; i < ready; ++i)
        on_event(events[static_cast<std::size_t>(i)]);
    return ready == static_cast<int>(events.size()) && !stopping_;
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

/// Runs a step of a connection, then closes it or has epoll report what it waits for next. Where memory runs out, that
/// connection is lost and the others go on: a test may well make allocations fail.
template <class Step>
void server_thread::guarded(connection& c, Step step) {
    try {
        step();
        if (!c.phase.is(phase::gone))
            settle(c);
    } catch (const std::bad_alloc&) {
        close_with_reset(c.socket.get());
        c.phase.become(phase::gone);
    }
    if (c.phase.is(phase::gone))
        drop(c);
}

void server_thread::on_event(const epoll_event& event) {
    const std::uint64_t id = event.data.u64; // a copy: the struct is packed, so no reference may be bound to it
    if (id == wake_id) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto read = ::read(wake_.get(), &count, sizeof count);
        return;
    }
    if (id == listener_id) {
        clients_wait_ = true;
        return;
    }
    const auto found = connections_.find(id);
    if (found == connections_.end())
        return;
    auto& c = *found->second;
    guarded(c, [&] {
        if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) {
            c.phase.become(phase::gone);
            return;
        }
        if ((event.events & EPOLLRDHUP) != 0 && c.client == client_side::open)
            c.client = client_side::closed;
        if ((event.events & EPOLLIN) != 0)
            read_some(c);
        if (!c.phase.is(phase::gone))
            advance(c);
    });
}

void server_thread::on_timers() {
    if (accept_again_ && *accept_again_ <= now_)
        pause_accepting(false);
    // A timer that is armed meanwhile lies after `now_` (set_timer sees to it), so this ends.
    while (!timers_.empty() && timers_.begin()->first <= now_) {
        auto& c = *connections_.at(timers_.begin()->second);
        clear_timer(c);
        guarded(c, [&] { on_timer(c); });
    }
}

void server_thread::set_timer(connection& c, clock::time_point due) {
    clear_timer(c);
    due = std::max(due, now_ + std::chrono::microseconds(1));
    timers_.emplace(due, c.id);
    c.due = due;
}

void server_thread::clear_timer(connection& c) noexcept {
    if (c.due)
        timers_.erase({*c.due, c.id});
    c.due.reset();
}

/// Closes what is over, and brings the reported events in line with what the connection waits for.
void server_thread::settle(connection& c) {
    const bool all_was_read = c.client == client_side::read_to_end;
    if ((c.phase.waits_for_time() && c.client != client_side::open) || (c.phase.is(phase::lingering) && all_was_read)) {
        c.phase.become(phase::gone);
        return;
    }
    const bool has_room = c.phase.discards_input() || c.input.pending().size() <= chosen_.max_request_bytes;
    std::uint32_t wanted = 0;
    if (!all_was_read && has_room && !c.phase.is(phase::ignoring))
        wanted |= EPOLLIN;
    if (c.client == client_side::open)
        wanted |= EPOLLRDHUP;
    if (!c.output.empty() && !c.phase.is(phase::delaying))
        wanted |= EPOLLOUT;
    if (wanted == c.armed)
        return;
    epoll_event event{};
    event.events = wanted;
    event.data.u64 = c.id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.socket.get(), &event) != 0)
        c.phase.become(phase::gone);
    c.armed = wanted;
}

} // namespace muster::testing::faulty
