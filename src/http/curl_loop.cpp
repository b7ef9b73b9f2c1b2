// SPDX-License-Identifier: MIT
// How libcurl is driven. It names the sockets that it wants polled (on_socket) and the time at which it wants to be
// called (on_timer). Both only note what is due and post one call to the loop's queue; that call reaches the engine,
// which opens a `curl_loop::call` and has run_due tell libcurl about all of it at once. So libcurl never runs inside a
// callback of libuv, and never inside itself.
//
//                 attach                  call begins
//     detached ------------> attached ----------------> calling
//              <------------          <----------------
//              detach, rest               call ends
#include "curl_loop.hpp"

#include "loops/require_event_loop.hpp"

#include <muster/error.hpp>
#include <muster/event_loop.hpp>

#include <uv.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <utility>

#include <unistd.h>

namespace muster::http {

/// A descriptor that libcurl has us poll.
class curl_socket : public muster::detail::list_hook<curl_socket> {
public:
    curl_socket(curl_loop& of, curl_socket_t socket) noexcept : of_(&of), socket_(socket) {}

    [[nodiscard]] bool begin(uv_loop_t* on) noexcept {
        if (uv_poll_init_socket(on, &poll_, socket_) < 0)
            return false;
        poll_.data = this;
        return true;
    }
    [[nodiscard]] bool poll_for(int uv_events) noexcept {
        rests_ = failed_ = false;
        uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
        if (polled_for_ == uv_events)
            return true;
        const bool done = uv_poll_start(&poll_, uv_events, &ready) == 0;
        polled_for_ = done ? uv_events : 0;
        return done;
    }
    /// libcurl keeps the connection for later and wants to hear nothing of it now. libuv goes on polling, so that the
    /// next request need not tell the kernel again, but does not keep the loop alive for it.
    void rest() noexcept {
        rests_ = true;
        events_ = 0;
        uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
    }
    /// Frees it once libuv has let go of it.
    void close() noexcept {
        uv_close(
            reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* h) { delete static_cast<curl_socket*>(h->data); });
    }

    [[nodiscard]] curl_socket_t socket() const noexcept { return socket_; }
    /// *Returns* the CURL_CSELECT_ events since the last call.
    [[nodiscard]] int take_events() noexcept { return std::exchange(events_, 0); }
    /// *Returns* whether libuv has given up polling because of an error on the socket; once.
    [[nodiscard]] bool take_failed() noexcept { return std::exchange(failed_, false); }

private:
    static void ready(uv_poll_t* p, int status, int uv_events) {
        auto& self = *static_cast<curl_socket*>(p->data);
        if (status < 0)
            self.polled_for_ = 0; // libuv has stopped
        if (self.rests_) {
            // The server has closed the connection, or says something that nobody asked for. libcurl looks for that
            // when it is about to use the connection; until then it would be reported again and again.
            self.polled_for_ = 0;
            uv_poll_stop(p);
            return;
        }
        if (status < 0) {
            // libuv does not say what is wrong. libcurl finds out when it reads or writes, and then can say it.
            self.failed_ = true;
            self.events_ |= CURL_CSELECT_IN | CURL_CSELECT_OUT;
        }
        if ((uv_events & UV_READABLE) != 0)
            self.events_ |= CURL_CSELECT_IN;
        if ((uv_events & UV_WRITABLE) != 0)
            self.events_ |= CURL_CSELECT_OUT;
        self.of_->socket_is_ready(self);
    }

    uv_poll_t poll_{};
    curl_loop* of_;
    curl_socket_t socket_;
    int events_ = 0;
    int polled_for_ = 0; ///< the events that libuv polls for, in its own bits
    bool rests_ = false;
    bool failed_ = false;
};

/// Runs once per loop iteration while a curl_loop is attached. If the loop is being closed, it has the requests fail,
/// so that a response_stream that is kept outside of all tasks can't keep the loop open.
class loop_end_check {
public:
    explicit loop_end_check(curl_loop& of) noexcept : of_(&of) { prepare_.data = this; }

    void begin(uv_loop_t* on) noexcept {
        uv_prepare_init(on, &prepare_);
        uv_prepare_start(&prepare_, [](uv_prepare_t* p) {
            curl_loop& of = *static_cast<loop_end_check*>(p->data)->of_;
            if (muster::detail::scheduler::current() != of.loop_)
                of.user_->loop_has_gone();
        });
    }
    /// Frees it once libuv has let go of it.
    void close() noexcept {
        uv_close(reinterpret_cast<uv_handle_t*>(&prepare_),
            [](uv_handle_t* h) { delete static_cast<loop_end_check*>(h->data); });
    }

private:
    uv_prepare_t prepare_{};
    curl_loop* of_;
};

