// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Queues between tasks: first in first out, last in first out, or smallest first. A queue with a maxsize is a bounded
/// channel: putting waits while it is full. Shutting it down ends those that wait, and lets the rest be taken.
///
///     muster::queue<job> jobs(100);
///     co_await jobs.put(std::move(j));             // in one task
///     while (true) {                               // in another
///         auto next = co_await jobs.next();
///         if (!next) break;                        // shut down, and empty
///         co_await handle(std::move(*next));
///     }

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/operation.hpp>
#include <muster/detail/queue_store.hpp>
#include <muster/detail/sync_watch.hpp>
#include <muster/detail/wait_list.hpp>
#include <muster/error.hpp>
#include <muster/event.hpp>
#include <muster/task.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

namespace muster {

namespace detail {

/// Makes `awaiter`, which suspends `h`, await `child`, which was made only now. Without memory for the child the
/// coroutine goes on at once, and finish() throws.
template <class T, class Promise>
void run_inline(inline_awaiter<T>& awaiter, task<T> child, std::coroutine_handle<Promise> h) noexcept {
    awaiter.child_ = std::move(child).release();
    if (awaiter.await_ready()) [[unlikely]]
        h.promise().fiber_->transfer(h);
    else
        awaiter.await_suspend(h);
}

} // namespace detail

/// The part of the queues that depends neither on the type of the items nor on their order.
class queue_base {
public:
    class join_awaiter;

    queue_base(const queue_base&) = delete;
    queue_base& operator=(const queue_base&) = delete;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// True if put() would have to wait; never, without a maxsize.
    [[nodiscard]] bool full() const noexcept { return maxsize_ != 0 && size_ >= maxsize_; }
    /// Zero if there is no limit.
    [[nodiscard]] std::size_t maxsize() const noexcept { return maxsize_; }
    [[nodiscard]] bool is_shut_down() const noexcept { return shut_down_; }

    /// Says that an item that was taken has been dealt with. *Errors*: std::out_of_range if all have been already.
    void task_done();
    /// Waits until task_done() was called for every item that was put. *Errors*: invalid_state_error if the queue is
    /// destroyed meanwhile. *Cancellation*: ends the wait; no cancellation point if nothing is left to do.
    [[nodiscard("nothing is waited for until it is awaited: co_await q.join()")]] detail::object_operation<join_awaiter,
        queue_base>
    join();

protected:
    explicit queue_base(std::ptrdiff_t maxsize) : maxsize_(maxsize > 0 ? static_cast<std::size_t>(maxsize) : 0) {}

    ~queue_base() { detail::about_to(detail::sync_act::destroyed, this, &state_of); }

    class get_wait;
    class put_wait;

    void item_was_put() noexcept {
        detail::about_to(detail::sync_act::used, this, &state_of);
        ++size_;
        ++unfinished_;
        finished_.set = false;
        getters_.grant_first();
    }
    void item_was_taken() noexcept {
        detail::about_to(detail::sync_act::used, this, &state_of);
        --size_;
        putters_.grant_first();
    }
    void require_thread(const char* what) const { finished_.home.require_thread(what); }
    /// *Returns* what the awaitable that the function `what` gives refers to this queue by. *Errors*:
    /// invalid_state_error on a thread that is not the queue's.
    [[nodiscard]] detail::object_ref<queue_base> ref(const char* what) {
        finished_.home.require_waiter(what);
        return owner_.ref(this);
    }
    [[nodiscard]] bool ready_in_loop(bool ready, const char* what) {
        return detail::ready_in(finished_.home, ready, what);
    }
    void item_was_dropped() noexcept {
        --size_;
        if (unfinished_ > 0)
            --unfinished_;
    }
    void end_all_waits(bool immediate) noexcept;
    [[noreturn]] static void throw_full();
    [[noreturn]] static void throw_empty();
    [[noreturn]] static void throw_shut_down();

    bool shut_down_ = false;

private:
    static detail::sync_state state_of(const void* self) noexcept;
    void finish_if_done() noexcept;
    static const detail::suspension_kind join_kind;

