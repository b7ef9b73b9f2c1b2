// SPDX-License-Identifier: MIT
// A series of runs of one body: undisturbed first, then disturbed at each of its points. The disturber sits on the loop
// as its watch, counts the points and acts at one of them; the sync_audit sees what tasks do with locks, permits and
// queues; what of it all is a finding is said in run_series.
#include <muster/testing/faults.hpp>

#include "testing/sync_audit.hpp"

#include <muster/detail/frame_allocator.hpp>
#include <muster/detail/loop_watch.hpp>
#include <muster/detail/task_state.hpp>
#include <muster/error.hpp>
#include <muster/exception_group.hpp>
#include <muster/testing/join_audit.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <limits>
#include <new>
#include <set>
#include <source_location>
#include <string_view>
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
using muster::detail::scheduler;

namespace {

using disturbance = fault_driver::disturbance;

/// Real time: a promise that no other thread keeps within it, no thread will.
constexpr std::chrono::seconds promise_limit{3};

/// Counts the points of one run and disturbs the one that it was made for; none if that is 0.
class disturber final : public join_audit {
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
        const auto* const waits_for = f.waits_for();
        const char* const what = waits_for != nullptr ? waits_for->kind_->what : "yield";
        look_at_kind(what);
        if (waits_for != nullptr && std::string_view(what) == a_shield)
            note_shielded(*waits_for);
        if (how_ == disturbance::cancellation) {
            if (is_the_point(what))
                cancel(f);
        } else if (waits_for != nullptr && waits_for->kind_->can_fail) {
            if (is_the_point(what) && f.interrupt_wait()) {
                act_ = act::failed_a_wait;
                failing_ = &f;
            }
        }
        if (seen_.size() > options_.most_runs())
            cancel_body(scheduler::of(f));
    }

    void interrupted(fiber& f) override {
        if (&f != failing_)
            return;
        failing_ = nullptr;
        injected_fault_ = std::make_exception_ptr(injected_fault(point_));
        std::rethrow_exception(injected_fault_);
    }

    void ended(const fiber& f, const outcome_base& result) noexcept override {
        shielded_.erase(&f);
        // asyncio's cancelling(): a time limit takes its own request back.
        if (result.succeeded() && f.cancels() != 0)
            ++swallowed_;
    }

    void main_ended(const muster::detail::fiber_loop& of) noexcept override {
        const auto& loop = static_cast<const scheduler&>(of);
        auto first_shielded = std::numeric_limits<std::uint64_t>::max();
        for (const auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t))
            if (shielded_.contains(t))
                first_shielded = std::min(first_shielded, t->number());
        try {
            // A shielded task goes on, and so may the tasks that it has started; they are younger.
            for (const auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t))
                if (t->cancels() == 0 && t->number() < first_shielded)
                    left_running_.push_back(describe(*t));
        } catch (...) {
            std::terminate(); // no memory to write it down
        }
    }

    enum class act { none, cancelled_the_body, cancelled_one, failed_a_frame, failed_a_wait };

    [[nodiscard]] bool reached() const noexcept { return point_ != 0 && seen_.size() >= point_; }
    [[nodiscard]] act what_was_done() const noexcept { return act_; }
    [[nodiscard]] bool has_no_end() const noexcept { return seen_.size() > options_.most_runs(); }
    /// The exception that was thrown into a wait; null if it was a frame that failed.
    [[nodiscard]] const std::exception_ptr& injected() const noexcept { return injected_fault_; }
    /// A line for each task that still ran when the body had ended.
    [[nodiscard]] const std::vector<std::string>& left_running() const noexcept { return left_running_; }
    /// How many tasks and children were asked to end, and ended with a value.
    [[nodiscard]] std::size_t swallowed() const noexcept { return swallowed_; }
    /// The kind of each point, in order.
    [[nodiscard]] const std::vector<const char*>& points() const noexcept { return seen_; }
    /// Whether other threads had a part in it, so that the order of its points is not always the same.
    [[nodiscard]] bool used_threads() const noexcept { return used_threads_; }

