// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Calls that are made somewhere else: what an executor is, and how a task waits for a call that one makes. Nothing
/// here is about threads: a thread_pool is one executor, processes or other machines can be others.
///
///     auto page = co_await muster::run_in_executor(pool, [path] { return read_file(path); });
///     auto handle = muster::start_in_executor(pool, hash_all);   // begins now; await it later

#include <muster/config.hpp>
#include <muster/detail/callable.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

namespace detail {
class job_wait;
} // namespace detail

class executor_job;

/// An executor makes calls and says when they are over.
///  - `Ex::job` is what it holds of a call, derived from executor_job.
///  - `Ex::call<F>` is a call of an F, derived from `Ex::job` and made from an F: it has a `result_type`; `result()`,
///    the outcome<result_type> that is filled in before finish(); `request_stop()`, which asks a call that has begun to
///    end early and may do nothing; and `callable()`, the F of a call that was not submitted, to move from.
///    An executor whose calls leave the process defines `call<F>` only for those F that it can send.
///  - `submit(job)` takes a job, or throws why it does not. It does not wait.
///  - `withdraw(job)` takes a job back. *Returns* false if the call has begun, or is over.
///  - `Ex::reference`, which an executor may do without, is made from an Ex&, has these functions as well, and may be
///    used when the executor is gone: a call that is awaited then is refused by an error of its submit(). Without it
///    the executor must outlive its calls.
///  - `leave_behind(job)`, which an executor may do without, hears that nobody waits for a call that has begun.
template <class Ex>
concept executor = std::derived_from<typename Ex::job, executor_job> && requires(Ex& ex, typename Ex::job& j) {
    ex.submit(j);
    { ex.withdraw(j) }
    noexcept->std::same_as<bool>;
};

/// One call, as an executor is given it: to be made, and then to be finished. Held by address from submit() to
/// finish() or refuse(), or to a withdraw() that succeeded. *Thread safety*: any thread, one at a time.
class executor_job : private detail::letter {
public:
    /// From now on it can't be withdrawn: the call is being made.
    void begin() noexcept { progress_.store(progress::begun, std::memory_order_release); }
    /// Makes what the executor does until this is destroyed run with the task_locals of the task that made the call. To
    /// be destroyed before finish().
    class context {
    public:
        explicit context(executor_job& job) noexcept : in_(std::move(job.locals_)) {}

    private:
        detail::locals_scope in_;
    };
    /// Whether nobody waits for the call any more although it had begun: its task was cancelled, and had asked for
    /// `.abandon()`.
    [[nodiscard]] bool left_behind() const noexcept {
        return progress_.load(std::memory_order_acquire) == progress::left_behind;
    }
    /// For an executor whose call gave no value: sets the error, or that the call was cancelled after it had begun, as
    /// the outcome. Called once, before finish(), in place of filling in result().
    void set_error(std::exception_ptr error) noexcept;
    void set_cancelled(cancel_reason reason, const char* text) noexcept;
    /// The call has been made and its outcome is in place. The job may be gone when this returns.
    void finish() noexcept;
    /// The call was not made and never will be: who waits for it gets a cancelled_error with the reason. The job may be
    /// gone when this returns.
    void refuse(cancel_reason why) noexcept;

protected:
    explicit executor_job(outcome_base& result) noexcept : letter(&arrived), result_(&result) {}
    ~executor_job() = default;

private:
    friend class detail::job_wait;
    /// The further members of a job that may be left behind, and then frees itself.
    struct afterlife {
        explicit afterlife(void (*f)(executor_job&) noexcept) noexcept : free(f) {}
        std::atomic<std::uint32_t> owners{1};
        void (*free)(executor_job&) noexcept;
        std::string name;
        std::source_location site;
        std::shared_ptr<detail::mailbox> inbox; ///< the loop may be gone when it ends
    };

    static void arrived(detail::letter& l, detail::fiber_loop& loop) noexcept;
    void send() noexcept;
    void drop() noexcept;
    void report_dropped_failure() const noexcept;

    enum class progress : std::uint8_t { waiting, begun, left_behind };

    outcome_base* result_;
    detail::mailbox* inbox_ = nullptr;   ///< lives until the job is sent, or else afterlife_ keeps it
    detail::job_wait* waiter_ = nullptr; ///< used on the loop's thread only
    detail::locals_share locals_;        ///< a copy of what the task that made the call had
    std::unique_ptr<afterlife> afterlife_;
    std::atomic<progress> progress_{progress::waiting};
    bool undelivered_ = false; ///< guarded by a lock of its own: see executor.cpp
};

