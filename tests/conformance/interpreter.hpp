// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Runs one scenario on muster in virtual time and gives its trace. Statements are interpreted by coroutines; each op
/// is one member function, which uses muster's public interface as a program would and never does itself what a
/// combinator is there for. The ops are in four files, by area: control, tasks, aggregates, locks.
///
///     std::cout << conformance::interpreter(json::parse(file)).trace();

#include "exceptions.hpp"
#include "values.hpp"
#include "variables.hpp"

#include <muster/outcomes.hpp>
#include <muster/report.hpp>
#include <muster/task.hpp>
#include <muster/task_group.hpp>
#include <muster/testing/manual_loop.hpp>
#include <muster/timeout.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace conformance {

/// What a statement can refer to without a name.
struct scope {
    scope() {}

    muster::task_group* group = nullptr; ///< the innermost around it
    std::exception_ptr caught;           ///< what the innermost handler around it caught
    std::vector<muster::timeout_scope*> timeouts;
};

/// How a statement or a block ended: whether the coroutine ends with it. Not an exception, as a return passes a task
/// group without cancelling it.
class flow {
public:
    /// Goes on with the next statement.
    flow() = default;
    /// `return`.
    static flow leaving(value result) { return flow(kind::leaves, std::move(result)); }
    /// `raise_again`, which ends the handler around it.
    static flow raising_again() { return flow(kind::raises_again, value()); }

    [[nodiscard]] bool leaves() const noexcept { return kind_ != kind::goes_on; }
    [[nodiscard]] bool raises_again() const noexcept { return kind_ == kind::raises_again; }
    [[nodiscard]] const value& result() const noexcept { return result_; }

private:
    enum class kind : std::uint8_t { goes_on, leaves, raises_again };
    flow(kind k, value result) : kind_(k), result_(std::move(result)) {}

    kind kind_ = kind::goes_on;
    value result_;
};

using milliseconds = std::chrono::duration<double, std::milli>;

class interpreter {
public:
    explicit interpreter(json scenario);
    interpreter(const interpreter&) = delete;
    interpreter& operator=(const interpreter&) = delete;

    /// Runs it; may be called once. *Returns* the lines. *Errors*: fault if the scenario is wrong.
    std::string trace();

    /// An op that awaits nothing, and one that does.
    using plain_op = flow (interpreter::*)(const json& st, const scope& in);
    using awaiting_op = muster::task<flow> (interpreter::*)(const json& st, const scope& in);
    using op = std::variant<plain_op, awaiting_op>;
    using op_table = std::map<std::string, op, std::less<>>;

private:
    // ---- the trace ----
    struct event {
        std::int64_t time;
        std::string task;
        std::string text;
        std::size_t number; ///< a task's own lines keep their order
    };
    /// A task of the scenario: whether it had ended when main had.
    struct task_record {
        explicit task_record(std::string n) : name(std::move(n)) {}
        std::string name;
        bool begun = false;
        bool ended = false;
        bool returned = false; ///< it ended with a value, although perhaps asked to stop
        const void* id = nullptr;
    };
    class end_of_task;

    [[nodiscard]] std::int64_t now() const;
    void note(std::string text);
    void note(std::string task, std::string text);
    void take_report(const muster::report& r);
    std::string assemble(const std::string& ending);

    // ---- coroutines and tasks ----
    muster::task<value> coroutine(const std::string& name, std::shared_ptr<task_record> record = nullptr);
    muster::task<value> body(const json* statements, std::shared_ptr<task_record> record);
    muster::task<value> main_body();
    muster::task<> wait_for_shutdown();
    /// Where main leaves no task behind the recordings end with it; muster calls the last callbacks, as asyncio.run
    /// does.
    [[nodiscard]] bool ended_with_main() const;
    [[nodiscard]] bool shutting_down() const noexcept { return shutdown_.valid() && shutdown_.done(); }
    std::shared_ptr<task_record> new_record(const std::string& task);
    void forget_id(const void* id);
    void track(const muster::task_handle<value>& h, const std::shared_ptr<task_record>& record);
    muster::task_handle<value> spawn(const std::string& task, const std::string& coroutine_name);
    muster::task<flow> block(const json* statements, const scope* in);