private:
    static constexpr const char* frame = "the frame of a coroutine";
    static constexpr std::string_view a_shield = "a shielded task or future";

    /// Collects the tasks that a shielded wait waits for, also those of a gather that was started.
    class shielded_tasks final : public muster::detail::wait_lister {
    public:
        explicit shielded_tasks(std::set<const fiber*>& all) noexcept : all_(all) {}
        void child(std::string, std::source_location, const fiber* runs, const muster::detail::suspension* waits,
            bool go_into) override {
            if (runs != nullptr)
                all_.insert(runs);
            else if (go_into && waits != nullptr && waits->kind_->list != nullptr)
                waits->kind_->list(*waits, *this);
        }

    private:
        std::set<const fiber*>& all_;
    };
    void note_shielded(const muster::detail::suspension& wait) noexcept {
        shielded_tasks found(shielded_);
        wait.kind_->list(wait, found);
    }

    [[nodiscard]] static std::string describe(const muster::detail::task_base& t) {
        std::string text =
            '\'' + t.owners_name() + "', created at " + t.site().file_name() + ':' + std::to_string(t.site().line());
        if (const auto* op = t.waits_for())
            text += std::string(", waits for ") + op->kind_->what;
        return text;
    }

    [[nodiscard]] bool is_the_point(const char* what) noexcept {
        try {
            seen_.push_back(what);
        } catch (...) {
            std::terminate(); // no memory to write it down
        }
        return seen_.size() == point_;
    }

    void look_at_kind(std::string_view what) noexcept {
        if (what == "a call on an executor" || what == "another library's awaitable")
            used_threads_ = true;
    }

    void cancel(fiber& f) noexcept {
        if (options_.cancels_who_waits()) {
            act_ = act::cancelled_one;
            f.cancel(muster::detail::cancel_request(cancel_reason::requested));
        } else {
            cancel_body(scheduler::of(f));
        }
    }

    void cancel_body(scheduler& loop) noexcept {
        // The body is the loop's first task, as long as it has not ended.
        if (auto* first = loop.first_task(); first != nullptr && first->number() == 1) {
            first->fiber::cancel(muster::detail::cancel_request(cancel_reason::requested));
            act_ = act::cancelled_the_body;
        }
    }

    static bool frame_may_be_made(void* context) noexcept {
        auto& self = *static_cast<disturber*>(context);
        if (!self.is_the_point(frame))
            return true;
        self.act_ = act::failed_a_frame;
        return false;
    }

    disturbance how_;
    std::size_t point_;
    const fault_options& options_;
    std::vector<const char*> seen_;
    std::vector<std::string> left_running_;
    std::set<const fiber*> shielded_; ///< tasks that have not ended and that a shield was waited for
    std::size_t swallowed_ = 0;
    fiber* failing_ = nullptr;
    std::exception_ptr injected_fault_;
    act act_ = act::none;
    bool used_threads_ = false;
};

enum class ending { value, cancellation, failure, deadlock };

/// How a run went.
struct run_record {
    ending how = ending::value;
    std::string error; ///< the failure, or the tasks that wait in a deadlock
    std::vector<const char*> points;
    std::chrono::nanoseconds elapsed{0};
    std::size_t swallowed = 0;
    bool used_threads = false;
    bool has_no_end = false;
    sync_audit primitives;
};

/// Makes the runs of one body, and compares each with the undisturbed one.
class run_series {
public:
    using run_function = std::function<void(manual_loop&, const run_options&, failure_book&)>;

    run_series(disturbance how, const run_function& run, const fault_options& options, fault_result& result)
        : how_(how),
          run_(run),
          options_(options),
          result_(result) {}

    /// *Returns* false if there is nothing to be learned from disturbing it.
    bool run_undisturbed();
    /// *Returns* false if the run was over before the point was reached.
    bool run_disturbed_at(std::size_t point);

private:
    void make_run(disturber& d, run_record& r, failure_book& book);
    /// Looks at what has to hold after every run. *Returns* whether the point was reached.
    bool run_and_look(std::size_t point, run_record& r);
    void look_at_book(const disturber& d, const failure_book& book);
    void look_at_the_way(const run_record& r, bool disturbed);
    void find(const std::string& what) {
        const auto where = now_at_ == 0 ? std::string("undisturbed") : "at point " + std::to_string(now_at_);
        result_.findings.push_back(where + ": " + what);
    }

    disturbance how_;
    const run_function& run_;
    const fault_options& options_;
    fault_result& result_;
    std::size_t now_at_ = 0;
    run_record undisturbed_;
};

void run_series::make_run(disturber& d, run_record& r, failure_book& book) {
    const auto note = [&book](const report& rep) { book.reported(rep); };
    const muster::detail::sync_watch_scope scope(r.primitives);
    manual_loop loop;
    loop.set_watch(&d);
    loop.limit_waits_for_promises(promise_limit);
    loop.shuffle_ready(options_.shuffle_seed());
    try {
        run_(loop, run_options().on_report(note), book);
    } catch (const deadlock_error& e) {
        r.how = ending::deadlock;
        r.error = e.what();
    } catch (const cancelled_error&) {
        r.how = ending::cancellation;
    } catch (...) {
        r.how = ending::failure;
        r.error = muster::describe(std::current_exception());
        book.delivered(std::current_exception());
    }
    r.primitives.stop();
    r.elapsed = loop.elapsed();
    r.points = d.points();
    r.used_threads = d.used_threads();
    r.has_no_end = d.has_no_end();
}