curl_loop::due_call::due_call(curl_loop& c) noexcept
    : call_entry([](call_entry& e, bool run) noexcept {
          if (run)
              static_cast<due_call&>(e).of->user_->curl_is_due();
      }),
      of(&c) {}

curl_loop::curl_timer::curl_timer(curl_loop& c) noexcept
    : timer([](timer& t) noexcept {
          curl_loop& self = *static_cast<curl_timer&>(t).of;
          self.timeout_is_due_ = true;
          self.call_soon();
      }),
      of(&c) {}

curl_loop::curl_loop(user& by)
    : user_(&by),
      sweep_(this, [](void* self) noexcept { static_cast<curl_loop*>(self)->sweep_connections(); }),
      due_call_(*this),
      timer_(*this),
      multi_(curl_multi_init()) {
    if (!multi_)
        throw std::bad_alloc();
    curl_multi_setopt(multi(), CURLMOPT_SOCKETFUNCTION, &on_socket);
    curl_multi_setopt(multi(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi(), CURLMOPT_TIMERFUNCTION, &on_timer);
    curl_multi_setopt(multi(), CURLMOPT_TIMERDATA, this);
}

curl_loop::~curl_loop() { close(); }

void curl_loop::limit_connections(std::size_t per_host, std::size_t in_all) noexcept {
    const auto most = [](std::size_t n) { return static_cast<long>(std::min<std::size_t>(n, 1 << 30)); };
    most_connections_ = most(in_all);
    curl_multi_setopt(multi(), CURLMOPT_MAX_HOST_CONNECTIONS, most(per_host));
    curl_multi_setopt(multi(), CURLMOPT_MAX_TOTAL_CONNECTIONS, most_connections_);
}

void curl_loop::close() noexcept {
    MUSTER_ASSERT(phase_ != phase::calling);
    detach();
    sweep_.pause();
    const muster::detail::sigpipe_guard no_sigpipe; // TLS says goodbye on each connection
    multi_.reset();
}

void curl_loop::attach() {
    auto& current = muster::detail::scheduler::require("an HTTP request");
    if (is_attached()) {
        if (loop_ != &current)
            throw invalid_state_error("an http::client can't be used on two loops at the same time");
        return;
    }
    event_loop& loop = muster::detail::require_event_loop("an HTTP request");
    auto made = std::make_unique<loop_end_check>(*this);
    made->begin(static_cast<uv_loop_t*>(loop.native()));
    end_check_ = made.release();
    sweep_.pause();
    loop_ = &current;
    events_ = &loop;
    phase_ = phase::attached;
}

void curl_loop::detach() noexcept {
    if (!is_attached())
        return;
    MUSTER_ASSERT(phase_ == phase::attached);
    phase_ = phase::detached;
    loop_->disarm(timer_);
    timeout_is_due_ = false;
    while (ready_.pop_front() != nullptr) {}
    for (curl_socket* s : sockets_)
        if (s != nullptr)
            s->close();
    sockets_.clear();
    std::exchange(end_check_, nullptr)->close();
    loop_->unpost(due_call_);
    loop_ = nullptr;
    events_ = nullptr;
}

void curl_loop::rest() noexcept {
    if (!is_attached())
        return;
    event_loop& loop = *events_;
    detach();
    sweep_.begin(loop);
}

/// libcurl 7.88 looks at its idle connections only when a request looks for one, once a second at most: so a request is
/// made that gets no socket (prune_dead_connections in lib/url.c). Nothing else is under way.
void curl_loop::sweep_connections() noexcept {
    MUSTER_ASSERT(phase_ == phase::detached);
    constexpr long most_seconds_idle = 60;
    if (!multi_)
        return;
    if (!sweeper_) {
        sweeper_.reset(curl_easy_init());
        if (!sweeper_)
            return;
        const auto no_socket = [](void*, curlsocktype, curl_sockaddr*) noexcept -> curl_socket_t {
            return CURL_SOCKET_BAD;
        };
        curl_easy_setopt(sweeper_.get(), CURLOPT_URL, "http://127.0.0.1:9/");
        curl_easy_setopt(sweeper_.get(), CURLOPT_PROXY, "");
        curl_easy_setopt(sweeper_.get(), CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(sweeper_.get(), CURLOPT_MAXAGE_CONN, most_seconds_idle);
        curl_easy_setopt(sweeper_.get(), CURLOPT_OPENSOCKETFUNCTION, static_cast<curl_opensocket_callback>(no_socket));
    }
    const muster::detail::sigpipe_guard no_sigpipe; // TLS says goodbye on a connection that is dropped
    if (curl_multi_add_handle(multi(), sweeper_.get()) != CURLM_OK)
        return;
    // No good connection is closed to make room for this one.
    curl_multi_setopt(multi(), CURLMOPT_MAX_TOTAL_CONNECTIONS, 0L);
    int running = 1;
    constexpr int most_steps = 8;
    for (int i = 0; running != 0 && i != most_steps; ++i)
        curl_multi_perform(multi(), &running);
    curl_multi_setopt(multi(), CURLMOPT_MAX_TOTAL_CONNECTIONS, most_connections_);
    curl_multi_remove_handle(multi(), sweeper_.get());
}

void curl_loop::run_due() noexcept {
    MUSTER_ASSERT(phase_ == phase::calling);
    if (std::exchange(timeout_is_due_, false))
        call_curl(CURL_SOCKET_TIMEOUT, 0);
    while (curl_socket* s = ready_.pop_front()) {
        // libcurl may have the socket closed while it is called: the address alone must be enough afterwards.
        const curl_socket_t socket = s->socket();
        const int events = s->take_events();
        if (events == 0 || broken_)
            continue;
        call_curl(socket, events);
        const auto place = static_cast<std::size_t>(socket);
        const bool still_polled = place < sockets_.size() && sockets_[place] == s;
        // libuv does not poll the socket any more, and libcurl has not noticed that anything is wrong with it.
        if (still_polled && s->take_failed() && !broken_)
            call_curl(socket, CURL_CSELECT_ERR);
    }
}

void curl_loop::call_curl(curl_socket_t s, int events) noexcept {
    int running = 0;
    if (curl_multi_socket_action(multi(), s, events, &running) != CURLM_OK)
        broken_ = true;
}

// ---- what libcurl asks for ----

int curl_loop::on_timer(CURLM*, long milliseconds, void* self) noexcept {
    auto& c = *static_cast<curl_loop*>(self);
    if (!c.is_attached())
        return 0;
    c.loop_->disarm(c.timer_);
    c.timeout_is_due_ = false;
    if (milliseconds < 0)
        return 0;
    if (milliseconds == 0) {
        c.timeout_is_due_ = true;
        c.call_soon();
        return 0;
    }
    return c.loop_->arm(c.timer_, c.loop_->now() + std::chrono::milliseconds(milliseconds)) ? 0 : -1;
}

int curl_loop::on_socket(CURL*, curl_socket_t s, int what, void* self, void*) noexcept {
    auto& c = *static_cast<curl_loop*>(self);
    if (what == CURL_POLL_REMOVE) {
        c.stop_polling(s);
        return 0;
    }
    return c.is_attached() && c.poll(s, what) ? 0 : -1;
}

bool curl_loop::poll(curl_socket_t s, int what) noexcept {
    const auto place = static_cast<std::size_t>(s);
    try {
        if (place >= sockets_.size())
            sockets_.resize(place + 1);
        if (sockets_[place] == nullptr) {
            auto made = std::make_unique<curl_socket>(*this, s);
            if (!made->begin(static_cast<uv_loop_t*>(events_->native())))
                return false;
            sockets_[place] = made.release();
        }
    } catch (const std::bad_alloc&) {
        return false;
    }
    const int events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    return sockets_[place]->poll_for(events);
}

void curl_loop::stop_polling(curl_socket_t s) noexcept {
    const auto place = static_cast<std::size_t>(s);
    if (place >= sockets_.size() || sockets_[place] == nullptr)
        return;
    // Events that were seen on it mean nothing any more.
    if (ready_.contains(*sockets_[place]))
        ready_.remove(*sockets_[place]);
    if (will_hear_of_its_end(s))
        sockets_[place]->rest();
    else
        std::exchange(sockets_[place], nullptr)->close();
}

void curl_loop::is_connected(curl_socket_t s) noexcept {
    const auto place = static_cast<std::size_t>(s);
    try {
        if (place >= connected_.size())
            connected_.resize(place + 1);
        connected_[place] = true;
    } catch (const std::bad_alloc&) {
        // It is polled anew for each request then.
    }
}

int curl_loop::close_socket(void* self, curl_socket_t s) noexcept {
    auto& c = *static_cast<curl_loop*>(self);
    const auto place = static_cast<std::size_t>(s);
    if (place < c.connected_.size())
        c.connected_[place] = false;
    // libuv lets go of it now, while the number still is this socket's. Later the number may be another client's socket
    // on the same loop, and taking it out of the poll set would take out theirs.
    c.stop_polling(s);
    return ::close(s);
}

void curl_loop::socket_is_ready(curl_socket& s) noexcept {
    if (!ready_.contains(s))
        ready_.push_back(s);
    call_soon();
}

} // namespace muster::http
