// SPDX-License-Identifier: MIT
// This file sends the reports about results that a combinator can't deliver. Several failures become one report with
// an exception group; if there is no memory for the group, each failure is reported by itself.
#include <muster/detail/join/losses.hpp>

#include <muster/detail/assert.hpp>
#include <muster/detail/grouped_reports.hpp>
#include <muster/detail/join/join.hpp>
#include <muster/detail/unawaited.hpp>
#include <muster/exception_group.hpp>
#include <muster/report.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace muster::detail {

const char* losses::in_words(why reason) noexcept {
    switch (reason) {
    case why::another_delivered:
        return "another result of the same combinator was delivered";
    case why::cancelled:
        return "the combinator was cancelled before its outcomes could be delivered";
    case why::destroyed:
        return "the combinator was destroyed before it could be delivered";
    case why::input_failed:
        return "the combinator's input or sink failed, and that was delivered";
    }
    return "";
}

void losses::input_failed(const join_options& options, std::exception_ptr error) noexcept {
    if (!input_error_) {
        input_error_ = std::move(error);
        return;
    }
    report r(report_kind::suppressed);
    r.site = options.site;
    r.error = std::move(error);
    send_report(r, [&] {
        r.name = options.shown_name();
        r.detail = "another error of the same combinator's input or sink was delivered";
    });
}

void losses::keep_context(std::size_t index, task_locals* values) noexcept {
    try {
        contexts_.push_back(kept_context{index, locals_share(retain_locals(values))});
    } catch (const std::bad_alloc&) {
        return; // the report is made with the caller's values then
    }
}

/// A child that was tried several times has several: the last one is that of the failure which stands.
task_locals* losses::context_of(std::optional<std::size_t> index) const noexcept {
    if (index)
        for (auto c = contexts_.rbegin(); c != contexts_.rend(); ++c)
            if (c->index == *index)
                return c->values.get();
    return current_locals();
}

void losses::report_failure(const join_options& options, std::optional<std::size_t> index,
    const std::exception_ptr& error, why reason) const noexcept {
    const locals_scope in(locals_share(retain_locals(context_of(index))));
    report r(report_kind::suppressed);
    r.site = options.site;
    r.index = index;
    r.error = error;
    send_report(r, [&] {
        r.name = options.shown_name();
        r.detail = in_words(reason);
    });
}

void losses::report_together(const join_options& options, const child_source& source, std::size_t all,
    std::span<const join_watch> handles, why reason) const noexcept {
    std::vector<std::exception_ptr> failures;
    std::optional<std::size_t> first;
    const auto is_handle = [&](std::size_t i) {
        return std::any_of(handles.begin(), handles.end(), [i](const join_watch& w) { return w.index() == i; });
    };
    const auto each_failure = [&](auto visit) {
        for (std::size_t i = 0; i != all; ++i)
            if (const auto* o = is_handle(i) ? nullptr : source.outcome_at(i); o != nullptr && o->failed())
                visit(i, o->error());
    };
    try {
        each_failure([&](std::size_t i, std::exception_ptr error) {
            if (!first)
                first = i;
            failures.push_back(std::move(error));
        });
        if (failures.empty())
            return;
        if (failures.size() > 1) {
            const std::string count = std::to_string(failures.size());
            auto group = make_exception_group(count + " failures", std::move(failures));
            report r(report_kind::suppressed);
            r.site = options.site;
            r.error = std::move(group);
            r.name = options.shown_name();
            r.detail = std::string(in_words(reason)) + "; " + count + " of " + std::to_string(all) + " had failed";
            send_report(r);
            return;
        }
    } catch (const std::bad_alloc&) {
        // There was no memory for one report of all: each is reported by itself.
        each_failure(
            [&](std::size_t i, const std::exception_ptr& error) { report_failure(options, i, error, reason); });
        return;
    }
    report_failure(options, first, failures.front(), reason);
}

void losses::report_value(const join_options& options, std::size_t index) noexcept {
    report r(report_kind::suppressed);
    r.site = options.site;
    r.index = index;
    send_report(r, [&] {
        r.name = options.shown_name();
        r.detail = "its value was lost: it came although the others had been asked to stop, or was not enough";
    });
}

void lost_handles::collect(const join& j, const char* why) noexcept {
    MUSTER_ASSERT(reports_ == nullptr);
    reports_ = grouped_reports::begin(j.options().called(), j.options().site, j.total(), why).release();
}

void lost_handles::send() noexcept { std::unique_ptr<grouped_reports>(std::exchange(reports_, nullptr)).reset(); }

void report_never_awaited(const join_options& options) noexcept {
    if (!reports_unawaited())
        return;
    report r(report_kind::never_awaited);
    r.site = options.site;
    send_report(r, [&] { r.name = options.shown_name(); });
}

} // namespace muster::detail
