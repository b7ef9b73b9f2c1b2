// SPDX-License-Identifier: MIT
// Threads for calls that block.
//
// A call comes in without a lock: submit() puts it on a stack, incoming_. A thread of the pool takes the pool's lock
// once for each call: it ends the call before, moves what came in to the queue, and takes the first.
//
// A thread that finds no call sleeps; only one at a time looks out for calls without sleeping, for some microseconds.
// When that thread has found a call and there are more, it wakes the next thread. So a burst of short calls does not
// pay for waking threads that find nothing to do.
//
// Why no call is forgotten: submit() writes incoming_ and then reads attention_, which says whether a thread looks for
// calls. A thread that ceases to look writes attention_ and then reads incoming_. All four accesses are sequentially
// consistent, so if submit() sees a thread that looks, that thread's later look into incoming_ finds the call.
// Otherwise submit() takes the lock, and wakes or starts a thread.
#include <muster/thread_pool.hpp>

#include "posix/short_spin.hpp"

#include <muster/detail/assert.hpp>
#include <muster/error.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace muster {

namespace {

/// How long closing a pool waits for calls that were left behind.
constexpr std::chrono::seconds patience_with_left_behind{1};

thread_local const void* works_for = nullptr; ///< the state of the pool that this thread belongs to

std::size_t cores() noexcept { return std::max<std::size_t>(1, std::thread::hardware_concurrency()); }

} // namespace

thread_pool_options& thread_pool_options::threads(std::size_t most) {
    if (most == 0)
        throw std::invalid_argument("thread_pool_options::threads: a pool needs at least one thread");
    threads_ = most;
    return *this;
}

/// The part of the pool that its threads share.
///
///     open --shutdown() or stop()--> closing --no call is left to wait for--> joining --threads joined--> ended
class thread_pool::state : public std::enable_shared_from_this<thread_pool::state> {
public:
    explicit state(const thread_pool_options& o) : options_(o), spin_time_(detail::spin_time()) {
        if (options_.threads_ == 0)
            options_.threads_ = cores();
    }

    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;
    void leave_behind(const job& j) noexcept;
    /// Waits for calls that were left behind too, but no longer than `patience`.
    void close(bool drop_queued, std::chrono::milliseconds patience);

    /// Whether this is one of the pool's threads.
    [[nodiscard]] bool is_own_thread() const noexcept { return works_for == this; }
    [[nodiscard]] std::size_t threads() {
        const auto own = locked();
        return thread_count_;
    }
    [[nodiscard]] std::size_t queued() {
        const auto own = locked();
        collect(own);
        return queued_;
    }
    [[nodiscard]] std::size_t running() {
        const auto own = locked();
        return at_work_;
    }

private:
    /// The pool's lock, held. A function that needs it takes one, so that it can't be called without.
    using held = std::unique_lock<std::mutex>;
    enum class phase { open, closing, joining, ended };
    /// One of the threads. `gone` has nothing left to do but to return; `joined` is one that is waited for no more.
    struct worker {
        enum class stage { idle, making_a_call, making_one_left_behind, gone, joined };
        pthread_t thread{};
        job* making = nullptr; ///< may be over already, and freed: only for comparison
        stage at = stage::idle;
    };
    /// The argument of a thread's main function.
    struct start_of_thread {
        std::shared_ptr<state> of;
        worker* self;
    };

    held locked() noexcept;
    [[nodiscard]] bool is(const held& own) const noexcept { return own.mutex() == &lock_ && own.owns_lock(); }

    /// Whether submit() itself must see to it that a thread makes the call.
    enum class attention {
        given,  ///< it need not: a thread is looking for calls, or all are at work and will look when they are done
        needed, ///< it must wake or start one
    };

