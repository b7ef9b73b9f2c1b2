// SPDX-License-Identifier: MIT
// This file writes the statements of a queue and reads their answers. The tables and what the functions do stand in
// schema.cpp.
#include "postgres/postgres_backend.hpp"

#include "postgres/schema.hpp"

#include <muster/postgres/error.hpp>

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
            attempts.push_back(s.attempt);
        }
    }
    std::vector<call_key> keys;
    std::vector<std::int32_t> attempts;
};

start_of_call start_in(const rows& found, std::size_t row, std::size_t first_column) {
    return {call_key(found.text(row, first_column)), static_cast<std::int32_t>(found.number(row, first_column + 1))};
}

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
    // An unknown schema, or an unknown function in it.
    if (refused != nullptr && (refused->state() == "3F000" || refused->state() == "42883"))
        throw unreachable_error("the database has no queue in the schema \"" + where_.schema +
                                "\": make one with `muster queue init`, or postgres::init()");
    const auto terms = std::move(asked).value();
    if (terms.size() != 1 || terms.number(0, 0) != schema::version)
        throw unreachable_error("the queue in the schema \"" + where_.schema + "\" is of version " +
                                (terms.size() == 1 ? std::string(terms.text(0, 0)) : "unknown") +
                                ", and this program needs version " + std::to_string(schema::version) +
                                ": run `muster queue init` of the newer of the two");
    payload_limit_ = static_cast<std::size_t>(terms.number(0, 1));
    auto listening = listen(listener_.empty() ? "work" : listener_);
    co_await std::move(listening);
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

task<> postgres_backend::listen(std::string channel) {
    return db_->run("LISTEN " + where_.schema + '_' + channel, where_.answer_limit);
}

task<> postgres_backend::listen_as(std::int32_t epoch) { return listen("worker_" + std::to_string(epoch)); }

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
        by_key.emplace(call_key(found.text(row, 0)), verdict_of(found.text(row, 1)));
    std::vector<verdict> result;
    for (const auto& key : keys)
        result.push_back(by_key.at(key));
    co_return result;
}

task<std::vector<ended_call>> postgres_backend::fetch(std::vector<call_key> keys) {
    parameters with;
    with.array(keys);
    auto asking = call("SELECT key, state, how, answer, host, process FROM @.fetch($1)", std::move(with));
    const auto found = co_await std::move(asking);
    std::vector<ended_call> result;
    for (std::size_t row = 0; row != found.size(); ++row) {
        auto& c = result.emplace_back(call_key(found.text(row, 0)));
        c.how = end_of(found.number(row, 1), found.text(row, 2));
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

task<std::int32_t> postgres_backend::announce(worker_record worker) {
    const function_columns columns(worker.functions);
    parameters with;
    with.text(worker.host).number32(worker.process).number32(static_cast<std::int32_t>(worker.slots));
    with.number64(worker.lease.count()).array(columns.names).array(columns.signatures);
    auto asking = call("SELECT @.announce($1, $2, $3, $4, $5, $6)", std::move(with));
    const auto found = co_await std::move(asking);
    const auto epoch = static_cast<std::int32_t>(found.number(0, 0));
    auto listening = listen_as(epoch);
    co_await std::move(listening);
    co_return epoch;
}

task<bool> postgres_backend::resume(std::int32_t epoch) {
    auto asking = call("SELECT @.resume($1)", parameters().number32(epoch));
    const auto found = co_await std::move(asking);
    auto listening = listen_as(epoch);
    co_await std::move(listening);
    co_return found.text(0, 0) == "t";
}

task<std::vector<start_of_call>> postgres_backend::held(std::int32_t epoch) {
    auto asking = call("SELECT key, attempt FROM @.held($1)", parameters().number32(epoch));
    const auto found = co_await std::move(asking);
    std::vector<start_of_call> result;
    for (std::size_t row = 0; row != found.size(); ++row)
        result.push_back(start_in(found, row, 0));
    co_return result;
}

task<worker_step> postgres_backend::exchange(std::int32_t epoch, std::vector<answered_call> answers, std::size_t want) {
    std::vector<call_key> keys;
    std::vector<std::int32_t> attempts;
    std::vector<std::vector<std::uint8_t>> bytes;
    for (auto& a : answers) {
        keys.push_back(a.start.key);
        attempts.push_back(a.start.attempt);
        bytes.push_back(std::move(a.answer));
    }
    parameters with;
    with.number32(epoch).array(keys).array(attempts).array(bytes).number32(static_cast<std::int32_t>(want));
    auto asking =
        call("SELECT kind, key, attempt, function, payload FROM @.exchange($1, $2, $3, $4, $5)", std::move(with));
    const auto found = co_await std::move(asking);
    worker_step step;
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
        auto& c = step.calls.emplace_back(start.key, start.attempt);
        c.function = std::string(found.text(row, 3));
        c.payload = found.bytes(row, 4);
    }
    co_return step;
}

task<> postgres_backend::release(std::int32_t epoch, std::vector<start_of_call> calls) {
    const start_columns columns(calls);
    parameters with;
    with.number32(epoch).array(columns.keys).array(columns.attempts);
    auto asking = call("SELECT @.release($1, $2, $3)", std::move(with));
    static_cast<void>(co_await std::move(asking));
}

task<> postgres_backend::drain(std::int32_t epoch) {
    auto asking = call("SELECT @.drain($1)", parameters().number32(epoch));
    static_cast<void>(co_await std::move(asking));
}

task<> postgres_backend::leave(std::int32_t epoch) {
    auto asking = call("SELECT @.leave($1)", parameters().number32(epoch));
    static_cast<void>(co_await std::move(asking));
}

// ---- for both ----

task<> postgres_backend::reap() {
    auto asking = call("SELECT @.reap()", parameters());
    static_cast<void>(co_await std::move(asking));
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
