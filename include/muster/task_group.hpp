// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A scope for tasks: a body starts them, and the scope ends when the body and all of them have ended. A failure
/// cancels the siblings and the body; what failed is thrown as one exception_group, always wrapped.
///
///     auto body = [&](muster::task_group& group) -> muster::task<> {
///         group.create_task(load("a"));
///         group.create_task(load("b"));
///         co_return;
///     };
///     co_await muster::with_task_group(body);

#include <muster/config.hpp>
#include <muster/detail/call_body.hpp>
#include <muster/detail/callable.hpp>
#include <muster/exception_group.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// Held by address: immovable. *Thread safety*: the loop's thread. *Source*: asyncio.TaskGroup of CPython 3.13.
class task_group {
public:
    explicit task_group(std::source_location site = std::source_location::current());
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    /// Starts a task in the group, after the caller has suspended. The handle may be dropped.
    /// *Errors*: invalid_state_error if the group is not running, has ended or is shutting down after a failure;
    /// the task is then destroyed.
    template <class T>
    task_handle<T> create_task(
        task<T> t, std::string name = {}, std::source_location site = std::source_location::current()) {
        refuse_unless_open(t);
        auto& loop = detail::scheduler::require("task_group::create_task");
        auto handle = detail::spawn_as<member_task<T>>(loop, std::move(t), site, *this);
        if (!name.empty())
            handle.state().try_set_name(std::move(name));
        add(static_cast<member_task<T>&>(handle.state()));
        return handle;
    }

    /// Runs `body(group)`, or `body()`, in the caller's task; then waits for the tasks.
    /// *Returns* what the body returns. *Errors*: exception_group of the failures of tasks and body; cancelled_error
    /// if the caller was cancelled and nothing failed; invalid_state_error if the group was run before.
    /// *Cancellation*: cancels body and tasks, and waits for them.
    /// *Lifetime*: the body is taken by value and lives until the group has ended. With g++ 12, name a lambda that
    /// captures by value first; written inside the co_await expression it does not compile.
    template <class F>
    task<detail::body_result<std::decay_t<F>, task_group>> run(F&& body) {
        detail::refuse_lambda_in_co_await<F>();
        return run_body<std::decay_t<F>>(std::forward<F>(body));
    }

    /// Cancels the tasks and lets the group end; the body goes on. What was cancelled so is no failure.
    void cancel(std::string message = {});

    /// How many tasks have not ended.
    [[nodiscard]] std::size_t running() const noexcept { return running_; }

private:
    template <class F>
    task<detail::body_result<F, task_group>> run_body(F body) {
        enter();
        outcome<detail::body_result<F, task_group>> ended;
        {
            auto running = detail::call_body(body, *this);
            auto result = co_await as_outcome(std::move(running));
            ended = std::move(result);
        }
        leave_body(ended);
        while (must_wait()) {
            auto cancelled = co_await wait_for_children();
            note_cancellation(cancelled);
        }
        conclude();
        if constexpr (!std::is_void_v<detail::body_result<F, task_group>>)
            co_return ended.take();
    }

    /// What the group knows of a task: part of the task's state, which it keeps while it is on the group's list.
    struct member : detail::watcher {
        explicit member(task_group& g, detail::completable& s) noexcept;

        task_group* group;
        detail::completable* state;
        member* before = nullptr;
        member* after = nullptr;
    };
    template <class T>
    class member_task final : public detail::task_state<T>, public member {
    public:
        member_task(detail::scheduler& loop, std::source_location site, task_group& g) noexcept
            : detail::task_state<T>(loop, site),
              member(g, *this) {}
    };

    class [[nodiscard]] child_wait final : public detail::library_awaitable, public detail::suspension {
    public:
        explicit child_wait(task_group& g) noexcept : suspension(kind_of), group_(&g) {}
        [[nodiscard]] bool await_ready() const noexcept { return group_->running_ == 0; }
        template <std::derived_from<detail::promise_links> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) noexcept {
            group_->waiting_ = this;
            h.promise().fiber_->wait(*this, h);
        }
        /// Gives true if the wait was ended by a cancellation of the caller.
        bool await_resume() noexcept;

    private:
        friend class task_group;
        static detail::cancel_effect cancel(suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept;
        static const detail::suspension_kind kind_of;
        task_group* group_;
    };

    void enter();
    void check_open() const;
    template <class T>
    void refuse_unless_open(task<T>& t) const {
        try {
            check_open();
        } catch (...) {
            auto frame = std::move(t).release();
            if (frame && frame.address() != &detail::no_memory_tag)
                frame.destroy();
            throw;
        }
    }
    void add(member& m) noexcept;
    void leave_body(outcome_base& ended);
    [[nodiscard]] bool must_wait() const noexcept { return running_ != 0; }
    void conclude();
    void report_undelivered() noexcept;
    void abort(detail::cancel_request request);
    void member_ended(member& m) noexcept;

    child_wait wait_for_children() noexcept { return child_wait(*this); }
    void note_cancellation(bool cancelled);

    std::source_location site_;
    detail::fiber* parent_ = nullptr;
    const detail::cancel_hold* hold_ = nullptr; ///< around the group itself
    child_wait* waiting_ = nullptr;
    member* first_ = nullptr;
    member* last_ = nullptr;
    std::size_t running_ = 0;
    std::vector<std::exception_ptr> errors_;
    std::exception_ptr body_error_;
    detail::cancel_request own_cancellation_{cancel_reason::none};
    bool has_own_cancellation_ = false;
    bool entered_ = false;
    bool exiting_ = false;
    bool aborting_ = false;
    bool cancelled_parent_ = false;
};

namespace detail {

template <class F>
task<body_result<F, task_group>> run_in_group(F body, std::source_location site) {
    task_group group(site);
    auto running = group.run(take(body));
    if constexpr (std::is_void_v<body_result<F, task_group>>) {
        co_await std::move(running);
    } else {
        auto&& result = co_await std::move(running);
        co_return std::forward<decltype(result)>(result);
    }
}

} // namespace detail

/// Makes a group and runs `body(group)` in it: see task_group::run.
template <class F>
task<detail::body_result<std::decay_t<F>, task_group>> with_task_group(
    F&& body, std::source_location site = std::source_location::current()) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::run_in_group<std::decay_t<F>>(std::forward<F>(body), site);
}

} // namespace muster
