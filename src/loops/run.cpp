// SPDX-License-Identifier: MIT
// Running a task to its end on a loop.
//
//     main runs -> main has ended, or nothing can run any more
//       -> what is left is cancelled and waited for, round after round, until nothing is left or the grace time is over
//       -> tasks that ignored that are named and left behind: they are never resumed, and destroyed with the loop
//
// In a strict run the tasks that still run when main ends are reported before they are cancelled.
#include <muster/run.hpp>

#include <muster/detail/completable.hpp>
#include <muster/detail/loop_watch.hpp>
#include <muster/detail/task_state.hpp>
#include <muster/exception_group.hpp>
#include <muster/sleep.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace muster {

run_options& run_options::interrupt_signals(std::initializer_list<int> signals) {
    std::uint64_t chosen = 0;
    for (const int signal : signals) {
        if (signal < 1 || signal > 64 || signal == SIGKILL || signal == SIGSTOP)
            throw std::invalid_argument("run_options::interrupt_signals: " + std::to_string(signal) +
                                        " is no signal that a program can be told of");
        chosen |= std::uint64_t{1} << (signal - 1);
    }
    signals_ = chosen;
    return *this;
}

} // namespace muster

namespace muster::detail {

namespace {

/// Notes that main has ended, in an entry of its own: what was ready beside main still runs first, as in asyncio.
class end_of_main final : public watcher {
public:
    explicit end_of_main(scheduler& loop) noexcept : watcher(&ended, &call), loop_(loop) {}
    ~end_of_main() { unwatch(); }

    static bool reached(void* context) { return static_cast<end_of_main*>(context)->reached_; }

private:
    static void ended(watcher& w) noexcept {
        auto& self = static_cast<end_of_main&>(w);
        self.loop_.post(static_cast<call_entry&>(self));
    }
    static void call(call_entry& c, bool run) noexcept {
        if (run)
            static_cast<end_of_main&>(c).reached_ = true;
    }

    scheduler& loop_;
    bool reached_ = false;
};

class grace_timer final : public timer {
public:
    explicit grace_timer(scheduler& loop) noexcept
        : timer([](timer& t) noexcept { static_cast<grace_timer&>(t).over_ = true; }),
          loop_(loop) {}
    ~grace_timer() { loop_.disarm(*this); }
    [[nodiscard]] bool over() const noexcept { return over_; }

private:
    scheduler& loop_;
    bool over_ = false;
};

class interrupt_scope {
public:
    interrupt_scope(scheduler& loop, const any_handle& main, const run_options& options) : loop_(loop) {
        if (options.handles_interrupt())
            watching_ =
                loop.watch_interrupt(options.interrupt_signals_set(), &interrupted, const_cast<any_handle*>(&main));
    }
    ~interrupt_scope() {
        if (watching_)
            loop_.unwatch_interrupt();
    }
    interrupt_scope(const interrupt_scope&) = delete;
    interrupt_scope& operator=(const interrupt_scope&) = delete;

private:
    static void interrupted(int signal, void* context) noexcept {
        const auto& main = *static_cast<const any_handle*>(context);
        try {
            main.cancel("interrupted by " + name_of(signal));
        } catch (const std::bad_alloc&) {
            main.state().cancel(cancel_request(cancel_reason::requested));
        }
    }
    static std::string name_of(int signal) {
        switch (signal) {
        case SIGHUP:
            return "SIGHUP";
        case SIGINT:
            return "SIGINT";
        case SIGQUIT:
            return "SIGQUIT";
        case SIGTERM:
            return "SIGTERM";
        case SIGUSR1:
            return "SIGUSR1";
        case SIGUSR2:
            return "SIGUSR2";
        default:
            return "signal " + std::to_string(signal);
        }
    }

