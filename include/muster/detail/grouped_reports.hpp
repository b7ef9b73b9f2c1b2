// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One report instead of many: the failures of handles that go together because the combinator which watched them gave
/// its caller no outcomes. Only failures that nobody else can look at any more come here; a task whose handle is still
/// held reports itself later, if it has to.
///
///     auto together = grouped_reports::begin(name, site, total, "it was cancelled");   // collects until it is gone
///     handles.clear();

#include <muster/config.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/report.hpp>

#include <cstddef>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::detail {

/// *Thread safety*: one thread. They may be nested; the innermost collects.
class grouped_reports {
public:
    /// `total` is how many children the combinator had. `why` says why their outcomes were given to nobody; it lives
    /// longer than this. *Returns* null without memory: each failure is reported by itself then.
    [[nodiscard]] static std::unique_ptr<grouped_reports> begin(
        std::string_view name, std::source_location site, std::size_t total, const char* why) noexcept;
    grouped_reports(const grouped_reports&) = delete;
    grouped_reports& operator=(const grouped_reports&) = delete;
    /// Sends what was collected: a single failure as it is, several as one report with an exception group.
    ~grouped_reports();

    /// *Returns* false if nothing collects on this thread, or if there is no memory.
    [[nodiscard]] static bool collect(const report& r) noexcept;

private:
    struct collected {
        report what;
        locals_share locals; ///< those of the task, for the handler of a single report
    };

    static constinit thread_local grouped_reports* innermost_;

    grouped_reports(std::string name, std::source_location site, std::size_t total, const char* why) noexcept
        : name_(std::move(name)),
          site_(site),
          total_(total),
          why_(why),
          outer_(std::exchange(innermost_, this)) {}
    void send() noexcept;
    void send_each() noexcept;

    std::string name_;
    std::source_location site_;
    std::size_t total_;
    const char* why_;
    std::vector<collected> failures_;
    grouped_reports* outer_;
};

} // namespace muster::detail
