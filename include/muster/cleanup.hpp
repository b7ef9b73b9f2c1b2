// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Clean-up that may await. C++ can't co_await in a catch block or a destructor; with_cleanup runs a body, then a
/// clean-up that sees how the body ended, on every way out, then goes on as the body ended.
///
///     auto body = [&]() -> muster::task<> { co_await transfer(connection); };
///     auto cleanup = [&](const muster::outcome<>& ended) -> muster::task<> {
///         if (ended.succeeded()) co_await connection.commit();
///         else co_await connection.roll_back();
///     };
///     co_await muster::with_cleanup(body, cleanup);

#include <muster/config.hpp>
#include <muster/detail/call_body.hpp>
#include <muster/detail/callable.hpp>
#include <muster/outcome.hpp>
#include <muster/report.hpp>
#include <muster/task.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {

void report_beaten_by_cleanup(const outcome_base& body, std::source_location site) noexcept;

/// The body's failure while its clean-up runs: if that never ends, and the loop does, it is reported.
class kept_for_cleanup {
public:
    kept_for_cleanup(const outcome_base& body, std::source_location site) noexcept : body_(&body), site_(site) {}
    kept_for_cleanup(const kept_for_cleanup&) = delete;
    kept_for_cleanup& operator=(const kept_for_cleanup&) = delete;
    ~kept_for_cleanup() {
        if (body_ != nullptr)
            report_beaten_by_cleanup(*body_, site_);
    }
    void give_back() noexcept { body_ = nullptr; }

private:
    const outcome_base* body_;
    std::source_location site_;
};

struct no_scope {};

template <class F>
using plain_result = body_result<F, no_scope>;

template <class Body, class Cleanup>
task<plain_result<Body>> run_with_cleanup(Body body, Cleanup cleanup, std::source_location site) {
    using result_type = plain_result<Body>;
    no_scope none;
    auto running = call_body(body, none);
    auto ended = co_await outcome_of_body(std::move(running));
    kept_for_cleanup kept(ended, site);
    auto cleaning = call_body(cleanup, ended);
    auto cleaned = co_await outcome_of_body(std::move(cleaning));
    if (!cleaned.succeeded())
        cleaned.rethrow(); // which beats the body's failure
    kept.give_back();
    if constexpr (std::is_void_v<result_type>)
        ended.value();
    else
        co_return std::move(ended).value();
}

} // namespace detail

/// Runs `body()`, then `cleanup(outcome)` or `cleanup()`, which may await, whatever became of the body.
/// *Returns* the body's value. *Errors*: the body's failure, after the clean-up; the clean-up's own failure goes
/// before it, and the body's is then reported (suppressed).
/// *Cancellation*: reaches the body; the clean-up then runs and is only cancelled if somebody asks again. Wrap what
/// must not be cancelled at all in hold_cancellation.
/// *Lifetime*: both are taken by value and live until the end.
template <class Body, class Cleanup>
task<detail::plain_result<std::decay_t<Body>>> with_cleanup(
    Body&& body, Cleanup&& cleanup, std::source_location site = std::source_location::current()) {
    detail::refuse_lambda_in_co_await<Body>();
    detail::refuse_lambda_in_co_await<Cleanup>();
    return detail::run_with_cleanup<std::decay_t<Body>, std::decay_t<Cleanup>>(
        std::forward<Body>(body), std::forward<Cleanup>(cleanup), site);
}

} // namespace muster
