// SPDX-License-Identifier: MIT
// This file implements the client's send() and open(): one coroutine makes a single attempt, and repeat() makes
// attempts until one is good or the policy gives up. After each attempt pause_for() weighs how it ended, whether the
// request can safely be sent a second time, and how many attempts there were. send() takes the short way,
// send_plain(), for a request without retries and without a body source; that needs no clean-up and no shared copy of
// the request.
#include <muster/http.hpp>

#include "exchange_state.hpp"

#include <muster/cleanup.hpp>
#include <muster/outcome.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace muster::http {

namespace {

/// One attempt to send a request, however it ended.
struct attempt {
    attempt() noexcept {}
    /// How the request may be sent again, as far as this attempt decides it.
    enum class repeat {
        never,         ///< the attempt did not begin, its body can't be read again, or a sink was given something
        if_idempotent, ///< the server may have done what it was asked to
        safely         ///< nothing was sent
    };
    repeat may = repeat::never;

    void look_at(transfer& t) noexcept {
        if (!t.sends().was_asked() && !t.sink_was_used())
            may = t.nothing_was_sent() ? repeat::safely : repeat::if_idempotent;
    }
};

/// Looks up the names that a transfer asks for, of its server and of those that it is redirected to, and waits on. A
/// resolver that takes too long is cancelled; the transfer's own time limit has ended the transfer by then.
task<> look_up_names(engine& by, transfer& t, until what) {
    while (t.asks()) {
        auto looking = by.look_up(t.asks_for());
        const auto limit = t.time_left();
        if (limit)
            looking = wait_for(std::move(looking), *limit + std::chrono::milliseconds(1));
        auto found = co_await muster::detail::outcome_of_body(std::move(looking));
        if (!t.asks())
            co_return;
        if (!found.succeeded()) {
            auto error = found.as_exception();
            co_await fail(std::move(error));
        }
        by.go_on_to(t, found.value());
        exchange waiting(by, t, what);
        co_await waiting;
    }
}

/// Sends a request once; its body, if it has one, is at hand. Most requests are of this kind.
task<response> send_plain(std::shared_ptr<engine> by, request what) {
    const lease borrowed(*by, what, delivery::whole);
    exchange waiting(*by, *borrowed, until::ended);
    co_await waiting;
    if (borrowed->asks()) {
        auto looking = look_up_names(*by, *borrowed, until::ended);
        co_await std::move(looking);
    }
    auto failure = borrowed->failure();
    if (failure)
        co_await fail(std::move(failure));
    co_return borrowed->take_answer();
}

using shared_request = std::shared_ptr<const request>;

/// Makes one attempt. If the request's body comes from a source, the task that feeds it has ended when this one ends.
task<response> send_once(std::shared_ptr<engine> by, shared_request what, attempt& made) {
    auto state = std::make_shared<exchange_state>(std::move(by), std::move(what), delivery::whole);
    auto body = [state, &made]() -> task<response> {
        state->begin_feeding();
        exchange waiting(state->by(), state->carrier(), until::ended);
        co_await waiting;
        if (state->carrier().asks()) {
            auto looking = look_up_names(state->by(), state->carrier(), until::ended);
            co_await std::move(looking);
        }
        made.look_at(state->carrier());
        auto failure = state->carrier().failure();
        if (failure)
            co_await fail(std::move(failure));
        co_return state->carrier().take_answer();
    };
    auto cleaning = [state]() -> task<> { return state->end("the request has ended"); };
    auto both = with_cleanup(body, cleaning);
    auto answer = co_await std::move(both);
    co_return answer;
}

/// Makes one attempt, up to the headers of the answer.
task<response_stream> open_once(std::shared_ptr<engine> by, shared_request what, attempt& made) {
    auto state = std::make_shared<exchange_state>(std::move(by), std::move(what), delivery::stream);
    auto body = [state, &made]() -> task<response_stream> {
        state->begin_feeding();
        exchange waiting(state->by(), state->carrier(), until::head);
        co_await waiting;
        if (state->carrier().asks()) {
            auto looking = look_up_names(state->by(), state->carrier(), until::head);
            co_await std::move(looking);
        }
        made.look_at(state->carrier());
        // A failure after the headers is thrown by read().
        auto failure = state->carrier().has_head() ? nullptr : state->carrier().failure();
        if (failure)
            co_await fail(std::move(failure));
        co_return state->stream();
    };
    auto cleaning = [state](const outcome<response_stream>& ended) -> task<> {
        if (!ended.succeeded()) {
            auto ending = state->end("the request has failed");
            co_await std::move(ending);
        }
    };
    auto both = with_cleanup(body, cleaning);
    auto stream = co_await std::move(both);
    co_return stream;
}

const response& head_of(const response& r) noexcept { return r; }
const response& head_of(const response_stream& s) noexcept { return s.head(); }

/// *Returns* how long to wait before another attempt; nothing if there is to be none.
template <class Answer>
std::optional<std::chrono::nanoseconds> pause_for(const outcome<Answer>& ended, const attempt& made,
    const request& what, const resend_policy& policy, std::size_t attempts) {
    if (attempts > policy.times() || made.may == attempt::repeat::never || ended.was_cancelled())
        return std::nullopt;
    std::optional<std::chrono::seconds> asked;
    bool is_safe = made.may == attempt::repeat::safely;
    if (ended.succeeded()) {
        const response& head = head_of(ended.value());
        if (!policy.worth_another(head.status))
            return std::nullopt;
        asked = head.retry_after;
        is_safe = false;
    } else if (!policy.worth_another(ended.error())) {
        return std::nullopt;
    }
    if (!is_safe && !what.is_idempotent())
        return std::nullopt;
    return policy.pause_after(attempts, asked, muster::detail::scheduler::require("an HTTP request").random());
}

void set_attempts(response& r, std::size_t n) noexcept { r.attempts = n; }
void set_attempts(response_stream& s, std::size_t n) noexcept { exchange_state::set_attempts(s, n); }

template <class Answer>
using attempt_function = task<Answer> (*)(std::shared_ptr<engine>, shared_request, attempt&);

template <class Answer>
task<Answer> repeat(std::shared_ptr<engine> by, request what, resend_policy policy, attempt_function<Answer> once) {
    const auto shared = std::make_shared<const request>(std::move(what));
    for (std::size_t attempts = 1;; ++attempts) {
        attempt made;
        auto trying = once(by, shared, made);
        auto ended = co_await muster::detail::outcome_of_body(std::move(trying));
        const auto pause = pause_for(ended, made, *shared, policy, attempts);
        if (!pause && !ended.succeeded()) {
            auto error = ended.as_exception();
            co_await fail(std::move(error));
        }
        if (!pause) {
            set_attempts(ended.value(), attempts);
            co_return std::move(ended).value();
        }
        policy.tell_retry(attempts, *pause, ended.succeeded() ? nullptr : ended.error());
        ended.clear();
        co_await sleep_for(*pause);
    }
}

} // namespace

client::client(const client_options& options) : engine_(std::make_shared<engine>(options)) {}

client_statistics client::statistics() const noexcept { return engine_->statistics(); }

client::~client() { engine_->close(); }

std::vector<std::string> client::cookies() const { return engine_->cookies(); }

void client::add_cookie(const std::string& line) { engine_->add_cookie(line); }

task<response> client::get(std::string url) { return send(request(std::move(url))); }

task<response> client::send(request what) {
    auto policy = what.retry() ? *what.retry() : engine_->options().retry_;
    if (policy.times() == 0 && !what.source())
        return send_plain(engine_, std::move(what));
    return repeat<response>(engine_, std::move(what), std::move(policy), &send_once);
}

task<response_stream> client::open(request what) {
    if (what.sink())
        throw std::invalid_argument("client::open: the body is read from the stream: leave body_to out");
    auto policy = what.retry() ? *what.retry() : engine_->options().retry_;
    return repeat<response_stream>(engine_, std::move(what), std::move(policy), &open_once);
}

} // namespace muster::http
