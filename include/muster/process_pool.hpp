// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Processes for calls that may crash, hang or eat all memory: an executor for run_in_executor and start_in_executor.
/// A call that takes its process down fails alone; the process is replaced and everything else goes on. The workers are
/// the program itself, started anew, or another program that serves the same functions. Needs muster::process_pool.
///
///     inline const muster::remote_function hash("hash", &hash_file);
///     int main() {
///         muster::process_pool::serve_if_worker(); // first of all: in a worker it does not return
///         return muster::run(my_main());           // ... co_await muster::run_in_executor(pool, hash(path));
///     }

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/executor.hpp>
#include <muster/outcome.hpp>
#include <muster/process_pool/error.hpp>
#include <muster/process_pool/options.hpp>
#include <muster/process_pool/remote_function.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace muster {

namespace workers {
class call_queue;
class worker_handle;
} // namespace workers

/// Processes are started when calls need them, one call at a time in each, and stay for the next call. A call is made
/// at most once. *Errors* of a call: what the function throws, as itself if the type is known (see remote_exception),
/// else remote_error; worker_died_error; timeout_error, see call_timeout(); wire_error; worker_start_error after
/// three failed starts in a row, or after one in which the worker itself said why it can't serve, when no process is
/// left - later calls try again; queue_full; invalid_state_error once the pool is shut down. *Cancellation*: a call
/// that waits is taken back. The process of one that is being made is killed; the task waits until it is dead, and is
/// cancelled. So no call ever outlives the task that awaits it, but for abandon(), which does not wait for the death.
/// With kill_cancelled(false) the call is waited for, as on a thread. *Thread safety*: any thread. All results of a
/// pool are read (from_json) on one thread of the pool's: a from_json that takes long holds up the results of other
/// calls, but neither the loop nor any time limit. *Source*: concurrent.futures.ProcessPoolExecutor, which is broken
/// for ever once a process has died.
class process_pool {
public:
    class job;
    template <class F>
    class call;

    /// To be called first of all in main. In a worker process it makes calls until the pool ends, and does not return;
    /// in any other it does nothing. Functions and exceptions must have been registered before.
    static void serve_if_worker();

    /// *Errors*: invalid_state_error if main did not call serve_if_worker(), or if two functions or exceptions were
    /// registered with one name; std::system_error without a descriptor or a thread to be had.
    explicit process_pool(const process_pool_options& options = {});
    /// As shutdown().
    ~process_pool();
    process_pool(const process_pool&) = delete;
    process_pool& operator=(const process_pool&) = delete;

    /// Takes no more calls, makes those that wait, and returns when all are over and the processes have ended.
    /// Blocks. *Errors*: invalid_state_error on the pool's own thread (in a from_json), which can't wait for itself.
    void shutdown();
    /// As shutdown(), but at once: calls that have not begun are not made, and the processes of those that have are
    /// killed. A task that waits for either gets cancelled_error{shutdown}.
    void stop();

    /// Processes that live, calls that wait for one, calls being made.
    [[nodiscard]] std::size_t processes() const noexcept;
    [[nodiscard]] std::size_t queued() const noexcept;
    [[nodiscard]] std::size_t running() const noexcept;
    /// The process ids of those on this machine, which may be out of date at once.
    [[nodiscard]] std::vector<int> process_ids() const;

    // ---- an executor: see executor.hpp ----
    class reference;
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;

private:
    struct state;
    std::shared_ptr<state> state_; ///< shared with calls
};

/// A call's share of the pool: once the pool is gone it takes no calls any more.
class process_pool::reference {
public:
    explicit reference(process_pool& pool) noexcept : state_(pool.state_) {}
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;

private:
    std::shared_ptr<state> state_;
};

/// One call, from submit() until its outcome is in place.
class process_pool::job : public executor_job, public detail::list_hook<process_pool::job> {
public:
    // ---- for the pool's threads ----
    /// The function's name.
    [[nodiscard]] const std::string& name() const noexcept { return request_->entry->name; }
    /// The body of the message that is sent. *Lifetime*: the job's.
    [[nodiscard]] const std::vector<std::uint8_t>& message() const noexcept { return request_->message; }
    /// Makes the result of the value that came back. *Errors*: whatever its from_json throws; wire_error for a number
    /// that the result's type does not hold.
    void decode(nlohmann::json&& value) { decode_(*this, std::move(value)); }

protected:
    using decoder = void (*)(job& self, nlohmann::json&& value);

    job(outcome_base& result, decoder d) noexcept : executor_job(result), decode_(d) {}
    ~job() = default;

    /// *Lifetime*: the request lives as long as the job.
    void send(const detail::remote_request& request) noexcept { request_ = &request; }
    void kill_if_running() noexcept;

private:
    friend class process_pool;
    friend class workers::call_queue;

    const detail::remote_request* request_ = nullptr;
    decoder decode_;
    std::shared_ptr<state> pool_;              ///< used on the loop's thread only
    workers::worker_handle* worker_ = nullptr; ///< the one that makes the call; guarded by the pool's lock
    bool was_begun_ = false;                   ///< a worker was sent it before; guarded likewise
    bool is_unwanted_ = false;                 ///< its task was cancelled since; guarded likewise
};

/// A call of anything but a remote function is refused; the calls of remote functions are specialised below.
template <class F>
class process_pool::call final : public job {
    static_assert(sizeof(F) == 0,
        "this can't be sent to another process: register a function, const muster::remote_function "
        "hash(\"hash\", &hash_file), and pass a call of it, run_in_executor(pool, hash(path))");

public:
    using result_type = void;
    explicit call(F);
    [[nodiscard]] outcome<void>& result() noexcept;
    [[nodiscard]] F callable() &&;
    void request_stop() noexcept;
};

template <class R>
class process_pool::call<remote_call<R>> final : public process_pool::job {
public:
    using result_type = R;

    explicit call(remote_call<R> c) : job(result_, &read_result), call_(std::move(c)) { send(call_.request()); }

    [[nodiscard]] outcome<R>& result() noexcept { return result_; }
    [[nodiscard]] remote_call<R> callable() && { return std::move(call_); }
    void request_stop() noexcept { kill_if_running(); }

private:
    static void read_result(job& j, [[maybe_unused]] nlohmann::json&& value) {
        auto& self = static_cast<call&>(j);
        if constexpr (std::is_void_v<R>)
            self.result_.emplace();
        else
            self.result_.emplace(detail::from_wire<R>(std::move(value)));
    }

    outcome<R> result_;
    remote_call<R> call_;
};

} // namespace muster
