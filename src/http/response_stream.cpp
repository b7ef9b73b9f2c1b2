// SPDX-License-Identifier: MIT
// A streamed exchange: the tasks that read an answer piece by piece, and the task that feeds the request's body. Both
// share the exchange_state with the stream's owner, so that any of them may go first.
#include <muster/http/response_stream.hpp>

#include "exchange_state.hpp"

#include <muster/error.hpp>
#include <muster/wait.hpp>

#include <exception>
#include <utility>
#include <vector>

namespace muster::http {

namespace {

/// Pulls the body of a request as libcurl asks for it, until the body has ended or the transfer is over.
task<> feed(std::shared_ptr<exchange_state> state) {
    transfer& t = state->carrier();
    for (;;) {
        body_wait room(t);
        co_await room;
        if (!t.is_wanted() || !t.sends().waits())
            co_return;
        auto pulling = state->what().source()();
        auto pulled = co_await muster::detail::outcome_of_body(std::move(pulling));
        if (!t.is_wanted()) {
            // The request is over: the source's error is reported as this task's failure.
            if (pulled.failed()) {
                auto error = pulled.error();
                co_await fail(std::move(error));
            }
            co_return;
        }
        if (pulled.failed()) {
            state->by().fail(t, pulled.error());
            co_return;
        }
        if (!pulled.succeeded()) {
            state->give_up("the source of the request's body was cancelled");
            co_return;
        }
        auto piece = std::move(pulled).value();
        const auto size = state->what().source_size();
        if (size && (piece ? piece->size() > *size - t.sends().taken() : t.sends().taken() != *size)) {
            auto error = std::make_exception_ptr(body_error(t.url(),
                "the source of the body does not give the " + std::to_string(*size) + " bytes that were announced"));
            state->by().fail(t, std::move(error));
            co_return;
        }
        t.sends().give(std::move(piece));
        state->by().go_on(t);
    }
}

task<std::optional<std::string>> read_piece(std::shared_ptr<exchange_state> state) {
    if (!state)
        throw invalid_state_error("this http::response_stream was moved from: there is nothing to read");
    const muster::detail::one_at_a_time::use mine(state->reading(), "http::response_stream::read");
    transfer& t = state->carrier();
    if (state->is_closed())
        throw transfer_error(t.url(), "the http::response_stream was closed");
    exchange waiting(state->by(), t, until::data);
    co_await waiting;
    auto piece = t.take_arrived();
    if (!piece.empty()) {
        state->by().go_on(t);
        co_return std::optional<std::string>(std::move(piece));
    }
    state->stop_feeding();
    auto failure = t.failure();
    if (failure)
        co_await fail(std::move(failure));
    co_return std::nullopt;
}

task<std::string> read_rest(std::shared_ptr<exchange_state> state) {
    std::string all;
    for (;;) {
        auto reading = read_piece(state);
        auto piece = co_await std::move(reading);
        if (!piece)
            co_return all;
        if (all.empty())
            all = std::move(*piece);
        else
            all += *piece;
    }
}

task<> close_state(std::shared_ptr<exchange_state> state) {
    if (!state)
        co_return;
    state->mark_closed();
    auto ending = state->end("the http::response_stream was closed");
    co_await std::move(ending);
}

} // namespace

void exchange_state::begin_feeding() {
    if (what_->source())
        feeding_ = create_task(feed(shared_from_this()), "body of an HTTP request");
}

void exchange_state::stop_feeding() noexcept {
    if (feeding_.valid() && !feeding_.done())
        feeding_.cancel();
}

void exchange_state::give_up(const char* why) noexcept {
    // Most streams were read to their end; an error's text would be made for nobody.
    if (!carrier().is_wanted()) {
        by_->abandon(carrier());
        return;
    }
    std::exception_ptr error;
    try {
        error = std::make_exception_ptr(transfer_error(carrier().url(), why));
    } catch (...) {
        error = std::current_exception();
    }
    by_->fail(carrier(), std::move(error));
}

task<> exchange_state::end(const char* why) {
    const auto keep = shared_from_this();
    give_up(why);
    stop_feeding();
    if (!feeding_.valid())
        co_return;
    std::vector<task_handle<void>> one{feeding_};
    auto ended = wait(std::move(one));
    co_await std::move(ended);
}

response_stream::response_stream(std::shared_ptr<exchange_state> state)
    : state_(std::move(state)),
      head_(state_->carrier().head()) {}

response_stream::response_stream(response_stream&& other) noexcept = default;

response_stream& response_stream::operator=(response_stream&& other) noexcept {
    if (this != &other) {
        response_stream old(std::move(*this));
        state_ = std::move(other.state_);
        head_ = std::move(other.head_);
    }
    return *this;
}

response_stream::~response_stream() {
    if (!state_)
        return;
    state_->give_up("the http::response_stream was destroyed");
    state_->stop_feeding();
}

const header_list& response_stream::trailers() const noexcept {
    static const header_list none;
    return state_ ? state_->carrier().trailers() : none;
}

task<std::optional<std::string>> response_stream::read() { return read_piece(state_); }

task<std::string> response_stream::read_all() { return read_rest(state_); }

task<> response_stream::close() { return close_state(state_); }

} // namespace muster::http
