// SPDX-License-Identifier: MIT
// This file reports the failure of a body whose clean-up failed too, because with_cleanup can throw only one of the
// two.
#include <muster/cleanup.hpp>

namespace muster::detail {

void report_beaten_by_cleanup(const outcome_base& body, std::source_location site) noexcept {
    if (!body.failed())
        return;
    report r(report_kind::suppressed);
    r.site = site;
    r.error = body.error();
    send_report(r, [&] {
        r.name = "with_cleanup";
        r.detail = "its clean-up did not end well, and that is how it ended";
    });
}

} // namespace muster::detail
