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

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace muster::hosts {

/// Whether a command had begun on a host when the connection to it ended.
enum class begun : std::uint8_t {
    no,      ///< the agent was never told to begin it
    yes,     ///< the agent has said so
    unknown, ///< the agent was told to begin it, and the connection ended before an answer came
};

/// *Returns* "no", "yes" or "unknown".
[[nodiscard]] std::string_view to_string(begun b) noexcept;

/// The connection to a host ended, or the host was silent for too long, before a command had ended there. Its agent
/// ends what it has started once it sees that, too. Copying never throws.
class host_lost_error final : public std::runtime_error {
public:
    host_lost_error(std::string host, begun b, const std::string& why);

    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& host() const noexcept { return *host_; }
    [[nodiscard]] hosts::begun begun() const noexcept { return begun_; }

private:
    std::shared_ptr<const std::string> host_;
    hosts::begun begun_;
};

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
