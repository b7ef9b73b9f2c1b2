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
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/object_link.hpp>
#include <muster/exception_group.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

/// Held by address: immovable. *Lifetime*: if it is destroyed while it runs, its tasks are cancelled and left to the
/// loop, and run() throws invalid_state_error; its body must not use it any more. *Thread safety*: the loop's thread.
/// *Source*: asyncio.TaskGroup of CPython 3.13.
class task_group final : private detail::cancel_target {
public:
    explicit task_group(std::source_location site = std::source_location::current());
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    /// Starts a task in the group, which does not run before the caller has suspended. The handle may be dropped.
    /// *Errors*: invalid_state_error if the group is not running, has ended or is shutting down after a failure;
    /// the task is then destroyed.
    template <class T>
    task_handle<T> create_task(
        task<T> t, std::string name = {}, std::source_location site = std::source_location::current()) {
        refuse_unless_open(t);
        auto& loop = detail::scheduler::require("task_group::create_task");
        auto handle = detail::spawn_as<member_task<T>>(loop, std::move(t), site);
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
        return run_body<std::decay_t<F>>(owner_.ref(this), std::forward<F>(body));
    }

    /// Cancels the tasks and lets the group end; the body goes on. A task that ends cancelled by this is no failure.
    void cancel(std::string message = {});

    /// How many tasks have not ended.
    [[nodiscard]] std::size_t running() const noexcept { return running_; }

private:
    /// The stretch of run(), as an object in its frame. Group and frame may each be destroyed first.
    class stay {
    public:
        explicit stay(task_group& g);
        stay(const stay&) = delete;
        stay& operator=(const stay&) = delete;
        ~stay();
        /// *Returns* the group. *Errors*: invalid_state_error if it was destroyed meanwhile.
        [[nodiscard]] task_group& group() const {
            if (group_ == nullptr) [[unlikely]]
                throw_destroyed();
            return *group_;
        }
        [[nodiscard]] bool group_is_gone() const noexcept { return group_ == nullptr; }

    private:
        friend class task_group;
        [[noreturn]] static void throw_destroyed();
        task_group* group_;
    };

    template <class F>
    static task<detail::body_result<F, task_group>> run_body(detail::object_ref<task_group> self, F body) {
        stay here(self.required("task_group::run"));
        outcome<detail::body_result<F, task_group>> ended;
        {
            auto running = detail::call_body(body, here.group());
            auto result = co_await detail::outcome_of_body(std::move(running));
            ended = std::move(result);
        }
        if (here.group_is_gone() && !ended.succeeded())
            ended.rethrow();
        here.group().leave_body(ended);
        while (here.group().running() != 0) {
            auto cancelled = co_await child_wait(here);
            here.group().note_cancellation(cancelled);
        }
        here.group().conclude();
        if constexpr (!std::is_void_v<detail::body_result<F, task_group>>)
            co_return ended.take();
    }

    /// The group's record of a task: part of the task's state, which the group keeps alive while the record is listed.
    class member : public detail::call_entry, public detail::list_hook<member> {
    public:
        explicit member(detail::completable& s) noexcept;

    protected:
        /// The task has its outcome; those that watch it are told next.
        void note_end() noexcept {
            if (group_ != nullptr)
                group_->task_ended(*this);
        }

    private:
        friend class task_group;
        detail::completable* task_;
        task_group* group_ = nullptr; ///< null before it is listed, and once the group has let it go
    };
    template <class T>
    class member_task final : public detail::task_state<T>, public member {
    public:
        member_task(detail::scheduler& loop, std::source_location site) noexcept
            : detail::task_state<T>(loop, site, kind_of),
              member(static_cast<detail::completable&>(*this)) {}

    private:
        static void ended(detail::fiber_owner& owner, detail::fiber& f) noexcept {
            static_cast<member_task&>(static_cast<detail::task_base&>(owner)).note_end();
            detail::task_base::task_ended(owner, f);
        }
        static constexpr detail::fiber_owner_kind kind_of{
            .ended = &ended, .name = &member_task::task_name, .site = &member_task::task_site};
    };

    /// The entry of the ready queue for tasks that ended one right after the other, without a failure.
    class row_of_ends final : public detail::call_entry {
    public:
        explicit row_of_ends(task_group& g) noexcept;
        void count_one() noexcept { ++ended_; }
        void forget() noexcept { ended_ = 0; }

