// SPDX-License-Identifier: MIT
// This file makes the texts of the errors of muster::hosts: the host first, then what happened, then the launcher's own
// words if there are any.
#include <muster/hosts/error.hpp>

namespace muster::hosts {

namespace {

std::string lost_text(const std::string& host, begun b, const std::string& why) {
    std::string text = "lost " + host + ": " + why;
    switch (b) {
    case begun::no:
        return text + "; the command had not begun there";
    case begun::yes:
        return text + "; the command had begun there";
    case begun::unknown:
        break;
    }
    return text + "; whether the command had begun there is not known";
}

} // namespace

std::string_view to_string(begun b) noexcept {
    switch (b) {
    case begun::no:
        return "no";
    case begun::yes:
        return "yes";
    case begun::unknown:
        break;
    }
    return "unknown";
}

host_lost_error::host_lost_error(std::string host, hosts::begun b, const std::string& why)
    : std::runtime_error(lost_text(host, b, why)),
      host_(std::make_shared<const std::string>(std::move(host))),
      begun_(b) {}

connect_error::connect_error(std::string host, const std::string& why, std::string launcher_said)
    : std::runtime_error(host + ": " + why + (launcher_said.empty() ? "" : ": " + launcher_said)),
      text_(std::make_shared<const text>(std::move(host), std::move(launcher_said))) {}

} // namespace muster::hosts
