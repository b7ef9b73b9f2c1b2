// SPDX-License-Identifier: MIT
#include "interpreter.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace conformance {

interpreter::interpreter(json scenario) : scenario_(std::move(scenario)) {
    if (!scenario_.is_object() || !scenario_.contains("coroutines") || !scenario_["coroutines"].contains("main"))
        throw fault("holds no scenario");
}

const interpreter::op_table& interpreter::ops() {
    static const op_table all = [] {
        op_table made;
        add_control_ops(made);
        add_task_ops(made);
        add_aggregate_ops(made);
        add_lock_ops(made);
        return made;
    }();
    return all;
}

// ---------------------------------------------------------------------------------------------------------- the trace

std::int64_t interpreter::now() const { return std::llround(milliseconds(loop_->elapsed()).count()); }

bool interpreter::ended_with_main() const {
    const auto is_left = [](const auto& record) { return !record->ended; };
    return shutting_down() && std::none_of(records_.begin(), records_.end(), is_left);
}

void interpreter::note(std::string text) { note(muster::this_task::name(), std::move(text)); }

void interpreter::note(std::string task, std::string text) {
    if (ended_with_main())
        return;
    events_.push_back(event{now(), std::move(task), std::move(text), events_.size()});
}

void interpreter::take_report(const muster::report& r) {
    using enum muster::report_kind;
    const bool no_task = bare_futures_.contains(r.id);
    const std::string who = no_task ? "-" : r.name;
    if (r.kind == never_retrieved) {
        accounts_.push_back("! never-retrieved " + who + " " + show(r.error));
    } else if (r.kind == shutdown_failure) {
        shutdown_failures_.insert(r.id);
        accounts_.push_back("! shutdown " + who + " " + show(r.error));
    } else if (r.kind == suppressed) {
        accounts_.push_back("! suppressed " + who + " " + show(r.error));
    } else if (r.kind == never_awaited && coroutine_names_.contains(r.id)) {
        accounts_.push_back("! never-awaited " + coroutine_names_[r.id]);
    } else {
        accounts_.push_back("! unforeseen " + muster::to_string(r));
    }
}

std::string interpreter::assemble(const std::string& ending) {
    events_.push_back(event{end_of_main_, "main", ending, events_.size()});
    std::sort(events_.begin(), events_.end(), [](const event& a, const event& b) {
        return std::tie(a.time, a.task, a.number) < std::tie(b.time, b.task, b.number);
    });
    std::string lines;
    for (const event& e : events_)
        lines += std::to_string(e.time) + " " + e.task + " " + e.text + "\n";

    std::vector<std::string> left;
    for (const auto& record : records_)
        if (!record->ended)
            left.push_back(record->name);
    std::sort(left.begin(), left.end());
    for (const auto& name : left)
        lines += "left " + name + "\n";

    std::sort(accounts_.begin(), accounts_.end());
    for (const auto& account : accounts_)
        lines += account + "\n";
    return lines;
}

std::string interpreter::trace() {
    // Set for the program and not for the run alone: what the variables hold is let go after the run.
    const auto handler = [this](const muster::report& r) { take_report(r); };
    const auto before = muster::set_report_handler(handler);
    std::string ending;
    bool stuck = false;
    try {
        // What is left at the end may take as long as it takes.
        const value result = loop_->run(main_body(), muster::run_options().grace(std::chrono::hours(24 * 365)));
        ending = "result " + show(result);
    } catch (const muster::deadlock_error&) {
        stuck = true;
    } catch (const muster::cancelled_error&) {
        ending = "cancelled";
    } catch (...) {
        ending = "raised " + show(std::current_exception());
    }
    shutdown_ = {};
    shielded_.clear();
    vars_.clear();
    loop_.reset(); // and with it what it holds
    muster::set_report_handler(before);
    if (!fault_.empty())
        throw fault(fault_);
    return stuck ? "deadlock\n" : assemble(ending);
}

// ----------------------------------------------------------------------------------------------- coroutines and tasks

muster::task<value> interpreter::coroutine(const std::string& name, std::shared_ptr<task_record> record) {
    const json& coroutines = scenario_["coroutines"];
    const auto found = coroutines.find(name);
    if (found == coroutines.end())
        throw fault("no such coroutine: " + name);
    auto made = body(&*found, std::move(record));
    coroutine_names_[made.id()] = name;
    return made;
}

muster::task<value> interpreter::body(const json* statements, std::shared_ptr<task_record> record) {
    const end_of_task at_end(*this, std::move(record));
    const scope outermost;
    const auto left = co_await block(statements, &outermost);
    at_end.returns();
    co_return left.result();
}

