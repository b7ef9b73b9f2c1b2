// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Bodies that the fault drivers are tried on, and what the drivers find in them.
///
///     for (const auto& c : planted()) EXPECT_TRUE(c.run().found) << c.name;

#include <muster/testing/faults.hpp>

#include <functional>
#include <string>

namespace muster::testing {

/// Whether any of the drivers finds something in the body. The text is the first finding.
struct verdict {
    bool found = false;
    std::string text;
};

template <class Body>
verdict try_all(Body body, const fault_options& options = {}) {
    const fault_result results[] = {cancel_at_each_suspension(body, options),
        cancel_at_each_suspension(body, fault_options(options).cancel_who_waits()), fail_at_each_point(body, options)};
    for (const auto& r : results)
        if (!r.clean())
            return {true, r.findings.front()};
    return {};
}

/// The whole-body cancellation alone.
template <class Body>
verdict cancelled(Body body, const fault_options& options = {}) {
    const auto r = cancel_at_each_suspension(body, options);
    return r.clean() ? verdict{} : verdict{true, r.findings.front()};
}

struct body_case {
    const char* name;
    std::function<verdict()> run;
    std::string expected = {}; ///< a part of the finding
};

/// Calls task_done() at the end of its scope, as the bodies that are right do.
template <class Queue>
class dealt_with {
public:
    explicit dealt_with(Queue& q) noexcept : queue_(q) {}
    dealt_with(const dealt_with&) = delete;
    dealt_with& operator=(const dealt_with&) = delete;
    ~dealt_with() { queue_.task_done(); }

private:
    Queue& queue_;
};

} // namespace muster::testing