    /// `@H`, or a new task of that name.
    awaitable source(const json& aw, const std::string& task);
    std::vector<awaitable> sources(const json& aws, const std::string& label);
    /// "pending", "result 5": looking counts.
    static std::string state_of(const awaitable& h);
    muster::task<value> result_of(awaitable h);
    muster::task<value> gathered(std::vector<awaitable> children, bool return_exceptions);
    static muster::task<value> all_values(std::vector<awaitable> children);
    muster::task<value> settled(std::vector<awaitable> children);
    [[nodiscard]] value list_of(const muster::outcomes<value>& outcomes, const std::vector<awaitable>& children) const;
    [[nodiscard]] bool forgets_text(const awaitable& h) const;
    static muster::task<value> shielded(awaitable inner);
    muster::task<value> next_of(muster::as_completed<awaitable>* each);
    muster::task<value> await_next(std::shared_ptr<next_completed> next, std::shared_ptr<task_record> record = nullptr);

    // ---- variables ----
    variable& var(const json& name);
    template <class T>
    T& var_as(const json& name);
    template <class T, class... Args>
    void make_var(const json& name, Args&&... args);

    // ---- ops: control ----
    flow log(const json& st, const scope& in);
    muster::task<flow> sleep(const json& st, const scope& in);
    flow busy(const json& st, const scope& in);
    flow return_(const json& st, const scope& in);
    flow raise(const json& st, const scope& in);
    flow reraise(const json& st, const scope& in);
    flow raise_again(const json& st, const scope& in);
    muster::task<flow> call(const json& st, const scope& in);
    muster::task<flow> repeat(const json& st, const scope& in);
    muster::task<flow> try_(const json& st, const scope& in);
    muster::task<flow> guarded(const json& st, const scope& in);
    muster::task<flow> try_star(const json& st, const scope& in);
    muster::task<flow> expect(const json& st, const scope& in);
    flow let(const json& st, const scope& in);
    flow append(const json& st, const scope& in);
    flow show_(const json& st, const scope& in);
    flow split(const json& st, const scope& in);
    flow subgroup(const json& st, const scope& in);
    flow derive(const json& st, const scope& in);

    // ---- ops: tasks and futures ----
    flow spawn_(const json& st, const scope& in);
    flow forget(const json& st, const scope& in);
    flow drop(const json& st, const scope& in);
    muster::task<flow> await_(const json& st, const scope& in);
    flow cancel_(const json& st, const scope& in);
    flow cancel_self(const json& st, const scope& in);
    flow cancelling(const json& st, const scope& in);
    flow uncancel(const json& st, const scope& in);
    flow state(const json& st, const scope& in);
    flow callback(const json& st, const scope& in);
    flow callback_remove(const json& st, const scope& in);
    flow future(const json& st, const scope& in);
    flow set_result(const json& st, const scope& in);
    flow set_exception(const json& st, const scope& in);
    flow result(const json& st, const scope& in);
    flow exception(const json& st, const scope& in);
    flow all_tasks(const json& st, const scope& in);

    // ---- ops: many at once ----
    muster::task<flow> gather(const json& st, const scope& in);
    flow gather_future(const json& st, const scope& in);
    flow tally(const json& st, const scope& in);
    flow compound(const json& st, const scope& in);
    muster::task<flow> wait(const json& st, const scope& in);
    muster::task<flow> as_completed(const json& st, const scope& in);
    flow as_completed_list(const json& st, const scope& in);
    muster::task<flow> wait_for(const json& st, const scope& in);
    muster::task<flow> shield(const json& st, const scope& in);
    flow shield_future(const json& st, const scope& in);
    muster::task<flow> group(const json& st, const scope& in);
    flow group_new(const json& st, const scope& in);
    flow start(const json& st, const scope& in);
    muster::task<flow> timeout(const json& st, const scope& in);
    flow timeout_new(const json& st, const scope& in);
    flow timeout_at(const json& st, const scope& in);
    flow timeout_info(const json& st, const scope& in);
    flow reschedule(const json& st, const scope& in);
    std::optional<muster::loop_clock::time_point> deadline(const json& ms) const;