muster::task<value> interpreter::main_body() {
    shutdown_ = muster::make_future<value>();
    bare_futures_.insert(shutdown_.id());
    const auto watchman = muster::create_task(wait_for_shutdown(), "watchman");
    own_tasks_.insert(watchman.id());

    auto main = coroutine("main");
    const auto ended = co_await muster::detail::outcome_of_body(std::move(main));
    end_of_main_ = now();
    co_return ended.value();
}

/// Run cancels the tasks that are left all at once, before any of them goes on; this one passes it on to the future
/// at once. So the others can see, whenever they end, whether it was before or after.
muster::task<> interpreter::wait_for_shutdown() { co_await shutdown_; }

std::shared_ptr<interpreter::task_record> interpreter::new_record(const std::string& task) {
    const auto record = std::make_shared<task_record>(task);
    record->ended = shutting_down(); // what is made only then was not left by main
    return record;
}

/// A task that is cancelled before it begins never gets to its end_of_task. One that is left and fails has a line of
/// its own even if somebody was given the failure, which is no loss and so no report of muster's.
void interpreter::track(const muster::task_handle<value>& h, const std::shared_ptr<task_record>& record) {
    forget_id(h.id());
    record->id = h.id();
    records_.push_back(record);
    const auto ended = [this, record](const muster::any_handle& handle) {
        if (!record->begun && handle.cancelled()) {
            try {
                static_cast<void>(handle.exception());
            } catch (const muster::cancelled_error& e) {
                record->ended = record->ended || e.reason() != muster::cancel_reason::shutdown;
            }
        }
        if (!record->ended && !handle.cancelled() && !shutdown_failures_.contains(handle.id()))
            if (const auto error = handle.exception())
                accounts_.push_back("! shutdown " + record->name + " " + show(error));
    };
    h.add_done_callback(ended);
}

/// True of a task that ended with its cancellation, not of one that returned before it was delivered; and of a shield
/// whose inner task or future was cancelled.
bool interpreter::forgets_text(const awaitable& h) const {
    if (const auto shield = shielded_.find(h.id()); shield != shielded_.end())
        return shield->second.cancelled();
    const auto is_its = [&](const auto& record) { return record->id == h.id(); };
    const auto record = std::find_if(records_.rbegin(), records_.rend(), is_its);
    return record != records_.rend() && !(*record)->returned;
}

muster::task_handle<value> interpreter::spawn(const std::string& task, const std::string& coroutine_name) {
    const auto record = new_record(task);
    auto h = muster::create_task(coroutine(coroutine_name, record), task);
    track(h, record);
    return h;
}

/// It may have been that of something which is gone.
void interpreter::forget_id(const void* id) {
    bare_futures_.erase(id);
    own_tasks_.erase(id);
    shielded_.erase(id);
}

muster::task<flow> interpreter::block(const json* statements, const scope* in) {
    for (const json& st : *statements) {
        flow left;
        try {
            const auto found = ops().find(st.at(0).get<std::string>());
            if (found == ops().end())
                throw fault("unknown op '" + st[0].get<std::string>() + "'");
            if (const auto* plain = std::get_if<plain_op>(&found->second)) {
                left = (this->**plain)(st, *in);
            } else {
                auto running = (this->*std::get<awaiting_op>(found->second))(st, *in);
                auto ended = co_await std::move(running);
                left = std::move(ended);
            }
        } catch (const fault& problem) {
            fault_ = problem.what();
            throw;
        } catch (const json::exception& problem) {
            fault_ = "wrong arguments in " + st.dump() + ": " + problem.what();
            throw fault(fault_);
        }
        if (left.leaves())
            co_return left;
    }
    co_return flow();
}

// ---------------------------------------------------------------------------------------------------------- variables

variable& interpreter::var(const json& name) {
    const auto found = vars_.find(name.get<std::string>());
    if (found == vars_.end())
        throw key_error(name.get<std::string>());
    return found->second;
}

awaitable interpreter::source(const json& aw, const std::string& task) {
    const std::string text = aw.get<std::string>();
    if (!text.starts_with('@'))
        return awaitable(spawn(task, text));
    const json name = text.substr(1);
    if (const auto* wait = std::get_if<std::shared_ptr<next_completed>>(&var(name))) {
        const auto record = new_record(task);
        auto h = muster::create_task(await_next(*wait, record), task);
        track(h, record);
        return awaitable(std::move(h));
    }
    return var_as<awaitable>(name);
}

std::vector<awaitable> interpreter::sources(const json& aws, const std::string& label) {
    std::vector<awaitable> all;
    for (const json& aw : aws)
        all.push_back(source(aw, label + "." + std::to_string(all.size())));
    return all;
}

std::string interpreter::state_of(const awaitable& h) {
    if (!h.done())
        return "pending";
    if (h.cancelled())
        return "cancelled";
    if (const auto error = h.exception())
        return "exception " + show(error);
    return "result " + show(h.result());
}

} // namespace conformance
