// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of commands on other hosts. connect_error: no agent answered, and why, in the launcher's own words.
/// host_lost_error: the connection ended while a command was there, and whether the command had begun. How a command
/// itself ended is told by the errors of muster/subprocess/error.hpp, as for a command here.
///
///     catch (const muster::hosts::host_lost_error& e) {
///         if (e.begun() == muster::hosts::begun::no) run_it_elsewhere();
///     }

#include <muster/config.hpp>
#include <muster/host_lost_error.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster::hosts {

/// No agent of this version answered on a host. Copying never throws.
class connect_error final : public std::runtime_error {
public:
    /// `launcher_said` is what the launcher wrote to standard error, made printable; it may be empty.
    connect_error(std::string host, const std::string& why, std::string launcher_said);

    /// *Lifetime*, also of the next: as long as any copy of this.
    [[nodiscard]] const std::string& host() const noexcept { return text_->host; }
    [[nodiscard]] const std::string& launcher_said() const noexcept { return text_->said; }

private:
    struct text {
        text(std::string h, std::string s) : host(std::move(h)), said(std::move(s)) {}
        std::string host;
        std::string said;
    };
    std::shared_ptr<const text> text_;
};

} // namespace muster::hosts
