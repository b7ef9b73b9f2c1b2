// SPDX-License-Identifier: MIT
#include <muster/thread_pool.hpp>

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

constexpr int spins = 64; ///< a short lock is taken, or a job comes, within less than a microsecond, or not soon

thread_local const void* works_for = nullptr; ///< the state of the pool whose thread this is

std::size_t cores() noexcept { return std::max<std::size_t>(1, std::thread::hardware_concurrency()); }

} // namespace

thread_pool_options& thread_pool_options::threads(std::size_t most) {
    if (most == 0)
        throw std::invalid_argument("thread_pool_options::threads: a pool needs at least one thread");
    threads_ = most;
    return *this;
}

/// One lock guards it all. Only one thread at a time looks out for work without sleeping; when it has found some and
/// there is more, the next one is woken. So a burst of short calls does not pay for waking threads that find nothing.
struct thread_pool::state {
    explicit state(const thread_pool_options& o) : options(o) {
        if (options.threads_ == 0)
            options.threads_ = cores();
    }

    std::unique_lock<std::mutex> locked() noexcept {
        // The lock is held for some ten nanoseconds: sleeping for it would cost a hundred times as much.
        for (int i = 0; i != spins; ++i) {
            if (lock.try_lock())
                return std::unique_lock(lock, std::adopt_lock);
            pause();
        }
        return std::unique_lock(lock);
    }

