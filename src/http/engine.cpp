// SPDX-License-Identifier: MIT
#include "engine.hpp"

#include "exchange.hpp"

#include <muster/event_loop.hpp>

#include <uv.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace muster::http {

/// A descriptor that libcurl waits for. One is made for each number and serves all sockets that have it in turn.
struct socket_watch {
    uv_poll_t poll{};
    engine* of = nullptr;
    curl_socket_t socket = CURL_SOCKET_BAD;
    int events = 0;               ///< CURL_CSELECT_*, seen and not yet told libcurl
    bool failed = false;          ///< libuv stopped watching because of an error on it
    bool listed = false;          ///< in the engine's list
    socket_watch* next = nullptr; ///< there

    static void ready(uv_poll_t* p, int status, int uv_events) {
        auto& self = *static_cast<socket_watch*>(p->data);
        int events = 0;
        if (status < 0) {
            // libuv does not say what is wrong. libcurl finds out when it reads or writes, and then can tell.
            self.failed = true;
            events = CURL_CSELECT_IN | CURL_CSELECT_OUT;
        }
        if ((uv_events & UV_READABLE) != 0)
            events |= CURL_CSELECT_IN;
        if ((uv_events & UV_WRITABLE) != 0)
            events |= CURL_CSELECT_OUT;
        self.of->socket_ready(self, events);
    }
};

/// Tells whether the loop is still run by its own, as long as something is under way: what is held outside of all
/// tasks, a response_stream, may outlive the loop, and must not keep it from being closed.
struct turn_watch {
    uv_prepare_t prepare{};
    engine* of = nullptr;

    static void called(uv_prepare_t* p) {
        engine& e = *static_cast<turn_watch*>(p->data)->of;
        if (muster::detail::scheduler::current() != e.loop_)
            e.loop_has_gone();
    }
};

engine::turn_entry::turn_entry(engine& e) noexcept
    : call_entry([](call_entry& c, bool run) noexcept {
          if (run)
              static_cast<turn_entry&>(c).of->turn();
      }),
      of(&e) {}

engine::curl_timer::curl_timer(engine& e) noexcept
    : timer([](timer& t) noexcept {
          auto& self = *static_cast<curl_timer&>(t).of;
          self.timeout_due_ = true;
          self.loop_->post(self.turn_);
      }),
      of(&e) {}

engine::engine(const client_options& options) : options_(options), turn_(*this), timer_(*this) {
    require_curl();
    make_multi();
    if (options_.cookies_) {
        shared_.reset(curl_share_init());
        if (!shared_ || curl_share_setopt(shared_.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE) != CURLSHE_OK)
            throw std::bad_alloc();
    }
}

engine::~engine() { close(); }

void engine::make_multi() {
    multi_.reset(curl_multi_init());
    if (!multi_)
        throw std::bad_alloc();
    CURLM* m = multi_.get();
    curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, &on_socket);
    curl_multi_setopt(m, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, &on_timer);
    curl_multi_setopt(m, CURLMOPT_TIMERDATA, this);
    const auto most = [](std::size_t n) { return static_cast<long>(std::min<std::size_t>(n, 1 << 30)); };
    if (options_.connections_per_host_ != 0)
        curl_multi_setopt(m, CURLMOPT_MAX_HOST_CONNECTIONS, most(options_.connections_per_host_));
    if (options_.connections_ != 0)
        curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, most(options_.connections_));
    broken_ = false;
}

// ---- the loop ----

void engine::require_loop() {
    auto& current = muster::detail::scheduler::require("an HTTP request");
    if (running_ != 0) {
        if (loop_ != &current)
            throw invalid_state_error("an http::client can't be used on two loops at the same time");
        return;
    }
    auto* loop = dynamic_cast<event_loop*>(&current);
    if (loop == nullptr)
        throw invalid_state_error("an HTTP request needs a muster::event_loop, as muster::run makes it: "
                                  "this loop does no I/O");
    auto turns = std::make_unique<turn_watch>();
    turns->of = this;
    turns->prepare.data = turns.get();
    uv_prepare_init(static_cast<uv_loop_t*>(loop->native()), &turns->prepare);
    turns_ = turns.release();
    uv_prepare_start(&turns_->prepare, &turn_watch::called);
    loop_ = &current;
    native_ = loop->native();
}

/// It is being closed, and runs none of our calls any more.
void engine::loop_has_gone() noexcept {
    const auto keep = shared_from_this();
    const sigpipe_guard guard;
    fail_all("the loop has ended while the request was under way");
    let_go_of_loop();
}

void engine::let_go_of_loop() noexcept {
    if (loop_ == nullptr)
        return;
    loop_->disarm(timer_);
    timeout_due_ = false;
    ready_ = nullptr;
    for (socket_watch* w : watches_) {
        if (w != nullptr)
            uv_close(reinterpret_cast<uv_handle_t*>(&w->poll),
                [](uv_handle_t* h) { delete static_cast<socket_watch*>(h->data); });
    }
    watches_.clear();
    uv_close(reinterpret_cast<uv_handle_t*>(&turns_->prepare),
        [](uv_handle_t* h) { delete static_cast<turn_watch*>(h->data); });
    turns_ = nullptr;
    loop_->unpost(turn_);
    loop_ = nullptr;
    native_ = nullptr;
}

