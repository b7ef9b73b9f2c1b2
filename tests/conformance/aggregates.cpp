// SPDX-License-Identifier: MIT

// The ops that wait for many at once, with a time limit or shielded, and those for task groups.

#include "interpreter.hpp"

#include <muster/as_completed.hpp>
#include <muster/exception_group.hpp>
#include <muster/gather.hpp>
#include <muster/shield.hpp>
#include <muster/task_group.hpp>
#include <muster/timeout.hpp>
#include <muster/wait.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace conformance {

void interpreter::add_aggregate_ops(op_table& ops) {
    ops["gather"] = &interpreter::gather;
    ops["gather_future"] = &interpreter::gather_future;
    ops["tally"] = &interpreter::tally;
    ops["compound"] = &interpreter::compound;
    ops["wait"] = &interpreter::wait;
    ops["as_completed"] = &interpreter::as_completed;
    ops["as_completed_list"] = &interpreter::as_completed_list;
    ops["wait_for"] = &interpreter::wait_for;
    ops["shield"] = &interpreter::shield;
    ops["shield_future"] = &interpreter::shield_future;
    ops["group"] = &interpreter::group;
    ops["group_new"] = &interpreter::group_new;
    ops["start"] = &interpreter::start;
    ops["timeout"] = &interpreter::timeout;
    ops["timeout_new"] = &interpreter::timeout_new;
    ops["timeout_at"] = &interpreter::timeout_at;
    ops["timeout_info"] = &interpreter::timeout_info;
    ops["reschedule"] = &interpreter::reschedule;
}

namespace {

std::optional<std::chrono::nanoseconds> limit_of(const json& ms) {
    if (ms.is_null())
        return std::nullopt;
    return std::chrono::round<std::chrono::nanoseconds>(milliseconds(ms.get<double>()));
}

/// What a cancelled task or future was told; empty if it ended otherwise.
std::string message_of(const awaitable& h) {
    if (!h.cancelled())
        return {};
    try {
        static_cast<void>(h.exception());
    } catch (const muster::cancelled_error& e) {
        return std::string(e.message());
    }
    return {};
}

/// Failures as `tally` and `compound` see them: a cancellation is none.
bool is_failure(const value& v) {
    const auto error = v.error();
    return error && matches(error, "Exception");
}

} // namespace

// ------------------------------------------------------------------------------------------------------------- gather

muster::task<value> interpreter::gathered(std::vector<awaitable> children, bool return_exceptions) {
    auto all = return_exceptions ? settled(children) : all_values(children);
    auto ended = co_await muster::detail::outcome_of_body(std::move(all));
    // asyncio's gather, if it was cancelled itself, repeats what the last of its children was told, if anything.
    const auto is_cancelled = [](const awaitable& child) { return child.cancelled(); };
    if (ended.was_cancelled() && (return_exceptions || std::none_of(children.begin(), children.end(), is_cancelled)))
        throw muster::cancelled_error(ended.reason(), message_of(children.back()));
    co_return std::move(ended).value();
}

muster::task<value> interpreter::all_values(std::vector<awaitable> children) {
    auto all = muster::gather(std::move(children)).leave_siblings();
    auto values = co_await std::move(all);
    co_return value(std::move(values));
}

muster::task<value> interpreter::settled(std::vector<awaitable> children) {
    auto all = muster::settle(children);
    const auto outcomes = co_await std::move(all);
    co_return list_of(outcomes, children);
}

/// The list of asyncio's return_exceptions: a cancellation is an exception there. Its text is what the task or future
/// was told last, and a task that ended with the cancellation is told nothing then.
value interpreter::list_of(const muster::outcomes<value>& outcomes, const std::vector<awaitable>& children) const {
    std::vector<value> values;
    for (std::size_t i = 0; i != outcomes.size(); ++i) {
        const auto& outcome = outcomes[i];
        if (outcome.succeeded())
            values.push_back(*outcome);
        else if (outcome.was_cancelled() && forgets_text(children[i]))
            values.emplace_back(std::make_exception_ptr(muster::cancelled_error(outcome.reason())));
        else
            values.emplace_back(outcome.as_exception());
    }
    return value(std::move(values));
}

muster::task<flow> interpreter::gather(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    auto waiting = gathered(sources(st.at(3), label), st.at(2) == "return_exceptions");
    auto values = co_await std::move(waiting);
    note("gather " + label + " -> " + show(values));
    vars_.insert_or_assign(label, std::move(values));
    co_return flow();
}

flow interpreter::gather_future(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const auto children = sources(st.at(3), label);
    const auto listed = [this, children](const muster::outcomes<value>& all) { return list_of(all, children); };
    const auto as_value = [](std::vector<value> values) { return value(std::move(values)); };
    const auto all = st.at(2) == "return_exceptions" ? muster::settle(children).start(listed)
                                                     : muster::gather(children).leave_siblings().start(as_value);
    forget_id(all.id());
    bare_futures_.insert(all.id());
    vars_.insert_or_assign(label, awaitable(all));
    return {};
}

