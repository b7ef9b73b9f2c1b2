// SPDX-License-Identifier: MIT

// The ops for locks, events, barriers and queues, and `with`.

#include "interpreter.hpp"

#include <algorithm>
#include <string_view>
#include <type_traits>
#include <utility>

namespace conformance {

namespace {

using lock_var = std::shared_ptr<muster::mutex>;
using sem_var = std::shared_ptr<muster::semaphore>;
using condition_var = std::shared_ptr<shared_condition>;
using event_var = std::shared_ptr<muster::event>;
using barrier_var = std::shared_ptr<muster::barrier>;
using group_var = std::shared_ptr<muster::task_group>;
using timeout_var = std::shared_ptr<muster::timeout_scope>;

template <class T>
inline constexpr bool is_queue = std::is_same_v<T, fifo> || std::is_same_v<T, lifo> || std::is_same_v<T, priority>;

/// Calls `use` with the queue that a variable holds.
template <class F>
auto with_queue(variable& held, F use) -> std::invoke_result_t<F, muster::queue<value>&> {
    return std::visit(
        [&](auto& v) -> std::invoke_result_t<F, muster::queue<value>&> {
            if constexpr (is_queue<std::remove_cvref_t<decltype(v)>>)
                return use(*v);
            else
                throw fault("the variable is no queue");
        },
        held);
}

muster::queue_base& as_queue(variable& held) {
    return with_queue(held, [](auto& q) -> muster::queue_base& { return q; });
}

/// The awaits of a queue, which are of different types, as tasks. They keep the queue.
template <class Queue>
muster::task<> put_into(std::shared_ptr<Queue> queue, value item) {
    auto putting = queue->put(std::move(item));
    co_await putting;
}
template <class Queue>
muster::task<value> take_from(std::shared_ptr<Queue> queue) {
    auto item = co_await queue->get();
    co_return item;
}

} // namespace

void interpreter::add_lock_ops(op_table& ops) {
    ops["lock"] = &interpreter::lock;
    ops["sem"] = &interpreter::sem;
    ops["condition"] = &interpreter::condition;
    ops["event"] = &interpreter::event_;
    ops["barrier"] = &interpreter::barrier;
    ops["acquire"] = &interpreter::acquire;
    ops["release"] = &interpreter::release;
    ops["locked"] = &interpreter::locked;
    ops["with"] = &interpreter::with;
    ops["set"] = &interpreter::set;
    ops["clear"] = &interpreter::clear;
    ops["is_set"] = &interpreter::is_set;
    ops["wait_event"] = &interpreter::wait_event;
    ops["notify"] = &interpreter::notify;
    ops["notify_all"] = &interpreter::notify_all;
    ops["wait_notify"] = &interpreter::wait_notify;
    ops["wait_until"] = &interpreter::wait_until;
    ops["barrier_wait"] = &interpreter::barrier_wait;
    ops["barrier_reset"] = &interpreter::barrier_reset;
    ops["barrier_abort"] = &interpreter::barrier_abort;
    ops["barrier_info"] = &interpreter::barrier_info;
    ops["queue"] = &interpreter::queue;
    ops["put"] = &interpreter::put;
    ops["put_nowait"] = &interpreter::put_nowait;
    ops["get"] = &interpreter::get;
    ops["get_nowait"] = &interpreter::get_nowait;
    ops["task_done"] = &interpreter::task_done;
    ops["join"] = &interpreter::join;
    ops["queue_info"] = &interpreter::queue_info;
}

// ------------------------------------------------------------------------------------- locks, semaphores, conditions

flow interpreter::lock(const json& st, const scope&) {
    make_var<muster::mutex>(st.at(1));
    return {};
}

flow interpreter::sem(const json& st, const scope&) {
    const auto permits = st.at(2).get<std::ptrdiff_t>();
    std::shared_ptr<muster::semaphore> made;
    misuse_is<value_error>("Semaphore initial value must be >= 0", [&] {
        if (st.size() > 3 && st[3] == "bounded")
            made = std::make_shared<muster::bounded_semaphore>(permits);
        else
            made = std::make_shared<muster::semaphore>(permits);
    });
    vars_[st.at(1).get<std::string>()] = made;
    return {};
}

flow interpreter::condition(const json& st, const scope&) {
    if (st.size() > 2)
        make_var<shared_condition>(st.at(1), var_as<lock_var>(st[2]));
    else
        make_var<shared_condition>(st.at(1));
    return {};
}

muster::task<> interpreter::acquire_var(variable held) {
    if (const auto* m = std::get_if<lock_var>(&held))
        co_await (*m)->lock();
    else if (const auto* s = std::get_if<sem_var>(&held))
        co_await (*s)->acquire();
    else if (const auto* c = std::get_if<condition_var>(&held))
        co_await (*c)->changed.lock();
    else
        throw fault("the variable is nothing that can be acquired");
}

void interpreter::release_var(variable& held) {
    if (const auto* m = std::get_if<lock_var>(&held))
        misuse_is<runtime_error>("Lock is not acquired.", [&] { (*m)->unlock(); });
    else if (const auto* s = std::get_if<sem_var>(&held))
        misuse_is<value_error>("BoundedSemaphore released too many times", [&] { (*s)->release(); });
    else if (const auto* c = std::get_if<condition_var>(&held))
        misuse_is<runtime_error>("Lock is not acquired.", [&] { (*c)->changed.unlock(); });
    else
        throw fault("the variable is nothing that can be released");
}

bool interpreter::is_locked(const variable& held) {
    if (const auto* m = std::get_if<lock_var>(&held))
        return (*m)->locked();
    if (const auto* s = std::get_if<sem_var>(&held))
        return (*s)->locked();
    if (const auto* c = std::get_if<condition_var>(&held))
        return (*c)->changed.locked();
    throw fault("the variable is nothing that can be locked");
}

muster::task<flow> interpreter::acquire(const json& st, const scope&) {
    auto acquiring = acquire_var(var(st.at(1)));
    co_await std::move(acquiring);
    note("acquire " + st[1].get<std::string>() + " -> true");
    co_return flow();
}

flow interpreter::release(const json& st, const scope&) {
    release_var(var(st.at(1)));
    return {};
}

flow interpreter::locked(const json& st, const scope&) {
    note("locked " + st.at(1).get<std::string>() + " -> " + show(value(is_locked(var(st[1])))));
    return {};
}

muster::task<flow> interpreter::with_lock(variable held, const json& st, const scope& in) {
    auto acquiring = acquire_var(held);
    co_await std::move(acquiring);
    auto running = block(&st.at(2), &in);
    auto ended = co_await muster::detail::outcome_of_body(std::move(running));
    release_var(held); // by hand, not by a guard: it may have been released in the body, which is then an error
    co_return std::move(ended).value();
}

muster::task<flow> interpreter::with(const json& st, const scope& in) {
    variable held = var(st.at(1));
    const auto body = [&] { return block(&st.at(2), &in); };
    flow left;
    if (const auto* group = std::get_if<group_var>(&held)) {
        // The body's own errors arrive in a group or, if they are cancellations, as no std::exception.
        try {
            auto running = (*group)->run(body);
            left = co_await std::move(running);
        } catch (const muster::invalid_state_error&) {
            throw runtime_error("the TaskGroup has been already entered");
        }
    } else if (const auto* limit = std::get_if<timeout_var>(&held)) {
        try {
            auto running = (*limit)->run(body);
            left = co_await std::move(running);
        } catch (const spoken_as<muster::invalid_state_error>&) {
            throw; // the body's
        } catch (const muster::invalid_state_error&) {
            throw runtime_error("Timeout has already been entered");
        }
    } else if (const auto* meeting = std::get_if<barrier_var>(&held)) {
        auto waiting = meet(*meeting);
        static_cast<void>(co_await std::move(waiting));
        auto running = body();
        left = co_await std::move(running);
    } else {
        auto running = with_lock(held, st, in);
        left = co_await std::move(running);
    }
    co_return left;
}

flow interpreter::notify(const json& st, const scope&) {
    auto& c = *var_as<condition_var>(st.at(1));
    misuse_is<runtime_error>(
        "cannot notify on un-acquired lock", [&] { c.changed.notify(st.at(2).get<std::size_t>()); });
    return {};
}

flow interpreter::notify_all(const json& st, const scope&) {
    auto& c = *var_as<condition_var>(st.at(1));
    misuse_is<runtime_error>("cannot notify on un-acquired lock", [&] { c.changed.notify_all(); });
    return {};
}

muster::task<flow> interpreter::wait_notify(const json& st, const scope&) {
    const condition_var c = var_as<condition_var>(st.at(1));
    try {
        auto waiting = c->changed.wait();
        co_await std::move(waiting);
    } catch (const muster::invalid_state_error&) {
        throw runtime_error("cannot wait on un-acquired lock");
    }
    note("notified " + st[1].get<std::string>());
    co_return flow();
}

muster::task<flow> interpreter::wait_until(const json& st, const scope&) {
    const condition_var c = var_as<condition_var>(st.at(1));
    const json& name = st.at(2);
    const auto predicate = [&] { return var_as<value>(name); };
    value result;
    try {
        auto waiting = c->changed.wait(predicate);
        result = co_await std::move(waiting);
    } catch (const muster::invalid_state_error&) {
        throw runtime_error("cannot wait on un-acquired lock");
    }
    note("until " + st[1].get<std::string>() + " " + name.get<std::string>() + " -> " + show(result));
    co_return flow();
}

// ------------------------------------------------------------------------------------------------- events, barriers

flow interpreter::event_(const json& st, const scope&) {
    make_var<muster::event>(st.at(1));
    return {};
}

flow interpreter::set(const json& st, const scope&) {
    var_as<event_var>(st.at(1))->set();
    return {};
}

flow interpreter::clear(const json& st, const scope&) {
    var_as<event_var>(st.at(1))->clear();
    return {};
}

flow interpreter::is_set(const json& st, const scope&) {
    note("is_set " + st.at(1).get<std::string>() + " -> " + show(value(var_as<event_var>(st[1])->is_set())));
    return {};
}

muster::task<flow> interpreter::wait_event(const json& st, const scope&) {
    const event_var e = var_as<event_var>(st.at(1));
    co_await e->wait();
    note("event " + st[1].get<std::string>());
    co_return flow();
}

flow interpreter::barrier(const json& st, const scope&) {
    misuse_is<value_error>(
        "parties must be >= 1", [&] { make_var<muster::barrier>(st.at(1), st.at(2).get<std::ptrdiff_t>()); });
    return {};
}

/// Waits at a barrier; the errors get asyncio's texts, which say whether it was broken before the wait. asyncio's
/// number says how many tasks had come before. muster's is smaller if one of these was cancelled meanwhile, a
/// departure, so that each place of a round is given once; the trace shows asyncio's.
muster::task<std::size_t> interpreter::meet(std::shared_ptr<muster::barrier> b) {
    using broken = spoken_as<muster::broken_barrier_error>;
    const std::size_t came_before = b->n_waiting();
    try {
        auto waiting = b->wait();
        const auto place = co_await std::move(waiting);
        co_return std::max(place, came_before);
    } catch (const muster::broken_barrier_error& e) {
        const bool before = std::string_view(e.what()).ends_with("reset it first");
        throw broken(before ? "Barrier aborted" : "Abort or reset of barrier");
    }
}

muster::task<flow> interpreter::barrier_wait(const json& st, const scope&) {
    auto waiting = meet(var_as<barrier_var>(st.at(1)));
    const auto place = co_await std::move(waiting);
    note("barrier " + st[1].get<std::string>() + " -> " + std::to_string(place));
    co_return flow();
}

muster::task<flow> interpreter::barrier_reset(const json& st, const scope&) {
    const barrier_var b = var_as<barrier_var>(st.at(1));
    auto resetting = b->reset();
    co_await std::move(resetting);
    co_return flow();
}

muster::task<flow> interpreter::barrier_abort(const json& st, const scope&) {
    const barrier_var b = var_as<barrier_var>(st.at(1));
    auto aborting = b->abort();
    co_await std::move(aborting);
    co_return flow();
}

flow interpreter::barrier_info(const json& st, const scope&) {
    const auto& b = *var_as<barrier_var>(st.at(1));
    note("barrier " + st[1].get<std::string>() + " parties " + std::to_string(b.parties()) + " waiting " +
         std::to_string(b.n_waiting()) + " broken " + show(value(b.broken())));
    return {};
}

// ------------------------------------------------------------------------------------------------------------- queues

flow interpreter::queue(const json& st, const scope&) {
    const auto maxsize = st.at(2).get<std::ptrdiff_t>();
    const json& order = st.at(3);
    if (order == "fifo")
        make_var<muster::queue<value>>(st.at(1), maxsize);
    else if (order == "lifo")
        make_var<muster::lifo_queue<value>>(st.at(1), maxsize);
    else if (order == "priority")
        make_var<muster::priority_queue<value>>(st.at(1), maxsize);
    else
        throw fault("no such order of a queue: " + order.dump());
    return {};
}

muster::task<flow> interpreter::put(const json& st, const scope&) {
    const auto item = value::from_json(st.at(2));
    variable& held = var(st.at(1));
    const auto begin = [&item](auto& v) -> muster::task<> {
        if constexpr (is_queue<std::remove_cvref_t<decltype(v)>>)
            return put_into(v, item);
        else
            throw fault("the variable is no queue");
    };
    auto putting = std::visit(begin, held);
    co_await std::move(putting);
    note("put " + st[1].get<std::string>() + " " + show(item));
    co_return flow();
}

flow interpreter::put_nowait(const json& st, const scope&) {
    const auto item = value::from_json(st.at(2));
    with_queue(var(st.at(1)), [&](auto& q) { q.put_nowait(item); });
    note("put " + st[1].get<std::string>() + " " + show(item));
    return {};
}

muster::task<flow> interpreter::get(const json& st, const scope&) {
    variable& held = var(st.at(1));
    const auto begin = [](auto& v) -> muster::task<value> {
        if constexpr (is_queue<std::remove_cvref_t<decltype(v)>>)
            return take_from(v);
        else
            throw fault("the variable is no queue");
    };
    auto getting = std::visit(begin, held);
    const auto item = co_await std::move(getting);
    note("get " + st[1].get<std::string>() + " -> " + show(item));
    co_return flow();
}

flow interpreter::get_nowait(const json& st, const scope&) {
    const auto item = with_queue(var(st.at(1)), [](auto& q) { return q.get_nowait(); });
    note("get " + st[1].get<std::string>() + " -> " + show(item));
    return {};
}

flow interpreter::task_done(const json& st, const scope&) {
    misuse_is<value_error>("task_done() called too many times", [&] { as_queue(var(st.at(1))).task_done(); });
    return {};
}

muster::task<flow> interpreter::join(const json& st, const scope&) {
    variable held = var(st.at(1)); // keeps the queue
    auto& q = as_queue(held);
    co_await q.join();
    note("joined " + st[1].get<std::string>());
    co_return flow();
}

flow interpreter::queue_info(const json& st, const scope&) {
    const auto& q = as_queue(var(st.at(1)));
    note("queue " + st[1].get<std::string>() + " size " + std::to_string(q.size()) + " empty " +
         show(value(q.empty())) + " full " + show(value(q.full())) + " maxsize " + std::to_string(q.maxsize()));
    return {};
}

} // namespace conformance
