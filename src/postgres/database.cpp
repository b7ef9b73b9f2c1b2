// SPDX-License-Identifier: MIT
// This file drives libpq from the loop. libpq never blocks once the name of the host is resolved: it says whether it
// wants to read or to write, and a duplicate of its socket is watched until that is possible. (The name is resolved by
// the system, which may take a while: connections are made on threads that can afford that.)
//
//     connecting --> idle <--> busy       a statement is under way
//         \           |         |
//          +----------+---------+--> broken    the connection failed, or a statement was given up half-way
//
// A server's errors are of two kinds. Those that pass - it shuts down, is full, has found a deadlock - count as a
// failure of the connection: whoever asked connects again and asks once more, as each statement may be repeated. The
// others are database_errors.
#include "postgres/database.hpp"

#include "loops/require_event_loop.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/postgres/error.hpp>
#include <muster/timeout.hpp>

#include <fcntl.h>
#include <libpq-fe.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace muster::postgres {

namespace {

using side = detail::descriptor::side;

std::string said_by(const char* text) {
    std::string_view words = text != nullptr ? text : "";
    while (!words.empty() && words.back() == '\n')
        words.remove_suffix(1);
    return detail::printable(words, 1000);
}

/// Whether the server would give the same answer to the next attempt.
bool is_final(std::string_view words) {
    const auto has = [&](std::string_view part) { return words.find(part) != std::string_view::npos; };
    if (has("FATAL:"))
        return !has("the database system is") && !has("too many") && !has("remaining connection slots") &&
               !has("terminating connection");
    return has("fe_sendauth") || has("certificate") || has("could not translate host name") ||
           has("server does not support SSL");
}

/// Classes of SQLSTATE: connection, transaction rolled back, resources, intervention of an operator, system; and of
/// others a server that may only be read, as one is in the midst of a failover, a lock that was not got, too many
/// messages.
bool passes(std::string_view state) {
    const auto of = state.substr(0, 2);
    if (state == "25006" || state == "55P03" || state == "54000")
        return true;
    return of == "08" || of == "40" || of == "53" || of == "57" || of == "58";
}

class event_waiter final : public detail::descriptor::waiter {
public:
    explicit event_waiter(event& e) noexcept : event_(&e) {}
    void on_ready() noexcept override { event_->set(); }

private:
    event* event_;
};

task<> until_set(event& e) { co_await e.wait(); }

/// A server that sends more than this before it has let the program in is flooding it: until then it has little to say.
constexpr std::size_t most_bytes_of_greeting = std::size_t{1} << 20;
/// Messages of channels beyond that are dropped: whoever listens looks for news now and then without them, too.
constexpr std::size_t most_messages = 4096;
constexpr std::string_view state_of_missing_right = "42501";

/// *Returns* how many bytes have come by a TCP connection, 0 for any other one. libpq takes them in for as long as they
/// come, and collects an answer until it is whole.
std::uint64_t bytes_come_by(int socket) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    return ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

} // namespace

// ---- answers ----

void rows::clear::operator()(pg_result* r) const noexcept { ::PQclear(r); }

rows::rows(pg_result* result) noexcept : result_(result) {}

std::size_t rows::size() const noexcept { return static_cast<std::size_t>(::PQntuples(result_.get())); }

std::string_view rows::text(std::size_t row, std::size_t column) const noexcept {
    const int r = static_cast<int>(row);
    const int c = static_cast<int>(column);
    return {::PQgetvalue(result_.get(), r, c), static_cast<std::size_t>(::PQgetlength(result_.get(), r, c))};
}

bool rows::is_null(std::size_t row, std::size_t column) const noexcept {
    return ::PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
}

namespace {

void expect_size(std::string_view value, std::size_t size) {
    if (value.size() != size)
        throw unreachable_error("the database has answered with a value of another type");
}

} // namespace

std::int64_t rows::number(std::size_t row, std::size_t column) const {
    const auto value = text(row, column);
    if (value.size() != sizeof(std::int32_t))
        expect_size(value, sizeof(std::int64_t));
    std::uint64_t bits = 0;
    for (const char c : value)
        bits = bits << 8 | static_cast<unsigned char>(c);
    return value.size() == sizeof(std::int32_t) ? static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))
                                                : static_cast<std::int64_t>(bits);
}

bool rows::truth(std::size_t row, std::size_t column) const {
    const auto value = text(row, column);
    expect_size(value, 1);
    return value.front() != 0;
}

call_key rows::key(std::size_t row, std::size_t column) const {
    const auto value = text(row, column);
    std::array<std::uint8_t, 16> all{};
    expect_size(value, all.size());
    std::memcpy(all.data(), value.data(), all.size());
    return call_key(all);
}

std::vector<std::uint8_t> rows::bytes(std::size_t row, std::size_t column) const {
    const auto value = text(row, column);
    return {value.begin(), value.end()};
}

// ---- the connection ----

