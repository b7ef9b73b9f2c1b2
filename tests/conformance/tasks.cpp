// SPDX-License-Identifier: MIT

// The ops for tasks and futures.

#include "interpreter.hpp"

#include <muster/future.hpp>
#include <muster/task_handle.hpp>

#include <algorithm>
#include <utility>

namespace conformance {

using not_yet = spoken_as<muster::invalid_state_error>;

void interpreter::add_task_ops(op_table& ops) {
    ops["spawn"] = &interpreter::spawn_;
    ops["forget"] = &interpreter::forget;
    ops["drop"] = &interpreter::drop;
    ops["await"] = &interpreter::await_;
    ops["cancel"] = &interpreter::cancel_;
    ops["cancel_self"] = &interpreter::cancel_self;
    ops["cancelling"] = &interpreter::cancelling;
    ops["uncancel"] = &interpreter::uncancel;
    ops["state"] = &interpreter::state;
    ops["callback"] = &interpreter::callback;
    ops["callback_remove"] = &interpreter::callback_remove;
    ops["future"] = &interpreter::future;
    ops["set_result"] = &interpreter::set_result;
    ops["set_exception"] = &interpreter::set_exception;
    ops["result"] = &interpreter::result;
    ops["exception"] = &interpreter::exception;
    ops["all_tasks"] = &interpreter::all_tasks;
}

flow interpreter::spawn_(const json& st, const scope&) {
    const auto task = st.at(1).get<std::string>();
    vars_.insert_or_assign(task, awaitable(spawn(task, st.at(2).get<std::string>())));
    return {};
}

flow interpreter::forget(const json& st, const scope&) {
    const auto never_awaited = coroutine(st.at(1).get<std::string>());
    return {};
}

flow interpreter::drop(const json& st, const scope&) {
    static_cast<void>(var(st.at(1)));
    vars_.erase(st[1].get<std::string>());
    return {};
}

/// Awaits a task or a future.
muster::task<value> interpreter::result_of(awaitable h) {
    if (const auto* task = h.task()) {
        try {
            auto result = co_await *task;
            co_return result;
        } catch (const not_yet&) {
            throw; // the task's own
        } catch (const muster::invalid_state_error&) {
            throw runtime_error("Task cannot await on itself");
        }
    }
    try {
        auto result = co_await *h.future();
        co_return result;
    } catch (const muster::cancelled_error& e) {
        if (!h.cancelled() || !forgets_text(h))
            throw;
        throw muster::cancelled_error(e.reason());
    }
}

muster::task<flow> interpreter::await_(const json& st, const scope&) {
    const auto name = st.at(1).get<std::string>();
    value result;
    if (const auto* wait = std::get_if<std::shared_ptr<next_completed>>(&var(st[1]))) {
        auto waiting = await_next(*wait);
        result = co_await std::move(waiting);
    } else {
        auto waiting = result_of(var_as<awaitable>(st[1]));
        result = co_await std::move(waiting);
    }
    note("await " + name + " -> " + show(result));
    co_return flow();
}

flow interpreter::cancel_(const json& st, const scope&) {
    const bool has_text = st.size() > 2 && !st[2].is_null();
    const bool cancelled = var_as<awaitable>(st.at(1)).cancel(has_text ? st[2].get<std::string>() : std::string());
    note("cancel " + st[1].get<std::string>() + " -> " + show(value(cancelled)));
    return {};
}

flow interpreter::cancel_self(const json& st, const scope&) {
    muster::this_task::cancel(st.size() > 1 && !st[1].is_null() ? st[1].get<std::string>() : std::string());
    return {};
}

flow interpreter::cancelling(const json& st, const scope&) {
    if (st.size() > 1)
        note("cancelling " + st[1].get<std::string>() + " -> " + std::to_string(var_as<awaitable>(st[1]).cancelling()));
    else
        note("cancelling -> " + std::to_string(muster::this_task::cancelling()));
    return {};
}

flow interpreter::uncancel(const json& st, const scope&) {
    if (st.size() > 1)
        note("uncancel " + st[1].get<std::string>() + " -> " + std::to_string(var_as<awaitable>(st[1]).uncancel()));
    else
        note("uncancel -> " + std::to_string(muster::this_task::uncancel()));
    return {};
}

flow interpreter::state(const json& st, const scope&) {
    note("state " + st.at(1).get<std::string>() + " " + state_of(var_as<awaitable>(st[1])));
    return {};
}

namespace {

/// What a callback's lines call it: the handle's name and the tag.
std::string callback_title(const json& st) {
    std::string title = st.at(1).get<std::string>();
    if (st.size() > 2)
        title += " " + st[2].get<std::string>();
    return title;
}

} // namespace

flow interpreter::callback(const json& st, const scope&) {
    const auto title = callback_title(st);
    const awaitable h = var_as<awaitable>(st.at(1));
    const auto tell = [this, title, name = st[1]](const muster::any_handle&) {
        if (ended_with_main())
            return;
        note("-", "callback " + title + " " + state_of(var_as<awaitable>(name)));
    };
    callbacks_[title].push_back(h.add_done_callback(tell));
    return {};
}

flow interpreter::callback_remove(const json& st, const scope&) {
    const auto title = callback_title(st);
    const awaitable h = var_as<awaitable>(st.at(1));
    const auto removed =
        std::erase_if(callbacks_[title], [&](muster::callback_id id) { return h.remove_done_callback(id); });
    note("callback_remove " + title + " -> " + std::to_string(removed));
    return {};
}

flow interpreter::future(const json& st, const scope&) {
    const auto made = muster::make_future<value>();
    forget_id(made.id());
    bare_futures_.insert(made.id());
    vars_.insert_or_assign(st.at(1).get<std::string>(), awaitable(made));
    return {};
}

flow interpreter::set_result(const json& st, const scope&) {
    const auto* f = var_as<awaitable>(st.at(1)).future();
    if (f == nullptr)
        throw runtime_error("Task does not support set_result operation");
    misuse_is<not_yet>("invalid state", [&] { f->set_result(value::from_json(st.at(2))); });
    return {};
}

flow interpreter::set_exception(const json& st, const scope&) {
    const auto* f = var_as<awaitable>(st.at(1)).future();
    if (f == nullptr)
        throw runtime_error("Task does not support set_exception operation");
    const auto error = make_exception(st, 2);
    misuse_is<not_yet>("invalid state", [&] { f->set_exception(error); });
    return {};
}

flow interpreter::result(const json& st, const scope&) {
    const awaitable h = var_as<awaitable>(st.at(1));
    if (!h.done())
        throw not_yet("Result is not set.");
    note("result " + st[1].get<std::string>() + " -> " + show(h.result()));
    return {};
}

flow interpreter::exception(const json& st, const scope&) {
    const awaitable h = var_as<awaitable>(st.at(1));
    if (!h.done())
        throw not_yet("Exception is not set.");
    note("exception " + st[1].get<std::string>() + " -> " + show(h.exception()));
    return {};
}

flow interpreter::all_tasks(const json&, const scope&) {
    std::vector<std::string> names;
    for (const auto& h : muster::all_tasks())
        if (!own_tasks_.contains(h.id()))
            names.push_back(h.name());
    std::sort(names.begin(), names.end());
    std::vector<value> list;
    for (auto& name : names)
        list.emplace_back(std::move(name));
    note("all_tasks -> " + show(list));
    return {};
}

} // namespace conformance