    /// *Returns* false if the pool takes no more calls.
    [[nodiscard]] bool hand_in(job& j) noexcept;
    /// Moves the calls that came in to the end of the queue, in their order.
    void collect(const held& own) noexcept;
    void append(const held& own, job* newest) noexcept;
    void remove(const held& own, job& j) noexcept;
    void refuse_if_full(const held& own);
    /// Whether more calls wait than threads are looking for them, or are being woken to do so.
    [[nodiscard]] bool more_than_looked_for(const held& own) const noexcept {
        MUSTER_ASSERT(is(own));
        return queued_ > woken_ + looking_;
    }
    /// To be called whenever one of the counts of threads has changed. If from now on a thread must be woken or started
    /// for the next call, it also collects what came in before.
    void note_attention(const held& own) noexcept;
    /// A value of incoming_ that is no job: the pool takes no more calls.
    [[nodiscard]] job* closed() noexcept { return reinterpret_cast<job*>(this); }
    /// Has a further thread look for calls if more of them wait than are looked for: one that sleeps is woken once
    /// `wake` is acted on, or a thread is started. *Returns* 0, or why none could be started.
    int get_help(const held& own, bool& wake) noexcept;
    [[nodiscard]] bool is_queued(const held& own, const job* j) const noexcept;
    /// *Returns* 0, or why no thread could be started.
    int start_thread(const held& own) noexcept;
    static void* thread_main(void* start) noexcept;
    void work(worker& self) noexcept;
    void run_next(held& own, worker& self) noexcept;
    /// Whether all threads are gone, or make a call that was left behind.
    [[nodiscard]] bool nobody_to_wait_for(const held& own) const noexcept;
    [[nodiscard]] bool all_gone(const held& own) const noexcept;
    void stop_running() noexcept;

    std::mutex lock_;
    std::condition_variable work_or_end_;
    std::condition_variable ended_or_left_; ///< a thread is gone, or makes a call that was left behind
    thread_pool_options options_;

    const detail::nanoseconds spin_time_;

    std::atomic<job*> incoming_{nullptr}; ///< the newest call that is not in the queue yet, or closed()
    std::atomic<attention> attention_{attention::needed};

    // Guarded by the lock, all of it.
    phase phase_ = phase::open;
    detail::intrusive_list<job> queue_;
    std::size_t queued_ = 0;                ///< how many are in the queue
    detail::intrusive_list<job> stoppable_; ///< calls being made that take a stop token
    std::list<worker> workers_;             ///< all that were started; each thread keeps the address of its own
    std::size_t thread_count_ = 0;
    std::size_t asleep_ = 0;  ///< threads that sleep
    std::size_t woken_ = 0;   ///< threads among those that a wake-up is on its way to
    std::size_t looking_ = 0; ///< threads that are awake and have no call to make
    std::size_t at_work_ = 0; ///< threads that are making a call
};

thread_pool::state::held thread_pool::state::locked() noexcept {
    // The lock is held for some ten nanoseconds: sleeping for it would cost a hundred times as much.
    if (detail::spin_until([this] { return lock_.try_lock(); }, spin_time_))
        return held(lock_, std::adopt_lock);
    return held(lock_);
}

bool thread_pool::state::hand_in(job& j) noexcept {
    MUSTER_ASSERT(j.stage_ != job::stage::queued);
    const auto before = std::exchange(j.stage_, job::stage::queued);
    job* newest = incoming_.load(std::memory_order_relaxed);
    do {
        if (newest == closed()) {
            j.stage_ = before;
            return false;
        }
        j.came_before_ = newest;
    } while (!incoming_.compare_exchange_weak(newest, &j, std::memory_order_seq_cst, std::memory_order_relaxed));
    return true;
}

void thread_pool::state::collect(const held& own) noexcept {
    MUSTER_ASSERT(is(own));
    if (phase_ == phase::open && incoming_.load(std::memory_order_seq_cst) != nullptr)
        append(own, incoming_.exchange(nullptr, std::memory_order_acquire));
}

void thread_pool::state::append(const held& own, job* newest) noexcept {
    MUSTER_ASSERT(is(own) && newest != closed());
    job* place = nullptr;
    for (job* j = newest; j != nullptr; j = j->came_before_) {
        queue_.insert_before(place, *j);
        place = j;
        ++queued_;
    }
}

