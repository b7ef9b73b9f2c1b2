// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Threads for calls that block: an executor for run_in_executor and start_in_executor. Threads are started when
/// they are needed, up to a limit; waiting calls cost no memory of the pool's, for each is part of the frame that
/// waits for it. One pool may serve any number of loops.
///
///     muster::thread_pool pool(muster::thread_pool_options().threads(4).name("disk"));
///     auto rows = co_await muster::run_in_executor(pool, read_rows);

#include <muster/config.hpp>
#include <muster/detail/call_traits.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/executor.hpp>
#include <muster/outcome.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

namespace muster {

class thread_pool_options;

/// *Errors* of a call: invalid_state_error once the pool is shut down; queue_full, see queue_limit();
/// std::system_error if no thread could be started at all - while there is one, the pool goes on with fewer.
/// *Thread safety*: any thread. *Source*: concurrent.futures.ThreadPoolExecutor.
class thread_pool {
public:
    class job;
    template <class F>
    class call;

    thread_pool();
    explicit thread_pool(const thread_pool_options& options);
    /// As shutdown().
    ~thread_pool();
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    /// Takes no more calls, makes those that wait, and returns when all are over and the threads have ended: all but
    /// calls that were left behind (`.abandon()`), for which it waits a second at most. Blocks. *Errors*:
    /// invalid_state_error on one of the pool's own threads, which can't wait for itself.
    void shutdown();
    /// The same, but calls that have not begun are not made: who waits for one gets cancelled_error{shutdown}. Those
    /// that are being made are asked to stop if they take a std::stop_token, and waited for in any case.
    void stop();

    /// Threads started, calls that wait for one, calls being made.
    [[nodiscard]] std::size_t threads() const noexcept;
    [[nodiscard]] std::size_t queued() const noexcept;
    [[nodiscard]] std::size_t running() const noexcept;

    // ---- an executor: see executor.hpp ----
    class reference;
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;
    void leave_behind(job& j) noexcept;

private:
    friend class program_pool;
    class state;
    std::shared_ptr<state> state_; ///< shared with the threads, of which one may be left behind, and with calls
};

/// A call's share of the pool: once the pool is gone it takes no calls any more.
class thread_pool::reference {
public:
    explicit reference(thread_pool& pool) noexcept : state_(pool.state_) {}
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;
    void leave_behind(job& j) noexcept;

private:
    std::shared_ptr<state> state_;
};

/// Each may be set in a chain. *Errors*: std::invalid_argument for what makes no sense.
class thread_pool_options {
public:
    thread_pool_options() {}

    /// At most so many threads; at least 1. The default is as many as the machine has cores.
    thread_pool_options& threads(std::size_t most);
    /// At most so many calls may wait for a thread; a call beyond that fails at once with queue_full. 0, the default,
    /// is no limit: to wait instead of failing is what a call does anyway.
    thread_pool_options& queue_limit(std::size_t most) {
        queue_limit_ = most;
        return *this;
    }
    /// The name of the threads in debuggers and lists of processes: the first 11 characters, and a number.
    thread_pool_options& name(std::string text) {
        name_ = std::move(text);
        return *this;
    }
    /// The size of a thread's stack; 0, the default, is the system's choice.
    thread_pool_options& stack_bytes(std::size_t bytes) {
        stack_bytes_ = bytes;
        return *this;
    }

private:
    friend class thread_pool;
    std::size_t threads_ = 0;
    std::size_t queue_limit_ = 0;
    std::size_t stack_bytes_ = 0;
    std::string name_ = "pool";
};

class thread_pool::job : public executor_job, public detail::list_hook<thread_pool::job> {
public:
    using function = void (*)(job&) noexcept;

protected:
    /// `stop`: null unless the callable takes a token.
    job(outcome_base& result, function run, std::stop_source* stop) noexcept
        : executor_job(result),
          run_(run),
          stop_(stop) {}
    ~job() = default;

private:
    friend class thread_pool;
    /// Changed with the pool's lock, but to `queued` by the thread that submits the job.
    enum class stage { idle, queued, running, asked_to_stop };

    function run_; ///< called on one of the pool's threads
    std::stop_source* stop_;
    job* came_before_ = nullptr; ///< in the pool's stack of calls that came in
    stage stage_ = stage::idle;
};

template <class F>
class thread_pool::call final : public job {
    using returned = typename detail::call_traits<F>::returned;
    static_assert(!detail::is_task<std::remove_cvref_t<returned>>,
        "this makes a coroutine, which would not run on the thread: await it on the loop, and call only what "
        "blocks on a thread");

public:
    using result_type =
        std::conditional_t<std::is_lvalue_reference_v<returned>, returned, std::remove_cvref_t<returned>>;

    explicit call(F f) : job(result_, &run, address_of(stop_)), callable_(std::move(f)) {}

    [[nodiscard]] outcome<result_type>& result() noexcept { return result_; }
    [[nodiscard]] F callable() && { return std::move(callable_); }
    void request_stop() noexcept {
        if constexpr (detail::takes_stop_token<F>)
            stop_.request_stop();
    }

private:
    static void run(job& j) noexcept {
        auto& self = static_cast<call&>(j);
        try {
            if constexpr (std::is_void_v<result_type>) {
                self.invoke();
                self.result_.emplace();
            } else if constexpr (std::is_reference_v<result_type>) {
                result_type value = self.invoke();
                self.result_.emplace(value);
            } else {
                self.result_.emplace(self.invoke());
            }
        } catch (...) {
            detail_outcome_access::set_thrown(self.result_, std::current_exception());
        }
    }
    decltype(auto) invoke() {
        if constexpr (detail::takes_stop_token<F>)
            return std::invoke(std::move(callable_), stop_.get_token());
        else if constexpr (std::is_invocable_v<F>)
            return std::invoke(std::move(callable_));
    }

    using stop_type = std::conditional_t<detail::takes_stop_token<F>, std::stop_source, detail::nothing_to_stop>;
    static std::stop_source* address_of(std::stop_source& s) noexcept { return &s; }
    static std::stop_source* address_of(detail::nothing_to_stop&) noexcept { return nullptr; }

    outcome<result_type> result_;
    F callable_;
    [[no_unique_address]] stop_type stop_;
};

/// *Returns* the pool of to_thread, one for the program: at most cores + 4 threads, and 32. It is made on first use
/// and shut down with the program, which waits for calls that still run, but not for those that were left behind. A
/// call that is made later, by the destructor of a static object, gets invalid_state_error. *Source*: asyncio's default
/// executor.
[[nodiscard]] thread_pool& default_pool();

} // namespace muster
