// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The queue of a loop: fibers to go on with and calls to make, first in, first out. One iteration of the loop
/// takes a batch, which is all that is queued when it begins; what is queued while the batch runs belongs to the next
/// iteration, as in asyncio. Only what a combinator does that goes depth first is put in front of the batch that runs.
///
///     queue.push(fiber);
///     queue.begin_batch();
///     while (runnable* r = queue.take_next()) ...

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>

#include <cstdint>
#include <utility>

namespace muster::detail {

class random_sequence;
struct suspension;

/// An entry of the ready queue: a fiber to go on with, or a call to make.
struct runnable {
    enum class kind : std::uint8_t { fiber, call };
    explicit runnable(kind k) noexcept : kind_(k) {}
    runnable(const runnable&) = delete;
    runnable& operator=(const runnable&) = delete;

    runnable* next_ = nullptr;
    union {
        runnable* before_ = nullptr; ///< the entry before it in the ready queue; the first one's is not up to date
        suspension* op_;             ///< what a fiber that waits is waiting for
    };
    kind kind_;
};

/// An entry of the ready queue that is not a fiber. It is held by address while it is queued: see run_queue::remove.
struct call_entry : runnable {
    /// The queue calls it with run = true when it comes to the entry, and with run = false if the loop ends before
    /// that: the function then only frees the entry.
    using function = void (*)(call_entry&, bool run) noexcept;
    explicit call_entry(function f) noexcept : runnable(kind::call), call_(f) {}

    bool queued_ = false; ///< comes first, because it fits into the padding of a runnable
    function call_;
};

/// An intrusive list, written out by hand because a fiber's link shares its word with what the fiber waits for, and
/// because taking a batch must not touch its entries. *Thread safety*: the loop's thread only.
class run_queue {
public:
    run_queue() = default;
    run_queue(const run_queue&) = delete;
    run_queue& operator=(const run_queue&) = delete;

    /// Whether nothing is queued for the next batch.
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

    /// Queues an entry that is not queued.
    void push(runnable& r) noexcept {
        r.next_ = nullptr;
        r.before_ = tail_;
        if (head_ == nullptr)
            head_ = &r;
        else
            tail_->next_ = &r;
        tail_ = &r;
    }
    /// Queues a call, unless it is queued already.
    void push_call(call_entry& c) noexcept {
        if (!c.queued_) {
            c.queued_ = true;
            push(c);
        }
    }
    /// Queues an entry that is not queued in front of what is left of the batch that runs, but behind those that were
    /// put there since take_next(). Between two batches it is queued as any other.
    void push_first(runnable& r) noexcept {
        if (!batch_runs_) {
            push(r);
            return;
        }
        r.before_ = last_put_first_;
        runnable*& place = last_put_first_ != nullptr ? last_put_first_->next_ : batch_;
        r.next_ = place;
        if (place != nullptr)
            place->before_ = &r;
        place = &r;
        last_put_first_ = &r;
    }
    /// The same for a call, unless it is queued already.
    void push_call_first(call_entry& c) noexcept {
        if (!c.queued_) {
            c.queued_ = true;
            push_first(c);
        }
    }
    /// Whether anything was put in front since take_next().
    [[nodiscard]] bool anything_put_first() const noexcept { return last_put_first_ != nullptr; }
    /// Takes a call off the queue, if it is on it. *Complexity*: O(1).
    void remove(call_entry& c) noexcept {
        if (!c.queued_)
            return;
        c.queued_ = false;
        if (last_put_first_ == &c)
            last_put_first_ = batch_ == &c ? nullptr : c.before_;
        if (batch_ == &c)
            batch_ = c.next_;
        else
            unlink(c);
    }

    /// Whether `r` was the last to be queued, and is queued still for the next batch.
    [[nodiscard]] bool is_last(const runnable& r) const noexcept { return tail_ == &r; }

    /// Makes everything that is queued now the batch. The last batch must have been run to its end.
    void begin_batch() noexcept {
        MUSTER_ASSERT(batch_ == nullptr);
        batch_ = head_;
        head_ = tail_ = nullptr;
        batch_runs_ = true;
    }
    /// Takes the batch's next entry, which is then queued no more. *Returns* null at the end of the batch.
    [[nodiscard]] runnable* take_next() noexcept {
        runnable* const r = batch_;
        last_put_first_ = nullptr;
        if (r == nullptr) {
            batch_runs_ = false;
            return nullptr;
        }
        batch_ = r->next_;
        if (batch_ != nullptr)
            __builtin_prefetch(batch_->next_);
        if (r->kind_ == runnable::kind::call)
            static_cast<call_entry*>(r)->queued_ = false;
        return r;
    }
    /// For tests: puts the batch into a random order. Without memory for that it stays as it is.
    void shuffle_batch(random_sequence& random) noexcept;

    /// Drops everything: the function of each call is called with run = false, so that it can free the entry; fibers
    /// are destroyed by the scheduler.
    void drop_all() noexcept;

private:
    /// The entry is in the queue, or in the batch and not its first.
    void unlink(runnable& r) noexcept {
        MUSTER_ASSERT(r.before_ != nullptr || head_ == &r);
        (r.before_ != nullptr ? r.before_->next_ : head_) = r.next_;
        if (r.next_ != nullptr)
            r.next_->before_ = r.before_;
        else if (tail_ == &r)
            tail_ = r.before_;
    }

    runnable* head_ = nullptr;
    runnable* tail_ = nullptr;
    runnable* batch_ = nullptr;          ///< the rest of the batch that is being run
    runnable* last_put_first_ = nullptr; ///< the last of those that were put in front since take_next(); null for none
    bool batch_runs_ = false;
};

} // namespace muster::detail