void thread_pool::state::remove(const held& own, job& j) noexcept {
    MUSTER_ASSERT(is(own) && j.stage_ == job::stage::queued && queued_ != 0);
    queue_.remove(j);
    j.stage_ = job::stage::idle;
    --queued_;
}

void thread_pool::state::note_attention(const held& own) noexcept {
    MUSTER_ASSERT(is(own));
    const bool can_have_more = asleep_ > woken_ || thread_count_ < options_.threads_;
    const auto now = looking_ == 0 && woken_ == 0 && can_have_more ? attention::needed : attention::given;
    if (attention_.load(std::memory_order_relaxed) == now)
        return;
    attention_.store(now, std::memory_order_seq_cst);
    if (now == attention::needed)
        collect(own); // who handed in a call just now may have seen that a thread was looking
}

int thread_pool::state::get_help(const held& own, bool& wake) noexcept {
    if (!more_than_looked_for(own))
        return 0;
    int error = 0;
    if (asleep_ > woken_) {
        ++woken_;
        wake = true;
    } else if (thread_count_ < options_.threads_) {
        error = start_thread(own);
    }
    note_attention(own);
    return error;
}

bool thread_pool::state::is_queued(const held& own, const job* j) const noexcept {
    MUSTER_ASSERT(is(own));
    const job* found = queue_.front();
    while (found != nullptr && found != j)
        found = queue_.after(*found);
    return found != nullptr;
}

int thread_pool::state::start_thread(const held& own) noexcept {
    MUSTER_ASSERT(is(own));
    pthread_attr_t attributes;
    if (const int error = pthread_attr_init(&attributes); error != 0)
        return error;
    int error = 0;
    try {
        workers_.emplace_back();
        auto start = std::make_unique<start_of_thread>(start_of_thread{shared_from_this(), &workers_.back()});
        if (options_.stack_bytes_ != 0)
            error = pthread_attr_setstacksize(&attributes, options_.stack_bytes_);
        // The thread can't look at its own record before it has the lock.
        if (error == 0)
            error = pthread_create(&workers_.back().thread, &attributes, &thread_main, start.get());
        if (error == 0)
            static_cast<void>(start.release());
        else
            workers_.pop_back();
    } catch (const std::bad_alloc&) {
        if (!workers_.empty() && workers_.back().thread == pthread_t{})
            workers_.pop_back();
        error = ENOMEM;
    }
    pthread_attr_destroy(&attributes);
    if (error != 0)
        return error;
#if defined(__linux__)
    // A name has room for 15 characters.
    const pthread_t thread = workers_.back().thread;
    try {
        pthread_setname_np(thread, (options_.name_.substr(0, 11) + '-' + std::to_string(thread_count_)).c_str());
    } catch (const std::bad_alloc&) {
        pthread_setname_np(thread, "pool");
    }
#endif
    ++thread_count_;
    ++looking_;
    return 0;
}

void* thread_pool::state::thread_main(void* start) noexcept {
    const std::unique_ptr<start_of_thread> given(static_cast<start_of_thread*>(start));
    works_for = given->of.get();
    given->of->work(*given->self);
    return nullptr;
}

void thread_pool::state::work(worker& self) noexcept {
    auto own = locked(); // the thread has counted as looking for calls since it was started
    for (;;) {
        if (queue_.empty())
            collect(own);
        if (queue_.empty() && looking_ == 1 && phase_ == phase::open) {
            // This thread alone looks out for calls, without sleeping yet.
            own.unlock();
            static_cast<void>(detail::spin_until(
                [this] { return incoming_.load(std::memory_order_relaxed) != nullptr; }, spin_time_));
            own = locked();
            collect(own);
        }
        if (!queue_.empty()) {
            run_next(own, self);
            continue;
        }
        --looking_;
        if (phase_ != phase::open) {
            self.at = worker::stage::gone;
            ended_or_left_.notify_all();
            return;
        }
        ++asleep_;
        note_attention(own);
        while (woken_ == 0 && queue_.empty() && phase_ == phase::open)
            work_or_end_.wait(own);
        --asleep_;
        if (woken_ != 0)
            --woken_;
        ++looking_;
        note_attention(own);
    }
}

