// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A process that ends the commands of an agent if the agent itself can't any more, as it was killed.
///
///     agent_report report = watch_over_this_agent();      // from here on in a child of the warden
///     serve_agent(in, out, report.observer());

#include "posix/owned_fd.hpp"

#include <muster/hosts.hpp>

#include <utility>

namespace tool {

/// The agent's way to tell its warden which commands run. Movable.
class agent_report {
public:
    explicit agent_report(muster::detail::owned_fd to) noexcept : to_(std::move(to)) {}
    /// *Lifetime*: this must outlive it.
    [[nodiscard]] muster::hosts::agent_observer observer();
    /// A command is about to be started. Without this, one that was started just before its agent was killed would not
    /// be known to the warden.
    void about_to_start() const noexcept;
    /// It could not be started.
    void not_started() const noexcept;

private:
    muster::detail::owned_fd to_;
};

/// Forks. This process becomes the warden, which does not return: it exits when the agent has ended, with the agent's
/// status. The child returns and is the agent; it gets SIGTERM if the warden is killed. To be called while there is one
/// thread. *Errors*: std::system_error.
[[nodiscard]] agent_report watch_over_this_agent();

} // namespace tool