/// The type of the result of calling an F on an Ex.
template <executor Ex, class F>
using executor_result = typename Ex::template call<F>::result_type;

namespace detail {

/// The task's side of a job.
class job_wait : public library_awaitable, public suspension {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }

protected:
    /// The operations that depend on the executor and the callable.
    struct operations {
        void (*submit)(job_wait&); ///< may throw
        bool (*withdraw)(job_wait&) noexcept;
        void (*request_stop)(job_wait&) noexcept;
        void (*leave_behind)(job_wait&) noexcept;
    };

    job_wait(const operations& ops, std::source_location site) noexcept
        : suspension(kind_of),
          operations_(&ops),
          site_(site) {}
    ~job_wait() = default;

    void begin(executor_job& job, fiber& f, std::coroutine_handle<> h) noexcept;
    /// After the wait: throws what is to be thrown, if anything.
    void finish();
    /// Called before the job is destroyed: nobody else uses it any more when this has returned.
    void part_with_job() noexcept;
    /// The call was given away before it was awaited.
    void give_away();
    [[nodiscard]] std::source_location site() const noexcept { return site_; }

    /// The job lives as long as this wait or, if it is left behind, as long as the executor needs it.
    static void may_be_left_behind(executor_job& job, void (*free)(executor_job&) noexcept);
    static void drop(executor_job& job) noexcept { job.drop(); }

private:
    friend class muster::executor_job;
    enum class stage : std::uint8_t { made, given_away, not_taken, outstanding, arrived, withdrawn, left_behind };

    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
    void arrived(fiber_loop& loop) noexcept;
    [[nodiscard]] bool withdraw() noexcept;
    [[noreturn]] void throw_cancelled();
    static const suspension_kind kind_of;

    const operations* operations_;
    executor_job* job_ = nullptr;
    std::exception_ptr error_; ///< why it was not taken
    std::source_location site_;
    stage stage_ = stage::made;
};

/// The reference that a call keeps to its executor.
template <executor Ex>
class executor_reference {
public:
    explicit executor_reference(Ex& ex) noexcept : ex_(&ex) {}
    [[nodiscard]] Ex& get() const noexcept { return *ex_; }

private:
    Ex* ex_;
};
template <executor Ex>
    requires requires { typename Ex::reference; }
class executor_reference<Ex> {
public:
    explicit executor_reference(Ex& ex) noexcept : ex_(ex) {}
    [[nodiscard]] typename Ex::reference& get() noexcept { return ex_; }

private:
    typename Ex::reference ex_;
};

template <template <executor, class> class Call, executor Ex, class F>
task<executor_result<Ex, F>> call_as_task(executor_reference<Ex> ex, F f, std::source_location site);

template <class Reference, class Job>
void leave_behind(Reference& ex, Job& job) noexcept {
    if constexpr (requires { ex.leave_behind(job); })
        ex.leave_behind(job);
}

/// Waits for a call that may be left behind: it lives on the heap.
template <executor Ex, class F>
class [[nodiscard("nothing is called until it is awaited")]] abandonable_call final : public job_wait {
public:
    using value_type = executor_result<Ex, F>;

    abandonable_call(executor_reference<Ex> ex, F f, std::source_location where)
        : job_wait(operations_of, where),
          executor_(std::move(ex)),
          call_(new call(std::move(f))) {
        may_be_left_behind(*call_,
            [](executor_job& job) noexcept { delete static_cast<call*>(static_cast<typename Ex::job*>(&job)); });
    }
    ~abandonable_call() {
        part_with_job();
        drop(*call_);
    }

    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        begin(*call_, *h.promise().fiber_, h);
    }
    value_type await_resume() {
        finish();
        return call_->result().take();
    }

    /// The same call as a task: for wait_for, gather, create_task and whatever else takes tasks.
    [[nodiscard]] task<value_type> as_task()&& {
        give_away();
        return call_as_task<abandonable_call>(executor_, std::move(*call_).callable(), site());
    }
    operator task<value_type>()&& { return std::move(*this).as_task(); }

private:
    using call = typename Ex::template call<F>;
    static abandonable_call& self(job_wait & w) noexcept { return static_cast<abandonable_call&>(w); }
    static constexpr operations operations_of{[](job_wait& w) { self(w).executor_.get().submit(*self(w).call_); },
        [](job_wait& w) noexcept { return self(w).executor_.get().withdraw(*self(w).call_); },
        [](job_wait& w) noexcept { self(w).call_->request_stop(); },
        [](job_wait& w) noexcept { detail::leave_behind(self(w).executor_.get(), *self(w).call_); }};

    executor_reference<Ex> executor_;
    call* call_;
};

