// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task's wait for a process to end. Meanwhile it feeds the process's input and takes its outputs; it ends the
/// process when the task is cancelled, or when an output can't be taken. Private to the library.
///
///     process_wait waiting(c, grace, linger);
///     waiting.collect(1, pipe, collector);
///     co_await waiting;
///
/// The phases:
///
///                  cancelled, or an output failed          the grace is over
///     built --> running ------------------------> asked ----------------------> killed
///       |          |                                |                             |
///       |          | the process ended              | the process ended           | the process ended
///       |          v              cancelled         v                             |
///       |      lingering ---------------------> sweeping <------------------------+
///       |          |                                |
///       |          | outputs ended, or              | no process is left in its group,
///       |          | the linger time is over        | or the grace is over and they were killed
///       v          v                                v
///     over <-------+--------------------------------+        (from any phase: the task's frame is destroyed)

#include "io/descriptor.hpp"
#include "subprocess/child.hpp"
#include "subprocess/output_collector.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/task.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>

namespace muster::detail {

class process_wait final : public library_awaitable, public suspension, private end_listener {
public:
    /// *Lifetime*: the child must outlive it.
    process_wait(child& c, std::chrono::nanoseconds grace, std::chrono::nanoseconds linger) noexcept;
    ~process_wait() { stop(); }

    /// The process reads `bytes` on standard input. `pipe`, which may be null, is closed once the process has read all,
    /// or has closed its end. *Lifetime*: `bytes` must outlive the wait.
    void feed(std::shared_ptr<descriptor> pipe, std::string_view bytes) noexcept;
    /// Takes output 1 or 2 as it comes. `pipe`, which may be null, is closed at its end.
    void collect(std::size_t which, std::shared_ptr<descriptor> pipe, output_collector& into) noexcept;
    /// The process is asked to end as soon as the wait begins.
    void end_at_once() noexcept { from_the_start_ = phase::asked; }
    /// False if an output was still open when the wait ended, because what the process left behind held it open.
    [[nodiscard]] bool output_ended() const noexcept { return !output_was_cut_; }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        if (begin())
            fiber_->wait(*this, h);
        else
            fiber_->yield(h);
    }
    /// An error goes before a cancellation, which then comes at the next wait.
    void await_resume() const {
        if (error_)
            std::rethrow_exception(error_);
        fiber_->throw_if_cancelled();
    }

private:
    enum class phase : std::uint8_t { built, running, asked, killed, lingering, sweeping, over };
    class stream;
    class late_timer;

    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
    static constexpr suspension_kind kind_of{.what = "the end of a process", .cancel = &cancel};

    void enter(phase next) noexcept;
    bool begin() noexcept;
    bool watch(stream& s, descriptor::side side) noexcept;
    void fail(std::exception_ptr error) noexcept;

    void input_is_writable() noexcept;
    void output_is_readable(stream& s) noexcept;
    /// *Returns* whether the pipe takes more later: not if all is written, or the process does not want it.
    bool write_input() noexcept;
    /// Reads what there is, within bounds.
    void read_output(stream& s) noexcept;
    [[nodiscard]] bool outputs_open() const noexcept;

    void ask_to_end() noexcept;
    void on_end() noexcept override;
    void look_at_outputs() noexcept;
    void look_at_group() noexcept;
    void time_is_up() noexcept;
    void finish() noexcept;
    void stop() noexcept;

    /// One pipe of the process, as far as there is one.
    class stream final : public descriptor::waiter {
    public:
        explicit stream(process_wait& w) noexcept : of_(&w) {}
        [[nodiscard]] bool is_open() const noexcept { return pipe_ != nullptr && pipe_->is_open(); }

    private:
        friend class process_wait;
        void on_ready() noexcept override;
        void close() noexcept;

        process_wait* of_;
        std::shared_ptr<descriptor> pipe_;
        output_collector* into_ = nullptr; ///< null for standard input
    };

    /// A timer that is armed in the next iteration of the loop. While the loop calls back from its wait its time is
    /// old, and it has decided already how long it waits.
    class late_timer : private timer, private call_entry {
    public:
        using function = void (process_wait::*)() noexcept;
        late_timer(process_wait& w, function fired) noexcept;
        /// From now on, until it fires or is disarmed.
        [[nodiscard]] bool is_set() const noexcept { return armed() || to_arm_.has_value(); }
        void arm(nanoseconds after) noexcept;
        void disarm() noexcept;

    private:
        process_wait* of_;
        function fired_;
        std::optional<nanoseconds> to_arm_;
    };

    child* child_;
    event_loop* loop_ = nullptr;
    nanoseconds grace_;
    nanoseconds linger_;
    std::string_view input_;
    stream in_;
    std::array<stream, 2> outputs_;
    late_timer limit_; ///< for the grace, or for how long the outputs are lingered for
    late_timer look_;  ///< for the next look at the group
    nanoseconds next_look_{0};
    std::exception_ptr error_;
    phase phase_ = phase::built;
    phase from_the_start_ = phase::running;
    bool output_was_cut_ = false;
};

} // namespace muster::detail