    void push(executor_job& j) noexcept {
        j.after_ = nullptr;
        j.before_ = last;
        (last != nullptr ? last->after_ : first) = &j;
        last = &j;
        waiting.store(waiting.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void remove(executor_job& j) noexcept {
        (j.before_ != nullptr ? j.before_->after_ : first) = j.after_;
        (j.after_ != nullptr ? j.after_->before_ : last) = j.before_;
        waiting.store(waiting.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }

    void push_stoppable(executor_job& j) noexcept {
        j.before_ = nullptr;
        j.after_ = stoppable;
        if (stoppable != nullptr)
            stoppable->before_ = &j;
        stoppable = &j;
    }
    void remove_stoppable(executor_job& j) noexcept {
        (j.before_ != nullptr ? j.before_->after_ : stoppable) = j.after_;
        if (j.after_ != nullptr)
            j.after_->before_ = j.before_;
    }
    /// Asks the calls that are being made to stop; takes the lock.
    void stop_running() noexcept;

    [[nodiscard]] bool more_than_looked_for() const noexcept {
        return waiting.load(std::memory_order_relaxed) > woken + looking;
    }

    /// *Returns* 0, or why no thread could be started. Called with the lock.
    int start_thread() noexcept;
    static void* thread_main(void* self) noexcept;
    void work() noexcept;
    [[nodiscard]] bool is_own_thread() const noexcept;

    std::mutex lock;
    std::condition_variable work_or_end;
    std::condition_variable all_ended;
    executor_job* first = nullptr;
    executor_job* last = nullptr;
    executor_job* stoppable = nullptr;   ///< calls being made that take a stop token
    std::atomic<std::size_t> waiting{0}; ///< changed with the lock
    std::vector<pthread_t> started;      ///< given to the one who joins them
    std::size_t thread_count = 0;
    std::size_t asleep = 0;  ///< of them
    std::size_t woken = 0;   ///< of those asleep: a wake-up is on its way to them
    std::size_t looking = 0; ///< awake without a job
    std::size_t at_work = 0;
    bool closing = false;
    bool ended = false;
    thread_pool_options options;
};

int thread_pool::state::start_thread() noexcept {
    pthread_attr_t attributes;
    if (const int error = pthread_attr_init(&attributes); error != 0)
        return error;
    int error = 0;
    try {
        started.reserve(started.size() + 1);
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    if (error == 0 && options.stack_bytes_ != 0)
        error = pthread_attr_setstacksize(&attributes, options.stack_bytes_);
    pthread_t thread{};
    if (error == 0)
        error = pthread_create(&thread, &attributes, &thread_main, this);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        return error;
#if defined(__linux__)
    // A name has room for 15 characters.
    try {
        pthread_setname_np(thread, (options.name_.substr(0, 11) + '-' + std::to_string(thread_count)).c_str());
    } catch (const std::bad_alloc&) {
        pthread_setname_np(thread, "pool");
    }
#endif
    started.push_back(thread);
    ++thread_count;
    ++looking;
    return 0;
}

void* thread_pool::state::thread_main(void* self) noexcept {
    works_for = self;
    static_cast<state*>(self)->work();
    return nullptr;
}

void thread_pool::state::work() noexcept {
    auto own = locked(); // counted as looking since it was started
    for (;;) {
        if (first == nullptr && looking == 1 && !closing) {
            own.unlock();
            for (int i = 0; i != spins && waiting.load(std::memory_order_relaxed) == 0; ++i)
                pause();
            own = locked();
        }
        if (first == nullptr) {
            --looking;
            if (closing)
                return;
            ++asleep;
            while (woken == 0 && first == nullptr && !closing)
                work_or_end.wait(own);
            --asleep;
            if (woken != 0)
                --woken;
            ++looking;
            continue;
        }
        auto& j = static_cast<job&>(*first);
        remove(j);
        j.queued_ = false;
        j.begin();
        --looking;
        ++at_work;
        const bool can_be_stopped = j.stop_ != nullptr;
        if (can_be_stopped)
            push_stoppable(j);
        const bool wake_another = more_than_looked_for() && asleep > woken;
        if (wake_another)
            ++woken;
        own.unlock();
        if (wake_another)
            work_or_end.notify_one();
        j.run_(j);
        if (can_be_stopped) {
            own = locked();
            remove_stoppable(j);
            own.unlock();
        }
        j.finish();
        own = locked();
        --at_work;
        ++looking;
    }
}

void thread_pool::state::stop_running() noexcept {
    auto own = locked();
    for (auto* j = stoppable; j != nullptr;) {
        auto& running = static_cast<job&>(*j);
        if (std::exchange(running.asked_to_stop_, true)) {
            j = j->after_;
            continue;
        }
        // What is registered with the token is called without the lock; the call may be over before that has returned.
        std::stop_source source = *running.stop_;
        own.unlock();
        source.request_stop();
        own.lock();
        j = stoppable;
    }
}

bool thread_pool::state::is_own_thread() const noexcept { return works_for == this; }

thread_pool::thread_pool(const thread_pool_options& options) : state_(std::make_unique<state>(options)) {}

thread_pool::~thread_pool() {
    if (!state_->is_own_thread()) {
        close(false);
        return;
    }
    // A call ended the program, and static objects are destroyed on its thread, which can't wait for itself: what the
    // threads use stays.
    static_cast<void>(state_.release());
}

void thread_pool::close(bool drop_queued) {
    auto& s = *state_;
    executor_job* dropped = nullptr;
    std::vector<pthread_t> to_join;
    if (s.is_own_thread())
        throw invalid_state_error("a pool's own thread can't wait for the pool to end");
    {
        const auto lock = s.locked();
        s.closing = true;
        if (drop_queued) {
            dropped = std::exchange(s.first, nullptr);
            s.last = nullptr;
            s.waiting.store(0, std::memory_order_relaxed);
            for (auto* j = dropped; j != nullptr; j = j->after_)
                static_cast<job*>(j)->queued_ = false;
        }
        to_join.swap(s.started);
        s.work_or_end.notify_all();
    }
    while (dropped != nullptr)
        std::exchange(dropped, dropped->after_)->refuse(cancel_reason::shutdown);
    if (drop_queued)
        s.stop_running();
    for (const pthread_t t : to_join)
        pthread_join(t, nullptr);
    auto lock = s.locked();
    // Two may close it: the second waits for the first.
    if (!to_join.empty() || s.thread_count == 0) {
        s.thread_count = 0;
        s.ended = true;
        s.all_ended.notify_all();
    }
    s.all_ended.wait(lock, [&s] { return s.ended; });
}

void thread_pool::shutdown() { close(false); }

void thread_pool::stop() { close(true); }

void thread_pool::submit(job& j) {
    auto& s = *state_;
    bool wake = false;
    {
        auto lock = s.locked();
        if (s.closing)
            throw invalid_state_error("the pool '" + s.options.name_ + "' was shut down: it takes no more calls");
        if (s.options.queue_limit_ != 0) {
            const std::size_t free = s.options.threads_ - s.at_work;
            if (s.waiting.load(std::memory_order_relaxed) >= s.options.queue_limit_ + free)
                throw queue_full("the pool '" + s.options.name_ + "' is busy, and " +
                                 std::to_string(s.options.queue_limit_) + " calls wait for it already");
        }
        s.push(j);
        j.queued_ = true;
        if (s.more_than_looked_for()) {
            if (s.asleep > s.woken) {
                ++s.woken;
                wake = true;
            } else if (s.thread_count < s.options.threads_) {
                if (const int error = s.start_thread(); error != 0 && s.thread_count == 0) {
                    s.remove(j);
                    j.queued_ = false;
                    throw std::system_error(error, std::generic_category(), "no thread could be started");
                }
            }
        }
    }
    if (wake)
        s.work_or_end.notify_one();
}

bool thread_pool::withdraw(job& j) noexcept {
    const auto lock = state_->locked();
    if (!j.queued_)
        return false;
    state_->remove(j);
    j.queued_ = false;
    return true;
}

std::size_t thread_pool::threads() const noexcept {
    const auto lock = state_->locked();
    return state_->thread_count;
}

std::size_t thread_pool::queued() const noexcept { return state_->waiting.load(std::memory_order_relaxed); }

std::size_t thread_pool::running() const noexcept {
    const auto lock = state_->locked();
    return state_->at_work;
}

thread_pool& default_pool() {
    static thread_pool pool(thread_pool_options().threads(std::min<std::size_t>(32, cores() + 4)).name("muster"));
    return pool;
}

} // namespace muster
