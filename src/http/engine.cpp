// SPDX-License-Identifier: MIT
// The list of transfers. Each is in the list of its phase: idle, under way (waiting or running) or leaving; a request
// has those that are prepared or done. A running transfer leaves libcurl in one of three ways: libcurl reports its end
// (take_ended), its request does not want it any more (abandon), or everything fails (fail_all). libcurl's callbacks
// run user code (sinks) that may abandon transfers, cancel tasks, and even destroy the client: what would call libcurl
// from within libcurl is put off until it has returned (after_call).
#include "engine.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::http {

engine::engine(const client_options& options)
    : options_(options),
      admission_(options.connections_per_host_, options.connections_),
      loop_((require_curl(), *this)) {
    shared_.engine = this;
    shared_.sockets = &loop_;
    shared_.on_time = [](transfer& t, void* self) noexcept {
        if (auto late = t.look_at_clock())
            static_cast<engine*>(self)->fail(t, std::move(late));
    };
    if (options_.no_private_addresses_ && options_.proxy_ && !options_.proxy_->empty())
        throw std::invalid_argument(
            "client_options::no_private_addresses: a proxy would connect in our stead: leave the proxy out");
    loop_.limit_connections(options_.connections_per_host_, options_.connections_);
    if (options_.cookies_) {
        cookies_.reset(curl_share_init());
        if (!cookies_ || curl_share_setopt(cookies_.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE) != CURLSHE_OK)
            throw std::bad_alloc();
        shared_.cookies = cookies_.get();
    }
}

engine::~engine() { close(); }

// ---- cookies ----

std::vector<std::string> engine::cookies() const {
    std::vector<std::string> all;
    if (!cookies_)
        return all;
    const auto asking = make_easy();
    curl_easy_setopt(asking.get(), CURLOPT_SHARE, cookies_.get());
    curl_slist* lines = nullptr;
    if (curl_easy_getinfo(asking.get(), CURLINFO_COOKIELIST, &lines) == CURLE_OUT_OF_MEMORY)
        throw std::bad_alloc();
    const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> owned(lines, &curl_slist_free_all);
    for (const auto* line = lines; line != nullptr; line = line->next)
        all.emplace_back(line->data);
    return all;
}

void engine::add_cookie(const std::string& line) {
    if (!cookies_)
        throw std::invalid_argument("client::add_cookie: this client keeps no cookies (client_options::cookies)");
    if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
        throw std::invalid_argument("client::add_cookie: there is a line break or a NUL in the line");
    const auto telling = make_easy();
    curl_easy_setopt(telling.get(), CURLOPT_SHARE, cookies_.get());
    if (curl_easy_setopt(telling.get(), CURLOPT_COOKIELIST, line.c_str()) == CURLE_OUT_OF_MEMORY)
        throw std::bad_alloc();
}

// ---- from a request ----

transfer& engine::acquire(const request& what, delivery how) {
    if (closed_)
        throw transfer_error(what.url(), "the http::client was destroyed before the request began");
    if (idle_.empty()) {
        transfers_.push_back(std::make_unique<transfer>(shared_));
        idle_.push_front(*transfers_.back());
    }
    // The last one that was used is the first to be used again: its memory is warm.
    transfer& t = *idle_.front();
    try {
        t.prepare(what, options_, how);
    } catch (...) {
        t.forget();
        throw;
    }
    idle_.remove(t);
    t.enter(transfer_phase::prepared);
    return t;
}

void engine::release(transfer& t) noexcept {
    abandon(t);
    if (t.phase() == transfer_phase::leaving)
        t.enter(transfer_phase::left);
    else
        put_away(t);
}

void engine::put_away(transfer& t) noexcept {
    t.enter(transfer_phase::idle);
    t.forget();
    idle_.push_front(t);
}

bool engine::start(transfer& t) noexcept {
    MUSTER_ASSERT(!loop_.in_call());
    try {
        if (closed_)
            throw transfer_error(t.url(), "the http::client was destroyed before the request began");
        loop_.attach();
        shared_.loop = &loop_.loop();
        t.enter(!t.asks() && queue_up(t) ? transfer_phase::running : transfer_phase::waiting);
    } catch (...) {
        admission_.leave(t.ticket());
        t.ended_with(std::current_exception());
        t.enter(transfer_phase::done);
        settle();
        return false;
    }
    // While there are requests the loop waits for their servers, whatever libcurl polls at the moment.
    if (under_way_.empty() && leaving_.empty())
        loop_.loop().begin_external_work();
    under_way_.push_back(t);
    t.start_clock();
    if (t.phase() == transfer_phase::running || t.asks())
        t.wait_for(waits_for::connection);
    else
        settle();
    return true;
}

