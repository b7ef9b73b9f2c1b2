// SPDX-License-Identifier: MIT
#include <muster/testing/faults.hpp>

#include <muster/detail/frame_allocator.hpp>
#include <muster/detail/loop_watch.hpp>
#include <muster/error.hpp>
#include <muster/exception_group.hpp>
#include <muster/testing/join_audit.hpp>

#include <new>
#include <optional>
#include <utility>

namespace muster::testing {

injected_fault::injected_fault(std::size_t point)
    : std::runtime_error("injected at point " + std::to_string(point)),
      point_(point) {}

std::string to_string(const fault_result& result) {
    std::string text = std::to_string(result.points) + " points, " + std::to_string(result.combinators) +
                       " combinators, " + std::to_string(result.deadlocks) + " deadlocks, " +
                       std::to_string(result.findings.size()) + " findings";
    for (const auto& finding : result.findings)
        text += '\n' + finding;
    return text;
}

using muster::detail::fiber;

/// Counts the points of one run and disturbs the one that it was made for.
class fault_driver::disturber final : public join_audit {
public:
    disturber(disturbance how, std::size_t point, const fault_options& options)
        : how_(how),
          point_(point),
          options_(options) {
        if (how_ == disturbance::failure)
            muster::detail::set_frame_fault_hook(&frame_may_be_made, this);
    }
    ~disturber() {
        if (how_ == disturbance::failure)
            muster::detail::set_frame_fault_hook(nullptr, nullptr);
    }

    void suspended(fiber& f) noexcept override {
        if (how_ == disturbance::cancellation) {
            if (++seen_ == point_)
                cancel(f);
        } else if (f.waits_for() != nullptr && f.waits_for()->kind_->can_fail) {
            if (++seen_ == point_ && f.interrupt_wait())
                failing_ = &f;
        }
    }

    void interrupted(fiber& f) override {
        if (&f != failing_)
            return;
        failing_ = nullptr;
        injected_fault_ = std::make_exception_ptr(injected_fault(point_));
        std::rethrow_exception(injected_fault_);
    }

    [[nodiscard]] bool reached() const noexcept { return seen_ >= point_; }
    [[nodiscard]] bool frame_failed() const noexcept { return frame_failed_; }
    /// What was thrown into a wait; null if it was a frame that failed.
    [[nodiscard]] const std::exception_ptr& injected() const noexcept { return injected_fault_; }

private:
    void cancel(fiber& f) noexcept {
        const muster::detail::cancel_request request(cancel_reason::requested);
        if (options_.cancels_who_waits()) {
            f.cancel(request);
            return;
        }
        // The body is the loop's first task, as long as it has not ended.
        if (auto* first = muster::detail::scheduler::of(f).first_task(); first != nullptr && first->number() == 1)
            first->fiber::cancel(request);
    }

    static bool frame_may_be_made(void* context) noexcept {
        auto& self = *static_cast<disturber*>(context);
        if (++self.seen_ != self.point_)
            return true;
        self.frame_failed_ = true;
        return false;
    }

    disturbance how_;
    std::size_t point_;
    const fault_options& options_;
    std::size_t seen_ = 0;
    fiber* failing_ = nullptr;
    bool frame_failed_ = false;
    std::exception_ptr injected_fault_;
};

/// One run. *Returns* false if it was over before the point was reached.
bool fault_driver::disturb_once(
    disturbance how, std::size_t point, const run_function& run, const fault_options& options, fault_result& result) {
    const auto find = [&](const std::string& what) {
        result.findings.push_back("at point " + std::to_string(point) + ": " + what);
    };
    const auto frames_before = live_frames();
    failure_book book;
    const auto note = [&book](const report& r) { book.reported(r); };
    const auto handler_before = set_report_handler(note);
    bool reached = false;
    bool frame_failed = false;
    std::exception_ptr injected;
    {
        disturber watch(how, point, options);
        {
            manual_loop loop;
            loop.set_watch(&watch);
            loop.shuffle_ready(options.shuffle_seed());
            try {
                run(loop, run_options().on_report(note), book);
            } catch (const deadlock_error&) {
                ++result.deadlocks;
            } catch (...) {
                book.delivered(std::current_exception());
            }
        }
        reached = watch.reached();
        frame_failed = watch.frame_failed();
        injected = watch.injected();
        result.combinators += watch.audited();
        for (const auto& mistake : watch.mistakes())
            find(mistake);
    }
    set_report_handler(handler_before);
    if (live_frames() != frames_before)
        find(std::to_string(live_frames() - frames_before) + " frames were not freed");
    for (const auto& mistake : book.mistakes())
        find(mistake);
    if (options.keeps_the_book()) {
        if (injected && !book.was_delivered(injected) && !book.was_reported(injected))
            find("the injected failure of a wait was lost");
        bool found = false;
        book.for_each([&](const std::exception_ptr& e, std::size_t, std::size_t) {
            found = found || muster::detail::get_if<std::bad_alloc>(e) != nullptr;
        });
        if (frame_failed && !found)
            find("the failure of a frame was lost");
    }
    return reached;
}

fault_result fault_driver::disturb_each_point(disturbance how, const run_function& run, const fault_options& options) {
    fault_result result;
    for (std::size_t point = 1; disturb_once(how, point, run, options, result); ++point) {
        result.points = point;
        if (point == options.most_runs()) {
            result.findings.push_back("it was given up after " + std::to_string(point) + " runs");
            break;
        }
    }
    return result;
}

} // namespace muster::testing
