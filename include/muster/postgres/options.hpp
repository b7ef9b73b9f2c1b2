// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where a queue is and how it is used, by those who submit calls (executor_options) and by those who make them
/// (worker_options).
///
///     muster::postgres::executor queue(executor_options("postgresql://app@db/jobs?sslmode=verify-full").window(200));
///     co_await muster::postgres::serve(worker_options("service=jobs").slots(8));

#include <muster/config.hpp>
#include <muster/process_pool/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace muster::postgres {

/// Each may be set in a chain. *Errors*: std::invalid_argument for what makes no sense.
class executor_options {
public:
    /// An address as libpq takes it: "postgresql://user@host/database", "service=NAME" or "host=... dbname=...".
    /// Passwords are better left to PGPASSFILE or a service file. *Errors*: std::invalid_argument for what is neither.
    explicit executor_options(std::string database);

    /// The schema that the queue is in; "muster" unless it is set. A database may have several.
    executor_options& schema(std::string name);
    /// At most so many calls are in the queue at once, 1000 unless it is set; further ones wait here.
    executor_options& window(std::size_t most);
    /// How long the database may be away before calls fail with an unreachable_error; 30 s unless it is set. A call
    /// that failed so is found again under its key.
    executor_options& reconnect_limit(std::chrono::nanoseconds time);
    /// How long an answer of the database may take; then the connection is taken for lost. 30 s unless it is set.
    executor_options& answer_limit(std::chrono::nanoseconds time);
    /// How long an outcome is kept unless the call says so itself; a day unless it is set.
    executor_options& keep(std::chrono::nanoseconds time);
    /// How often the executor looks for outcomes and dead workers without being told; 1 s unless it is set, 5 s at
    /// most.
    executor_options& look_every(std::chrono::nanoseconds time);
    /// The most values in a result, as process_pool_options::value_limit; 1,000,000 unless it is set.
    executor_options& value_limit(std::uint64_t most);
    /// Whether a call whose task is cancelled stays in the queue. Otherwise it is taken out, or its worker ends it, and
    /// the task waits for that, unless the database is silent for a second.
    executor_options& keeps_cancelled(bool yes) noexcept;
    /// Called once for each function that calls wait for and no worker serves, and again for another reason, on the
    /// executor's thread. Without it a line on standard error says so. *Errors*: none may leave it.
    executor_options& on_unserved(std::function<void(const std::string& function, const std::string& why)> told);

    [[nodiscard]] const std::string& database() const noexcept { return database_; }
    [[nodiscard]] const std::string& schema() const noexcept { return schema_; }
    [[nodiscard]] std::size_t window() const noexcept { return window_; }
    [[nodiscard]] std::chrono::nanoseconds reconnect_limit() const noexcept { return reconnect_limit_; }
    [[nodiscard]] std::chrono::nanoseconds answer_limit() const noexcept { return answer_limit_; }
    [[nodiscard]] std::chrono::nanoseconds keep() const noexcept { return keep_; }
    [[nodiscard]] std::chrono::nanoseconds look_every() const noexcept { return look_every_; }
    [[nodiscard]] std::uint64_t value_limit() const noexcept { return value_limit_; }
    [[nodiscard]] bool keeps_cancelled() const noexcept { return keeps_cancelled_; }
    [[nodiscard]] const std::function<void(const std::string&, const std::string&)>& on_unserved() const noexcept {
        return on_unserved_;
    }

private:
    std::string database_;
    std::string schema_ = "muster";
    std::size_t window_ = 1000;
    std::chrono::nanoseconds reconnect_limit_ = std::chrono::seconds(30);
    std::chrono::nanoseconds answer_limit_ = std::chrono::seconds(30);
    std::chrono::nanoseconds keep_ = std::chrono::hours(24);
    std::chrono::nanoseconds look_every_ = std::chrono::seconds(1);
    std::uint64_t value_limit_ = 1'000'000;
    bool keeps_cancelled_ = false;
    std::function<void(const std::string&, const std::string&)> on_unserved_;
};

/// Each may be set in a chain. *Errors*: std::invalid_argument for what makes no sense.
class worker_options {
public:
    /// As for executor_options.
    explicit worker_options(std::string database);

    worker_options& schema(std::string name);
    /// So many calls at once; as many as the machine has cores unless it is set.
    worker_options& slots(std::size_t most);
    /// So many further calls are taken in advance, which hides the time that the database needs. They go back when the
    /// worker leaves, but count as begun if it dies. 0 unless it is set.
    worker_options& ahead(std::size_t most) noexcept;
    /// How long a worker goes on without an answer of the database; 15 s unless it is set. It renews its lease three
    /// times in that time, and ends its calls when it could not. The queue takes it for dead after 1.4 times as long.
    worker_options& lease(std::chrono::nanoseconds time);
    /// How long the calls that run may take to end once the worker is told to leave; 30 s unless it is set. A call
    /// that has not ended by then is ended. If the database does not answer, the worker leaves 5 s later without it.
    worker_options& drain_limit(std::chrono::nanoseconds time);
    /// As for executor_options.
    worker_options& look_every(std::chrono::nanoseconds time);
    /// The functions to serve, of those that the program has. Without it all of them.
    worker_options& functions(std::vector<std::string> names);
    /// The processes that make the calls; their number is that of the slots.
    worker_options& processes(process_pool_options options);
    /// Told what happens to the worker: that it serves, has lost the database, was taken for dead. *Errors*: none may
    /// leave it.
    worker_options& on_event(std::function<void(const std::string& what)> told);

    [[nodiscard]] const std::string& database() const noexcept { return database_; }
    [[nodiscard]] const std::string& schema() const noexcept { return schema_; }
    [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
    [[nodiscard]] std::size_t ahead() const noexcept { return ahead_; }
    [[nodiscard]] std::chrono::nanoseconds lease() const noexcept { return lease_; }
    [[nodiscard]] std::chrono::nanoseconds drain_limit() const noexcept { return drain_limit_; }
    [[nodiscard]] std::chrono::nanoseconds look_every() const noexcept { return look_every_; }
    [[nodiscard]] const std::vector<std::string>& functions() const noexcept { return functions_; }
    [[nodiscard]] const process_pool_options& processes() const noexcept { return processes_; }
    void tell(const std::string& what) const;

private:
    std::string database_;
    std::string schema_ = "muster";
    std::size_t slots_;
    std::size_t ahead_ = 0;
    std::chrono::nanoseconds lease_ = std::chrono::seconds(15);
    std::chrono::nanoseconds drain_limit_ = std::chrono::seconds(30);
    std::chrono::nanoseconds look_every_ = std::chrono::seconds(1);
    std::vector<std::string> functions_;
    process_pool_options processes_;
    std::function<void(const std::string&)> on_event_;
};

} // namespace muster::postgres
