// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Everything that a combinator does not deliver, and reports instead: failures beside the one that it throws, failures
/// of the input and the sink after the first, values of children that ended after a race was won.
///
///     losses.report_failure(options, index, error, losses::why::another_delivered);

#include <muster/detail/task_locals.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <vector>

namespace muster::detail {

struct join_options;
class child_source;
class grouped_reports;
class join;
class join_watch;

class losses {
public:
    enum class why : std::uint8_t {
        another_delivered, ///< another failure, or the value of a race
        cancelled,         ///< the caller of a combinator that gives outcomes was cancelled, and got none of them
        destroyed,         ///< the loop ended, or the frame that awaited the combinator was destroyed
        input_failed,      ///< the failure of the input or the sink was thrown instead of the outcomes
    };

    /// The input or the sink failed: the first failure is kept, the others are reported.
    void input_failed(const join_options& options, std::exception_ptr error) noexcept;
    [[nodiscard]] const std::exception_ptr& input_error() const noexcept { return input_error_; }

    /// A child that may be reported has ended with values of its own in its task-locals: a report of it has them.
    void keep_context(std::size_t index, task_locals* values) noexcept;

    void report_failure(const join_options& options, std::optional<std::size_t> index, const std::exception_ptr& error,
        why reason) const noexcept;
    /// Several failures of one combinator in one report, which counts them; those of handles are left out.
    void report_together(const join_options& options, const child_source& source, std::size_t all,
        std::span<const join_watch> handles, why reason) const noexcept;
    static void report_value(const join_options& options, std::size_t index) noexcept;
    /// The reason in words. *Lifetime*: the program's.
    [[nodiscard]] static const char* in_words(why reason) noexcept;

private:
    struct kept_context {
        std::size_t index;
        locals_share values;
    };
    [[nodiscard]] task_locals* context_of(std::optional<std::size_t> index) const noexcept;

    std::exception_ptr input_error_;
    std::vector<kept_context> contexts_; ///< in the order in which the children ended
};

/// While it lives, the failures of the handles of one join whose outcomes were given to nobody become one report.
class lost_handles {
public:
    lost_handles() noexcept = default;
    lost_handles(const lost_handles&) = delete;
    lost_handles& operator=(const lost_handles&) = delete;
    ~lost_handles() {
        if (reports_ != nullptr) [[unlikely]]
            send();
    }
    /// Called at most once. `why` says why nobody was given them; it lives longer than this. Without memory each
    /// failure is reported by itself.
    void collect(const join& j, const char* why) noexcept;

private:
    void send() noexcept;
    grouped_reports* reports_ = nullptr; ///< owned
};

/// A combinator was destroyed without having been awaited, and no exception is unwinding.
void report_never_awaited(const join_options& options) noexcept;

} // namespace muster::detail
