// SPDX-License-Identifier: MIT
// This file checks options where they are set, so that what makes no sense is refused where it is written.
#include <muster/postgres/options.hpp>

#include "postgres/database.hpp"
#include "postgres/schema.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

namespace muster::postgres {

namespace {

std::chrono::nanoseconds positive(std::chrono::nanoseconds time, const char* what) {
    if (time.count() <= 0)
        throw std::invalid_argument(std::string(what) + ": the time must be longer than nothing");
    return time;
}

/// When nobody has looked for ten seconds, the queue takes its own clock for set anew, and nobody for dead.
std::chrono::nanoseconds often_enough(std::chrono::nanoseconds time, const char* what) {
    if (positive(time, what) > std::chrono::seconds(5))
        throw std::invalid_argument(std::string(what) + ": every 5 s at least");
    return time;
}

std::size_t at_least_one(std::size_t n, const char* what) {
    if (n == 0)
        throw std::invalid_argument(std::string(what) + ": there must be at least one");
    return n;
}

std::string plain(std::string schema_name) {
    schema::expect_name(schema_name);
    return schema_name;
}

} // namespace

executor_options::executor_options(std::string database) : database_(std::move(database)) { expect_address(database_); }

executor_options& executor_options::schema(std::string name) {
    schema_ = plain(std::move(name));
    return *this;
}
executor_options& executor_options::window(std::size_t most) {
    window_ = at_least_one(most, "executor_options::window");
    return *this;
}
executor_options& executor_options::reconnect_limit(std::chrono::nanoseconds time) {
    reconnect_limit_ = positive(time, "executor_options::reconnect_limit");
    return *this;
}
executor_options& executor_options::answer_limit(std::chrono::nanoseconds time) {
    answer_limit_ = positive(time, "executor_options::answer_limit");
    return *this;
}
executor_options& executor_options::keep(std::chrono::nanoseconds time) {
    keep_ = positive(time, "executor_options::keep");
    return *this;
}
executor_options& executor_options::look_every(std::chrono::nanoseconds time) {
    look_every_ = often_enough(time, "executor_options::look_every");
    return *this;
}
executor_options& executor_options::value_limit(std::uint64_t most) {
    value_limit_ = most;
    return *this;
}
executor_options& executor_options::keeps_cancelled(bool yes) noexcept {
    keeps_cancelled_ = yes;
    return *this;
}
executor_options& executor_options::on_unserved(std::function<void(const std::string&, const std::string&)> told) {
    on_unserved_ = std::move(told);
    return *this;
}

worker_options::worker_options(std::string database)
    : database_(std::move(database)),
      slots_(std::max<std::size_t>(1, std::thread::hardware_concurrency())) {
    expect_address(database_);
}

worker_options& worker_options::schema(std::string name) {
    schema_ = plain(std::move(name));
    return *this;
}
worker_options& worker_options::slots(std::size_t most) {
    slots_ = at_least_one(most, "worker_options::slots");
    return *this;
}
worker_options& worker_options::ahead(std::size_t most) noexcept {
    ahead_ = most;
    return *this;
}
worker_options& worker_options::lease(std::chrono::nanoseconds time) {
    if (time < std::chrono::milliseconds(300))
        throw std::invalid_argument("worker_options::lease: a lease lasts 300 ms at least");
    lease_ = time;
    return *this;
}
worker_options& worker_options::drain_limit(std::chrono::nanoseconds time) {
    drain_limit_ = positive(time, "worker_options::drain_limit");
    return *this;
}
worker_options& worker_options::look_every(std::chrono::nanoseconds time) {
    look_every_ = often_enough(time, "worker_options::look_every");
    return *this;
}
worker_options& worker_options::functions(std::vector<std::string> names) {
    at_least_one(names.size(), "worker_options::functions");
    functions_ = std::move(names);
    return *this;
}
worker_options& worker_options::processes(process_pool_options options) {
    processes_ = std::move(options);
    return *this;
}
worker_options& worker_options::on_event(std::function<void(const std::string&)> told) {
    on_event_ = std::move(told);
    return *this;
}
void worker_options::tell(const std::string& what) const {
    if (on_event_)
        on_event_(what);
}

} // namespace muster::postgres