    scheduler& loop_;
    bool watching_ = false;
};

void report_failed_shutdown(const any_handle& h) {
    auto& state = h.state();
    if (!state.done() || !state.ended_as().failed() || state.retrieved())
        return;
    state.mark_retrieved();
    report r(report_kind::shutdown_failure);
    r.site = h.site();
    r.error = state.ended_as().error();
    r.id = h.id();
    send_report(r, [&] { r.name = h.name(); });
}

enum class those { all, not_cancelled };

/// Reports tasks that have not ended: all of them, or those that nobody has asked to stop. They are described before
/// the first report is sent: its handler may create tasks.
void report_tasks(scheduler& loop, those which, report_kind kind, const char* before) {
    struct described {
        counted<completable> task;
        report about;
    };
    std::vector<described> all;
    for (auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t)) {
        if (which == those::not_cancelled && t->cancels() != 0)
            continue;
        auto& r = all.emplace_back(described{counted<completable>(t), report(kind)}).about;
        r.name = t->name();
        r.site = t->site();
        r.id = t;
        r.detail = before + describe_wait(*t);
    }
    for (const auto& each : all) {
        const locals_scope in(locals_share(retain_locals(each.task->as_fiber()->locals())));
        send_report(each.about);
    }
}

/// The done callbacks of what has just ended are called, and what they wake runs once, as in asyncio.
void run_last_callbacks(scheduler& loop) {
    struct state {
        scheduler& loop;
        int iterations = 2;
    } s{loop};
    static_cast<void>(loop.run_until(
        [](void* context) {
            auto& self = *static_cast<state*>(context);
            return !self.loop.has_ready() || self.iterations-- == 0;
        },
        &s));
}

/// Cancels and awaits the tasks that there are. *Returns* false if it got stuck, or the time was over first.
/// Failures are reported at the end, when the tasks that wait for them have run.
bool end_tasks(scheduler& loop, grace_timer& limit) {
    std::vector<any_handle> left;
    for (auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t))
        left.push_back(detail_handle_access::make(*t));
    const cancel_request request(cancel_reason::shutdown);
    for (const auto& h : left)
        h.state().cancel(request);
    struct round {
        grace_timer& limit;
        const std::vector<any_handle>& left;
        std::size_t unended = left.size();
    } r{limit, left};
    const bool ended = loop.run_until(
        [](void* context) {
            auto& self = *static_cast<round*>(context);
            if (self.limit.over())
                return true;
            while (self.unended != 0 && self.left[self.unended - 1].done())
                --self.unended;
            return self.unended == 0;
        },
        &r);
    run_last_callbacks(loop);
    while (!left.empty()) {
        report_failed_shutdown(left.back());
        left.pop_back();
    }
    return ended && !limit.over();
}

/// Cancels and awaits the tasks that are left, round after round. *Returns* false if it got stuck, or the grace period
/// ended first.
bool wind_up(scheduler& loop, std::chrono::nanoseconds grace) {
    grace_timer limit(loop);
    // Tasks that are made while others are cancelled, or by the last callbacks, are cancelled in the next round.
    do {
        if (loop.first_task() != nullptr) {
            if (!limit.armed())
                static_cast<void>(loop.arm(limit, loop.now() + clamp_to_nanoseconds(grace)));
            if (!end_tasks(loop, limit))
                return false;
        } else {
            run_last_callbacks(loop);
        }
    } while (loop.first_task() != nullptr);
    return true;
}

} // namespace

void require_no_loop() {
    if (scheduler::current() != nullptr)
        throw invalid_state_error("a loop runs on this thread already: await the task instead of calling run");
}

void run_to_the_end(scheduler& loop, const any_handle& main, const run_options& options) {
    const current_loop_scope scope(loop);
    loop.report_slow_steps(options.slow_step_limit());
    std::vector<std::string> stuck;
    {
        end_of_main end(loop);
        end.watch(main.state());
        const interrupt_scope interrupt(loop, main, options);
        if (!loop.run_until(&end_of_main::reached, &end))
            stuck = loop.describe_waiters();
    }
    if (loop.watch() != nullptr && stuck.empty())
        loop.watch()->main_ended(loop);
    if (options.is_strict() && stuck.empty())
        report_tasks(loop, those::not_cancelled, report_kind::stray, "was still running when main ended, and ");
    if (!wind_up(loop, options.grace_time())) {
        report_tasks(loop, those::all, report_kind::ignores_cancellation, "was cancelled and ");
        loop.leave_fibers_behind();
    }
    if (!stuck.empty())
        throw deadlock_error(std::move(stuck));
}

reports_of_run::reports_of_run(scheduler& loop, const run_options& options)
    : sink_(loop.reports()),
      before_(std::exchange(sink_, report_sink{options.report_handler_set(), 0, {}})) {
    if (!loop.can_leave_fibers_behind())
        throw invalid_state_error("too many runs of this loop have left tasks behind: make a new loop");
}

reports_of_run::~reports_of_run() { sink_ = std::move(before_); }

void check_strict(scheduler& loop, const run_options& options) {
    if (options.is_strict() && loop.reports().reports != 0)
        throw strict_error("the run ended well, but there were " + std::to_string(loop.reports().reports) +
                           " reports; the first: " + loop.reports().first);
}

int print_failure_of_main(const std::exception_ptr& error) noexcept {
    try {
        const auto* group = as_group(error);
        const std::string text = (group != nullptr ? type_name(error) + ": " + group->what() : describe(error)) + '\n';
        // Flush what the program has printed so far, so that it comes first where both streams end up in one file.
        static_cast<void>(std::fflush(stdout));
        static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
    } catch (...) {
        std::fputs("main failed, and there is no memory to say with what\n", stderr);
    }
    return EXIT_FAILURE;
}

} // namespace muster::detail