flow interpreter::tally(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const auto type = st.at(2).get<std::string>();
    std::vector<value> successes;
    std::vector<value> failures;
    std::vector<value> chosen;
    for (const value& v : var_as<value>(st[1]).list()) {
        (is_failure(v) ? failures : successes).push_back(v);
        if (is_failure(v) && matches(v.error(), type))
            chosen.push_back(v);
    }
    note("tally " + label + " successes " + show(successes) + " failures " + show(failures) + " counts " +
         std::to_string(successes.size()) + "+" + std::to_string(failures.size()) + " of-type " + type + " " +
         show(chosen));
    return {};
}

flow interpreter::compound(const json& st, const scope&) {
    std::vector<std::exception_ptr> failures;
    for (const value& v : var_as<value>(st.at(1)).list())
        if (is_failure(v))
            failures.push_back(v.error());
    if (!failures.empty())
        throw muster::exception_group(st.at(2).get<std::string>(), std::move(failures));
    return {};
}

// -------------------------------------------------------------------------------------- wait, as_completed, wait_for

namespace {

muster::wait_until until(const std::string& when) {
    if (when == "FIRST_COMPLETED")
        return muster::wait_until::first_completed;
    if (when == "FIRST_EXCEPTION")
        return muster::wait_until::first_exception;
    if (when == "ALL_COMPLETED")
        return muster::wait_until::all_completed;
    throw value_error("Invalid return_when value: " + when);
}

/// "[a, b]", sorted.
std::string names_of(const std::vector<awaitable>& some, const std::map<const void*, std::string>& names) {
    std::vector<std::string> sorted;
    for (const auto& h : some)
        sorted.push_back(names.at(h.id()));
    std::sort(sorted.begin(), sorted.end());
    std::string text = "[";
    for (const auto& name : sorted)
        text += (text.size() > 1 ? ", " : "") + name;
    return text + "]";
}

} // namespace

muster::task<flow> interpreter::wait(const json& st, const scope&) {
    std::vector<awaitable> handles;
    std::map<const void*, std::string> names; // a task with two variables is called by the last of them
    for (const json& name : st.at(1)) {
        const awaitable& h = var_as<awaitable>(name);
        if (!names.contains(h.id()))
            handles.push_back(h);
        names[h.id()] = name.get<std::string>();
    }
    const auto when = until(st.at(3).get<std::string>());
    const auto limit = limit_of(st.at(2));
    if (handles.empty())
        throw value_error("Set of Tasks/Futures is empty.");
    auto waiting = muster::wait(std::move(handles), when, limit);
    const auto ended = co_await std::move(waiting);
    note("wait done " + names_of(ended.done, names) + " pending " + names_of(ended.pending, names));
    co_return flow();
}

/// *Errors*: what the next that ends fails with; timeout_error.
muster::task<value> interpreter::next_of(muster::as_completed<awaitable>* each) {
    const auto next = co_await each->next();
    co_return next.value().result();
}

/// A wait of a list: in asyncio a coroutine.
muster::task<value> interpreter::await_next(std::shared_ptr<next_completed> next, std::shared_ptr<task_record> record) {
    const end_of_task at_end(*this, std::move(record));
    if (std::exchange(next->awaited, true))
        throw runtime_error("cannot reuse already awaited coroutine");
    auto waiting = next_of(next->each.get());
    auto result = co_await std::move(waiting);
    co_return result;
}

muster::task<flow> interpreter::as_completed(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const auto handles = sources(st.at(2), label);
    std::set<const void*> each_once;
    for (const auto& h : handles)
        each_once.insert(h.id());
    muster::as_completed<awaitable> each(handles, limit_of(st.at(3)));
    for (std::size_t i = 0; i != each_once.size(); ++i) {
        auto waiting = next_of(&each);
        const auto ended = co_await muster::detail::outcome_of_body(std::move(waiting));
        if (ended.was_cancelled())
            ended.rethrow();
        if (ended.failed_with<muster::timeout_error>()) {
            note("next " + label + " timed out");
            break;
        }
        if (ended.failed() && !matches(ended.error(), "Exception"))
            ended.rethrow();
        if (ended.failed())
            note("next " + label + " raised " + show(ended.error()));
        else
            note("next " + label + " -> " + show(*ended));
    }
    co_return flow();
}

flow interpreter::as_completed_list(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const auto handles = sources(st.at(2), label);
    std::set<const void*> each_once;
    for (const auto& h : handles)
        each_once.insert(h.id());
    const auto each = std::make_shared<muster::as_completed<awaitable>>(handles, limit_of(st.at(3)));
    for (std::size_t i = 0; i != each_once.size(); ++i)
        make_var<next_completed>(label + "." + std::to_string(i), each);
    return {};
}

muster::task<flow> interpreter::wait_for(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const auto limit = limit_of(st.at(3));
    value result;
    {
        const awaitable h = source(st.at(2), label);
        auto waiting = !limit     ? result_of(h)
                       : h.task() ? muster::wait_for(*h.task(), *limit)
                                  : muster::wait_for(*h.future(), *limit);
        result = co_await std::move(waiting);
    }
    note("wait_for " + label + " -> " + show(result));
    co_return flow();
}

