// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What became of every line of the input: the four counts, failures grouped by type with an example of each, the
/// slowest few. Its size depends on the kinds of failures, not on the length of the input.
///
///     ledger.add(job, verdict::failed(error));
///     print(ledger.text());

#include "line_source.hpp"

#include <muster/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tool {

/// What a command knows of a line beyond what all do.
struct job_details {
    virtual ~job_details() = default;
};

/// One line on its way.
struct job {
    explicit job(input_line l) : line(std::move(l)) {}

    input_line line;
    unsigned attempts = 0;
    int status = 0; ///< of the last answer; 0 if there was none
    std::uint64_t bytes = 0;
    std::chrono::nanoseconds took{0};
    std::unique_ptr<job_details> details;
};

enum class ending { ok, error, cancelled, not_started };

struct verdict {
    static verdict ok() { return verdict(ending::ok, nullptr, {}); }
    static verdict failed(std::exception_ptr e) { return verdict(ending::error, std::move(e), {}); }
    static verdict cancelled(std::string why) { return verdict(ending::cancelled, nullptr, std::move(why)); }
    static verdict not_started(std::string why) { return verdict(ending::not_started, nullptr, std::move(why)); }

    ending how;
    std::exception_ptr error;
    std::string reason;

private:
    verdict(ending h, std::exception_ptr e, std::string why) : how(h), error(std::move(e)), reason(std::move(why)) {}
};

/// "connect_error", "status_error": without the namespaces that all of them share.
[[nodiscard]] std::string short_type(const std::exception_ptr& error);
/// What went wrong, without the URL or the command.
[[nodiscard]] std::string problem_of(const std::exception_ptr& error);

class ledger {
public:
    static constexpr std::size_t slowest_kept = 3;

    /// What the bytes are, and whether those of what did not succeed count.
    explicit ledger(std::string bytes_are = "received", bool of_all = false)
        : bytes_are_(std::move(bytes_are)),
          bytes_of_all_(of_all) {}

    void add(const job& j, const verdict& v);

    [[nodiscard]] std::uint64_t submitted() const noexcept { return ok_ + failed_ + cancelled_ + not_started_; }
    [[nodiscard]] std::uint64_t succeeded() const noexcept { return ok_; }
    [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }
    [[nodiscard]] std::uint64_t cancelled() const noexcept { return cancelled_; }
    [[nodiscard]] std::uint64_t not_started() const noexcept { return not_started_; }
    [[nodiscard]] std::uint64_t retries() const noexcept { return retries_; }
    [[nodiscard]] std::uint64_t ended() const noexcept { return submitted(); }
    [[nodiscard]] std::uint64_t failed_with(const std::string& kind) const noexcept;

    /// For people, some lines.
    [[nodiscard]] std::string text(const line_source& from, std::chrono::nanoseconds elapsed) const;

private:
    struct kind {
        kind(std::string n, std::string u, std::uint64_t l, std::vector<std::string> p)
            : name(std::move(n)),
              url(std::move(u)),
              line(l),
              problem(std::move(p)) {}
        std::string name; ///< the type, with a status or signal if there is one
        std::uint64_t count = 0;
        std::string url; ///< of the first
        std::uint64_t line;
        std::vector<std::string> problem; ///< lines
    };
    struct slow {
        slow(std::chrono::nanoseconds t, std::string u, std::uint64_t l) : took(t), url(std::move(u)), line(l) {}
        std::chrono::nanoseconds took;
        std::string url;
        std::uint64_t line;
    };

    std::string bytes_are_;
    bool bytes_of_all_;
    std::uint64_t ok_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t cancelled_ = 0;
    std::uint64_t not_started_ = 0;
    std::uint64_t retries_ = 0;
    std::uint64_t bytes_ = 0;
    std::vector<kind> kinds_;
    std::vector<slow> slowest_;
};

} // namespace tool
