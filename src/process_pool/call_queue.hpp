// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The part of a pool that several threads use, behind the pool's one lock: the calls that wait for a worker, how many
/// are being made, which processes live, and whether the pool still takes calls. The supervisor sleeps in poll(), so
/// the queue also owns the eventfd that wakes it. Private to muster::process_pool.
///
///     const call_queue::held own(queue);
///     queue.add(own, job);

#include "posix/owned_fd.hpp"
#include "process_pool/pool_settings.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/process_pool.hpp>

#include <cstddef>
#include <mutex>
#include <vector>

#include <sys/types.h>

namespace muster::workers {

class call_queue {
public:
    using job = process_pool::job;

    /// The lock, held for as long as this lives. Each function that needs the lock takes one of these, so that it can't
    /// be called without.
    class held {
    public:
        explicit held(const call_queue& queue) : queue_(&queue), guard_(queue.lock_) {}
        [[nodiscard]] bool is_of(const call_queue& queue) const noexcept { return queue_ == &queue; }

    private:
        const call_queue* queue_;
        std::lock_guard<std::mutex> guard_;
    };

    /// `open` takes calls. `draining` takes none and makes those that wait. `stopping` makes none any more.
    enum class intake { open, draining, stopping };

    /// *Errors*: std::system_error without a descriptor for the eventfd.
    explicit call_queue(const pool_settings& settings);

    // ---- calls ----
    /// *Errors*: invalid_state_error unless the queue is open; queue_full.
    void add(const held& own, job& j);
    /// Puts a call back that was taken and has not begun, or that no worker makes: it is the next again.
    void put_back(const held& own, job& j) noexcept;
    /// Takes a certain call out. *Returns* false if it does not wait here any more.
    [[nodiscard]] bool withdraw(const held& own, job& j) noexcept;
    /// Takes the call that has waited longest. *Returns* null if none waits.
    [[nodiscard]] job* take(const held& own) noexcept;
    /// The same for a call that is ended without being made: its task can't take it back any more.
    [[nodiscard]] job* take_begun(const held& own) noexcept;
    [[nodiscard]] std::size_t waiting(const held& own) const noexcept;
    /// A worker has been sent the call, which its task can't take back any more.
    void call_begun(const held& own, job& j, worker_handle& by) noexcept;
    /// The task of a call that is being made was cancelled: the call is not put back any more.
    void call_is_unwanted(const held& own, job& j) noexcept;
    [[nodiscard]] bool is_wanted(const held& own, const job& j) const noexcept;
    /// The call is over: its worker can't be killed by it any more.
    void call_ended(const held& own, job& j) noexcept;
    [[nodiscard]] std::size_t running(const held& own) const noexcept;

    // ---- the processes that live ----
    /// *Errors*: none, as there is room for all that the settings allow.
    void process_started(const held& own, pid_t id) noexcept;
    void process_ended(const held& own, pid_t id) noexcept;
    [[nodiscard]] const std::vector<pid_t>& processes(const held& own) const noexcept;

    // ---- closing ----
    /// Goes on to a later intake; an earlier one changes nothing.
    void close(const held& own, intake next) noexcept;
    [[nodiscard]] intake takes(const held& own) const noexcept;

    // ---- the supervisor's sleep ----
    /// Makes wake_up_descriptor() readable.
    void wake(const held& own) noexcept;
    /// The supervisor is about to look at everything, so that the next wake() has to wake it again.
    void is_awake(const held& own) noexcept;
    /// Makes the descriptor unreadable again.
    void clear_wake_up() noexcept;
    [[nodiscard]] int wake_up_descriptor() const noexcept { return wake_up_.get(); }

    // ---- the pool's own threads ----
    /// The calling thread is one of the pool's, to its end.
    void adopt_this_thread() const noexcept;
    /// A thread's id would not do: after its end another thread may have it.
    [[nodiscard]] bool is_own_thread() const noexcept;

private:
    static void begin(job& j) noexcept;

    const pool_settings& settings_;
    mutable std::mutex lock_;
    detail::intrusive_list<job> calls_;
    std::size_t waiting_ = 0;
    std::size_t running_ = 0;
    std::vector<pid_t> processes_;
    intake intake_ = intake::open;
    bool woken_ = false; ///< the eventfd was written to, and is_awake() was not called since
    detail::owned_fd wake_up_;
};

} // namespace muster::workers
