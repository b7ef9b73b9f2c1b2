// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A call of a remote function with what a queue can do beyond calling it: a key of the caller's own, a priority, a
/// delay, more than one start.
///
///     auto sum = co_await muster::run_in_executor(queue,
///         muster::postgres::submission(hash(path)).key(known).priority(5).starts(3));

#include <muster/config.hpp>
#include <muster/postgres/call_key.hpp>
#include <muster/process_pool/remote_function.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace muster::postgres {

/// How far a call has come in the queue. A task that is cancelled gets a cancelled_error whatever became of its call:
/// this tells whether the queue has confirmed that the call is cancelled. *Thread safety*: any thread.
class call_progress {
public:
    /// Only the last two are final.
    enum class stage : std::uint8_t {
        not_submitted, ///< this program has not sent it; another one may have, under the same key
        submitted,     ///< it may be made, now or later
        ended,         ///< the queue has its outcome, or has had it
        cancelled,     ///< in the queue: it was not made, or its worker has ended it
    };
    [[nodiscard]] stage at() const noexcept { return at_.load(std::memory_order_acquire); }
    /// For the library.
    void note(stage next) noexcept { at_.store(next, std::memory_order_release); }

private:
    std::atomic<stage> at_{stage::not_submitted};
};

/// How a call is submitted.
struct submission_terms {
    submission_terms() {}
    std::optional<call_key> key; ///< a new one without it
    int priority = 0;
    int starts = 1;
    std::chrono::milliseconds delay{0};
    std::chrono::seconds keep{0}; ///< 0: as the executor's options say
    std::shared_ptr<call_progress> progress;
};

/// Each function may be used in a chain. *Errors*: std::invalid_argument for what makes no sense.
template <class R>
class [[nodiscard("nothing is called until this is given to run_in_executor")]] submission {
public:
    using result_type = R;

    explicit submission(remote_call<R> what) : call_(std::move(what)) {}

    /// The call's name in the queue. The same call under a key that is known already is not started again: its outcome
    /// is waited for, or is there.
    submission&& key(call_key k)&& {
        terms_.key = k;
        return std::move(*this);
    }
    /// Calls of a higher priority are made first; 0 unless it is set.
    submission&& priority(int p)&& {
        terms_.priority = p;
        return std::move(*this);
    }
    /// How often it may be started if its workers die: at most once unless this says more. A function that is started
    /// twice must be able to bear that.
    submission&& starts(int most)&& {
        if (most < 1)
            throw std::invalid_argument("submission::starts: at least once");
        terms_.starts = most;
        return std::move(*this);
    }
    /// It is not made before this time has passed, in the database's clock.
    submission&& delay(std::chrono::milliseconds time)&& {
        if (time.count() < 0)
            throw std::invalid_argument("submission::delay: the time must not be negative");
        terms_.delay = time;
        return std::move(*this);
    }
    /// How long its outcome is kept.
    submission&& keep(std::chrono::seconds time)&& {
        if (time.count() < 1)
            throw std::invalid_argument("submission::keep: at least a second");
        terms_.keep = time;
        return std::move(*this);
    }

    /// Where the executor notes what is known of the call; final once the call is over.
    submission&& progress(std::shared_ptr<call_progress> told)&& {
        terms_.progress = std::move(told);
        return std::move(*this);
    }

    /// For the library.
    [[nodiscard]] const submission_terms& terms() const noexcept { return terms_; }
    [[nodiscard]] const remote_call<R>& what() const noexcept { return call_; }

private:
    remote_call<R> call_;
    submission_terms terms_;
};

} // namespace muster::postgres
