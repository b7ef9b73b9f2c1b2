// SPDX-License-Identifier: MIT
// This file makes the text of a host_lost_error: the host first, then what happened, then whether the work had begun.
#include <muster/host_lost_error.hpp>

#include <utility>

namespace muster::hosts {

namespace {

std::string lost_text(const std::string& host, begun b, const std::string& why, std::string_view lost) {
    auto text = "lost " + host + ": " + why + (b == begun::unknown ? "; whether " : "; ");
    text += lost;
    switch (b) {
    case begun::no:
        return text + " had not begun there";
    case begun::yes:
        return text + " had begun there";
    case begun::unknown:
        break;
    }
    return text + " had begun there is not known";
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

host_lost_error::host_lost_error(std::string host, hosts::begun b, const std::string& why, std::string_view lost)
    : std::runtime_error(lost_text(host, b, why, lost)),
      host_(std::make_shared<const std::string>(std::move(host))),
      begun_(b) {}

} // namespace muster::hosts
