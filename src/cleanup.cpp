// SPDX-License-Identifier: MIT
#include <muster/cleanup.hpp>

namespace muster::detail {

void report_beaten_by_cleanup(const outcome_base& body, std::source_location site) noexcept {
    if (!body.failed())
        return;
    report r(report_kind::suppressed);
    r.name = "with_cleanup";
    r.site = site;
    r.error = body.error();
    r.detail = "its clean-up failed as well, and that was thrown";
    send_report(r);
}

} // namespace muster::detail
