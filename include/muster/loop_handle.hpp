// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How other threads give work to a loop: a handle that any thread may hold, which calls functions on the loop's
/// thread, runs coroutines there, and keeps the loop waiting for more while it lives.
///
///     auto loop = muster::loop_handle::current();          // on the loop's thread
///     std::jthread other([loop] {
///         loop.post([] { counter += 1; });                 // runs on the loop's thread
///         auto page = loop.submit([] { return load("a"); }).get();
///     });

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/future.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

/// While one lives, its loop waits with nothing to do instead of reporting a deadlock: something outside will still
/// give it work. *Thread safety*: made on the loop's thread, or as a copy; otherwise any thread.
class external_work_guard {
public:
    /// *Errors*: invalid_state_error if no loop runs on this thread.
    external_work_guard();
    external_work_guard(const external_work_guard& other) noexcept;
    external_work_guard(external_work_guard&& other) noexcept = default;
    external_work_guard& operator=(external_work_guard other) noexcept {
        inbox_.swap(other.inbox_);
        return *this;
    }
    ~external_work_guard();

    /// For the library. *Errors*: invalid_state_error for one that was moved from.
    [[nodiscard]] const std::shared_ptr<detail::mailbox>& inbox() const {
        if (inbox_ == nullptr) [[unlikely]]
            throw invalid_state_error("this loop_handle was moved from: it refers to no loop");
        return inbox_;
    }

private:
    std::shared_ptr<detail::mailbox> inbox_; ///< null once moved from
};

namespace detail {

/// A function on its way to a loop's thread: a letter, then an entry of the ready queue, then gone.
class posted_call : public letter, public call_entry {
public:
    /// *Returns* false if the loop has ended; the call is freed then.
    static bool post(mailbox& box, std::unique_ptr<posted_call> call) noexcept;
    virtual ~posted_call() = default;

protected:
    explicit posted_call(std::source_location site)
        : letter(&arrived),
          call_entry(&called),
          site_(site),
          locals_(locals_share::copy_of_current()) {}

private:
    virtual void run() = 0;
    static void arrived(letter& l, fiber_loop& loop) noexcept;
    static void called(call_entry& c, bool run) noexcept;
    std::source_location site_;
    locals_share locals_; ///< a copy of what the caller had
};

template <class F>
class typed_call final : public posted_call {
public:
    explicit typed_call(F f, std::source_location site) : posted_call(site), f_(std::move(f)) {}

private:
    void run() override { std::invoke(std::move(f_)); }
    F f_;
};

template <class F>
bool post_call(mailbox& box, F f, std::source_location site) {
    return posted_call::post(box, std::make_unique<typed_call<F>>(std::move(f), site));
}

/// The state that a thread which waits for a coroutine shares with the loop that runs it.
class remote_state {
public:
    remote_state(std::shared_ptr<mailbox> inbox, std::string name, std::source_location site) noexcept
        : inbox_(std::move(inbox)),
          name_(std::move(name)),
          site_(site) {}

    void wait() const;
    [[nodiscard]] bool wait_for(std::chrono::nanoseconds time) const;
    [[nodiscard]] bool done() const noexcept;
    void set_done() noexcept;
    [[nodiscard]] mailbox& inbox() const noexcept { return *inbox_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::source_location site() const noexcept { return site_; }

    /// The task, while it runs. *Thread safety*: the loop's thread only.
    [[nodiscard]] counted<completable>& task() noexcept { return task_; }
    /// The waiting thread takes the result. *Returns* whether it had been taken before. *Thread safety*: that thread.
    [[nodiscard]] bool take_once() noexcept { return std::exchange(taken_, true); }

protected:
    ~remote_state() = default;
    void report_if_unseen(const outcome_base& result) const noexcept;

private:
    void require_other_thread() const;

    std::shared_ptr<mailbox> inbox_;
    std::string name_;
    std::source_location site_;
    mutable std::mutex lock_;
    mutable std::condition_variable ended_;
    counted<completable> task_;
    bool done_ = false; ///< guarded by lock_
    bool taken_ = false;
};

template <class T>
class remote_result final : public remote_state {
public:
    using remote_state::remote_state;
    ~remote_result() { report_if_unseen(result_); }
    /// The loop's thread sets it before set_done(), the waiting one reads it after that.
    [[nodiscard]] outcome<T>& result() noexcept { return result_; }

private:
    outcome<T> result_;
};

/// Hands a task's outcome over when it has ended. It owns the function that made the task until then, because the
/// coroutine may use the function's captures.
template <class T, class F>
class remote_watch final : public watcher {
public:
    remote_watch(std::shared_ptr<remote_result<T>> to, F make) noexcept
        : watcher(&ended, nullptr),
          to_(std::move(to)),
          make_(std::move(make)) {}