void engine::go_on_to(transfer& t, const std::vector<std::string>& addresses) {
    if (!t.is_wanted())
        return;
    MUSTER_ASSERT(t.phase() == transfer_phase::waiting && t.ticket().is_outside());
    t.take_addresses(addresses);
    if (queue_up(t)) {
        t.enter(transfer_phase::running);
        t.wait_for(waits_for::connection);
    } else {
        t.wait_for(waits_for::admission);
    }
    settle();
}

/// *Returns* whether the limits allow the transfer to be handed over at once, which is done then. *Errors*: as
/// hand_over.
bool engine::queue_up(transfer& t) {
    const bool may_go = admission_.enter(t.ticket(), t.server());
    if (may_go)
        hand_over(t);
    return may_go;
}

/// *Errors*: std::bad_alloc, transfer_error.
void engine::hand_over(transfer& t) {
    const CURLMcode status = curl_multi_add_handle(loop_.multi(), t.easy());
    if (status == CURLM_OUT_OF_MEMORY)
        throw std::bad_alloc();
    if (status != CURLM_OK)
        throw transfer_error(t.url(), curl_multi_strerror(status));
}

void engine::abandon(transfer& t) noexcept {
    t.set_waiter(nullptr);
    t.wake_feeder();
    if (!t.is_wanted())
        return;
    if (loop_.in_call() && t.is_in_curl()) {
        under_way_.remove(t);
        leaving_.push_back(t);
        t.enter(transfer_phase::leaving);
        return;
    }
    const muster::detail::sigpipe_guard no_sigpipe;
    take_out(t);
    settle();
}

void engine::go_on(transfer& t) noexcept {
    if (t.phase() != transfer_phase::running || loop_.in_call())
        return;
    const auto pause = t.take_pause_change();
    if (!pause)
        return;
    const auto keep = shared_from_this();
    CURLcode code = CURLE_OK;
    {
        const curl_loop::call on_stack(loop_);
        code = curl_easy_pause(t.easy(), *pause);
    }
    if (code != CURLE_OK && t.is_wanted())
        end_or_send_again(t, code);
    after_call();
}

void engine::fail(transfer& t, std::exception_ptr error) noexcept {
    const auto keep = shared_from_this();
    if (t.is_wanted()) {
        t.ended_with(std::move(error));
        t.wake_waiter();
    }
    abandon(t);
}

// ---- from the loop ----

void engine::curl_is_due() noexcept {
    const auto keep = shared_from_this();
    {
        const curl_loop::call on_stack(loop_);
        shared_.work_left = shared_by_transfers::work_of_a_turn;
        loop_.run_due();
        // One that unpacks more than it may is noted again, behind those that are noted now.
        const transfer* const last = shared_.noted.back();
        for (transfer* t = shared_.noted.front(); t != nullptr;) {
            transfer& at_hand = *std::exchange(t, t != last ? shared_.noted.after(*t) : nullptr);
            if (at_hand.is_answered() || at_hand.has_to_wait_its_turn())
                continue;
            shared_.noted.remove(at_hand);
            at_hand.begin_turn();
            // curl_easy_pause() makes libcurl look at a transfer again only if the call changes what is paused, so
            // sending is paused and allowed again.
            curl_easy_pause(at_hand.easy(), CURLPAUSE_SEND | at_hand.pause_for_going_on());
            curl_easy_pause(at_hand.easy(), at_hand.pause_for_going_on());
        }
    }
    after_call();
}

void engine::loop_has_gone() noexcept {
    const auto keep = shared_from_this();
    fail_all("the loop has ended while the request was under way");
    detach();
}

/// Does what could not be done while libcurl was on the stack.
void engine::after_call() noexcept {
    const muster::detail::sigpipe_guard no_sigpipe;
    take_ended();
    look_at_noted();
    while (transfer* t = leaving_.front())
        take_out(*t);
    if (loop_.take_broken())
        fail_all("libcurl or the loop ran out of memory or of descriptors to poll");
    if (closed_)
        close();
    settle();
}