    std::size_t maxsize_;
    std::size_t size_ = 0;
    std::size_t unfinished_ = 0;
    detail::wait_list getters_;
    detail::wait_list putters_;
    detail::event_data finished_{true}; ///< asyncio's event of this name; its home is the queue's
    detail::object_owner owner_{this};
};

/// The awaiter of `co_await q.join()`.
class queue_base::join_awaiter final : public detail::event_wait {
public:
    static constexpr const char* name = "queue::join";
    explicit join_awaiter(queue_base& q) noexcept : event_wait(q.finished_, join_kind) {}
};

inline detail::object_operation<queue_base::join_awaiter, queue_base> queue_base::join() {
    return detail::object_operation<join_awaiter, queue_base>(ref(join_awaiter::name));
}

/// Waits until it is woken, because an item was put or the queue was shut down. Another task may have taken the item
/// meanwhile, so the caller has to look again.
class queue_base::get_wait final : public detail::list_waiter {
public:
    explicit get_wait(queue_base& q) noexcept : list_waiter(q.getters_, kind_of), queue_(&q) {}
    void await_resume();

private:
    queue_base* queue_;
    static const detail::suspension_kind kind_of;
};

/// The same for room, or the shutdown.
class queue_base::put_wait final : public detail::list_waiter {
public:
    explicit put_wait(queue_base& q) noexcept : list_waiter(q.putters_, kind_of), queue_(&q) {}
    void await_resume();

private:
    queue_base* queue_;
    static const detail::suspension_kind kind_of;
};

/// A queue whose `Store` decides in which order items are taken. Use queue, lifo_queue or priority_queue.
/// Immovable: it is held by address. Items need only be movable.
/// *Lifetime*: if it is destroyed while tasks wait for it, their waits throw invalid_state_error.
/// *Thread safety*: one loop's thread. A queue belongs to the loop whose task first waits for it, until that loop has
/// ended; a call on another thread throws invalid_state_error. *Complexity*: O(1), O(log n) in a priority_queue; no
/// allocation but for the items, and for a coroutine frame in a get or put that has to wait. *Source*: asyncio.Queue
/// of 3.13.
template <std::movable T, class Store>
class basic_queue : public queue_base {
public:
    using value_type = T;
    class put_awaiter;
    class get_awaiter;
    class next_awaiter;

    /// Zero or less: without a limit.
    explicit basic_queue(std::ptrdiff_t maxsize = 0) : queue_base(maxsize) {}

    /// Puts an item, once there is room. *Errors*: queue_shut_down. *Cancellation*: ends the wait, and the next task
    /// may put; no cancellation point if there is room. *Lifetime*: until it is in the queue, the item is part of the
    /// awaitable, and is destroyed with that if the put fails. To keep the item, name the put:
    /// `auto putting = q.put(std::move(x)); co_await putting;`, and after an error `putting.item()` is x, and it may
    /// be awaited again. With g++ 12, name an item that is an aggregate before this call.
    [[nodiscard]] put_awaiter put(T item) { return put_awaiter(*this, std::move(item)); }
    /// Takes an item, once there is one. *Errors*: queue_shut_down if it was shut down and nothing is left.
    /// *Cancellation*: ends the wait; no cancellation point if there is an item. A wait that is cancelled in the
    /// instant in which an item comes leaves the item to the next task: no item is ever lost.
    [[nodiscard(
        "nothing is taken until it is awaited: co_await q.get()")]] detail::object_operation<get_awaiter, queue_base>
    get() {
        return detail::object_operation<get_awaiter, queue_base>(ref("queue::get"));
    }
    /// The same, for loops. *Returns* std::nullopt if the queue was shut down and nothing is left.
    [[nodiscard(
        "nothing is taken until it is awaited: co_await q.next()")]] detail::object_operation<next_awaiter, queue_base>
    next() {
        return detail::object_operation<next_awaiter, queue_base>(ref("queue::next"));
    }

    /// *Errors*: queue_full, queue_shut_down; the item is unchanged then.
    void put_nowait(T&& item) {
        require_thread("queue::put_nowait");
        insert(std::move(item));
    }
    void put_nowait(const T& item) requires std::copy_constructible<T> {
        require_thread("queue::put_nowait");
        insert(item);
    }
    /// *Errors*: queue_empty; queue_shut_down if it was shut down and nothing is left.
    [[nodiscard]] T get_nowait() {
        require_thread("queue::get_nowait");
        if (empty())
            shut_down_ ? throw_shut_down() : throw_empty();
        return take();
    }