int engine::on_timer(CURLM*, long milliseconds, void* self) noexcept {
    auto& e = *static_cast<engine*>(self);
    if (e.loop_ == nullptr)
        return 0;
    e.loop_->disarm(e.timer_);
    e.timeout_due_ = false;
    if (milliseconds < 0)
        return 0;
    if (milliseconds == 0) {
        e.timeout_due_ = true;
        e.loop_->post(e.turn_);
        return 0;
    }
    return e.loop_->arm(e.timer_, e.loop_->now() + std::chrono::milliseconds(milliseconds)) ? 0 : -1;
}

int engine::on_socket(CURL*, curl_socket_t s, int what, void* self, void*) noexcept {
    auto& e = *static_cast<engine*>(self);
    if (what == CURL_POLL_REMOVE) {
        e.unwatch(s);
        return 0;
    }
    return e.loop_ != nullptr && e.watch(s, what) ? 0 : -1;
}

bool engine::watch(curl_socket_t s, int what) noexcept {
    const auto place = static_cast<std::size_t>(s);
    try {
        if (place >= watches_.size())
            watches_.resize(place + 1);
        if (watches_[place] == nullptr) {
            auto made = std::make_unique<socket_watch>();
            made->of = this;
            made->socket = s;
            if (uv_poll_init_socket(static_cast<uv_loop_t*>(native_), &made->poll, s) < 0)
                return false;
            made->poll.data = made.get();
            watches_[place] = made.release();
        }
    } catch (const std::bad_alloc&) {
        return false;
    }
    const int events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    watches_[place]->failed = false;
    return uv_poll_start(&watches_[place]->poll, events, &socket_watch::ready) == 0;
}

void engine::unwatch(curl_socket_t s) noexcept {
    const auto place = static_cast<std::size_t>(s);
    if (place >= watches_.size() || watches_[place] == nullptr)
        return;
    // Closed now, while the number is this socket's: later it may be anybody's, another client's on the same loop too,
    // and taking it out of the poll set would take out theirs. What was seen on it is nobody's any more.
    socket_watch* w = std::exchange(watches_[place], nullptr);
    w->failed = false;
    w->events = 0;
    if (std::exchange(w->listed, false)) {
        socket_watch** link = &ready_;
        while (*link != w)
            link = &(*link)->next;
        *link = w->next;
    }
    uv_close(
        reinterpret_cast<uv_handle_t*>(&w->poll), [](uv_handle_t* h) { delete static_cast<socket_watch*>(h->data); });
}

void engine::socket_ready(socket_watch& w, int events) noexcept {
    w.events |= events;
    if (!w.listed) {
        w.listed = true;
        w.next = std::exchange(ready_, &w);
    }
    loop_->post(turn_);
}

void engine::turn() noexcept {
    const auto keep = shared_from_this();
    const sigpipe_guard guard;
    int running = 0;
    in_curl_ = true;
    if (std::exchange(timeout_due_, false))
        check(curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running));
    while (socket_watch* w = ready_) {
        ready_ = w->next;
        w->listed = false;
        const int events = std::exchange(w->events, 0);
        if (events != 0 && !broken_)
            check(curl_multi_socket_action(multi_.get(), w->socket, events, &running));
        if (w->failed && events != 0 && !broken_) {
            // It has not found out, and nobody watches the socket any more.
            w->failed = false;
            check(curl_multi_socket_action(multi_.get(), w->socket, CURL_CSELECT_ERR, &running));
        }
    }
    while (transfer* t = nudged_) {
        nudged_ = t->next_nudged_;
        if (!broken_)
            curl_easy_pause(t->easy(), t->receives_paused_ ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    }
    in_curl_ = false;
    after_curl();
}

void engine::check(CURLMcode status) noexcept {
    if (status != CURLM_OK)
        broken_ = true;
}

/// What could not be done while libcurl was on the stack.
void engine::after_curl() noexcept {
    take_ended();
    while (transfer* t = abandoned_) {
        abandoned_ = t->next_;
        take_out(*t);
    }
    if (broken_) {
        fail_all("libcurl or the loop ran out of memory or of descriptors to watch");
        broken_ = false;
    }
    if (closed_)
        close();
    if (running_ == 0)
        let_go_of_loop();
}

// ---- transfers ----

transfer& engine::acquire(const request& what, delivery how) {
    if (closed_)
        throw transfer_error(what.url(), "the http::client was destroyed before the request began");
    transfer* t = idle_;
    if (t == nullptr) {
        transfers_.push_back(std::make_unique<transfer>(shared_.get(), nudged_));
        t = transfers_.back().get();
        t->next_ = std::exchange(idle_, t);
    }
    try {
        t->prepare(what, options_, how);
    } catch (...) {
        t->forget();
        throw;
    }
    idle_ = t->next_;
    t->leased_ = true;
    return *t;
}