// ------------------------------------------------------------------------------------------------------------- shield

/// A cancellation of what is shielded arrives without its text, as asyncio's.
muster::task<value> interpreter::shielded(awaitable inner) {
    try {
        auto waiting = muster::shield(inner);
        const value result = co_await std::move(waiting);
        co_return result;
    } catch (const muster::cancelled_error& e) {
        if (!inner.cancelled())
            throw;
        throw muster::cancelled_error(e.reason());
    }
}

muster::task<flow> interpreter::shield(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const awaitable inner = source(st.at(2), label);
    vars_.insert_or_assign(label, inner);
    auto waiting = shielded(inner);
    const value result = co_await std::move(waiting);
    note("shield " + label + " -> " + show(result));
    co_return flow();
}

flow interpreter::shield_future(const json& st, const scope&) {
    const auto label = st.at(1).get<std::string>();
    const awaitable inner = source(st.at(2), label + ".0");
    if (inner.done()) {
        vars_.insert_or_assign(label, inner);
        return {};
    }
    const auto outer = muster::shield(inner).start();
    bare_futures_.insert(outer.id());
    shielded_.insert_or_assign(outer.id(), inner);
    vars_.insert_or_assign(label, awaitable(outer));
    return {};
}

// ------------------------------------------------------------------------------------------------- groups and timeouts

muster::task<flow> interpreter::group(const json& st, const scope& in) {
    muster::task_group made;
    scope inner = in;
    inner.group = &made;
    const auto body = [&] { return block(&st.at(1), &inner); };
    auto running = made.run(body);
    auto left = co_await std::move(running);
    co_return left;
}

flow interpreter::group_new(const json& st, const scope&) {
    make_var<muster::task_group>(st.at(1));
    return {};
}

flow interpreter::start(const json& st, const scope& in) {
    auto* const group = st.size() > 3 ? var_as<std::shared_ptr<muster::task_group>>(st[3]).get() : in.group;
    if (group == nullptr)
        throw fault("start outside a group");
    const auto task = st.at(1).get<std::string>();
    const auto record = new_record(task);
    auto h = misuse_is<runtime_error>("the TaskGroup is not active",
        [&] { return group->create_task(coroutine(st.at(2).get<std::string>(), record), task); });
    track(h, record);
    vars_.insert_or_assign(task, awaitable(std::move(h)));
    return {};
}

std::optional<muster::loop_clock::time_point> interpreter::deadline(const json& ms) const {
    const auto limit = limit_of(ms);
    if (!limit)
        return std::nullopt;
    return muster::loop_clock::time_point(loop_->elapsed() + *limit);
}

muster::task<flow> interpreter::timeout(const json& st, const scope& in) {
    muster::timeout_scope made(deadline(st.at(1)));
    scope inner = in;
    inner.timeouts.push_back(&made);
    const auto body = [&] { return block(&st.at(2), &inner); };
    auto running = made.run(body);
    auto left = co_await std::move(running);
    co_return left;
}

flow interpreter::timeout_new(const json& st, const scope&) {
    make_var<muster::timeout_scope>(st.at(1), deadline(st.at(2)));
    return {};
}

flow interpreter::timeout_at(const json& st, const scope&) {
    std::optional<muster::loop_clock::time_point> when;
    if (const auto time = limit_of(st.at(2)))
        when = muster::loop_clock::time_point(*time);
    make_var<muster::timeout_scope>(st.at(1), when);
    return {};
}

flow interpreter::timeout_info(const json& st, const scope&) {
    const auto& limit = *var_as<std::shared_ptr<muster::timeout_scope>>(st.at(1));
    std::string when = "none";
    if (const auto time = limit.when())
        when = std::to_string(std::llround(milliseconds(time->time_since_epoch()).count()));
    note("timeout " + st[1].get<std::string>() + " when " + when + " expired " + show(value(limit.expired())));
    return {};
}

flow interpreter::reschedule(const json& st, const scope& in) {
    muster::timeout_scope* limit = nullptr;
    if (st.size() > 2)
        limit = var_as<std::shared_ptr<muster::timeout_scope>>(st[2]).get();
    else if (!in.timeouts.empty())
        limit = in.timeouts.back();
    if (limit == nullptr)
        throw fault("reschedule outside a timeout");
    try {
        limit->reschedule(deadline(st.at(1)));
    } catch (const muster::invalid_state_error& e) {
        if (std::string_view(e.what()).find("not been entered") != std::string_view::npos)
            throw runtime_error("Timeout has not been entered");
        // Without a name it is the one around the statement, and has not been left.
        const char* const state = !limit->expired() ? "finished" : st.size() > 2 ? "expired" : "expiring";
        throw runtime_error(std::string("Cannot change state of ") + state + " Timeout");
    }
    return {};
}

} // namespace conformance