    [[nodiscard]] task<T> make_task() { return std::invoke(make_); }

private:
    static void ended(watcher& w) noexcept {
        const std::unique_ptr<remote_watch> self(static_cast<remote_watch*>(&w));
        // The loop still holds the task.
        const auto task = std::move(self->to_->task());
        task->mark_retrieved();
        move_outcome(static_cast<task_state<T>&>(*task).result(), self->to_->result());
        self->to_->set_done();
    }
    std::shared_ptr<remote_result<T>> to_;
    F make_;
};

/// Starts a coroutine on the loop. If it never gets there the waiting thread hears of that.
template <class T, class F>
class submission {
public:
    submission(std::shared_ptr<remote_result<T>> to, F make) : to_(std::move(to)), make_(std::move(make)) {}
    submission(submission&&) = default;
    ~submission() {
        if (to_ == nullptr)
            return;
        detail_outcome_access::set_cancelled(to_->result(), outcome_state::not_started, cancel_reason::shutdown, {});
        to_->set_done();
    }

    void operator()() && {
        auto& to = *to_;
        try {
            auto watch = std::make_unique<remote_watch<T, F>>(to_, std::move(make_));
            auto handle = create_task(watch->make_task(), to.name(), to.site());
            to.task() = counted<completable>(&handle.state());
            watch.release()->watch(handle.state());
        } catch (...) {
            detail_outcome_access::set_thrown(to.result(), std::current_exception());
            to.set_done();
        }
        to_ = nullptr;
    }

private:
    std::shared_ptr<remote_result<T>> to_;
    F make_;
};

} // namespace detail

/// A coroutine that runs on a loop, as seen from another thread. Dropping it changes nothing, but that a failure
/// which nobody looked at is reported. *Thread safety*: any thread but the loop's, one at a time.
/// *Source*: what asyncio.run_coroutine_threadsafe returns.
template <class T>
class [[nodiscard("dropped, nobody hears how it ended")]] remote_task {
public:
    using value_type = T;

    /// Each function throws invalid_state_error for an object that was moved from.
    [[nodiscard]] bool done() const { return state().done(); }
    /// Blocks until it has ended. *Errors*: invalid_state_error on the loop's own thread, which would wait for itself.
    void wait() const { state().wait(); }
    /// *Returns* whether it has.
    template <class Rep, class Period>
    [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return state().wait_for(std::chrono::ceil<std::chrono::nanoseconds>(time));
    }

    /// Waits for it and moves its value out. *Errors*: throws what it failed with, as itself; cancelled_error if it
    /// was cancelled, with cancel_reason::shutdown if the loop had ended before it began; invalid_state_error the
    /// second time, and on the loop's own thread.
    T get() {
        auto& s = state();
        s.wait();
        if (s.take_once())
            throw invalid_state_error("this result was taken before: get() moves it out");
        if (!s.result().succeeded())
            s.result().rethrow();
        return s.result().take();
    }

    /// Asks it to stop, as its handle's cancel would. *Returns* false if the loop has ended.
    bool cancel(std::string message = {}) const {
        return detail::post_call(
            state().inbox(),
            [state = state_, said = std::move(message)]() mutable {
                if (state->task())
                    state->task()->cancel(detail::cancel_request(
                        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(said), {})));
            },
            std::source_location::current());
    }

    /// For the library.
    explicit remote_task(std::shared_ptr<detail::remote_result<T>> state) noexcept : state_(std::move(state)) {}

private:
    [[nodiscard]] detail::remote_result<T>& state() const {
        if (state_ == nullptr) [[unlikely]]
            throw invalid_state_error("this remote_task was moved from: it refers to nothing");
        return *state_;
    }

    std::shared_ptr<detail::remote_result<T>> state_;
};

/// While one lives its loop waits for what it may bring, as with an external_work_guard: drop it when no more will
/// come. *Errors* of each function: invalid_state_error for a handle that was moved from. *Lifetime*: may outlive its
/// loop. *Thread safety*: any thread; made on the loop's, or as a copy.
class loop_handle {
public:
    /// *Returns* a handle to this thread's loop. *Errors*: invalid_state_error if none runs.
    static loop_handle current() { return loop_handle(external_work_guard()); }

    /// Has `f` called on the loop's thread, in a turn of its own, in the order of posting. *Returns* false if the loop
    /// has ended; true means that it is on its way, but a loop that ends first drops it. *Errors*: what f throws is
    /// reported (callback_failed). *Source*: asyncio's loop.call_soon_threadsafe.
    template <std::invocable F>
    bool post(F f, std::source_location site = std::source_location::current()) const {
        return detail::post_call(*guard_.inbox(), std::move(f), site);
    }

    /// Has `make` called on the loop's thread, and the task<T> that it makes run there. *Returns* what to wait on.
    /// *Source*: asyncio.run_coroutine_threadsafe.
    template <std::invocable F>
        requires detail::is_task<std::invoke_result_t<F>>
    auto submit(F make, std::string name = {}, std::source_location site = std::source_location::current()) const {
        using value = typename std::invoke_result_t<F>::value_type;
        auto state = std::make_shared<detail::remote_result<value>>(guard_.inbox(), std::move(name), site);
        remote_task<value> made(state);
        // A submission that is not taken says so itself.
        detail::post_call(*guard_.inbox(), detail::submission<value, F>(std::move(state), std::move(make)), site);
        return made;
    }

    /// False once the loop has been destroyed.
    [[nodiscard]] bool alive() const { return !guard_.inbox()->is_closed(); }

private:
    explicit loop_handle(external_work_guard guard) noexcept : guard_(std::move(guard)) {}
    external_work_guard guard_;
};

} // namespace muster