    /// From now on nothing can be put. The items that are left can be taken; if `immediate`, they are dropped and count
    /// as dealt with. All waits to get or put end, except for as many gets as items are left.
    void shutdown(bool immediate = false) {
        require_thread("queue::shutdown");
        shut_down_ = true;
        while (immediate && !empty()) {
            item_was_dropped();
            static_cast<void>(items_.take());
        }
        end_all_waits(immediate);
    }

private:
    template <class U>
    void insert(U&& item) {
        if (shut_down_)
            throw_shut_down();
        if (full())
            throw_full();
        insert_where_room_is(std::forward<U>(item));
    }
    template <class U>
    void insert_where_room_is(U&& item) {
        MUSTER_ASSERT(!full() && !shut_down_);
        items_.insert(std::forward<U>(item));
        item_was_put();
    }
    T take() {
        T item = items_.take();
        item_was_taken();
        return item;
    }
    /// A get that has to wait. A task that was woken may find that another one was faster, and waits again.
    task<std::optional<T>> take_when_there_is_one() {
        while (empty()) {
            if (shut_down_)
                co_return std::nullopt;
            co_await get_wait(*this);
        }
        co_return take();
    }
    task<> put_when_there_is_room(T& item) {
        while (full() && !shut_down_)
            co_await put_wait(*this);
        insert(std::move(item));
    }

    Store items_;
};

/// First in, first out. *Source*: asyncio.Queue.
template <std::movable T>
using queue = basic_queue<T, detail::fifo_store<T>>;

/// Last in, first out. *Source*: asyncio.LifoQueue.
template <std::movable T>
using lifo_queue = basic_queue<T, detail::lifo_store<T>>;

/// Smallest first, as `Compare` says; among equals in no particular order. *Source*: asyncio.PriorityQueue.
template <std::movable T, std::strict_weak_order<const T&, const T&> Compare = std::less<T>>
using priority_queue = basic_queue<T, detail::heap_store<T, Compare>>;

/// The awaiter of `co_await q.put(x)`.
template <std::movable T, class Store>
class [[nodiscard("nothing is put until it is awaited: co_await q.put(x)")]] basic_queue<T, Store>::put_awaiter final
    : public detail::inline_awaiter<void> {
public:
    explicit put_awaiter(basic_queue & q, T && item)
        : inline_awaiter(nullptr),
          of_(q.ref("queue::put")),
          item_(std::move(item)) {}

    /// The item that is to be put; moved from once it is in the queue.
    [[nodiscard]] T& item() noexcept { return item_; }

    [[nodiscard]] bool await_ready() const {
        basic_queue& q = its_queue();
        return q.ready_in_loop(!q.full() || q.is_shut_down(), "queue::put");
    }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        this->result_.clear();
        detail::run_inline(*this, its_queue().put_when_there_is_room(item_), h);
    }
    void await_resume() {
        if (!this->child_) {
            // There was room, or the queue was shut down, when await_ready() looked, and nothing ran since.
            auto& q = static_cast<basic_queue&>(of_.existing());
            if (q.is_shut_down()) [[unlikely]]
                throw_shut_down();
            q.insert_where_room_is(std::move(item_));
            return;
        }
        this->finish();
        if (!this->result_.succeeded()) [[unlikely]]
            this->result_.rethrow();
    }

private:
    [[nodiscard]] basic_queue& its_queue() const { return static_cast<basic_queue&>(of_.required("queue::put")); }

    detail::object_ref<queue_base> of_;
    T item_;
};

/// The awaiter of `co_await q.next()`.
template <std::movable T, class Store>
class basic_queue<T, Store>::next_awaiter : public detail::inline_awaiter<std::optional<T>> {
public:
    static constexpr const char* name = "queue::next";
    explicit next_awaiter(queue_base& q) noexcept
        : detail::inline_awaiter<std::optional<T>>(nullptr),
          queue_(static_cast<basic_queue*>(&q)) {}

    [[nodiscard]] bool await_ready() const {
        return queue_->ready_in_loop(!queue_->empty() || queue_->is_shut_down(), "queue::get");
    }
    template <std::derived_from<detail::promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        detail::run_inline(*this, queue_->take_when_there_is_one(), h);
    }
    std::optional<T> await_resume() {
        if (!this->child_)
            return queue_->empty() ? std::nullopt : std::optional<T>(queue_->take());
        this->finish();
        if (!this->result_.succeeded()) [[unlikely]]
            this->result_.rethrow();
        return this->result_.take();
    }

private:
    basic_queue* queue_;
};

/// The awaiter of `co_await q.get()`.
template <std::movable T, class Store>
class basic_queue<T, Store>::get_awaiter final : public next_awaiter {
public:
    static constexpr const char* name = "queue::get";
    using next_awaiter::next_awaiter;
    T await_resume() {
        auto item = next_awaiter::await_resume();
        if (!item)
            throw_shut_down();
        return std::move(*item);
    }
};

} // namespace muster
