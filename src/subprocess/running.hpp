// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task's wait for a process to end: feeds its input, takes its outputs, and ends it when the task is cancelled.
/// Private to the library.
///
///     running waiting(c, c.pidfd(), grace, linger);
///     waiting.collect(1, pipe, collector);
///     co_await waiting;

#include "subprocess/child.hpp"
#include "subprocess/watch.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/subprocess.hpp>
#include <muster/task.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace muster::detail {

/// What becomes of an output.
class output_collector {
public:
    output_collector() = default;
    output_collector(const output_plan& plan, const command& what) noexcept : plan_(&plan), what_(&what) {}

    /// *Errors*: output_limit_error, or what the sink throws.
    void take(std::string_view piece);
    /// From now on what comes is thrown away.
    void discard() noexcept { plan_ = nullptr; }
    [[nodiscard]] std::string finish() &&;
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

private:
    const output_plan* plan_ = nullptr; ///< none: all is thrown away
    const command* what_ = nullptr;
    std::string kept_;
    std::uint64_t total_ = 0;
};

class running final : public library_awaitable, public suspension {
public:
    /// Child and descriptors must outlive it; nobody else may watch the same descriptors.
    running(child& c, int pidfd, std::chrono::nanoseconds grace, std::chrono::nanoseconds linger) noexcept;
    ~running() { stop(); }

    /// What it reads on standard input. `pipe` is closed once it has read all, or does not want to.
    void feed(owned_fd& pipe, std::string_view bytes) noexcept;
    /// `which` is 1 or 2. `pipe` is closed at its end.
    void collect(std::size_t which, owned_fd& pipe, output_collector& into) noexcept;
    /// It is asked to end as soon as the wait begins.
    void end_at_once() noexcept { ends_at_once_ = true; }
    [[nodiscard]] bool output_ended() const noexcept { return !cut_; }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        if (begin())
            fiber_->wait(*this, h);
        else
            fiber_->yield(h);
    }
    /// What went wrong goes before a cancellation, which then comes at the next wait.
    void await_resume() const {
        if (error_)
            std::rethrow_exception(error_);
        fiber_->throw_if_cancelled();
    }

private:
    struct stream {
        running* of = nullptr;
        owned_fd* pipe = nullptr;
        output_collector* into = nullptr;
        watch readiness;
    };
    struct named_timer : timer {
        named_timer(running& r, fire_function fire) noexcept : timer(fire), of(&r) {}
        [[nodiscard]] bool set() const noexcept { return armed() || wanted; }
        running* of;
        nanoseconds after{0};
        bool wanted = false; ///< it is to be armed in the next turn
    };
    /// A loop that calls back from its wait has a time that is old, and has looked already when its next timer is due.
    /// So timers are armed in a turn of the loop.
    struct timer_entry : call_entry {
        explicit timer_entry(running& r) noexcept;
        running* of;
    };

    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
    static constexpr suspension_kind kind_of{"the end of a process", &cancel};

    bool begin() noexcept;
    bool watch_stream(stream& s, watch::interest what, watch::ready_function ready) noexcept;
    void start_ending() noexcept;
    void fail(std::exception_ptr error) noexcept;
    void write_input() noexcept;
    void read(stream& s, std::size_t most) noexcept;
    void close(stream& s) noexcept;
    void ended() noexcept;
    void after_end() noexcept;
    void look_at_group() noexcept;
    void time_is_up() noexcept;
    void arm(named_timer& t, nanoseconds after) noexcept;
    void arm_now(named_timer& t) noexcept;
    [[nodiscard]] bool outputs_open() const noexcept;
    void finish() noexcept;
    void stop() noexcept;

    child* child_;
    int pidfd_;
    event_loop* loop_ = nullptr;
    nanoseconds grace_;
    nanoseconds linger_;
    std::string_view input_;
    std::array<stream, 3> streams_;
    watch end_;
    named_timer limit_; ///< the grace period, or how long the outputs are lingered for
    named_timer look_;  ///< at the group
    timer_entry arming_;
    nanoseconds next_look_{0};
    std::exception_ptr error_;
    bool ends_at_once_ = false;
    bool ending_ = false;
    bool waiting_ = false;
    bool draining_ = false;
    bool cut_ = false; ///< an output was still open at the end
};

} // namespace muster::detail