    private:
        task_group* group_;
        std::size_t ended_ = 0;
    };

    class [[nodiscard]] child_wait final : public detail::library_awaitable, public detail::suspension {
    public:
        explicit child_wait(const stay& here) noexcept : suspension(kind_of), here_(&here) {}
        ~child_wait() { forget(); }
        [[nodiscard]] bool await_ready() const noexcept { return here_->group_->running_ == 0; }
        template <std::derived_from<detail::promise_links> Promise>
        void await_suspend(std::coroutine_handle<Promise> h) noexcept {
            here_->group_->wait_for_tasks(*this, *h.promise().fiber_, h);
        }
        /// Gives true if the wait was ended by a cancellation of the caller.
        bool await_resume() noexcept;

    private:
        friend class task_group;
        static detail::cancel_effect cancel(suspension& s, const detail::cancel_request&, detail::fiber*&) noexcept;
        static bool waits_on(suspension& s, detail::fiber*& task, detail::cancel_target*& combinator) noexcept;
        static const detail::suspension_kind kind_of;
        void forget() noexcept {
            if (here_->group_ != nullptr && here_->group_->waiting_ == this)
                here_->group_->waiting_ = nullptr;
        }
        const stay* here_; ///< knows whether the group was destroyed
    };

    enum class phase : std::uint8_t { made, body_runs, tasks_run, over };
    enum class stop : std::uint8_t {
        none,
        tasks,            ///< the tasks were cancelled
        tasks_and_parent, ///< and, after the failure of a task, the group's own task
    };

    void enter(stay& here);
    void leave(phase from, phase to) noexcept;
    [[nodiscard]] bool is_open() const noexcept {
        return stop_ == stop::none && (phase_ == phase::body_runs || (phase_ == phase::tasks_run && running_ != 0));
    }
    [[noreturn]] void throw_not_open() const;
    template <class T>
    void refuse_unless_open(task<T>& t) const {
        if (is_open()) [[likely]]
            return;
        detail::discard_frame(std::move(t).release());
        throw_not_open();
    }
    void add(member& m) noexcept;
    void leave_body(outcome_base& ended);
    void conclude();
    void let_tasks_go() noexcept;
    void report_undelivered() noexcept;
    void stop_tasks(const detail::cancel_request& request) noexcept;
    void task_ended(member& m) noexcept;
    void tasks_are_over(std::size_t count) noexcept;
    void member_ended(member& m) noexcept;
    [[nodiscard]] bool has_failure() const noexcept { return body_error_ || !errors_.empty(); }

    void note_cancellation(bool cancelled) noexcept;
    void wait_for_tasks(child_wait& wait, detail::fiber& f, std::coroutine_handle<> h) noexcept;

    // ---- what the search for circles asks: see cancel_wave.cpp ----
    void cancel_children() noexcept override { stop_tasks(stop_request_); }
    [[nodiscard]] const detail::cancel_request& request() const noexcept override { return stop_request_; }
    [[nodiscard]] bool has_child_to_stop(cancel_target*&) noexcept override { return running_ != 0; }
    [[nodiscard]] bool child_at(std::uint32_t i, child& found) noexcept override;
    void cut(std::uint32_t i) noexcept override;

    std::source_location site_;
    detail::fiber* parent_ = nullptr;           ///< the fiber that run() is in
    const detail::cancel_hold* hold_ = nullptr; ///< the innermost hold around the group itself
    stay* inside_ = nullptr;                    ///< while run() is on its way
    child_wait* waiting_ = nullptr;             ///< while run() waits for the tasks
    detail::intrusive_list<member> members_;    ///< the tasks that run, and those whose end is an entry of its own
    std::size_t running_ = 0;                   ///< the tasks whose end the group has not been told
    row_of_ends ends_{*this};
    std::vector<std::exception_ptr> errors_;
    std::exception_ptr body_error_;
    detail::cancel_request stop_request_{cancel_reason::none}; ///< with what the tasks were asked to stop
    member* looked_at_ = nullptr;                              ///< during a search for circles: the member number
    std::uint32_t number_of_looked_at_ = 0;                    ///< ... that this is, from the front of the list
    std::optional<detail::cancel_request> own_cancellation_;   ///< that reached the group's own task
    phase phase_ = phase::made;
    stop stop_ = stop::none;
    detail::object_owner owner_;
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
