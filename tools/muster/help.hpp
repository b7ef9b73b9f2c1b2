// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The help of a command: its options in groups, those that are needed most first, within 80 columns.
///
///     app.formatter(std::make_shared<grouped_help>(usage, option_groups{{"Input", {"--file", "--null"}}}));

#include <CLI/CLI.hpp>

#include <string>
#include <utility>
#include <vector>

namespace tool {

/// A heading, and one name of each option below it.
using option_groups = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// Options that no group names come last.
class grouped_help final : public CLI::Formatter {
public:
    /// `usage` replaces the line that CLI11 makes, unless it is empty.
    grouped_help(std::string usage, option_groups groups) : usage_(std::move(usage)), groups_(std::move(groups)) {}

    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;

private:
    std::string usage_;
    option_groups groups_;
};

} // namespace tool