    // ---- ops: locks, events, barriers, queues ----
    flow lock(const json& st, const scope& in);
    flow sem(const json& st, const scope& in);
    flow condition(const json& st, const scope& in);
    flow event_(const json& st, const scope& in);
    flow barrier(const json& st, const scope& in);
    muster::task<> acquire_var(variable held);
    static void release_var(variable& held);
    static bool is_locked(const variable& held);
    muster::task<flow> acquire(const json& st, const scope& in);
    flow release(const json& st, const scope& in);
    flow locked(const json& st, const scope& in);
    muster::task<flow> with(const json& st, const scope& in);
    muster::task<flow> with_lock(variable held, const json& st, const scope& in);
    flow set(const json& st, const scope& in);
    flow clear(const json& st, const scope& in);
    flow is_set(const json& st, const scope& in);
    muster::task<flow> wait_event(const json& st, const scope& in);
    flow notify(const json& st, const scope& in);
    flow notify_all(const json& st, const scope& in);
    muster::task<flow> wait_notify(const json& st, const scope& in);
    muster::task<flow> wait_until(const json& st, const scope& in);
    muster::task<std::size_t> meet(std::shared_ptr<muster::barrier> b);
    muster::task<flow> barrier_wait(const json& st, const scope& in);
    muster::task<flow> barrier_reset(const json& st, const scope& in);
    muster::task<flow> barrier_abort(const json& st, const scope& in);
    flow barrier_info(const json& st, const scope& in);
    flow queue(const json& st, const scope& in);
    muster::task<flow> put(const json& st, const scope& in);
    flow put_nowait(const json& st, const scope& in);
    muster::task<flow> get(const json& st, const scope& in);
    flow get_nowait(const json& st, const scope& in);
    flow task_done(const json& st, const scope& in);
    muster::task<flow> join(const json& st, const scope& in);
    flow queue_info(const json& st, const scope& in);

    static void add_control_ops(op_table& ops);
    static void add_task_ops(op_table& ops);
    static void add_aggregate_ops(op_table& ops);
    static void add_lock_ops(op_table& ops);
    static const op_table& ops();

    const json scenario_;
    std::optional<muster::testing::manual_loop> loop_{std::in_place};
    std::vector<event> events_;
    std::vector<std::string> accounts_;
    std::vector<std::shared_ptr<task_record>> records_;
    std::map<const void*, std::string> coroutine_names_; ///< of what may never be awaited, by task::id()
    std::set<const void*> bare_futures_;                 ///< ids of what is no task in asyncio
    std::map<const void*, awaitable> shielded_;          ///< by the id of the future that shields it
    std::set<const void*> shutdown_failures_;            ///< ids of tasks whose failure at the end muster has reported
    std::set<const void*> own_tasks_;                    ///< ids of tasks that asyncio would not have
    std::map<std::string, std::vector<muster::callback_id>, std::less<>> callbacks_; ///< by handle and tag
    std::map<std::string, variable, std::less<>> vars_;
    muster::future<value> shutdown_; ///< cancelled when run cancels what is left
    std::int64_t end_of_main_ = 0;
    std::string fault_;
};

/// Marks a task's record when its coroutine is left, in whichever way.
class interpreter::end_of_task {
public:
    end_of_task(interpreter& of, std::shared_ptr<task_record> record) : of_(of), record_(std::move(record)) {
        if (record_)
            record_->begun = true;
    }
    void returns() const {
        if (record_)
            record_->returned = true;
    }
    end_of_task(const end_of_task&) = delete;
    end_of_task& operator=(const end_of_task&) = delete;
    ~end_of_task() {
        if (record_ && !of_.shutting_down())
            record_->ended = true;
    }

private:
    interpreter& of_;
    std::shared_ptr<task_record> record_;
};

template <class T>
T& interpreter::var_as(const json& name) {
    if (T* held = std::get_if<T>(&var(name)))
        return *held;
    throw fault("variable '" + name.get<std::string>() + "' is not of the kind that the op is for");
}

template <class T, class... Args>
void interpreter::make_var(const json& name, Args&&... args) {
    vars_[name.get<std::string>()] = std::make_shared<T>(std::forward<Args>(args)...);
}

/// Runs a call whose misuse asyncio answers with an Error, and muster with some std::logic_error of its own.
template <class Error, class F>
decltype(auto) misuse_is(const char* text, F call) {
    try {
        return call();
    } catch (const std::logic_error&) {
        throw Error(text);
    }
}

} // namespace conformance