void engine::release(transfer& t) noexcept {
    abandon(t);
    t.leased_ = false;
    // One that libcurl still has is put away when it is taken out.
    if (!t.running_)
        put_away(t);
}

void engine::put_away(transfer& t) noexcept {
    t.forget();
    t.next_ = std::exchange(idle_, &t);
}

bool engine::start(transfer& t) noexcept {
    t.started_ = true;
    try {
        if (closed_)
            throw transfer_error(t.url(), "the http::client was destroyed before the request began");
        require_loop();
        const CURLMcode status = curl_multi_add_handle(multi_.get(), t.easy());
        if (status == CURLM_OUT_OF_MEMORY)
            throw std::bad_alloc();
        if (status != CURLM_OK)
            throw transfer_error(t.url(), curl_multi_strerror(status));
    } catch (...) {
        t.ended_with(std::current_exception());
        t.done_ = true;
        if (running_ == 0)
            let_go_of_loop();
        return false;
    }
    t.wanted_ = true;
    t.running_ = true;
    t.before_ = nullptr;
    t.after_ = first_running_;
    if (first_running_ != nullptr)
        first_running_->before_ = &t;
    first_running_ = &t;
    // While there are requests the loop waits for their servers, whatever libcurl watches at the moment.
    if (++running_ == 1)
        loop_->begin_external_work();
    return true;
}

void engine::abandon(transfer& t) noexcept {
    t.waiter_ = nullptr;
    t.wanted_ = false;
    if (body_wait* feeder = std::exchange(t.feeder_, nullptr))
        feeder->come();
    if (!t.running_ || t.abandoned_)
        return;
    if (in_curl_) {
        // Cancelled by a sink: libcurl can't be called now, and is told to stop by the callbacks.
        t.next_ = std::exchange(abandoned_, &t);
        t.abandoned_ = true;
        return;
    }
    const sigpipe_guard guard;
    take_out(t);
    if (running_ == 0)
        let_go_of_loop();
}

void engine::go_on(transfer& t) noexcept {
    if (!t.running_ || t.abandoned_ || in_curl_)
        return;
    const bool receives = t.receives_paused_ && !t.ready(until::data);
    if (!receives && (!t.sends().touched() || t.sends().waits()))
        return;
    // What waits and goes on waiting must be named.
    const int waits = (t.sends().waits() ? CURLPAUSE_SEND : 0) | (t.receives_paused_ && !receives ? CURLPAUSE_RECV : 0);
    if (receives)
        t.receives_paused_ = false;
    const auto keep = shared_from_this();
    const sigpipe_guard guard;
    in_curl_ = true;
    const CURLcode code = curl_easy_pause(t.easy(), waits);
    in_curl_ = false;
    if (code != CURLE_OK) {
        t.ended(code);
        finish(t);
    }
    after_curl();
}

void engine::fail(transfer& t, std::exception_ptr error) noexcept {
    const auto keep = shared_from_this();
    if (!t.done_ && t.wanted_) {
        t.ended_with(std::move(error));
        t.done_ = true;
        if (exchange* waiter = std::exchange(t.waiter_, nullptr))
            waiter->come();
    }
    abandon(t);
}

void engine::take_out(transfer& t) noexcept {
    t.abandoned_ = false;
    t.receives_paused_ = false;
    curl_multi_remove_handle(multi_.get(), t.easy());
    t.running_ = false;
    (t.before_ != nullptr ? t.before_->after_ : first_running_) = t.after_;
    if (t.after_ != nullptr)
        t.after_->before_ = t.before_;
    if (--running_ == 0)
        loop_->end_external_work();
    if (!t.leased_)
        put_away(t);
}

void engine::take_ended() noexcept {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        const CURLcode code = message->data.result;
        void* place = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &place);
        auto& t = *static_cast<transfer*>(place);
        if (t.abandoned_)
            continue;
        t.ended(code);
        finish(t);
    }
}

void engine::finish(transfer& t) noexcept {
    take_out(t);
    t.done_ = true;
    if (exchange* waiter = std::exchange(t.waiter_, nullptr))
        waiter->come();
    if (body_wait* feeder = std::exchange(t.feeder_, nullptr))
        feeder->come();
}

void engine::fail_all(const char* why) noexcept {
    while (transfer* t = first_running_) {
        try {
            t->ended_with(std::make_exception_ptr(transfer_error(t->url(), why)));
        } catch (...) {
            t->ended_with(std::current_exception());
        }
        finish(*t);
    }
}

void engine::close() noexcept {
    closed_ = true;
    if (in_curl_ || !multi_)
        return;
    const sigpipe_guard guard;
    fail_all("the http::client was destroyed while the request was under way");
    let_go_of_loop();
    multi_.reset();
}

} // namespace muster::http
