// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ledger of a streamed combinator: the four counts, failures by type with the first few of each as examples,
/// and the slowest few. Its size does not depend on how many there were.
///
///     auto summary = co_await muster::map(lines, handle).limit(100).for_each(sink);
///     for (const auto& type : summary.failures_by_type()) print(type.name, type.count);

#include <muster/config.hpp>
#include <muster/error.hpp>
#include <muster/ledger.hpp>
#include <muster/outcome.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <typeinfo>
#include <vector>

namespace muster {

/// Failures of one type: how many, and the first few.
struct failure_type {
    explicit failure_type(std::string type_name) : name(std::move(type_name)) {}

    struct example {
        example(std::size_t where, std::exception_ptr what) : index(where), error(std::move(what)) {}
        std::size_t index;
        std::exception_ptr error;
    };
    std::string name;
    std::size_t count = 0;
    std::vector<example> examples; ///< at most summary::examples_kept
};

/// Move-only. Failures are reported (one report for all) if they were neither given to a sink nor looked at here.
class summary {
public:
    static constexpr std::size_t examples_kept = 3;
    static constexpr std::size_t slowest_kept = 5;

    struct timing {
        timing(std::size_t where, std::chrono::nanoseconds took) : index(where), duration(took) {}
        std::size_t index;
        std::chrono::nanoseconds duration;
    };

    summary() = default;
    summary(summary&& other) noexcept;
    summary& operator=(summary&& other) noexcept;
    ~summary();

    [[nodiscard]] std::size_t submitted() const noexcept { return counts_.submitted(); }
    [[nodiscard]] std::size_t succeeded() const noexcept { return counts_.succeeded(); }
    [[nodiscard]] std::size_t failed() const noexcept { return counts_.failed(); }
    [[nodiscard]] std::size_t cancelled() const noexcept { return counts_.cancelled(); }
    [[nodiscard]] std::size_t not_started() const noexcept { return counts_.not_started(); }
    [[nodiscard]] std::size_t retries() const noexcept { return counts_.retries(); }
    [[nodiscard]] bool all_succeeded() const noexcept { return counts_.all_succeeded(); }
    /// All of these counts.
    [[nodiscard]] const ledger& counts() const noexcept { return counts_; }
    /// False if an input of unknown length was not pulled to its end.
    [[nodiscard]] bool exhausted() const noexcept { return input_ == input_end::reached; }
    [[nodiscard]] bool deadline_struck() const noexcept { return ended_by_ == ended_by::deadline; }

    /// In the order of their first failure. Counts as looking at all failures.
    [[nodiscard]] const std::vector<failure_type>& failures_by_type() const noexcept {
        failures_ = failures_were::looked_at;
        return types_;
    }
    /// Slowest first; loop time.
    [[nodiscard]] const std::vector<timing>& slowest() const noexcept { return slowest_; }

    // ---- for the library ----
    void add(std::size_t index, const outcome_base& o, std::chrono::nanoseconds took) noexcept;
    void name_as(std::string name, std::source_location site) noexcept;
    void close(const ledger& counts, bool exhausted, bool deadline_struck) noexcept;
    void mark_looked_at() const noexcept { failures_ = failures_were::looked_at; }

private:
    void report_unread() noexcept;
    void report_one(std::size_t index, const std::exception_ptr& error, std::size_t of) const noexcept;
    void keep(std::size_t index, const std::exception_ptr& error);

    enum class input_end : std::uint8_t { reached, not_reached };
    enum class ended_by : std::uint8_t { itself, deadline };
    enum class failures_were : std::uint8_t { unread, looked_at };

    ledger counts_; ///< complete once it is closed; until then what add() has counted
    input_end input_ = input_end::reached;
    ended_by ended_by_ = ended_by::itself;
    mutable failures_were failures_ = failures_were::unread;
    std::vector<const std::type_info*> infos_; ///< of types_, to find them fast
    std::vector<failure_type> types_;
    std::vector<timing> slowest_;
    std::string name_;
    std::source_location site_;
};

} // namespace muster
