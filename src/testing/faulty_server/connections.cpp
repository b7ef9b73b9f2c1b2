// SPDX-License-Identifier: MIT
// The life of a connection, from accept() to its close: bytes in and out, and its phases (see connection.hpp).
#include "testing/faulty_server/server_thread.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace muster::testing::faulty {

/// *Returns* how many were accepted.
std::size_t server_thread::accept_some() {
    std::size_t count = 0;
    for (std::size_t i = 0; i != accepted_.size(); ++i) {
        owned_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket.get() >= 0) {
            accepted_[count++] = std::move(socket);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            // The waiting connection keeps the listener readable: looking away for a moment keeps the loop from
            // spinning.
            pause_accepting(true);
            break;
        }
        // Any other error is that of a connection that broke while it waited.
    }
    return count;
}

void server_thread::pause_accepting(bool paused) noexcept {
    epoll_event event{};
    event.events = paused ? 0U : std::uint32_t{EPOLLIN};
    event.data.u64 = listener_id;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
    accept_again_ = paused ? std::optional(now_ + accept_pause) : std::nullopt;
}

void server_thread::refuse_connection(const owned_fd& socket) {
    close_with_reset(socket.get());
    count([](auto& s) { ++s.refused; });
}

void server_thread::admit(owned_fd socket) {
    if (connections_.size() >= chosen_.max_connections) {
        refuse_connection(socket);
        return;
    }
    if (chosen_.accepting == on_accept::close || chosen_.accepting == on_accept::reset) {
        if (chosen_.accepting == on_accept::reset)
            close_with_reset(socket.get());
        count([](auto& s) {
            ++s.connections;
            s.peak_connections = std::max<std::size_t>(s.peak_connections, 1);
        });
        return;
    }
    const int yes = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); // a dripped byte is to leave at once
    const auto id = next_id_++;
    try {
        auto made =
            std::make_unique<connection>(id, chosen_.accepting == on_accept::ignore ? phase::ignoring : phase::reading);
        made->armed = made->phase.is(phase::ignoring) ? std::uint32_t{EPOLLRDHUP} : std::uint32_t{EPOLLIN | EPOLLRDHUP};
        have_reported(socket.get(), id, made->armed);
        connections_.emplace(id, nullptr).first->second = std::move(made);
    } catch (const std::bad_alloc&) {
        refuse_connection(socket);
        return;
    } catch (const std::system_error&) { // the system's limit of descriptors in epoll
        refuse_connection(socket);
        return;
    }
    connections_.find(id)->second->socket = std::move(socket);
    count([open = connections_.size()](auto& s) {
        ++s.connections;
        s.open_connections = open;
        s.peak_connections = std::max(s.peak_connections, open);
    });
}

void server_thread::drop(connection& c) noexcept {
    clear_timer(c);
    connections_.erase(c.id);
    count([open = connections_.size()](auto& s) { s.open_connections = open; });
}

void server_thread::read_some(connection& c) {
    const bool discards = c.phase.discards_input();
    for (std::size_t got_all = 0; got_all < io_budget;) {
        if (!discards && c.input.pending().size() > chosen_.max_request_bytes)
            return;
        const auto got = ::recv(c.socket.get(), buffer_.data(), buffer_.size(), 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.phase.become(phase::gone);
            return;
        }
        if (got == 0) {
            c.client = client_side::read_to_end;
            return;
        }
        got_all += static_cast<std::size_t>(got);
        if (!discards)
            c.input.append({buffer_.data(), static_cast<std::size_t>(got)});
    }
}

/// Sends what is queued. Returns true where all of it went; false where the rest has to wait or the connection broke.
bool server_thread::flush(connection& c) {
    std::size_t budget = io_budget;
    while (!c.output.empty()) {
        const auto bytes = c.output.next();
        const int more = c.output.has_more_pieces() && c.phase.is(phase::writing) ? MSG_MORE : 0;
        const auto sent = ::send(c.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | more);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.phase.become(phase::gone);
            return false;
        }
        c.output.was_sent(static_cast<std::size_t>(sent));
        budget -= std::min(budget, static_cast<std::size_t>(sent));
        if (budget == 0 && !c.output.empty())
            return false;
    }
    return true;
}

/// Goes on as far as the connection can without waiting.
void server_thread::advance(connection& c) {
    while (!c.phase.is(phase::gone) && !stopping_) {
        switch (c.phase.now()) {
        case phase::reading:
            if (!flush(c) || !take_request(c)) {
                // With the end of the stream read, what is left can never become a request.
                if (c.client == client_side::read_to_end && c.output.empty() && !c.phase.is(phase::gone))
                    c.phase.become(phase::gone);
                return;
            }
            break;
        case phase::writing:
            if (!flush(c))
                return;
            finish_answer(c);
            if (c.phase.is(phase::writing))
                return;
            break;
        case phase::dripping:
            // Where the last byte is out, the answer is.
            if (!flush(c) || c.drip.next != c.drip.end)
                return;
            c.phase.become(phase::writing);
            break;
        case phase::delaying:
        case phase::swallowing:
        case phase::lingering:
        case phase::ignoring:
        case phase::gone:
            return;
        }
    }
}

void server_thread::finish_answer(connection& c) {
    if (!c.later.empty()) {
        auto [pause, bytes] = std::move(c.later.front());
        c.later.pop_front();
        c.output.queue(std::move(bytes));
        c.phase.become(phase::delaying);
        set_timer(c, clock::now() + pause);
        return;
    }
    switch (c.after) {
    case ending::keep:
        c.phase.become(phase::reading);
        return;
    case ending::close:
        if (::shutdown(c.socket.get(), SHUT_WR) != 0) {
            c.phase.become(phase::gone);
            return;
        }
        c.phase.become(phase::lingering);
        c.input.clear();
        set_timer(c, now_ + linger_time);
        return;
    case ending::reset: {
        // A reset throws away what the system still holds: wait until it has passed on all of the answer.
        int unsent = 0;
        if (::ioctl(c.socket.get(), SIOCOUTQNSD, &unsent) == 0 && unsent > 0) {
            set_timer(c, now_ + milliseconds(1));
            return;
        }
        close_with_reset(c.socket.get());
        c.phase.become(phase::gone);
        return;
    }
    }
}

void server_thread::on_timer(connection& c) {
    switch (c.phase.now()) {
    case phase::delaying:
        c.phase.become(phase::writing);
        break;
    case phase::dripping:
        // A client that does not read gets no second byte queued behind the first.
        if (c.output.empty()) {
            c.output.queue(std::string(1, static_cast<char>('a' + static_cast<int>(c.drip.next % 26))));
            ++c.drip.next;
        }
        if (c.drip.next != c.drip.end)
            set_timer(c, now_ + c.drip.period);
        break;
    case phase::lingering:
        c.phase.become(phase::gone);
        return;
    case phase::reading:
    case phase::writing:
    case phase::swallowing:
    case phase::ignoring:
    case phase::gone:
        break;
    }
    advance(c);
}

} // namespace muster::testing::faulty
