// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An answer whose body is still on its way. A reader that is slow slows the server down: no more than about 64 KiB
/// wait to be read, then nothing is taken from the connection.
///
///     auto stream = co_await client.open(muster::http::request(url));
///     stream.throw_if_error();
///     while (true) {
///         auto piece = co_await stream.read();
///         if (!piece) break;
///         use(*piece);
///     }

#include <muster/config.hpp>
#include <muster/http/message.hpp>
#include <muster/task.hpp>

#include <memory>
#include <optional>
#include <string>

namespace muster::http {

class exchange_state;

/// Made by client::open. Move-only. Destroying it before the end of the body ends the transfer, and closes the
/// connection. *Lifetime*: may outlive its client and its loop; what was not read by then is a transfer_error.
/// *Thread safety*: the loop's thread.
class [[nodiscard("destroying it ends the transfer")]] response_stream {
public:
    response_stream(response_stream && other) noexcept;
    response_stream& operator=(response_stream&& other) noexcept;
    ~response_stream();

    [[nodiscard]] int status() const noexcept { return head_.status; }
    [[nodiscard]] const header_list& headers() const noexcept { return head_.headers; }
    /// The fields that the server added after the body; empty before the body has been read to its end.
    [[nodiscard]] const header_list& trailers() const noexcept;
    /// The answer as far as it is known: everything but its body, how large that is, and the times of its end.
    [[nodiscard]] const response& head() const noexcept { return head_; }
    [[nodiscard]] bool is_error() const noexcept { return head_.is_error(); }
    /// *Errors*: status_error if is_error().
    void throw_if_error() const { head_.throw_if_error(); }

    /// *Returns* the next piece of the body, in whatever sizes it comes, never an empty one; nothing at its end.
    /// *Errors*: what http/error.hpp lists, each time it is called again; the time limit of the request counts the
    /// reading, too. invalid_state_error if another task is reading, or it was moved from. *Cancellation*: ends the
    /// wait, not the transfer: nothing is lost, and it can be read on.
    [[nodiscard]] task<std::optional<std::string>> read();
    /// The same, under the name that muster::for_each calls.
    [[nodiscard]] task<std::optional<std::string>> next() { return read(); }
    /// *Returns* all that was not read yet, at once. *Errors*, *Cancellation*: as read; on those what came is lost.
    [[nodiscard]] task<std::string> read_all();

    /// Ends the transfer, and waits until the request's body_from, if it has one, has ended. A read
    /// afterwards is a transfer_error.
    [[nodiscard]] task<> close();

private:
    friend class client;
    friend class exchange_state;
    explicit response_stream(std::shared_ptr<exchange_state> state);

    std::shared_ptr<exchange_state> state_;
    response head_;
};

} // namespace muster::http
