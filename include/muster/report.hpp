// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reports make failures visible that no code was given: of a task whose result was never asked for, a coroutine that
/// was never awaited, a second failure beside the one that was thrown, outcomes that were never read. Each report goes
/// to the handler of the running loop, else to the program's handler, else as one line to standard error. None is
/// dropped.
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
    never_retrieved,      ///< a task failed, and its last handle went without a look at the failure
    never_awaited,        ///< a coroutine or combinator was made and destroyed without being awaited
    destroyed_pending,    ///< a task had not ended when its loop was destroyed
    suppressed,           ///< a failure, or a value of a race, that its combinator did not deliver
    unread_outcomes,      ///< outcomes were destroyed, and this failure among them was never looked at
    shutdown_failure,     ///< a task left at the end of run failed while it was being cancelled
    callback_failed,      ///< a done callback threw
    ignores_cancellation, ///< a task still runs after run's grace period
    slow_step,            ///< a step kept the loop busy for longer than the limit
    stray,                ///< a task still ran when main ended, and the run was strict
    wrong_thread,         ///< a destructor ran on a thread that is not the loop's, and did nothing
};

/// *Returns* "never retrieved", "suppressed" and so on.
[[nodiscard]] std::string_view to_string(report_kind kind) noexcept;

struct report {
    explicit report(report_kind what) noexcept : kind(what) {}

    report_kind kind;
    std::string name;                 ///< of the task, combinator or coroutine function
    std::source_location site;        ///< where the task or combinator was created; line() is 0 if that is unknown
    std::exception_ptr error;         ///< the failure; null if the report is not about one
    std::optional<std::size_t> index; ///< which child of its combinator it is about
    std::string detail;               ///< further words; may be empty
    const void* id = nullptr;         ///< the task's identity: task::id(), task_handle::id()
};

/// *Returns* one line: "never retrieved: task 'load' (created at main.cpp:12) failed: http_error: 503".
[[nodiscard]] std::string to_string(const report& r);

using report_handler = std::function<void(const report&)>;

/// Sets what is called for each report outside a loop and in loops without a handler of their own. An empty
/// function brings back the default, a line on standard error.
/// *Returns* the previous handler. *Errors*: a handler that throws ends the program (std::terminate).
/// *Thread safety*: any thread; the handler may be called on any thread.
report_handler set_report_handler(report_handler handler);

namespace detail {

/// One loop's reports: its handler, if it has one, and how many there were (for strict mode).
struct report_sink {
    report_handler handler;
    std::uint64_t reports = 0;
    std::string first; ///< the line of the first report
};

/// Sends a report to the handler that is responsible for it. Never throws; without memory the line says less.
void send_report(const report& r) noexcept;

/// The same, after `add_words()` has given `r` its name and detail. If that runs out of memory, the report is sent with
/// fewer words.
template <class Words>
void send_report(const report& r, Words&& add_words) noexcept {
    try {
        add_words();
    } catch (...) {
        return send_report(r);
    }
    send_report(r);
}

/// The sink of the loop that runs on this thread; null outside of a loop.
extern constinit thread_local report_sink* current_sink;

} // namespace detail
} // namespace muster
