// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Calls that survive: remote functions of the process pool, made by workers anywhere, by way of tables in PostgreSQL.
/// Whoever submits a call, makes it, or keeps it may go away and come back. Needs muster::postgres.
///
///     muster::postgres::executor queue(executor_options("service=jobs"));   // instead of: muster::process_pool queue;
///     auto sum = co_await muster::run_in_executor(queue, hash(path));
///     co_await muster::postgres::serve(worker_options("service=jobs"));     // in the worker's program

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/executor.hpp>
#include <muster/outcome.hpp>
#include <muster/postgres/call_key.hpp>
#include <muster/postgres/error.hpp>
#include <muster/postgres/options.hpp>
#include <muster/postgres/submission.hpp>
#include <muster/process_pool.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace muster::postgres {

class client;

/// Each call has a key, a UUID, and exactly one outcome under that key, which is kept until its time is up. A call is
/// started at most once unless its submission says more. The connection is made with the first call, and made again
/// when it is lost. *Errors* of a call: what the function throws, as with a process_pool, and what the process pool of
/// the worker says of it, muster::worker_died_error say; postgres::worker_died_error; queue_full at the queue's limit;
/// wire_error, also for a call that is larger than the queue's limit; key_in_use_error; outcome_expired_error;
/// unreachable_error; database_error; invalid_state_error once the executor is shut down. *Cancellation*: a call that
/// waits is taken out of the queue; the worker of one that runs kills its process; the task waits until that is done,
/// unless executor_options::keeps_cancelled() says otherwise. *Thread safety*: any thread. The connection, and each
/// result's from_json, is the business of a thread of the executor's own. *Source*: concurrent.futures.Executor.
class executor {
public:
    class job;
    template <class F>
    class call;
    class reference;

    /// *Errors*: std::system_error without a descriptor or a thread to be had.
    explicit executor(executor_options options);
    /// As stop().
    ~executor();
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;

    /// Takes no more calls, and returns when all are over. Blocks. *Errors*: invalid_state_error on the executor's own
    /// thread.
    void shutdown();
    /// Takes no more calls and waits for none: they stay in the queue, and tasks that wait for one get
    /// cancelled_error{shutdown}. Their outcomes are found under their keys. *Errors*: as shutdown().
    void stop();

    /// Calls that wait here because the window is full, and calls that are in the queue.
    [[nodiscard]] std::size_t waiting() const noexcept;
    [[nodiscard]] std::size_t submitted() const noexcept;

    // ---- an executor: see executor.hpp ----
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;

private:
    std::shared_ptr<client> client_;
};

/// A call's share of the executor: once that is gone it takes no calls any more.
class executor::reference {
public:
    explicit reference(executor& of) noexcept : client_(of.client_) {}
    void submit(job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;

private:
    std::shared_ptr<client> client_;
};

/// One call, from submit() until its outcome is in place.
class executor::job : public executor_job, public detail::list_hook<executor::job> {
public:
    // ---- for the executor's thread ----
    [[nodiscard]] const std::string& name() const noexcept { return request_->entry->name; }
    [[nodiscard]] const detail::remote_request& request() const noexcept { return *request_; }
    [[nodiscard]] const submission_terms& terms() const noexcept { return *terms_; }
    /// As process_pool::job::decode.
    void decode(nlohmann::json&& value) { decode_(*this, std::move(value)); }

protected:
    using decoder = void (*)(job& self, nlohmann::json&& value);

    job(outcome_base& result, decoder d) noexcept : executor_job(result), decode_(d) {}
    ~job() = default;

    /// *Lifetime*: both live as long as the job.
    void send(const detail::remote_request& request, const submission_terms& terms) noexcept {
        request_ = &request;
        terms_ = &terms;
    }
    void ask_to_stop() noexcept;

private:
    friend class postgres::client;
    /// Where it is; guarded by the client's lock.
    enum class place : std::uint8_t { nowhere, waiting, taken, to_be_stopped };

    const detail::remote_request* request_ = nullptr;
    const submission_terms* terms_ = nullptr;
    decoder decode_;
    std::shared_ptr<client> client_;
    place place_ = place::nowhere;
};

/// A call of anything but a remote function is refused; what is not refused is specialised below.
template <class F>
class executor::call final : public job {
    static_assert(sizeof(F) == 0,
        "this can't be sent to another process: register a function, const muster::remote_function "
        "hash(\"hash\", &hash_file), and pass a call of it, run_in_executor(queue, hash(path))");

public:
    using result_type = void;
    explicit call(F);
    [[nodiscard]] outcome<void>& result() noexcept;
    [[nodiscard]] F callable() &&;
    void request_stop() noexcept;
};

template <class R>
class executor::call<submission<R>> : public executor::job {
public:
    using result_type = R;

    explicit call(submission<R> s) : job(result_, &read_result), submission_(std::move(s)) {
        send(submission_.what().request(), submission_.terms());
    }

    [[nodiscard]] outcome<R>& result() noexcept { return result_; }
    [[nodiscard]] submission<R> callable() && { return std::move(submission_); }
    void request_stop() noexcept { ask_to_stop(); }

private:
    static void read_result(job& j, nlohmann::json&& value) {
        auto& self = static_cast<call&>(j);
        if constexpr (std::is_void_v<R>)
            self.result_.emplace();
        else
            self.result_.emplace(detail::from_wire<R>(std::move(value)));
    }

    outcome<R> result_;
    submission<R> submission_;
};

template <class R>
class executor::call<remote_call<R>> final : public executor::call<submission<R>> {
public:
    explicit call(remote_call<R> c) : executor::call<submission<R>>(submission<R>(std::move(c))) {}
    [[nodiscard]] remote_call<R> callable() && {
        return std::move(static_cast<executor::call<submission<R>>&>(*this)).callable().what();
    }
};

/// A function that a worker serves by itself, on its loop, and not in a process: of the call's arguments, a list, it
/// makes the value.
using handler = std::function<task<nlohmann::json>(nlohmann::json arguments)>;

/// Serves a queue: takes calls, as many at once as there are slots, has each made by a process of a process_pool, and
/// hands their outcomes in. The program must call process_pool::serve_if_worker() first in its main, unless the options
/// name another program for the processes. A lost connection is made again; calls that run go on meanwhile, until the
/// lease is over. A worker that was taken for dead ends what it runs, and begins anew. *Returns* never; it ends by
/// being cancelled. *Errors*: unreachable_error if the server refuses the first connection, or has no queue of this
/// version; database_error; invalid_state_error as process_pool's constructor; std::invalid_argument for a name in
/// functions() that the program does not have. *Cancellation*: no more calls are taken, those that have not begun go
/// back, and those that run are waited for, worker_options::drain_limit() at most. *Thread safety*: the loop's thread.
[[nodiscard]] task<> serve(worker_options options);
/// The same for functions that are served on the loop, and no others. A handler that is cancelled has to end soon.
[[nodiscard]] task<> serve(worker_options options, std::map<std::string, handler> handlers);

} // namespace muster::postgres
