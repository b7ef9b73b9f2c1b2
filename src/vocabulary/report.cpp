// SPDX-License-Identifier: MIT
// Reports: their text, and the choice of the handler. A report of a thread on which a loop runs goes to that loop's
// sink, which counts it for strict mode; the sink passes it to the loop's own handler if there is one. Every other
// report goes to the program's handler, and without one to standard error.
#include <muster/report.hpp>

#include "vocabulary/printable.hpp"

#include <muster/detail/exception_type.hpp>

#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

namespace muster {

std::string_view to_string(report_kind kind) noexcept {
    switch (kind) {
    case report_kind::never_retrieved:
        return "never retrieved";
    case report_kind::never_awaited:
        return "never awaited";
    case report_kind::destroyed_pending:
        return "destroyed while pending";
    case report_kind::suppressed:
        return "suppressed";
    case report_kind::unread_outcomes:
        return "unread outcome";
    case report_kind::shutdown_failure:
        return "failed during shutdown";
    case report_kind::callback_failed:
        return "callback failed";
    case report_kind::ignores_cancellation:
        return "ignores cancellation";
    case report_kind::slow_step:
        return "slow step";
    case report_kind::stray:
        return "still running";
    case report_kind::wrong_thread:
        return "wrong thread";
    }
    return "report";
}

std::string to_string(const report& r) {
    std::string line(to_string(r.kind));
    line += ": ";
    line += r.name.empty() ? "(unnamed)" : detail::printable(r.name, detail::longest_printed_name);
    if (r.index) {
        line += '[';
        line += std::to_string(*r.index);
        line += ']';
    }
    if (r.site.line() != 0) {
        line += r.kind == report_kind::never_awaited && !r.detail.empty() ? " (" + r.detail + " " : " (created at ";
        line += r.site.file_name();
        line += ':';
        line += std::to_string(r.site.line());
        line += ')';
    }
    if (r.error) {
        line += " failed: ";
        line += detail::describe(r.error);
    }
    if (!r.detail.empty() && !(r.kind == report_kind::never_awaited && r.site.line() != 0)) {
        line += ": ";
        line += r.detail;
    }
    return line;
}

namespace {

struct program_handler {
    std::mutex lock;
    std::shared_ptr<const report_handler> handler;
};

program_handler& program() {
    // Never destroyed: reports may come from destructors of static objects.
    static auto* the = new program_handler;
    return *the;
}

void write_line(const report& r) noexcept {
    try {
        std::string line = "muster: " + to_string(r) + '\n';
        static_cast<void>(std::fwrite(line.data(), 1, line.size(), stderr));
    } catch (...) {
        // Without memory for the line, a fixed text says that there was a report.
        std::fputs("muster: a failure was not looked at, and there is no memory to say more\n", stderr);
    }
}

} // namespace

report_handler set_report_handler(report_handler handler) {
    auto fresh = handler ? std::make_shared<const report_handler>(std::move(handler)) : nullptr;
    auto& p = program();
    const std::lock_guard lock(p.lock);
    std::swap(p.handler, fresh);
    return fresh ? *fresh : report_handler();
}

namespace detail {

constinit thread_local report_sink* current_sink = nullptr;

void send_report(const report& r) noexcept {
    if (auto* sink = current_sink) {
        if (sink->reports++ == 0) {
            try {
                sink->first = to_string(r);
            } catch (const std::bad_alloc&) {
                sink->first.clear(); // the error of a strict run then has no text of the first report
            }
        }
        if (sink->handler) {
            sink->handler(r);
            return;
        }
    }
    std::shared_ptr<const report_handler> handler;
    {
        auto& p = program();
        const std::lock_guard lock(p.lock);
        handler = p.handler;
    }
    if (handler)
        (*handler)(r);
    else
        write_line(r);
}

} // namespace detail
} // namespace muster
