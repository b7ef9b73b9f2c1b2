// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A connection to a database on the loop: libpq without blocking, its socket watched by the loop. One statement at a
/// time. Private to muster::postgres.
///
///     auto db = co_await database::connect(address, 10s);
///     auto found = co_await db->query("SELECT ...", std::move(parameters), 5s);

#include "io/descriptor.hpp"
#include "postgres/parameters.hpp"

#include <muster/event.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;
struct pg_result;

namespace muster::postgres {

/// *Errors*: std::invalid_argument unless libpq can read it; the text does not repeat it, as it may hold a password.
void expect_address(const std::string& address);

/// The answer to a statement, in the binary form of the protocol.
class rows {
public:
    explicit rows(pg_result* result) noexcept;

    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] std::string_view text(std::size_t row, std::size_t column) const noexcept;
    [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const noexcept;
    /// Each of the following: *Errors*: unreachable_error for what is of another type.
    [[nodiscard]] std::int64_t number(std::size_t row, std::size_t column) const;
    [[nodiscard]] bool truth(std::size_t row, std::size_t column) const;
    [[nodiscard]] call_key key(std::size_t row, std::size_t column) const;
    /// Of a bytea. *Errors*: std::bad_alloc.
    [[nodiscard]] std::vector<std::uint8_t> bytes(std::size_t row, std::size_t column) const;

private:
    struct clear {
        void operator()(pg_result* r) const noexcept;
    };
    std::unique_ptr<pg_result, clear> result_;
};

/// The connection is gone, or was never there. `final_word`: the server has refused it, and would do so again.
class connection_failure final : public std::runtime_error {
public:
    enum class kind : std::uint8_t { passing, lasting };
    connection_failure(const std::string& what, kind k) : std::runtime_error(what), kind_(k) {}
    [[nodiscard]] bool is_lasting() const noexcept { return kind_ == kind::lasting; }

private:
    kind kind_;
};

/// Immovable. *Thread safety*: its loop's thread.
class database {
public:
    /// *Errors*: connection_failure. *Cancellation*: closes it.
    [[nodiscard]] static task<std::unique_ptr<database>> connect(std::string address, std::chrono::nanoseconds limit);
    ~database();
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    /// Sends one statement, which the server keeps for the next time, and waits for its answer. *Errors*:
    /// database_error if the server refuses it; connection_failure, also if the answer takes longer than `limit` or the
    /// failure is one that passes. *Cancellation*: the connection can't be used any more.
    [[nodiscard]] task<rows> query(std::string text, parameters with, std::chrono::nanoseconds limit);
    /// Several statements without parameters, of which no answer is wanted.
    [[nodiscard]] task<> run(std::string text, std::chrono::nanoseconds limit);
    /// From now on an answer of more bytes is a connection_failure; 16 MiB until then. Only for connections by TCP: of
    /// a Unix socket the system does not say how much has come.
    void expect_at_most(std::size_t bytes) noexcept { most_bytes_ = bytes; }

    struct notification {
        notification(std::string c, std::string p) : channel(std::move(c)), payload(std::move(p)) {}
        std::string channel;
        std::string payload;
    };
    /// *Returns* the next message of a channel that is listened to; nothing if none has come. *Errors*:
    /// connection_failure.
    [[nodiscard]] std::optional<notification> next_notification();
    /// Waits until something has come from the server, `news` is set, or the time is up. No statement may be under way.
    [[nodiscard]] task<> wait(event& news, std::chrono::nanoseconds limit);

private:
    enum class phase : std::uint8_t { connecting, idle, busy, broken };
    class usage;

    explicit database(pg_conn* connection) noexcept : connection_(connection) {}

    void watch_socket();
    [[nodiscard]] task<> until_ready(detail::descriptor::side side);
    [[nodiscard]] task<> until_connected();
    [[nodiscard]] task<> until_sent();
    [[nodiscard]] task<rows> answer();
    [[nodiscard]] task<rows> ask(std::string text, parameters with);
    [[nodiscard]] task<> ask_for_nothing(std::string text);
    [[nodiscard]] task<> prepare(std::string text, const parameters& with);
    void enter(phase next);
    void consume();
    void begin_to_count() noexcept;
    void expect_no_flood(std::size_t most) const;
    [[noreturn]] void throw_failure(const char* during) const;

    pg_conn* connection_;
    std::shared_ptr<detail::descriptor> watched_;
    std::deque<notification> heard_;
    std::map<std::string, std::string> prepared_; ///< the names of statements that the server has read
    std::size_t most_bytes_ = std::size_t{16} << 20;
    std::uint64_t counted_from_ = 0; ///< so many bytes had come when the answer at hand began
    phase phase_ = phase::connecting;
};

} // namespace muster::postgres
