// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Double entry for failures: each is delivered, to whoever catches it or reads it in an outcome, or reported; never
/// both, and never reported twice. A test writes down what it was given and what was reported, and asks at the end.
///
///     muster::testing::failure_book book;
///     loop.run(body(book), muster::run_options().on_report([&](const auto& r) { book.reported(r); }));
///     EXPECT_EQ(book.mistakes(), std::vector<std::string>());

#include <muster/config.hpp>
#include <muster/report.hpp>

#include <cstddef>
#include <exception>
#include <map>
#include <string>
#include <vector>

namespace muster::testing {

/// Failures are told apart by the identity of the exception object; of a group each leaf is a failure. Cancellations
/// are none. *Thread safety*: one thread.
class failure_book {
public:
    /// Somebody caught it, or read it in an outcome: may be said of the same failure more than once.
    void delivered(const std::exception_ptr& error);
    /// Writes down a call of the report handler. Reports without an error are only counted.
    void reported(const report& r);

    [[nodiscard]] bool was_delivered(const std::exception_ptr& error) const;
    [[nodiscard]] bool was_reported(const std::exception_ptr& error) const;
    /// Calls `visit(error, delivered, reported)` for each failure that was written down: how often it was either.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (const auto& [id, e] : entries_)
            visit(e.error, e.delivered, e.reported);
    }
    /// How many reports there were, those without an error among them.
    [[nodiscard]] std::size_t reports() const noexcept { return reports_; }

    /// A line for each failure that was reported twice, or reported and delivered. Empty: all is as it should be.
    [[nodiscard]] std::vector<std::string> mistakes() const;

private:
    struct entry {
        explicit entry(std::exception_ptr e) noexcept : error(std::move(e)) {}
        std::exception_ptr error; ///< kept, so that its address stays its own
        std::size_t delivered = 0;
        std::size_t reported = 0;
        std::string as; ///< the reports' lines
    };
    template <class Visit>
    void each_leaf(const std::exception_ptr& error, Visit&& visit);

    std::map<const void*, entry> entries_;
    std::size_t reports_ = 0;
};

} // namespace muster::testing
