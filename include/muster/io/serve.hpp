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
#include <cstdint>
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

    /// At most so many connections at a time: further ones are not accepted until one has ended. 0, the default: no
    /// limit.
    serve_options& limit(std::size_t most) {
        limit_ = most;
        return *this;
    }
    /// Gets what a connection failed with, in place of a report. An exception of the handler is reported.
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

template <class F>
[[nodiscard]] task<> serve_on(std::shared_ptr<listening> l, F handler, io::serve_options options);

} // namespace muster::detail

namespace muster::io {

/// Accepts connections and runs `handler(stream)` for each, a task of its own, which is named "connection 7
/// (127.0.0.1:5000)" in reports. Goes on until the listener is closed; then waits for the connections that there are,
/// and ends. A connection that fails is reported (never retrieved), or given to serve_options::on_failure.
/// *Errors*: what accept() fails with; the connections are cancelled then. *Cancellation*: cancels the connections and
/// waits for them. *Lifetime*: the handler is taken by value and lives until the end; the listener may go before.
/// *Source*: asyncio.start_server with serve_forever, in a TaskGroup.
template <class F>
    requires(std::invocable<std::decay_t<F>&, stream>)
[[nodiscard]] task<> serve(listener& at, F&& handler, serve_options options = {}) {
    static_assert(std::same_as<std::invoke_result_t<std::decay_t<F>&, stream>, task<>>,
        "serve needs a handler that returns muster::task<>: muster::task<> handle(muster::io::stream peer)");
    detail::refuse_lambda_in_co_await<F>();
    return detail::serve_on<std::decay_t<F>>(at.shared(), std::forward<F>(handler), std::move(options));
}

} // namespace muster::io

namespace muster::detail {

/// Which connection it is: reports name it by its number and, where there is one, the address of the peer.
class connection_id {
public:
    connection_id(std::uint64_t number, const io::stream& connection) noexcept;
    [[nodiscard]] std::string name() const;
    [[nodiscard]] const io::address& peer() const noexcept { return peer_; }

private:
    std::uint64_t number_;
    io::address peer_;
};

/// Gives what the connection failed with to on_failure, or reports it.
void hand_over_failure(
    const io::serve_options& options, const connection_id& connection, std::exception_ptr error) noexcept;

template <class F>
task<> serve_one(
    F& handler, io::stream peer, connection_id connection, const io::serve_options& options, semaphore::permit) {
    try {
        auto talking = handler(std::move(peer));
        co_await std::move(talking);
    } catch (const cancelled_error&) {
        throw;
    } catch (...) {
        hand_over_failure(options, connection, std::current_exception());
    }
}

template <class F>
task<> accept_all(std::shared_ptr<listening>& l, F& handler, const io::serve_options& options, semaphore& permits,
    task_group& group) {
    for (std::uint64_t number = 1;; ++number) {
        auto permit = co_await permits.scoped_acquire();
        auto accepting = accept_on(l);
        auto peer = co_await std::move(accepting);
        const connection_id connection(number, peer);
        group.create_task(
            serve_one(handler, std::move(peer), connection, options, std::move(permit)), connection.name());
    }
}

template <class F>
task<> serve_on(std::shared_ptr<listening> l, F handler, io::serve_options options) {
    constexpr std::size_t any = std::numeric_limits<std::ptrdiff_t>::max();
    const std::size_t limit = options.connections() == 0 ? any : std::min(options.connections(), any);
    semaphore permits(static_cast<std::ptrdiff_t>(limit));
    std::exception_ptr error;
    auto body = [&](task_group& group) -> task<> {
        try {
            auto accepting = accept_all(l, handler, options, permits, group);
            co_await std::move(accepting);
        } catch (const std::system_error&) {
            // Closing the listener ends the server in good order: it waits for its connections.
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
