// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The error of what was on another host when the connection to it ended, a command of muster::hosts or a call of a
/// process_pool, and whether it had begun there.
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

namespace muster::hosts {

/// Whether a command or a call had begun on a host when the connection to it ended.
enum class begun : std::uint8_t {
    no,      ///< the agent was never told to begin it
    yes,     ///< the agent has said so
    unknown, ///< the agent was told to begin it, and the connection ended before an answer came
};

/// *Returns* "no", "yes" or "unknown".
[[nodiscard]] std::string_view to_string(begun b) noexcept;

/// The connection to a host ended, or the host was silent for too long, before a command or a call had ended there. Its
/// agent ends what it has started once it sees that, too. Copying never throws.
class host_lost_error final : public std::runtime_error {
public:
    /// `lost` is for the text: "the command", "the call".
    host_lost_error(std::string host, begun b, const std::string& why, std::string_view lost = "the command");

    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& host() const noexcept { return *host_; }
    [[nodiscard]] hosts::begun begun() const noexcept { return begun_; }

private:
    std::shared_ptr<const std::string> host_;
    hosts::begun begun_;
};

} // namespace muster::hosts
