// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where failures go that nobody was given: a task that failed and was never looked at, a coroutine that was never
/// awaited, a second failure beside the one that was thrown, outcomes that nobody read. Each is one report, to the
/// running loop's handler, else to the program's, else one line on standard error. Never silent.
///
///     muster::set_report_handler([](const muster::report& r) { log(to_string(r)); });

#include <muster/config.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace muster {

enum class report_kind : std::uint8_t {
    never_retrieved,      ///< a task failed, its last handle is gone, and nobody looked
    never_awaited,        ///< a coroutine or combinator was made and destroyed without being awaited
    destroyed_pending,    ///< a task's loop is gone and the task had not ended
    suppressed,           ///< a failure beside the one that its combinator threw
    unread_outcomes,      ///< outcomes were destroyed and nobody looked at this failure among them
    shutdown_failure,     ///< a task left at the end of run failed while it was being cancelled
    callback_failed,      ///< a done callback threw
    ignores_cancellation, ///< a task still runs after run's grace period
    slow_step,            ///< a step kept the loop busy for longer than the limit
};

/// *Returns* "never retrieved", "suppressed" and so on.
[[nodiscard]] std::string_view to_string(report_kind kind) noexcept;

struct report {
    explicit report(report_kind what) noexcept : kind(what) {}

    report_kind kind;
    std::string name;                 ///< the task's, combinator's or coroutine function's
    std::source_location site;        ///< where it was created; line() is 0 if that is not known
    std::exception_ptr error;         ///< null where there is none
    std::optional<std::size_t> index; ///< the child's place in its combinator
    std::string detail;               ///< more, in words; may be empty
    const void* id = nullptr;         ///< tells tasks apart: task::id(), task_handle::id()
};

/// *Returns* one line: "never retrieved: task 'load' (created at main.cpp:12) failed: http_error: 503".
[[nodiscard]] std::string to_string(const report& r);

using report_handler = std::function<void(const report&)>;

/// Sets what is called for each report outside a loop and in loops without a handler of their own. An empty
/// function brings back the default, a line on standard error.
/// *Returns* the handler before. *Errors*: what a handler throws ends the program: std::terminate.
/// *Thread safety*: any thread; the handler may be called on any thread.
report_handler set_report_handler(report_handler handler);

namespace detail {

/// One loop's reports: its handler, if it has one, and how many there were (for strict mode).
struct report_sink {
    report_handler handler;
    std::uint64_t reports = 0;
    std::string first; ///< the first report's line
};

/// Makes a report. Never throws; without memory the line says less.
void send_report(const report& r) noexcept;

/// The same, after `add_words()`, which gives it its name and its detail, as far as there is memory for them: without
/// it the report says less, but it is made.
template <class Words>
void send_report(const report& r, Words&& add_words) noexcept {
    try {
        add_words();
    } catch (...) {
        return send_report(r);
    }
    send_report(r);
}

/// The sink of the loop that runs on this thread; null outside.
extern constinit thread_local report_sink* current_sink;

} // namespace detail
} // namespace muster
