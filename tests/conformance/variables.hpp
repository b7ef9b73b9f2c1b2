// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a scenario's variables hold: values, tasks and futures, the waits of as_completed, groups, timeouts, locks and
/// queues. What is held by address is shared, so that a task which uses it keeps it when the variable is dropped.
///
///     variable v = std::make_shared<muster::event>();

#include "values.hpp"

#include <muster/as_completed.hpp>
#include <muster/barrier.hpp>
#include <muster/condition.hpp>
#include <muster/event.hpp>
#include <muster/future.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/semaphore.hpp>
#include <muster/task_group.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace conformance {

/// A task or a future with a value of the language: a handle, so that every combinator takes a list of them.
class awaitable : public muster::any_handle {
public:
    using value_type = value;

    explicit awaitable(muster::task_handle<value> task) : any_handle(task), held_(std::move(task)) {}
    explicit awaitable(muster::future<value> future) : any_handle(future), held_(std::move(future)) {}

    [[nodiscard]] const value& result() const {
        return std::visit([](const auto& h) -> const value& { return h.result(); }, held_);
    }
    [[nodiscard]] const muster::task_handle<value>* task() const { return std::get_if<0>(&held_); }
    [[nodiscard]] const muster::future<value>* future() const { return std::get_if<1>(&held_); }

private:
    std::variant<muster::task_handle<value>, muster::future<value>> held_;
};

/// One of the waits that as_completed gives. They share what they wait for.
struct next_completed {
    explicit next_completed(std::shared_ptr<muster::as_completed<awaitable>> all) : each(std::move(all)) {}
    std::shared_ptr<muster::as_completed<awaitable>> each;
    bool awaited = false;
};

/// A condition, and the lock that it may share with others.
struct shared_condition {
    shared_condition() = default;
    explicit shared_condition(std::shared_ptr<muster::mutex> shared) : mutex(std::move(shared)), changed(*mutex) {}

    std::shared_ptr<muster::mutex> mutex;
    muster::condition changed;
};

using fifo = std::shared_ptr<muster::queue<value>>;
using lifo = std::shared_ptr<muster::lifo_queue<value>>;
using priority = std::shared_ptr<muster::priority_queue<value>>;

using variable = std::variant<value, awaitable, std::shared_ptr<next_completed>, std::shared_ptr<muster::task_group>,
    std::shared_ptr<muster::timeout_scope>, std::shared_ptr<muster::mutex>, std::shared_ptr<muster::semaphore>,
    std::shared_ptr<shared_condition>, std::shared_ptr<muster::event>, std::shared_ptr<muster::barrier>, fifo, lifo,
    priority>;

} // namespace conformance
