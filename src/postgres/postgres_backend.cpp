// SPDX-License-Identifier: MIT
// This file writes the statements of a queue and reads their answers. The tables and what the functions do stand in
// schema.cpp.
#include "postgres/postgres_backend.hpp"

#include "postgres/schema.hpp"

#include <muster/postgres/error.hpp>

#include <algorithm>
#include <map>

namespace muster::postgres {

namespace {

verdict verdict_of(std::string_view word) {
    static const std::map<std::string, verdict, std::less<>> all{{"taken", verdict::taken}, {"ended", verdict::ended},
        {"full", verdict::full}, {"other", verdict::other}, {"expired", verdict::expired},
        {"large", verdict::too_large}};
    const auto found = all.find(word);
    if (found == all.end())
        throw unreachable_error("the queue has answered with a word of another version");
    return found->second;
}

verdict verdict_on(const std::map<call_key, verdict>& all, const call_key& key) {
    const auto found = all.find(key);
    if (found == all.end())
        throw unreachable_error("the queue has left out what becomes of a call");
    return found->second;
}

ended_call::end end_of(std::int64_t state, std::string_view word) {
    using end = ended_call::end;
    if (state < 0)
        return end::unknown;
    if (state == 3)
        return end::expired;
    static const std::map<std::string, end, std::less<>> all{{"answer", end::answered}, {"cancelled", end::cancelled},
        {"session", end::session}, {"lease", end::lease}, {"left", end::left}};
    const auto found = all.find(word);
    if (found == all.end())
        throw unreachable_error("the queue has answered with a word of another version");
    return found->second;
}

/// The two columns of functions.
struct function_columns {
    explicit function_columns(const std::vector<function_name>& functions) {
        for (const auto& f : functions) {
            names.push_back(f.name);
            signatures.push_back(f.signature);
        }
    }
    std::vector<std::string> names;
    std::vector<std::string> signatures;
};

/// The two columns of starts.
struct start_columns {
    explicit start_columns(const std::vector<start_of_call>& starts) {
        for (const auto& s : starts) {
            keys.push_back(s.key);
            claims.push_back(s.claim);
        }
    }
    std::vector<call_key> keys;
    std::vector<std::int32_t> claims;
};

start_of_call start_in(const rows& found, std::size_t row, std::size_t first_column) {
    return {found.key(row, first_column), static_cast<std::int32_t>(found.number(row, first_column + 1))};
}

parameters identity(const worker_session& me) {
    parameters with;
    with.number32(me.epoch).number32(me.number);
    return with;
}

/// An answer has about a step of payloads, or a single one that is larger, and at most a few hundred names.
constexpr std::size_t beyond_payload = 6 * most_bytes_in_step;

/// Few enough that a step of them is done in a moment.
constexpr std::int32_t most_to_expire = 1000;

/// The settings of a session that the functions of the queue rely on, whatever the database, the role or the
/// environment say: each statement sees what was committed before it; nothing but this program gives up waiting or ends
/// a session that rests; what was committed is on the disk. The plans are made once, by the indexes, whatever the size
/// of the tables was when they were made.
constexpr const char* settings_of_session = R"(
SELECT set_config(name, wanted, false) FROM pg_settings JOIN (VALUES
    ('default_transaction_isolation', 'read committed'), ('statement_timeout', '0'), ('lock_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_encoding', 'UTF8'), ('jit', 'off'),
    ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'),
    ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS wish(name, wanted) USING (name);
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
)";

} // namespace

task<std::unique_ptr<backend>> postgres_backend::connect(place where, std::string listener) {
    std::unique_ptr<postgres_backend> made(new postgres_backend(std::move(where), std::move(listener)));
    auto opening = made->open();
    co_await std::move(opening);
    std::unique_ptr<backend> result = std::move(made);
    co_return result;
}

task<> postgres_backend::open() {
    auto connecting = database::connect(where_.address, where_.answer_limit);
    db_ = co_await std::move(connecting);
    auto asking = call("SELECT version, payload_limit FROM @.terms()", parameters());
    auto asked = co_await as_outcome(std::move(asking));
    const auto* refused = asked.failed() ? get_if<database_error>(asked.error()) : nullptr;
    if (refused != nullptr && schema::says_that_none_is_there(*refused))
        schema::throw_that_none_is_there(where_.schema);
    const auto terms = std::move(asked).value();
    schema::expect_version(terms.size() == 1 ? terms.number(0, 0) : 0, where_.schema);
    payload_limit_ = static_cast<std::size_t>(std::clamp<std::int64_t>(terms.number(0, 1), 0, largest_payload_limit));
    // The limit may have been lowered: what was taken before is larger, and has to be fetched all the same.
    db_->expect_at_most(static_cast<std::size_t>(largest_payload_limit) + beyond_payload);
    auto setting =
        db_->run(settings_of_session + listen_to(listener_.empty() ? "work" : listener_), where_.answer_limit);
    co_await std::move(setting);
}

task<rows> postgres_backend::call(const char* statement, parameters with) {
    std::string text;
    for (const char* c = statement; *c != '\0'; ++c) {
        if (*c == '@')
            text += where_.schema;
        else
            text += *c;
    }
    return db_->query(std::move(text), std::move(with), where_.answer_limit);
}

std::string postgres_backend::listen_to(const std::string& channel) const {
    return "LISTEN " + where_.schema + '_' + channel + ";";
}

task<> postgres_backend::listen_as(std::int32_t epoch) {
    return db_->run(listen_to("worker_" + std::to_string(epoch)), where_.answer_limit);
}

// ---- for clients ----

task<std::vector<verdict>> postgres_backend::submit(std::vector<const call_record*> calls) {
    std::vector<call_key> keys;
    std::vector<std::string> functions;
    std::vector<std::string> signatures;
    std::vector<std::vector<std::uint8_t>> payloads;
    std::vector<std::int32_t> priorities;
    std::vector<std::int64_t> delays;
    std::vector<std::int32_t> starts;
    std::vector<std::int64_t> keeps;
    for (const auto* c : calls) {
        keys.push_back(c->key);
        functions.push_back(c->function);
        signatures.push_back(c->signature);
        payloads.push_back(c->payload);
        priorities.push_back(c->priority);
        delays.push_back(c->delay.count());
        starts.push_back(c->starts);
        keeps.push_back(c->keep.count());
    }
    parameters with;
    with.text(listener_).array(keys).array(functions).array(signatures).array(payloads).array(priorities).array(delays);
    with.array(starts).array(keeps);
    auto asking = call("SELECT key, verdict FROM @.submit($1, $2, $3, $4, $5, $6, $7, $8, $9)", std::move(with));
    const auto found = co_await std::move(asking);
    std::map<call_key, verdict> by_key;
    for (std::size_t row = 0; row != found.size(); ++row)
        by_key.emplace(found.key(row, 0), verdict_of(found.text(row, 1)));
    std::vector<verdict> result;
    for (const auto& key : keys)
        result.push_back(verdict_on(by_key, key));
    co_return result;
}

task<std::vector<ended_call>> postgres_backend::fetch(std::vector<call_key> keys) {
    parameters with;
    with.array(keys).number64(most_bytes_in_step);
    auto asking = call("SELECT key, state, how, answer, host, process, later FROM @.fetch($1, $2)", std::move(with));
    const auto found = co_await std::move(asking);
    std::vector<ended_call> result;
    for (std::size_t row = 0; row != found.size(); ++row) {
        auto& c = result.emplace_back(found.key(row, 0));
        c.how = found.truth(row, 6) ? ended_call::end::later : end_of(found.number(row, 1), found.text(row, 2));
        if (!found.is_null(row, 3))
            c.answer = found.bytes(row, 3);
        c.host = std::string(found.text(row, 4));
        c.process = static_cast<int>(found.number(row, 5));
    }
    co_return result;
}

task<> postgres_backend::cancel(std::vector<call_key> keys) {
    parameters with;
    with.array(keys);
    auto asking = call("SELECT @.cancel($1)", std::move(with));
    static_cast<void>(co_await std::move(asking));
}

task<std::vector<function_name>> postgres_backend::unserved(std::vector<function_name> functions) {
    const function_columns columns(functions);
    parameters with;
    with.array(columns.names).array(columns.signatures);
    auto asking = call("SELECT function, why FROM @.unserved($1, $2)", std::move(with));
    const auto found = co_await std::move(asking);
    std::vector<function_name> result;
    for (std::size_t row = 0; row != found.size(); ++row)
        result.emplace_back(std::string(found.text(row, 0)), std::string(found.text(row, 1)));
    co_return result;
}

// ---- for workers ----

task<worker_session> postgres_backend::announce(worker_record worker) {
    const function_columns columns(worker.functions);
    parameters with;
    auto secret = call_key::make().text();
    with.text(worker.host).number32(worker.process).number32(static_cast<std::int32_t>(worker.slots));
    with.number64(worker.lease.count()).array(columns.names).array(columns.signatures).text(secret);
    auto asking = call("SELECT @.announce($1, $2, $3, $4, $5, $6, $7)", std::move(with));
    const auto found = co_await std::move(asking);
    worker_session me(static_cast<std::int32_t>(found.number(0, 0)), 1, std::move(secret));
    auto listening = listen_as(me.epoch);
    co_await std::move(listening);
    co_return me;
}

task<bool> postgres_backend::resume(worker_session me) {
    auto with = identity(me);
    with.text(me.secret);
    auto asking = call("SELECT @.resume($1, $2, $3)", std::move(with));
    const auto found = co_await std::move(asking);
    auto listening = listen_as(me.epoch);
    co_await std::move(listening);
    co_return found.truth(0, 0);
}

task<std::vector<start_of_call>> postgres_backend::held(worker_session me) {
    auto asking = call("SELECT key, claim FROM @.held($1, $2)", identity(me));
    const auto found = co_await std::move(asking);
    std::vector<start_of_call> result;
    for (std::size_t row = 0; row != found.size(); ++row)
        result.push_back(start_in(found, row, 0));
    co_return result;
}

task<worker_step> postgres_backend::exchange(worker_session me, std::vector<answered_call> answers, std::size_t want) {
    std::vector<call_key> keys;
    std::vector<std::int32_t> claims;
    std::vector<std::vector<std::uint8_t>> bytes;
    for (auto& a : answers) {
        keys.push_back(a.start.key);
        claims.push_back(a.start.claim);
        bytes.push_back(std::move(a.answer));
    }
    auto with = identity(me);
    with.array(keys)
        .array(claims)
        .array(bytes)
        .number32(static_cast<std::int32_t>(want))
        .number64(most_bytes_in_worker_step);
    auto asking =
        call("SELECT kind, key, claim, function, payload FROM @.exchange($1, $2, $3, $4, $5, $6, $7)", std::move(with));
    const auto found = co_await std::move(asking);
    worker_step step;
    std::size_t bytes_claimed = 0;
    for (std::size_t row = 0; row != found.size(); ++row) {
        const auto kind = found.text(row, 0);
        if (kind == "fenced") {
            step.fenced = true;
            continue;
        }
        const auto start = start_in(found, row, 1);
        if (kind == "stop") {
            step.stops.push_back(start);
            continue;
        }
        auto& c = step.calls.emplace_back(start.key, start.claim);
        c.function = std::string(found.text(row, 3));
        c.payload = found.bytes(row, 4);
        bytes_claimed += c.payload.size();
    }
    step.more = bytes_claimed >= most_bytes_in_worker_step;
    co_return step;
}

task<> postgres_backend::release(worker_session me, std::vector<start_of_call> calls) {
    const start_columns columns(calls);
    auto with = identity(me);
    with.array(columns.keys).array(columns.claims);
    auto asking = call("SELECT @.release($1, $2, $3, $4)", std::move(with));
    static_cast<void>(co_await std::move(asking));
}

task<> postgres_backend::drain(worker_session me) {
    auto asking = call("SELECT @.drain($1, $2)", identity(me));
    static_cast<void>(co_await std::move(asking));
}

task<> postgres_backend::leave(worker_session me) {
    auto asking = call("SELECT @.leave($1, $2)", identity(me));
    static_cast<void>(co_await std::move(asking));
}

// ---- for both ----

task<bool> postgres_backend::reap() {
    auto asking = call("SELECT @.reap()", parameters());
    const auto found = co_await std::move(asking);
    co_return found.truth(0, 0);
}

task<bool> postgres_backend::expire() {
    auto asking = call("SELECT @.expire($1)", parameters().number32(most_to_expire));
    const auto found = co_await std::move(asking);
    co_return found.truth(0, 0);
}

task<> postgres_backend::watch(event& wake, std::chrono::nanoseconds limit) { return db_->wait(wake, limit); }

std::vector<call_key> postgres_backend::told() {
    std::vector<call_key> result;
    while (const auto n = db_->next_notification()) {
        if (listener_.empty() || n->channel != where_.schema + '_' + listener_)
            continue;
        // Anybody who may connect to the database can send a message: what is no key is none of ours.
        const std::string_view keys = n->payload;
        for (std::size_t at = 0; at + 32 <= keys.size(); at += 32) {
            const auto digits = keys.substr(at, 32);
            if (digits.find_first_not_of("0123456789abcdef") == std::string_view::npos)
                result.emplace_back(digits);
        }
    }
    return result;
}

} // namespace muster::postgres
