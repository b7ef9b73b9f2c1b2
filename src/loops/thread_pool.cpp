// SPDX-License-Identifier: MIT
// Threads for calls that block.
//
// One lock guards the queue and the counts. A thread that finds no call sleeps; only one at a time looks out for calls
// without sleeping, for about a microsecond. When that thread has found a call and there are more, it wakes the next
// thread. So a burst of short calls does not pay for waking threads that find nothing to do.
#include <muster/thread_pool.hpp>

#include <muster/detail/assert.hpp>
#include <muster/error.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
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

/// A processor's hint that it waits in a loop.
void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/// How often to look before sleeping: a short lock becomes free, or a call comes, within less than a microsecond, or
/// not soon.
constexpr int spins = 64;

thread_local const void* works_for = nullptr; ///< the state of the pool that this thread belongs to

std::size_t cores() noexcept { return std::max<std::size_t>(1, std::thread::hardware_concurrency()); }

} // namespace

thread_pool_options& thread_pool_options::threads(std::size_t most) {
    if (most == 0)
        throw std::invalid_argument("thread_pool_options::threads: a pool needs at least one thread");
    threads_ = most;
    return *this;
}

/// What the pool's threads share.
///
///     open --shutdown() or stop()--> closing --the threads have been joined--> ended
class thread_pool::state {
public:
    explicit state(const thread_pool_options& o) : options_(o) {
        if (options_.threads_ == 0)
            options_.threads_ = cores();
    }

    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;
    void close(bool drop_queued);