/// A statement's stretch: unless it is finished, the connection is in the middle of something, and broken.
class database::usage {
public:
    explicit usage(database& of) : of_(of) { of_.enter(phase::busy); }
    usage(const usage&) = delete;
    usage& operator=(const usage&) = delete;
    ~usage() {
        if (of_.phase_ == phase::busy)
            of_.enter(phase::broken);
    }
    void finish() { of_.enter(phase::idle); }

private:
    database& of_;
};

database::~database() {
    if (watched_)
        watched_->close();
    ::PQfinish(connection_);
}

void database::enter(phase next) {
    MUSTER_ASSERT(next != phase::connecting);
    MUSTER_ASSERT(next != phase::busy || phase_ == phase::idle);
    MUSTER_ASSERT(next != phase::idle || phase_ != phase::broken);
    phase_ = next;
}

void database::throw_failure(const char* during) const {
    const auto words = said_by(::PQerrorMessage(connection_));
    throw connection_failure(std::string(during) + ": " + words, phase_ == phase::connecting && is_final(words)
                                                                     ? connection_failure::kind::lasting
                                                                     : connection_failure::kind::passing);
}

void database::watch_socket() {
    const int copy = ::fcntl(::PQsocket(connection_), F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        throw connection_failure(
            std::string("the socket can't be watched: ") + std::strerror(errno), connection_failure::kind::passing);
    if (watched_)
        watched_->close();
    watched_ = std::make_shared<detail::descriptor>(copy);
}

task<> database::until_ready(side s) {
    const auto kept = watched_;
    detail::descriptor::readiness waiting(*kept, s);
    co_await waiting;
}

task<> database::until_connected() {
    auto wants = PGRES_POLLING_WRITING;
    while (wants != PGRES_POLLING_OK) {
        if (wants == PGRES_POLLING_FAILED)
            throw_failure("the database can't be reached");
        // libpq may go on with another socket after each step, for another address of the host.
        watch_socket();
        expect_no_flood(most_bytes_of_greeting);
        auto waiting = until_ready(wants == PGRES_POLLING_READING ? side::reading : side::writing);
        co_await std::move(waiting);
        wants = ::PQconnectPoll(connection_);
    }
    watch_socket();
}

task<std::unique_ptr<database>> database::connect(std::string address, std::chrono::nanoseconds limit) {
    // Values in the address win over those in front of it. A peer that has vanished is noticed without them, too, but
    // late.
    static constexpr std::array<const char*, 7> names{
        "application_name", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "dbname"};
    const std::array<const char*, 7> values{"muster", "10", "5", "3", "20000", address.c_str()};
    std::unique_ptr<database> db(new database(::PQconnectStartParams(names.data(), values.data(), 1)));
    if (db->connection_ == nullptr)
        throw std::bad_alloc();
    // libpq would print what a server says, even before that has let anybody in.
    ::PQsetNoticeProcessor(
        db->connection_, [](void*, const char*) {}, nullptr);
    if (::PQstatus(db->connection_) == CONNECTION_BAD)
        db->throw_failure("the database can't be reached");
    auto connecting = wait_for(db->until_connected(), limit);
    auto connected = co_await as_outcome(std::move(connecting));
    if (connected.failed_with<timeout_error>())
        throw connection_failure("the database has not answered in time", connection_failure::kind::passing);
    if (!connected.succeeded())
        connected.rethrow();
    if (::PQsetnonblocking(db->connection_, 1) != 0)
        db->throw_failure("the connection can't be used without blocking");
    db->enter(phase::idle);
    co_return db;
}

task<> database::until_sent() {
    for (;;) {
        const int left = ::PQflush(connection_);
        if (left < 0)
            throw_failure("the connection to the database is lost");
        if (left == 0)
            co_return;
        auto waiting = until_ready(side::writing);
        co_await std::move(waiting);
    }
}

void database::consume() {
    if (::PQconsumeInput(connection_) == 0) {
        if (phase_ != phase::broken)
            enter(phase::broken);
        throw_failure("the connection to the database is lost");
    }
    struct free_notify {
        void operator()(PGnotify* n) const noexcept { ::PQfreemem(n); }
    };
    for (;;) {
        const std::unique_ptr<PGnotify, free_notify> next(::PQnotifies(connection_));
        if (!next)
            return;
        if (heard_.size() < most_messages)
            heard_.emplace_back(next->relname, next->extra);
    }
}

void database::begin_to_count() noexcept { counted_from_ = bytes_come_by(::PQsocket(connection_)); }

/// libpq may change to another socket while it connects, which then counts from nothing.
void database::expect_no_flood(std::size_t most) const {
    const auto come = bytes_come_by(::PQsocket(connection_));
    if (come > counted_from_ && come - counted_from_ > most)
        throw connection_failure(
            "the database sends more than it can have to say: " + std::to_string(most) + " bytes, and no end",
            connection_failure::kind::passing);
}

/// *Returns* the last result: of several statements those in front have none that anybody wants.
task<rows> database::answer() {
    std::optional<rows> last;
    std::string failure;
    std::string state;
    begin_to_count();
    for (;;) {
        while (::PQisBusy(connection_) != 0) {
            auto waiting = until_ready(side::reading);
            co_await std::move(waiting);
            expect_no_flood(most_bytes_);
            consume();
        }
        auto* const result = ::PQgetResult(connection_);
        if (result == nullptr)
            break;
        last.emplace(result);
        const auto status = ::PQresultStatus(result);
        // libpq would give this result again and again.
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
            throw connection_failure(
                "the database has answered with something else", connection_failure::kind::passing);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && failure.empty()) {
            failure = said_by(::PQresultErrorMessage(result));
            const char* const code = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
            state = code != nullptr ? code : "";
        }
    }
    if (::PQstatus(connection_) == CONNECTION_BAD || !last)
        throw_failure("the connection to the database is lost");
    if (failure.empty())
        co_return std::move(*last);
    if (state.empty() || passes(state))
        throw connection_failure("the database can't answer: " + failure, connection_failure::kind::passing);
    enter(phase::idle);
    if (state == state_of_missing_right)
        failure += " (a client needs the role SCHEMA_client of its queue, a worker SCHEMA_worker: `muster queue init` "
                   "makes both)";
    throw database_error("the database refuses this: " + failure, state);
}

