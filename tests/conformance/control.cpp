// SPDX-License-Identifier: MIT

// The ops for control, variables and exception groups.

#include "interpreter.hpp"

#include <muster/handle_group.hpp>
#include <muster/sleep.hpp>

#include <chrono>
#include <utility>

namespace conformance {

void interpreter::add_control_ops(op_table& ops) {
    ops["log"] = &interpreter::log;
    ops["sleep"] = &interpreter::sleep;
    ops["busy"] = &interpreter::busy;
    ops["return"] = &interpreter::return_;
    ops["raise"] = &interpreter::raise;
    ops["reraise"] = &interpreter::reraise;
    ops["raise_again"] = &interpreter::raise_again;
    ops["call"] = &interpreter::call;
    ops["repeat"] = &interpreter::repeat;
    ops["try"] = &interpreter::try_;
    ops["try_star"] = &interpreter::try_star;
    ops["expect"] = &interpreter::expect;
    ops["let"] = &interpreter::let;
    ops["append"] = &interpreter::append;
    ops["show"] = &interpreter::show_;
    ops["split"] = &interpreter::split;
    ops["subgroup"] = &interpreter::subgroup;
    ops["derive"] = &interpreter::derive;
}

flow interpreter::log(const json& st, const scope&) {
    note(st.at(1).get<std::string>());
    return {};
}

muster::task<flow> interpreter::sleep(const json& st, const scope&) {
    co_await muster::sleep_for(milliseconds(st.at(1).get<double>()));
    co_return flow();
}

flow interpreter::busy(const json& st, const scope&) {
    loop_->skip(std::chrono::round<std::chrono::nanoseconds>(milliseconds(st.at(1).get<double>())));
    return {};
}

flow interpreter::return_(const json& st, const scope&) {
    return flow::leaving(st.size() > 1 ? value::from_json(st[1]) : value());
}

flow interpreter::raise(const json& st, const scope&) { std::rethrow_exception(make_exception(st, 1)); }

flow interpreter::reraise(const json&, const scope& in) {
    if (!in.caught)
        throw fault("reraise outside a handler");
    std::rethrow_exception(in.caught);
}

flow interpreter::raise_again(const json&, const scope&) { return flow::raising_again(); }

muster::task<flow> interpreter::call(const json& st, const scope&) {
    const std::string name = st.at(1).get<std::string>();
    auto called = coroutine(name);
    const auto result = co_await std::move(called);
    note("call " + name + " -> " + show(result));
    co_return flow();
}

muster::task<flow> interpreter::repeat(const json& st, const scope& in) {
    const auto times = st.at(1).get<int>();
    for (int i = 0; i < times; ++i) {
        auto once = block(&st.at(2), &in);
        auto left = co_await std::move(once);
        if (left.leaves())
            co_return left;
    }
    co_return flow();
}

/// `try` without its `finally`.
muster::task<flow> interpreter::guarded(const json& st, const scope& in) {
    auto running = block(&st.at(1), &in);
    auto ended = co_await muster::detail::outcome_of_body(std::move(running));
    if (!ended.succeeded()) {
        const auto error = ended.as_exception();
        for (const json& handler : st.at(2)) {
            if (!matches_any(error, handler.at(0)))
                continue;
            note("caught " + show(error));
            scope inner = in;
            inner.caught = error;
            auto handling = block(&handler.at(1), &inner);
            auto left = co_await std::move(handling);
            co_return left;
        }
        ended.rethrow();
    }
    auto left = std::move(ended).value();
    if (!left.leaves() && st.size() > 3 && !st[3].is_null()) {
        auto otherwise = block(&st[3], &in);
        left = co_await std::move(otherwise);
    }
    co_return left;
}

muster::task<flow> interpreter::try_(const json& st, const scope& in) {
    auto running = guarded(st, in);
    if (st.size() < 5 || st[4].is_null()) {
        auto left = co_await std::move(running);
        co_return left;
    }
    auto ended = co_await muster::detail::outcome_of_body(std::move(running));
    auto cleaning = block(&st[4], &in);
    auto override = co_await std::move(cleaning);
    auto left = std::move(ended).value(); // an error goes on, also past a `return` in the clean-up
    if (override.leaves())
        co_return override;
    co_return left;
}

muster::task<flow> interpreter::try_star(const json& st, const scope& in) {
    auto running = block(&st.at(1), &in);
    auto ended = co_await muster::detail::outcome_of_body(std::move(running));
    if (ended.succeeded())
        co_return std::move(ended).value();

    muster::group_dispatch dispatch(ended.as_exception());
    for (const json& handler : st.at(2)) {
        const json& types = handler.at(0);
        const auto is_wanted = [&types](const std::exception_ptr& error) { return matches_any(error, types); };
        const auto part = dispatch.take(is_wanted);
        if (!part)
            continue;
        note("caught* " + show(part));
        scope inner = in;
        inner.caught = part;
        auto handling = block(&handler.at(1), &inner);
        const auto handled = co_await muster::detail::outcome_of_body(std::move(handling));
        // Python tells `raise` from `raise part`: only after the first is the part what it was.
        if (!handled.succeeded())
            dispatch.raised(handled.as_exception());
        else if (handled.value().raises_again())
            dispatch.reraised(part);
    }
    if (const auto left = dispatch.finish())
        std::rethrow_exception(left);
    co_return flow();
}

muster::task<flow> interpreter::expect(const json& st, const scope& in) {
    auto running = block(&st.at(2), &in);
    auto ended = co_await muster::detail::outcome_of_body(std::move(running));
    if (ended.succeeded()) {
        note("raised nothing");
        co_return std::move(ended).value();
    }
    const auto error = ended.as_exception();
    if (!matches_any(error, st.at(1)))
        ended.rethrow();
    note("raised " + type_of(error));
    co_return flow();
}

flow interpreter::let(const json& st, const scope&) {
    vars_[st.at(1).get<std::string>()] = value::from_json(st.at(2));
    return {};
}

flow interpreter::append(const json& st, const scope&) {
    var_as<value>(st.at(1)).list().push_back(value::from_json(st.at(2)));
    return {};
}

flow interpreter::show_(const json& st, const scope&) {
    note("show " + st.at(1).get<std::string>() + " -> " + show(var_as<value>(st[1])));
    return {};
}

namespace {

/// The group that a statement names. It lives as long as the pointer.
const muster::base_exception_group& group_in(const std::exception_ptr& made) {
    if (const auto* group = muster::as_group(made))
        return *group;
    throw fault("wanted an exception group, not " + show(made));
}

} // namespace

flow interpreter::split(const json& st, const scope&) {
    const auto made = make_exception(st.at(1));
    const auto is_wanted = [&](const std::exception_ptr& error) { return matches_any(error, st.at(2)); };
    const auto parts = group_in(made).split(is_wanted);
    note("split match " + show(parts.match) + " rest " + show(parts.rest));
    return {};
}

flow interpreter::subgroup(const json& st, const scope&) {
    const auto made = make_exception(st.at(1));
    const auto is_wanted = [&](const std::exception_ptr& error) { return matches_any(error, st.at(2)); };
    note("subgroup " + show(group_in(made).subgroup(is_wanted)));
    return {};
}

flow interpreter::derive(const json& st, const scope&) {
    const auto made = make_exception(st.at(1));
    std::vector<std::exception_ptr> members;
    for (const json& member : st.at(2))
        members.push_back(make_exception(member));
    const auto derived = misuse_is<value_error>("second argument (exceptions) must be a non-empty sequence",
        [&] { return group_in(made).derive(std::move(members)); });
    note("derive " + show(derived));
    return {};
}

} // namespace conformance