    /// Whether this is one of the pool's threads.
    [[nodiscard]] bool is_own_thread() const noexcept { return works_for == this; }
    [[nodiscard]] std::size_t threads() {
        const auto own = locked();
        return thread_count_;
    }
    [[nodiscard]] std::size_t queued() const noexcept { return waiting_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t running() {
        const auto own = locked();
        return at_work_;
    }

private:
    /// The pool's lock, held. A function that needs it takes one, so that it can't be called without.
    using held = std::unique_lock<std::mutex>;
    enum class phase { open, closing, ended };

    held locked() noexcept;
    [[nodiscard]] bool is(const held& own) const noexcept { return own.mutex() == &lock_ && own.owns_lock(); }

    void push(const held& own, job& j) noexcept;
    void remove(const held& own, job& j) noexcept;
    /// Whether more calls wait than threads are looking for them, or are being woken to do so.
    [[nodiscard]] bool more_than_looked_for(const held& own) const noexcept {
        MUSTER_ASSERT(is(own));
        return queued() > woken_ + looking_;
    }
    /// *Returns* 0, or why no thread could be started.
    int start_thread(const held& own) noexcept;
    static void* thread_main(void* self) noexcept;
    void work() noexcept;
    void run_next(held& own) noexcept;
    void stop_running() noexcept;

    std::mutex lock_;
    std::condition_variable work_or_end_;
    std::condition_variable all_ended_;
    thread_pool_options options_;

    // Guarded by the lock, all of it; waiting_ may also be read without.
    phase phase_ = phase::open;
    detail::intrusive_list<job> queue_;
    detail::intrusive_list<job> stoppable_; ///< calls being made that take a stop token
    std::atomic<std::size_t> waiting_{0};   ///< how many are in the queue
    std::vector<pthread_t> started_;        ///< emptied by the one who joins them
    std::size_t thread_count_ = 0;
    std::size_t asleep_ = 0;  ///< threads that sleep
    std::size_t woken_ = 0;   ///< threads among those that a wake-up is on its way to
    std::size_t looking_ = 0; ///< threads that are awake and have no call to make
    std::size_t at_work_ = 0; ///< threads that are making a call
};

thread_pool::state::held thread_pool::state::locked() noexcept {
    // The lock is held for some ten nanoseconds: sleeping for it would cost a hundred times as much.
    for (int i = 0; i != spins; ++i) {
        if (lock_.try_lock())
            return held(lock_, std::adopt_lock);
        pause();
    }
    return held(lock_);
}

void thread_pool::state::push(const held& own, job& j) noexcept {
    MUSTER_ASSERT(is(own) && j.stage_ != job::stage::queued);
    queue_.push_back(j);
    j.stage_ = job::stage::queued;
    waiting_.store(queued() + 1, std::memory_order_relaxed);
}

void thread_pool::state::remove(const held& own, job& j) noexcept {
    MUSTER_ASSERT(is(own) && j.stage_ == job::stage::queued);
    queue_.remove(j);
    j.stage_ = job::stage::idle;
    waiting_.store(queued() - 1, std::memory_order_relaxed);
}

int thread_pool::state::start_thread(const held& own) noexcept {
    MUSTER_ASSERT(is(own));
    pthread_attr_t attributes;
    if (const int error = pthread_attr_init(&attributes); error != 0)
        return error;
    int error = 0;
    try {
        started_.reserve(started_.size() + 1);
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    if (error == 0 && options_.stack_bytes_ != 0)
        error = pthread_attr_setstacksize(&attributes, options_.stack_bytes_);
    pthread_t thread{};
    if (error == 0)
        error = pthread_create(&thread, &attributes, &thread_main, this);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        return error;
#if defined(__linux__)
    // A name has room for 15 characters.
    try {
        pthread_setname_np(thread, (options_.name_.substr(0, 11) + '-' + std::to_string(thread_count_)).c_str());
    } catch (const std::bad_alloc&) {
        pthread_setname_np(thread, "pool");
    }
#endif
    started_.push_back(thread);
    ++thread_count_;
    ++looking_;
    return 0;
}

void* thread_pool::state::thread_main(void* self) noexcept {
    works_for = self;
    static_cast<state*>(self)->work();
    return nullptr;
}

void thread_pool::state::work() noexcept {
    auto own = locked(); // the thread has counted as looking for calls since it was started
    for (;;) {
        if (queue_.empty() && looking_ == 1 && phase_ == phase::open) {
            // This thread alone looks out for calls, without sleeping yet.
            own.unlock();
            for (int i = 0; i != spins && queued() == 0; ++i)
                pause();
            own = locked();
        }
        if (!queue_.empty()) {
            run_next(own);
            continue;
        }
        --looking_;
        if (phase_ != phase::open)
            return;
        ++asleep_;
        while (woken_ == 0 && queue_.empty() && phase_ == phase::open)
            work_or_end_.wait(own);
        --asleep_;
        if (woken_ != 0)
            --woken_;
        ++looking_;
    }
}

void thread_pool::state::run_next(held& own) noexcept {
    auto& j = *queue_.front();
    remove(own, j);
    j.stage_ = job::stage::running;
    j.begin();
    --looking_;
    ++at_work_;
    const bool can_be_stopped = j.stop_ != nullptr;
    if (can_be_stopped)
        stoppable_.push_front(j);
    const bool wake_another = more_than_looked_for(own) && asleep_ > woken_;
    if (wake_another)
        ++woken_;
    own.unlock();
    if (wake_another)
        work_or_end_.notify_one();
    j.run_(j);
    if (can_be_stopped) {
        own = locked();
        stoppable_.remove(j);
        own.unlock();
    }
    j.finish(); // the job may be gone now
    own = locked();
    --at_work_;
    ++looking_;
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
        // What is registered with the token is called without the lock. The call may be over before that has returned,
        // and the list another one, so it is gone through from its beginning again.
        std::stop_source source = *j->stop_;
        own.unlock();
        source.request_stop();
        own.lock();
        j = stoppable_.front();
    }
}

void thread_pool::state::close(bool drop_queued) {
    if (is_own_thread())
        throw invalid_state_error("a pool's own thread can't wait for the pool to end");
    detail::intrusive_list<job> dropped;
    std::vector<pthread_t> to_join;
    {
        const auto own = locked();
        if (phase_ == phase::open)
            phase_ = phase::closing;
        while (drop_queued && !queue_.empty()) {
            job& j = *queue_.front();
            remove(own, j);
            dropped.push_back(j);
        }
        to_join.swap(started_);
        work_or_end_.notify_all();
    }
    while (job* j = dropped.pop_front())
        j->refuse(cancel_reason::shutdown);
    if (drop_queued)
        stop_running();
    for (const pthread_t t : to_join)
        pthread_join(t, nullptr);
    auto own = locked();
    // Two threads may close the pool: the one that found no threads to join waits for the other.
    if (!to_join.empty() || thread_count_ == 0) {
        thread_count_ = 0;
        phase_ = phase::ended;
        all_ended_.notify_all();
    }
    all_ended_.wait(own, [this] { return phase_ == phase::ended; });
}

void thread_pool::state::submit(job& j) {
    bool wake = false;
    {
        const auto own = locked();
        if (phase_ != phase::open)
            throw invalid_state_error("the pool '" + options_.name_ + "' was shut down: it takes no more calls");
        if (options_.queue_limit_ != 0) {
            const std::size_t free = options_.threads_ - at_work_;
            if (queued() >= options_.queue_limit_ + free)
                throw queue_full("the pool '" + options_.name_ + "' is busy, and " +
                                 std::to_string(options_.queue_limit_) + " calls wait for it already");
        }
        push(own, j);
        if (more_than_looked_for(own)) {
            if (asleep_ > woken_) {
                ++woken_;
                wake = true;
            } else if (thread_count_ < options_.threads_) {
                if (const int error = start_thread(own); error != 0 && thread_count_ == 0) {
                    remove(own, j);
                    throw std::system_error(error, std::generic_category(), "no thread could be started");
                }
            }
        }
    }
    if (wake)
        work_or_end_.notify_one();
}

bool thread_pool::state::withdraw(job& j) noexcept {
    const auto own = locked();
    if (j.stage_ != job::stage::queued)
        return false;
    remove(own, j);
    return true;
}

thread_pool::thread_pool(const thread_pool_options& options) : state_(std::make_unique<state>(options)) {}

thread_pool::~thread_pool() {
    if (!state_->is_own_thread()) {
        state_->close(false);
        return;
    }
    // A call ended the program, and static objects are destroyed on its thread, which can't wait for itself: what the
    // threads use is never freed.
    static_cast<void>(state_.release());
}

void thread_pool::shutdown() { state_->close(false); }

void thread_pool::stop() { state_->close(true); }

void thread_pool::submit(job& j) { state_->submit(j); }

bool thread_pool::withdraw(job& j) noexcept { return state_->withdraw(j); }

std::size_t thread_pool::threads() const noexcept { return state_->threads(); }

std::size_t thread_pool::queued() const noexcept { return state_->queued(); }

std::size_t thread_pool::running() const noexcept { return state_->running(); }

thread_pool& default_pool() {
    static thread_pool pool(thread_pool_options().threads(std::min<std::size_t>(32, cores() + 4)).name("muster"));
    return pool;
}

} // namespace muster