task<> database::prepare(std::string text, const parameters& with) {
    const auto name = "s" + std::to_string(prepared_.size());
    if (::PQsendPrepare(
            connection_, name.c_str(), text.c_str(), static_cast<int>(with.types().size()), with.types().data()) == 0)
        throw_failure("the connection to the database is lost");
    auto sending = until_sent();
    co_await std::move(sending);
    auto answering = answer();
    static_cast<void>(co_await std::move(answering));
    prepared_.emplace(std::move(text), name);
}

task<rows> database::ask(std::string text, parameters with) {
    usage mine(*this);
    if (!prepared_.contains(text)) {
        auto preparing = prepare(text, with);
        co_await std::move(preparing);
    }
    const auto& values = with.values();
    std::vector<const char*> pointers;
    std::vector<int> lengths;
    const std::vector<int> formats(values.size(), 1);
    for (const auto& value : values) {
        pointers.push_back(value.data());
        lengths.push_back(static_cast<int>(value.size()));
    }
    if (::PQsendQueryPrepared(connection_, prepared_.at(text).c_str(), static_cast<int>(values.size()), pointers.data(),
            lengths.data(), formats.data(), 1) == 0)
        throw_failure("the connection to the database is lost");
    auto sending = until_sent();
    co_await std::move(sending);
    auto answering = answer();
    auto result = co_await std::move(answering);
    mine.finish();
    co_return result;
}

task<> database::ask_for_nothing(std::string text) {
    usage mine(*this);
    if (::PQsendQuery(connection_, text.c_str()) == 0)
        throw_failure("the connection to the database is lost");
    auto sending = until_sent();
    co_await std::move(sending);
    auto answering = answer();
    static_cast<void>(co_await std::move(answering));
    mine.finish();
}

namespace {

constexpr const char* no_answer = "the database has not answered in time";

} // namespace

task<rows> database::query(std::string text, parameters with, std::chrono::nanoseconds limit) {
    auto asking = wait_for(ask(std::move(text), std::move(with)), limit);
    auto asked = co_await as_outcome(std::move(asking));
    if (asked.failed_with<timeout_error>())
        throw connection_failure(no_answer, connection_failure::kind::passing);
    co_return std::move(asked).value();
}

task<> database::run(std::string text, std::chrono::nanoseconds limit) {
    auto asking = wait_for(ask_for_nothing(std::move(text)), limit);
    auto asked = co_await as_outcome(std::move(asking));
    if (asked.failed_with<timeout_error>())
        throw connection_failure(no_answer, connection_failure::kind::passing);
    asked.value();
}

std::optional<database::notification> database::next_notification() {
    if (heard_.empty())
        return std::nullopt;
    auto first = std::move(heard_.front());
    heard_.pop_front();
    return first;
}

task<> database::wait(event& news, std::chrono::nanoseconds limit) {
    MUSTER_ASSERT(phase_ == phase::idle);
    expect_no_flood(most_bytes_);
    consume();
    if (!heard_.empty() || news.is_set())
        co_return;
    event_waiter waiter(news);
    const auto kept = watched_;
    struct wait_end {
        detail::descriptor& of;
        event_waiter& waiter;
        ~wait_end() { of.end_wait(waiter, side::reading); }
    };
    if (const auto failure = kept->begin_wait(waiter, side::reading, detail::require_event_loop("a database")); failure)
        throw connection_failure(
            "the socket can't be watched: " + failure.message(), connection_failure::kind::passing);
    const wait_end end{*kept, waiter};
    auto waiting = wait_for(until_set(news), limit);
    auto waited = co_await as_outcome(std::move(waiting));
    if (!waited.succeeded() && !waited.failed_with<timeout_error>())
        waited.rethrow();
    consume();
}

} // namespace muster::postgres
