// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a loop_handle's calls travel: a function as a letter to the loop, and a coroutine's result back to the thread
/// that waits for it.
///
///     post_call(mailbox, function, site);

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/future_state.hpp>
#include <muster/detail/letter_memory.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/detail/watcher.hpp>
#include <muster/task.hpp>
#include <muster/task_handle.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <source_location>
#include <string>
#include <utility>

namespace muster::detail {

/// A function on its way to a loop's thread: a letter, then an entry of the ready queue, then gone.
class posted_call : public letter, public call_entry {
public:
    /// *Returns* false if the loop has ended; the call is freed then.
    static bool post(mailbox& box, std::unique_ptr<posted_call> call) noexcept;
    virtual ~posted_call() = default;

    // The thread that posts makes it, the loop's thread frees it: see letter_memory.hpp.
    static void* operator new(std::size_t bytes) { return allocate_letter(bytes); }
    static void* operator new(std::size_t bytes, std::align_val_t alignment) {
        return ::operator new(bytes, alignment);
    }
    static void operator delete(void* place) noexcept { free_letter(place); }
    static void operator delete(void* place, std::align_val_t alignment) noexcept {
        ::operator delete(place, alignment);
    }

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

} // namespace muster::detail