bool run_series::run_and_look(std::size_t point, run_record& r) {
    now_at_ = point;
    const auto frames_before = live_frames();
    failure_book book;
    const auto note = [&book](const report& rep) { book.reported(rep); };
    const auto handler_before = set_report_handler(note);
    bool reached = false;
    bool body_was_cancelled = false;
    {
        disturber d(how_, point, options_);
        make_run(d, r, book);
        reached = d.reached();
        body_was_cancelled = d.what_was_done() == disturber::act::cancelled_the_body;
        result_.combinators += d.audited();
        for (const auto& mistake : d.mistakes())
            find(mistake);
        if (!options_.left_tasks_are_meant())
            for (const auto& task : d.left_running())
                find("a task still ran when the body had ended: " + task);
        r.swallowed = d.swallowed();
        // A body that ends tasks of its own by a cancellation, which they take for a wish and end well, means that.
        const bool is_new = point != 0 && undisturbed_.swallowed == 0;
        if (d.swallowed() != 0 && is_new && !options_.value_is_meant())
            find("a task or child was cancelled and ended with a value: something has swallowed the cancellation");
        look_at_book(d, book);
    }
    set_report_handler(handler_before);
    if (live_frames() != frames_before)
        find(std::to_string(live_frames() - frames_before) + " frames were not freed");
    for (const auto& mistake : r.primitives.mistakes(point == 0 ? nullptr : &undisturbed_.primitives))
        find(mistake);
    if (r.how == ending::deadlock)
        ++result_.deadlocks;
    if (!body_was_cancelled)
        return reached;
    // The count of a fiber's requests tells who has swallowed one, but for a body that takes the driver's request back.
    const bool was_told_above = r.swallowed != 0 && undisturbed_.swallowed == 0;
    if (point != 0 && r.how == ending::value && !was_told_above && !options_.value_is_meant())
        find("the body was cancelled and ended with a value: something has swallowed the cancellation");
    if (r.how == ending::failure && !options_.error_is_meant())
        find("the body was cancelled and ended with an error instead, which its caller takes for a failure of its "
             "own: " +
             r.error);
    if (r.how == ending::deadlock)
        find("the body was cancelled and waited for ever: " + r.error);
    return reached;
}

void run_series::look_at_book(const disturber& d, const failure_book& book) {
    for (const auto& mistake : book.mistakes())
        find(mistake);
    if (!options_.keeps_the_book())
        return;
    if (d.injected() && !book.was_delivered(d.injected()) && !book.was_reported(d.injected()))
        find("the injected failure of a wait was lost");
    bool found = false;
    book.for_each([&](const std::exception_ptr& e, std::size_t, std::size_t) {
        found = found || muster::detail::get_if<std::bad_alloc>(e) != nullptr;
    });
    if (d.what_was_done() == disturber::act::failed_a_frame && !found)
        find("the failure of a frame was lost");
}

/// Until its disturbance a run goes the same way as the undisturbed one; without one, to its end.
void run_series::look_at_the_way(const run_record& r, bool disturbed) {
    if (r.used_threads || undisturbed_.used_threads || r.primitives.has_other_signals(undisturbed_.primitives))
        return;
    static constexpr const char* why = ": an earlier run has left something behind";
    const auto& expected = undisturbed_.points;
    const std::size_t same = disturbed ? now_at_ : std::max(expected.size(), r.points.size());
    for (std::size_t i = 0; i != same; ++i) {
        const char* const was = i < expected.size() ? expected[i] : "the end";
        const char* const is = i < r.points.size() ? r.points[i] : "the end";
        if (std::string_view(was) != is) {
            find("point " + std::to_string(i + 1) + " was " + is + ", and " + was + " in the first run" + why);
            return;
        }
    }
    if (!disturbed && r.how != undisturbed_.how)
        find(std::string("without a disturbance the body ended in another way than in the first run") + why);
    else if (!disturbed && r.elapsed != undisturbed_.elapsed)
        find(std::string("without a disturbance the body took another time than in the first run") + why);
    if (!disturbed)
        for (const auto& difference : r.primitives.differences(undisturbed_.primitives))
            find(difference + why);
}

bool run_series::run_undisturbed() {
    auto& r = undisturbed_;
    run_and_look(0, r);
    if (r.has_no_end)
        find("it has no end: it was cancelled after " + std::to_string(r.points.size()) + " points");
    else if (r.how == ending::deadlock)
        find("it waits for ever: " + r.error);
    else if (r.how == ending::failure && !options_.failure_is_meant())
        find("it fails: " + r.error);
    else if (r.how == ending::cancellation && !options_.failure_is_meant())
        find("it ends with a cancellation of its own");
    // The frame of the body itself and its task are points, and show nothing.
    if (r.points.size() < (how_ == disturbance::failure ? 3U : 1U))
        find("it has no point at which it could be disturbed: nothing was tried");
    return !r.has_no_end && r.how != ending::deadlock;
}

bool run_series::run_disturbed_at(std::size_t point) {
    run_record r;
    const bool reached = run_and_look(point, r);
    look_at_the_way(r, reached);
    return reached;
}

} // namespace

fault_result fault_driver::disturb_each_point(disturbance how, const run_function& run, const fault_options& options) {
    fault_result result;
    run_series series(how, run, options, result);
    if (!series.run_undisturbed())
        return result;
    for (std::size_t point = 1; series.run_disturbed_at(point); ++point) {
        result.points = point;
        if (point == options.most_runs()) {
            result.findings.push_back("it was given up after " + std::to_string(point) + " runs");
            break;
        }
    }
    return result;
}

} // namespace muster::testing