void engine::take_ended() noexcept {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(loop_.multi(), &left)) {
        if (message->msg != CURLMSG_DONE)
            continue;
        const CURLcode code = message->data.result;
        void* place = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &place);
        auto& t = *static_cast<transfer*>(place);
        if (!t.is_wanted())
            continue;
        end_or_send_again(t, code);
    }
}

/// Ends the transfers whose answers are complete although libcurl has not ended them.
void engine::look_at_noted() noexcept {
    for (transfer* t = shared_.noted.front(); t != nullptr;) {
        transfer& at_hand = *std::exchange(t, shared_.noted.after(*t));
        if (!at_hand.is_answered()) {
            loop_.call_soon(); // libcurl is to go on with it
        } else {
            shared_.noted.remove(at_hand);
            if (at_hand.is_wanted())
                end_or_send_again(at_hand, CURLE_OK);
        }
    }
}

void engine::end_or_send_again(transfer& t, CURLcode code) noexcept {
    if (t.ended(code)) {
        finish(t);
        return;
    }
    if (shared_.noted.contains(t))
        shared_.noted.remove(t);
    curl_multi_remove_handle(loop_.multi(), t.easy());
    try {
        t.begin_again();
        admission_.leave(t.ticket());
        if (t.asks()) {
            t.enter(transfer_phase::waiting);
            t.wait_for(waits_for::connection);
            t.wake_waiter();
        } else if (queue_up(t)) {
            t.wait_for(waits_for::connection);
        } else {
            t.enter(transfer_phase::waiting);
            t.wait_for(waits_for::admission);
        }
    } catch (...) {
        t.ended_with(std::current_exception());
        finish(t);
    }
}

/// Hands over as many of those that wait as may go now. A transfer that is handed over ends later, never within this.
void engine::admit_waiting() noexcept {
    while (admission::ticket* ticket = admission_.admit_next()) {
        transfer& t = transfer::of(*ticket);
        MUSTER_ASSERT(t.phase() == transfer_phase::waiting);
        t.enter(transfer_phase::running);
        t.wait_for(waits_for::connection);
        try {
            hand_over(t);
        } catch (...) {
            t.ended_with(std::current_exception());
            finish(t);
        }
    }
}

void engine::finish(transfer& t) noexcept {
    take_out(t);
    t.wake_waiter();
    t.wake_feeder();
}

/// Takes a transfer out of libcurl, or out of the queue in front of it. If no request has it any more, it is ready for
/// the next one.
void engine::take_out(transfer& t) noexcept {
    MUSTER_ASSERT(t.phase() == transfer_phase::waiting || (t.is_in_curl() && !loop_.in_call()));
    if (t.is_in_curl())
        curl_multi_remove_handle(loop_.multi(), t.easy());
    if (shared_.noted.contains(t))
        shared_.noted.remove(t);
    admission_.leave(t.ticket());
    t.stop_clock();
    t.stop_receiving_pause();
    (t.is_wanted() ? under_way_ : leaving_).remove(t);
    if (under_way_.empty() && leaving_.empty())
        loop_.loop().end_external_work();
    if (t.phase() == transfer_phase::left)
        put_away(t);
    else
        t.enter(transfer_phase::done);
}

void engine::fail_all(const char* why) noexcept {
    MUSTER_ASSERT(leaving_.empty());
    const muster::detail::sigpipe_guard no_sigpipe;
    while (transfer* t = under_way_.front()) {
        try {
            t->ended_with(std::make_exception_ptr(transfer_error(t->url(), why)));
        } catch (...) {
            t->ended_with(std::current_exception());
        }
        finish(*t);
    }
}

/// Some transfer has ended, or has come: others may go, or the loop is not needed any more.
void engine::settle() noexcept {
    if (loop_.in_call())
        return; // after_call settles
    if (!closed_)
        admit_waiting();
    if (under_way_.empty() && leaving_.empty()) {
        shared_.loop = nullptr;
        loop_.rest();
    }
}

void engine::detach() noexcept {
    shared_.loop = nullptr;
    loop_.detach();
}

void engine::close() noexcept {
    closed_ = true;
    // A sink may destroy the client; after_call closes it then.
    if (loop_.in_call() || loop_.multi() == nullptr)
        return;
    fail_all("the http::client was destroyed while the request was under way");
    shared_.loop = nullptr;
    loop_.close();
}

} // namespace muster::http
