// SPDX-License-Identifier: MIT
#pragma once

#include <muster/report.hpp>
#include <muster/run_options.hpp>

#include <vector>

/// The reports of a run: `collected seen; muster::run(body(), seen.options());`
struct collected {
    std::vector<muster::report> reports;
    muster::run_options options() {
        return muster::run_options().on_report([this](const muster::report& r) { reports.push_back(r); });
    }
};
