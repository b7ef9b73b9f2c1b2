// SPDX-License-Identifier: MIT
// This file makes a queue and looks at one. Everything that makes one is one transaction, and two programs that do it
// at a time wait for each other.
#include <muster/postgres/init.hpp>

#include "postgres/backend.hpp"
#include "postgres/database.hpp"
#include "postgres/schema.hpp"

#include <muster/postgres/error.hpp>

#include <stdexcept>
#include <utility>

namespace muster::postgres {

namespace {

using namespace std::chrono_literals;

constexpr auto answer_limit = 30s;

/// *Errors*: unreachable_error, whatever keeps it from being reached.
task<std::unique_ptr<database>> reach(std::string address) {
    expect_address(address);
    auto connecting = database::connect(std::move(address), answer_limit);
    auto connected = co_await as_outcome(std::move(connecting));
    if (connected.failed_with<connection_failure>())
        throw unreachable_error(get_if<connection_failure>(connected.error())->what());
    co_return std::move(connected).value();
}

std::string set(const std::string& schema, const char* column, const std::string& value) {
    return "UPDATE " + schema + ".setting SET " + column + " = " + value + ";\n";
}

std::string statements_for(const std::string& schema, const queue_settings& s) {
    std::string text;
    if (s.queue_limit)
        text += set(schema, "queue_limit", std::to_string(*s.queue_limit));
    if (s.payload_limit)
        text += set(schema, "payload_limit", std::to_string(*s.payload_limit));
    const auto interval = [](std::chrono::milliseconds time) {
        return "interval '" + std::to_string(time.count()) + " milliseconds'";
    };
    if (s.session_grace)
        text += set(schema, "session_grace", interval(*s.session_grace));
    if (s.restart_grace)
        text += set(schema, "restart_grace", interval(*s.restart_grace));
    return text;
}

/// *Returns* the version of the tables; 0 if there are none.
task<int> version_of(database& db, const std::string& schema) {
    auto looking = db.query("SELECT to_regclass($1) IS NOT NULL", parameters().text(schema + ".setting"), answer_limit);
    const auto found = co_await std::move(looking);
    if (!found.truth(0, 0))
        co_return 0;
    auto asking = db.query("SELECT version FROM " + schema + ".setting", parameters(), answer_limit);
    const auto version = co_await std::move(asking);
    co_return version.size() == 1 ? static_cast<int>(version.number(0, 0)) : 0;
}

task<> make(database& db, const std::string& schema, const queue_settings& settings) {
    auto beginning =
        db.run("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(hashtext('muster queue init'));",
            answer_limit);
    co_await std::move(beginning);
    auto looking = version_of(db, schema);
    const int from = co_await std::move(looking);
    if (from > schema::version)
        schema::expect_version(from, schema);
    if (from == 0) {
        auto asking = db.query("SELECT to_regnamespace($1) IS NOT NULL", parameters().text(schema), answer_limit);
        const auto found = co_await std::move(asking);
        // The functions of a schema are made anew with each version: those of somebody else would be lost.
        if (found.truth(0, 0))
            throw queue_error(
                "the schema \"" + schema + "\" is there already and holds no queue: name one that is not");
    }
    std::string text = schema::roles(schema);
    if (from == 0)
        text += "CREATE SCHEMA " + schema + ";\n";
    else // as reap() does, which locks the settings first and the workers then
        text += "SELECT FROM " + schema + ".setting FOR UPDATE;\n";
    for (int to = from + 1; to <= schema::version; ++to)
        text += schema::migration(to, schema);
    text += schema::functions(schema) + statements_for(schema, settings) + "COMMIT;";
    auto making = db.run(std::move(text), answer_limit);
    co_await std::move(making);
}

} // namespace

task<> init(std::string database, std::string schema, queue_settings settings) {
    schema::expect_name(schema);
    if (settings.payload_limit.value_or(0) > static_cast<std::uint64_t>(largest_payload_limit))
        throw std::invalid_argument("the payload limit of a queue is 512 MiB (536870912 bytes) at most");
    auto reaching = reach(std::move(database));
    const auto db = co_await std::move(reaching);
    auto making = make(*db, schema, settings);
    auto made = co_await as_outcome(std::move(making));
    if (made.failed_with<connection_failure>())
        throw unreachable_error(get_if<connection_failure>(made.error())->what());
    made.value();
}

task<queue_status> status(std::string database, std::string schema) {
    schema::expect_name(schema);
    auto reaching = reach(std::move(database));
    const auto db = co_await std::move(reaching);
    // A queue of an older version has no id.
    auto asking =
        db->query("SELECT t.payload_limit, t.version, coalesce(to_jsonb(t)->>'id', '') FROM " + schema + ".terms() t",
            parameters(), answer_limit);
    const auto asked = co_await as_outcome(std::move(asking));
    const auto* refused = asked.failed() ? get_if<database_error>(asked.error()) : nullptr;
    if (refused != nullptr && schema::says_that_none_is_there(*refused))
        schema::throw_that_none_is_there(schema);
    const auto& terms = asked.value();
    auto counting = db->query("SELECT name, value FROM " + schema + ".figures()", parameters(), answer_limit);
    const auto figures = co_await std::move(counting);
    auto listing = db->query("SELECT epoch, host, process, slots, running, seen, state FROM " + schema + ".workers()",
        parameters(), answer_limit);
    const auto workers = co_await std::move(listing);
    queue_status result;
    if (terms.size() == 1) {
        result.payload_limit = static_cast<std::uint64_t>(terms.number(0, 0));
        result.version = static_cast<int>(terms.number(0, 1));
        result.id = std::string(terms.text(0, 2));
    }
    for (std::size_t row = 0; row != figures.size(); ++row) {
        const auto name = figures.text(row, 0);
        const auto value = static_cast<std::uint64_t>(figures.number(row, 1));
        if (name == "oldest")
            result.oldest = std::chrono::seconds(value);
        else
            (name == "queued"           ? result.queued
                : name == "delayed"     ? result.delayed
                : name == "running"     ? result.running
                : name == "answered"    ? result.answered
                : name == "cancelled"   ? result.cancelled
                : name == "worker died" ? result.died
                : name == "expired"     ? result.expired
                                        : result.queue_limit) = value;
    }
    for (std::size_t row = 0; row != workers.size(); ++row) {
        worker_status w;
        w.epoch = static_cast<int>(workers.number(row, 0));
        w.host = std::string(workers.text(row, 1));
        w.process = static_cast<int>(workers.number(row, 2));
        w.slots = static_cast<int>(workers.number(row, 3));
        w.running = static_cast<int>(workers.number(row, 4));
        w.silent_for = std::chrono::seconds(workers.number(row, 5));
        w.state = std::string(workers.text(row, 6));
        result.workers.push_back(std::move(w));
    }
    co_return result;
}

} // namespace muster::postgres