void thread_pool::state::run_next(held& own, worker& self) noexcept {
    auto& j = *queue_.front();
    remove(own, j);
    j.stage_ = job::stage::running;
    j.begin();
    self.making = &j;
    self.at = worker::stage::making_a_call;
    --looking_;
    ++at_work_;
    const bool can_be_stopped = j.stop_ != nullptr;
    if (can_be_stopped)
        stoppable_.push_front(j);
    note_attention(own);
    bool wake_another = false;
    get_help(own, wake_another);
    own.unlock();
    if (wake_another)
        work_or_end_.notify_one();
    {
        const executor_job::context in(j);
        j.run_(j);
    }
    if (can_be_stopped) {
        own = locked();
        stoppable_.remove(j);
        own.unlock();
    }
    j.finish(); // the job may be gone now
    own = locked();
    self.making = nullptr;
    if (self.at != worker::stage::joined)
        self.at = worker::stage::idle;
    --at_work_;
    ++looking_;
    note_attention(own);
}

void thread_pool::state::leave_behind(const job& j) noexcept {
    const auto own = locked();
    for (auto& w : workers_) {
        if (w.making == &j && w.at == worker::stage::making_a_call) {
            w.at = worker::stage::making_one_left_behind;
            ended_or_left_.notify_all();
        }
    }
}

bool thread_pool::state::nobody_to_wait_for(const held& own) const noexcept {
    MUSTER_ASSERT(is(own));
    return queue_.empty() && std::all_of(workers_.begin(), workers_.end(), [](const worker& w) {
        return w.at == worker::stage::gone || w.at == worker::stage::making_one_left_behind ||
               w.at == worker::stage::joined;
    });
}

void thread_pool::state::stop_running() noexcept {
    auto own = locked();
    for (auto* j = stoppable_.front(); j != nullptr;) {
        if (j->stage_ == job::stage::asked_to_stop) {
            j = stoppable_.after(*j);
            continue;
        }
        MUSTER_ASSERT(j->stage_ == job::stage::running);
        j->stage_ = job::stage::asked_to_stop;
        // Callbacks that are registered with the token are called without the lock. The call may be over before that
        // has returned, and the list another one, so it is gone through from its beginning again.
        std::stop_source source = *j->stop_;
        own.unlock();
        source.request_stop();
        own.lock();
        j = stoppable_.front();
    }
}

bool thread_pool::state::all_gone(const held& own) const noexcept {
    MUSTER_ASSERT(is(own));
    return std::all_of(workers_.begin(), workers_.end(),
        [](const worker& w) { return w.at == worker::stage::gone || w.at == worker::stage::joined; });
}

void thread_pool::state::close(bool drop_queued, std::chrono::milliseconds patience) {
    if (is_own_thread())
        throw invalid_state_error("a pool's own thread can't wait for the pool to end");
    detail::intrusive_list<job> dropped;
    {
        const auto own = locked();
        if (phase_ == phase::open) {
            phase_ = phase::closing;
            append(own, incoming_.exchange(closed(), std::memory_order_seq_cst));
        }
        while (drop_queued && !queue_.empty()) {
            job& j = *queue_.front();
            remove(own, j);
            dropped.push_back(j);
        }
        work_or_end_.notify_all();
    }
    while (job* j = dropped.pop_front())
        j->refuse(cancel_reason::shutdown);
    if (drop_queued)
        stop_running();
    auto own = locked();
    ended_or_left_.wait(own, [&] { return nobody_to_wait_for(own); });
    ended_or_left_.wait_for(own, patience, [&] { return all_gone(own); });
    if (phase_ != phase::closing) {
        // Two threads close the pool: the second waits until the first has joined the threads.
        ended_or_left_.wait(own, [this] { return phase_ == phase::ended; });
        return;
    }
    phase_ = phase::joining;
    thread_count_ = 0;
    // This thread's loop is the only one that touches the records of threads that are gone.
    for (auto& w : workers_) {
        if (w.at == worker::stage::gone) {
            own.unlock();
            pthread_join(w.thread, nullptr);
            own.lock();
        } else {
            pthread_detach(w.thread);
        }
        w.at = worker::stage::joined;
    }
    phase_ = phase::ended;
    ended_or_left_.notify_all();
}