/// Waits for a call; the call is part of the waiting frame.
template <executor Ex, class F>
class [[nodiscard("nothing is called until it is awaited")]] executor_call : public job_wait {
public:
    using value_type = executor_result<Ex, F>;

    executor_call(executor_reference<Ex> ex, F f, std::source_location where)
        : job_wait(operations_of, where),
          executor_(std::move(ex)),
          call_(std::move(f)) {}
    ~executor_call() { part_with_job(); }

    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        begin(call_, *h.promise().fiber_, h);
    }
    value_type await_resume() {
        finish();
        return call_.result().take();
    }

    /// The same call, which a cancellation leaves behind once it has begun: the task goes on at once, the call ends
    /// when it ends. It must own what it uses. A value that it returns then is dropped, an exception is
    /// reported.
    [[nodiscard]] abandonable_call<Ex, F> abandon()&& {
        give_away();
        return abandonable_call<Ex, F>(executor_, std::move(call_).callable(), site());
    }

    /// The same call as a task: for gather, create_task and whatever else takes tasks.
    [[nodiscard]] task<value_type> as_task()&& {
        give_away();
        return call_as_task<executor_call>(executor_, std::move(call_).callable(), site());
    }
    operator task<value_type>()&& { return std::move(*this).as_task(); }

private:
    using call = typename Ex::template call<F>;
    static executor_call& self(job_wait & w) noexcept { return static_cast<executor_call&>(w); }
    static constexpr operations operations_of{[](job_wait& w) { self(w).executor_.get().submit(self(w).call_); },
        [](job_wait& w) noexcept { return self(w).executor_.get().withdraw(self(w).call_); },
        [](job_wait& w) noexcept { self(w).call_.request_stop(); }, nullptr};

    executor_reference<Ex> executor_;
    call call_;
};

template <template <executor, class> class Call, executor Ex, class F>
task<executor_result<Ex, F>> call_as_task(executor_reference<Ex> ex, F f, std::source_location site) {
    using result = executor_result<Ex, F>;
    Call<Ex, F> call(std::move(ex), std::move(f), site);
    if constexpr (std::is_void_v<result>) {
        co_await call;
    } else if constexpr (std::is_reference_v<result>) {
        auto& value = co_await call;
        co_return value;
    } else {
        auto value = co_await call;
        co_return value;
    }
}

} // namespace detail

/// Awaiting it calls `f` on the executor. Calls are made in the order in which they were submitted.
/// *Returns* what f returns: a value, a reference, or nothing; an exception object that f *returned* is a value.
/// *Errors*: what f throws - as itself on a thread_pool; a process_pool says which types come back as themselves; what
/// the executor throws if it does not take the call.
/// *Cancellation*: a call that has not begun is taken back, and never made. On a thread_pool one
/// that has begun is waited for (a process_pool kills its process first); then
/// cancelled_error is thrown, what f returned is dropped, and what it threw is reported (suppressed). If f takes a
/// std::stop_token, that is stopped meanwhile. `.abandon()` leaves a call that has begun behind.
/// *Lifetime*: f lives in the waiting frame. An executor of your own must outlive the call; one of the library's that
/// is gone when the call is awaited gives invalid_state_error. With g++ 12, name a lambda that captures anything but
/// references and numbers before this call. *Complexity*: no allocation. *Source*: asyncio's loop.run_in_executor, but
/// lazy: start_in_executor begins at once.
template <executor Ex, class F>
[[nodiscard("nothing is called until it is awaited")]] detail::executor_call<Ex, std::decay_t<F>> run_in_executor(
    Ex& ex, F&& f, std::source_location site = std::source_location::current()) {
    detail::refuse_lambda_in_co_await<F>();
    return detail::executor_call<Ex, std::decay_t<F>>(detail::executor_reference<Ex>(ex), std::forward<F>(f), site);
}

/// The same as a task of the loop's own, which submits the call as soon as the caller suspends.
/// *Returns* its handle, which can be gathered, and read after the loop has ended. *Errors*: as create_task.
template <executor Ex, class F>
task_handle<executor_result<Ex, std::decay_t<F>>> start_in_executor(
    Ex& ex, F&& f, std::string name = {}, std::source_location site = std::source_location::current()) {
    return create_task(detail::call_as_task<detail::executor_call>(
                           detail::executor_reference<Ex>(ex), std::decay_t<F>(std::forward<F>(f)), site),
        std::move(name), site);
}

} // namespace muster
