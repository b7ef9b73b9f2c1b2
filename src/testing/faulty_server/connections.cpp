// SPDX-License-Identifier: MIT
#include "server_thread.hpp"

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

void server_thread::accept_some() {
    for (int i = 0; i != 64; ++i) {
        unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket.get() >= 0) {
            admit(std::move(socket));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            // The waiting connection keeps the listener readable: looking away for a moment keeps the loop from
            // spinning.
            pause_accepting(true);
            return;
        }
        // Any other error is that of a connection that broke while it waited.
    }
}

void server_thread::pause_accepting(bool paused) noexcept {
    epoll_event event{};
    event.events = paused ? 0U : std::uint32_t{EPOLLIN};
    event.data.u64 = listener_id;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
    accept_again_ = paused ? std::optional(turn_ + accept_pause) : std::nullopt;
}

void server_thread::refuse_connection(const unique_fd& socket) {
    close_with_reset(socket.get());
    count([](auto& s) { ++s.refused; });
}

void server_thread::admit(unique_fd socket) {
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
        auto made = std::make_unique<connection>();
        made->id = id;
        made->now = chosen_.accepting == on_accept::ignore ? phase::ignoring : phase::reading;
        made->armed = made->now == phase::ignoring ? std::uint32_t{EPOLLRDHUP} : std::uint32_t{EPOLLIN | EPOLLRDHUP};
        watch(socket.get(), id, made->armed);
        connections_.emplace(id, nullptr).first->second = std::move(made);
    } catch (const std::bad_alloc&) {
        refuse_connection(socket);
        return;
    } catch (const std::system_error&) { // the system's limit of watches
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
    const bool discards = c.now == phase::swallowing || c.now == phase::lingering;
    for (std::size_t got_all = 0; got_all < io_budget;) {
        if (!discards && c.pending().size() > chosen_.max_request_bytes)
            return;
        const auto got = ::recv(c.socket.get(), buffer_.data(), buffer_.size(), 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.gone = true;
            return;
        }
        if (got == 0) {
            c.at_end = true;
            return;
        }
        got_all += static_cast<std::size_t>(got);
        if (!discards)
            c.input.append(buffer_.data(), static_cast<std::size_t>(got));
    }
}

/// Sends what is queued. Returns true where all of it went; false where the rest waits for its turn or the connection
/// broke.
bool server_thread::flush(connection& c) {
    std::size_t budget = io_budget;
    while (!c.output.empty()) {
        auto& front = c.output.front();
        const auto bytes = front.next();
        const int more = c.output.size() > 1 && c.now == phase::writing ? MSG_MORE : 0;
        const auto sent = ::send(c.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | more);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.gone = true;
            return false;
        }
        front.sent += static_cast<std::uint64_t>(sent);
        if (front.sent == front.length)
            c.output.pop_front();
        budget -= std::min(budget, static_cast<std::size_t>(sent));
        if (budget == 0 && !c.output.empty())
            return false;
    }
    return true;
}

/// Goes on as far as the connection can without waiting.
void server_thread::advance(connection& c) {
    while (!c.gone && !stopping_) {
        switch (c.now) {
        case phase::reading:
            if (!flush(c) || !take_request(c)) {
                // With the end of the stream read, what is left can never become a request.
                if (c.at_end && c.output.empty())
                    c.gone = true;
                return;
            }
            break;
        case phase::writing:
            if (!flush(c))
                return;
            finish_answer(c);
            if (c.now == phase::writing)
                return;
            break;
        case phase::dripping:
            // Where the last byte is out, the answer is.
            if (!flush(c) || c.drip_at != c.drip_end)
                return;
            c.now = phase::writing;
            break;
        case phase::delaying:
        case phase::swallowing:
        case phase::lingering:
        case phase::ignoring:
            return;
        }
    }
}

void server_thread::finish_answer(connection& c) {
    switch (c.after) {
    case ending::keep:
        c.now = phase::reading;
        return;
    case ending::close:
        if (::shutdown(c.socket.get(), SHUT_WR) != 0) {
            c.gone = true;
            return;
        }
        c.now = phase::lingering;
        c.input.clear();
        c.begin = c.scanned = 0;
        set_timer(c, turn_ + linger_time);
        return;
    case ending::reset: {
        // A reset throws away what the system still holds: wait until it has passed on all of the answer.
        int unsent = 0;
        if (::ioctl(c.socket.get(), SIOCOUTQNSD, &unsent) == 0 && unsent > 0) {
            set_timer(c, turn_ + milliseconds(1));
            return;
        }
        close_with_reset(c.socket.get());
        c.gone = true;
        return;
    }
    }
}

void server_thread::on_timer(connection& c) {
    switch (c.now) {
    case phase::delaying:
        c.now = phase::writing;
        break;
    case phase::dripping:
        // A client that does not read gets no second byte queued behind the first.
        if (c.output.empty()) {
            c.queue(std::string(1, static_cast<char>('a' + static_cast<int>(c.drip_at % 26))));
            ++c.drip_at;
        }
        if (c.drip_at != c.drip_end)
            set_timer(c, turn_ + c.drip_period);
        break;
    case phase::lingering:
        c.gone = true;
        return;
    case phase::reading:
    case phase::writing:
    case phase::swallowing:
    case phase::ignoring:
        break;
    }
    advance(c);
}

} // namespace muster::testing::faulty