void thread_pool::state::submit(job& j) {
    held own;
    if (options_.queue_limit_ != 0) {
        own = locked();
        refuse_if_full(own);
    }
    if (!hand_in(j))
        throw invalid_state_error("the pool '" + options_.name_ + "' was shut down: it takes no more calls");
    // From here on the call may be made, and be gone.
    if (attention_.load(std::memory_order_seq_cst) == attention::given)
        return;
    if (!own.owns_lock())
        own = locked();
    collect(own);
    bool wake = false;
    if (const int error = get_help(own, wake); error != 0 && thread_count_ == 0 && is_queued(own, &j)) {
        remove(own, j);
        throw std::system_error(error, std::generic_category(), "no thread could be started");
    }
    own.unlock();
    if (wake)
        work_or_end_.notify_one();
}

void thread_pool::state::refuse_if_full(const held& own) {
    collect(own);
    const std::size_t free = options_.threads_ - at_work_;
    if (phase_ == phase::open && queued_ >= options_.queue_limit_ + free)
        throw queue_full("the pool '" + options_.name_ + "' is busy, and " + std::to_string(options_.queue_limit_) +
                         " calls wait for it already");
}

bool thread_pool::state::withdraw(job& j) noexcept {
    const auto own = locked();
    collect(own);
    if (j.stage_ != job::stage::queued)
        return false;
    remove(own, j);
    return true;
}

thread_pool::thread_pool() : thread_pool(thread_pool_options()) {}

thread_pool::thread_pool(const thread_pool_options& options) : state_(std::make_shared<state>(options)) {}

thread_pool::~thread_pool() {
    // If a call ends the program, static objects are destroyed on its thread, which can't wait for itself. The threads
    // own what they use.
    if (!state_->is_own_thread())
        state_->close(false, patience_with_left_behind);
}

void thread_pool::shutdown() { state_->close(false, patience_with_left_behind); }

void thread_pool::stop() { state_->close(true, patience_with_left_behind); }

void thread_pool::submit(job& j) { state_->submit(j); }

bool thread_pool::withdraw(job& j) noexcept { return state_->withdraw(j); }

void thread_pool::leave_behind(job& j) noexcept { state_->leave_behind(j); }

void thread_pool::reference::submit(job& j) { state_->submit(j); }

bool thread_pool::reference::withdraw(job& j) noexcept { return state_->withdraw(j); }

void thread_pool::reference::leave_behind(job& j) noexcept { state_->leave_behind(j); }

std::size_t thread_pool::threads() const noexcept { return state_->threads(); }

std::size_t thread_pool::queued() const noexcept { return state_->queued(); }

std::size_t thread_pool::running() const noexcept { return state_->running(); }

/// The default pool is shut down with the program and never destroyed: a later call is refused by a pool that exists.
class program_pool {
public:
    program_pool()
        : pool_(new thread_pool(thread_pool_options().threads(std::min<std::size_t>(32, cores() + 4)).name("muster"))) {
    }
    ~program_pool() {
        if (!pool_->state_->is_own_thread()) // a call on one of its threads may have ended the program
            pool_->state_->close(false, std::chrono::milliseconds(0));
    }
    program_pool(const program_pool&) = delete;
    program_pool& operator=(const program_pool&) = delete;

    [[nodiscard]] thread_pool& pool() const noexcept { return *pool_; }

private:
    thread_pool* const pool_;
};

thread_pool& default_pool() {
    static program_pool the;
    return the.pool();
}

} // namespace muster
