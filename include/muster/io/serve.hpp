// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A server: a task for each connection, in a scope that waits for all of them. A connection that fails is reported and
/// costs the others nothing.
///
///     muster::task<> echo(muster::io::stream peer);
///
///     auto door = co_await muster::io::listen("", 7777);
///     co_await muster::io::serve(door, echo, muster::io::serve_options().limit(1000));

#include <muster/config.hpp>
#include <muster/error.hpp>
#include <muster/io/listener.hpp>
#include <muster/io/stream.hpp>
#include <muster/semaphore.hpp>
#include <muster/task.hpp>
#include <muster/task_group.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace muster::io {

/// Each may be set in a chain: `serve_options().limit(1000).on_failure(log)`.
class serve_options {
public:
    serve_options() {}

    /// At most so many connections at a time; who comes when there are as many is not accepted until one has ended.
    /// 0, the default: as many as come.
    serve_options& limit(std::size_t most) {
        limit_ = most;
        return *this;
    }
    /// Is given what a connection failed with, in place of a report. What it throws is reported.
    using failure_handler = std::function<void(const address& peer, std::exception_ptr error)>;
    serve_options& on_failure(failure_handler handler) {
        on_failure_ = std::move(handler);
        return *this;
    }

    [[nodiscard]] std::size_t connections() const noexcept { return limit_; }
    [[nodiscard]] const failure_handler& failure_handler_set() const noexcept { return on_failure_; }

private:
    std::size_t limit_ = 0;
    failure_handler on_failure_;
};

} // namespace muster::io

namespace muster::detail {

[[nodiscard]] io::address peer_of(const io::stream& s) noexcept;
void tell_of_connection(const io::serve_options& options, const io::address& peer, std::exception_ptr error) noexcept;

template <class F>
task<> serve_one(F& handler, io::stream peer, const io::serve_options& options, semaphore::permit) {
    const auto address = peer_of(peer);
    try {
        auto talking = handler(std::move(peer));
        co_await std::move(talking);
    } catch (const cancelled_error&) {
        throw;
    } catch (...) {
        tell_of_connection(options, address, std::current_exception());
    }
}

template <class F>
task<> accept_all(
    std::shared_ptr<listening>& l, F& handler, const io::serve_options& options, semaphore& places, task_group& group) {
    for (;;) {
        auto place = co_await places.scoped_acquire();
        auto accepting = accept_on(l);
        auto peer = co_await std::move(accepting);
        group.create_task(serve_one(handler, std::move(peer), options, std::move(place)), "connection");
    }
}

template <class F>
task<> serve_on(std::shared_ptr<listening> l, F handler, io::serve_options options) {
    constexpr std::size_t any = std::numeric_limits<std::ptrdiff_t>::max();
    const std::size_t limit = options.connections() == 0 ? any : std::min(options.connections(), any);
    semaphore places(static_cast<std::ptrdiff_t>(limit));
    std::exception_ptr error;
    auto body = [&](task_group& group) -> task<> {
        try {
            auto accepting = accept_all(l, handler, options, places, group);
            co_await std::move(accepting);
        } catch (const std::system_error&) {
            // One that was closed ends the server in good order: it waits for its connections.
            if (is_open(l.get())) {
                error = std::current_exception();
                group.cancel();
            }
        }
    };
    auto serving = with_task_group(body);
    co_await std::move(serving);
    if (error)
        std::rethrow_exception(error);
}

} // namespace muster::detail

namespace muster::io {

/// Accepts connections and runs `handler(stream)` for each, a task of its own. Goes on until the listener is closed;
/// then waits for the connections that there are, and ends. A connection that fails is reported (never retrieved), or
/// given to serve_options::on_failure. *Errors*: what accept() fails with; the connections are cancelled then.
/// *Cancellation*: cancels the connections and waits for them. *Lifetime*: the handler is taken by value and lives
/// until the end; the listener may go before. *Source*: asyncio.start_server with serve_forever, in a TaskGroup.
template <class F>
    requires std::invocable < std::decay_t<F>
&, stream > [[nodiscard]] task<> serve(listener& at, F&& handler, serve_options options = {}) {
    static_assert(std::same_as<std::invoke_result_t<std::decay_t<F>&, stream>, task<>>,
        "serve needs a handler that returns muster::task<>: muster::task<> handle(muster::io::stream peer)");
    detail::refuse_lambda_in_co_await<F>();
    return detail::serve_on<std::decay_t<F>>(at.shared(), std::forward<F>(handler), std::move(options));
}

} // namespace muster::io
