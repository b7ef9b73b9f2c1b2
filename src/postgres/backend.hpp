// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The functions of a queue outside of the program, whatever it is built on: submit, claim, finish, reap,
/// cancel, watch. postgres_backend is the one that there is. Every function may be repeated after a connection_failure:
/// doing it twice is doing it once. Private to muster::postgres.
///
///     auto verdicts = co_await queue.submit(batch);
///     auto step = co_await queue.exchange(me, std::move(answers), free_slots);

#include <muster/event.hpp>
#include <muster/postgres/call_key.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace muster::postgres {

/// Calls, answers and outcomes go in steps of about so many bytes; a single one that is larger goes by itself.
inline constexpr std::size_t most_bytes_in_step = std::size_t{8} << 20;
/// Those of a worker's steps are fewer, as a step renews the lease: on a slow line many calls together take no longer
/// than the lease for that, and only a single one that is large can.
inline constexpr std::size_t most_bytes_in_worker_step = std::size_t{256} << 10;
/// The database takes 1 GiB in one value or one message.
inline constexpr std::int64_t largest_payload_limit = std::int64_t{512} << 20;

/// A call as it is submitted.
struct call_record {
    explicit call_record(call_key k) : key(k) {}
    call_key key;
    std::string function;
    std::string signature;
    std::vector<std::uint8_t> payload;
    std::int32_t priority = 0;
    std::int32_t starts = 1;
    std::chrono::milliseconds delay{0};
    std::chrono::seconds keep{0};
};

/// The answer to a submission.
enum class verdict : std::uint8_t {
    taken,     ///< it waits or runs, now or since an earlier submission
    ended,     ///< its outcome is there
    full,      ///< the queue's limit is reached
    other,     ///< the queue has a call with this key, but of another function or with other arguments
    expired,   ///< its outcome is not kept any more
    too_large, ///< its payload is beyond the limit
};

/// A call that has ended.
struct ended_call {
    explicit ended_call(call_key k) : key(k) {}
    /// `later`: it has ended, and its outcome is to be asked for once more, as it was too much for one answer.
    enum class end : std::uint8_t { answered, cancelled, session, lease, left, expired, unknown, later };
    call_key key;
    end how = end::unknown;
    std::vector<std::uint8_t> answer;
    std::string host;
    int process = 0;
};

/// A call as it was given to a worker once. The number of the claim grows with each, also when the call was handed back
/// in between.
struct start_of_call {
    start_of_call(call_key k, std::int32_t c) : key(k), claim(c) {}
    call_key key;
    std::int32_t claim;
    friend auto operator<=>(const start_of_call&, const start_of_call&) = default;
};

/// A call that a worker is to make.
struct claimed_call {
    claimed_call(call_key k, std::int32_t claim) : start(k, claim) {}
    start_of_call start;
    std::string function;
    std::vector<std::uint8_t> payload;
};

struct answered_call {
    answered_call(start_of_call s, std::vector<std::uint8_t> a) : start(s), answer(std::move(a)) {}
    /// A refusal stands in place of an outcome that the database did not take.
    enum class content : std::uint8_t { outcome, refusal };
    start_of_call start;
    std::vector<std::uint8_t> answer;
    content is = content::outcome;
};

struct function_name {
    function_name(std::string n, std::string s) : name(std::move(n)), signature(std::move(s)) {}
    std::string name;
    std::string signature;
    friend auto operator<=>(const function_name&, const function_name&) = default;
};

/// A worker as the queue knows it: by its epoch, and by a number for each of its connections. The secret, which it made
/// itself, keeps others that may serve from coming back in its place.
struct worker_session {
    worker_session() {}
    worker_session(std::int32_t e, std::int32_t n, std::string s) : epoch(e), number(n), secret(std::move(s)) {}
    std::int32_t epoch = 0; ///< 0: none
    std::int32_t number = 0;
    std::string secret;
};

/// A worker as it introduces itself.
struct worker_record {
    worker_record() {}
    std::string host;
    int process = 0;
    std::size_t slots = 1;
    std::chrono::milliseconds lease{0};
    std::vector<function_name> functions;
};

/// The news of one step of a worker.
struct worker_step {
    worker_step() {}
    bool fenced = false; ///< it was taken for dead: nothing that it does counts any more
    bool more = false;   ///< further calls are there, which were too much for one step
    std::vector<claimed_call> calls;
    std::vector<start_of_call> stops; ///< calls of its own that are to end
};

class backend {
public:
    backend() = default;
    backend(const backend&) = delete;
    backend& operator=(const backend&) = delete;
    virtual ~backend() = default;

    // ---- for clients ----
    /// *Returns* a verdict for each.
    [[nodiscard]] virtual task<std::vector<verdict>> submit(std::vector<const call_record*> calls) = 0;
    /// *Returns* those that have ended, or are not known.
    [[nodiscard]] virtual task<std::vector<ended_call>> fetch(std::vector<call_key> keys) = 0;
    [[nodiscard]] virtual task<> cancel(std::vector<call_key> keys) = 0;
    /// *Returns* those that no worker serves, each with the reason in place of its signature.
    [[nodiscard]] virtual task<std::vector<function_name>> unserved(std::vector<function_name> functions) = 0;

    // ---- for workers: a session that is not the worker's present one is refused with a connection_failure ----
    [[nodiscard]] virtual task<worker_session> announce(worker_record worker) = 0;
    /// On a new connection, with a higher number than before: *returns* whether the worker is still what it was, and
    /// not taken for dead. Its old sessions can do nothing any more.
    [[nodiscard]] virtual task<bool> resume(worker_session me) = 0;
    /// *Returns* what the queue takes for running at the worker.
    [[nodiscard]] virtual task<std::vector<start_of_call>> held(worker_session me) = 0;
    /// Renews the lease, gives answers, takes at most `want` calls, and no more once they have
    /// `most_bytes_in_worker_step`.
    [[nodiscard]] virtual task<worker_step> exchange(
        worker_session me, std::vector<answered_call> answers, std::size_t want) = 0;
    /// Hands calls back that have not begun.
    [[nodiscard]] virtual task<> release(worker_session me, std::vector<start_of_call> calls) = 0;
    [[nodiscard]] virtual task<> drain(worker_session me) = 0;
    [[nodiscard]] virtual task<> leave(worker_session me) = 0;

    // ---- for both ----
    /// Ends what dead workers have left. *Returns* whether it is the caller's turn to expire what is due.
    [[nodiscard]] virtual task<bool> reap() = 0;
    /// Lets go of some outcomes whose time is up. *Returns* whether there are more.
    [[nodiscard]] virtual task<bool> expire() = 0;
    /// Waits until there may be news, `wake` is set, or the time is up.
    [[nodiscard]] virtual task<> watch(event& wake, std::chrono::nanoseconds limit) = 0;
    /// *Returns* the calls of this client that have ended, as far as messages have come.
    [[nodiscard]] virtual std::vector<call_key> told() = 0;
    [[nodiscard]] virtual std::size_t payload_limit() const noexcept = 0;
};

} // namespace muster::postgres
