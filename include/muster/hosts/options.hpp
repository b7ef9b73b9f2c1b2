// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A host on which commands are to run: its name, how its agent is started there, and how long each side may be silent.
///
///     auto near = muster::hosts::host_options("user@host3:2222");     // by ssh
///     auto pod = muster::hosts::host_options("web").launcher({"kubectl", "exec", "-i", "pod-web", "--"});

#include <muster/config.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace muster::hosts {

/// Each word may be used in a chain. *Errors*, of all: std::invalid_argument for what makes no sense.
class host_options {
public:
    /// "host", "user@host", "host:2222", "user@[::1]:2222". Unless launcher() says something else the agent is started
    /// with ssh, which never asks for anything (BatchMode) and gives up a peer that does not answer (ServerAlive).
    explicit host_options(std::string name);

    /// The program that starts the agent there, and its arguments; those of the agent's command come behind them as
    /// they are. Its standard input and output are the connection, and the end of them must reach the agent.
    host_options& launcher(std::vector<std::string> words) &;
    host_options&& launcher(std::vector<std::string> words) && { return std::move(launcher(std::move(words))); }
    /// The agent's command there, {"muster", "agent"} unless it is set.
    host_options& agent(std::vector<std::string> words) &;
    host_options&& agent(std::vector<std::string> words) && { return std::move(agent(std::move(words))); }
    /// How many commands at once a host_set gives it; 0, the default: as many as it has processors.
    host_options& slots(std::size_t most) & noexcept;
    host_options&& slots(std::size_t most) && noexcept { return std::move(slots(most)); }
    /// A side that has heard nothing for so long takes the other one for lost; 15 s unless it is set. From 100 ms.
    host_options& silence_limit(std::chrono::nanoseconds time) &;
    host_options&& silence_limit(std::chrono::nanoseconds time) && { return std::move(silence_limit(time)); }
    /// How long it may take until the agent has answered; 30 s unless it is set.
    host_options& connect_limit(std::chrono::nanoseconds time) &;
    host_options&& connect_limit(std::chrono::nanoseconds time) && { return std::move(connect_limit(time)); }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::vector<std::string>& agent() const noexcept { return agent_; }
    [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
    [[nodiscard]] std::chrono::nanoseconds silence_limit() const noexcept { return silence_limit_; }
    [[nodiscard]] std::chrono::nanoseconds connect_limit() const noexcept { return connect_limit_; }
    /// *Returns* the words of the launcher with those of the agent behind them, quoted for the shell that ssh has
    /// there.
    [[nodiscard]] std::vector<std::string> command_words() const;

private:
    std::string name_;
    std::vector<std::string> launcher_; ///< empty: ssh
    std::vector<std::string> agent_{"muster", "agent"};
    std::size_t slots_ = 0;
    std::chrono::nanoseconds silence_limit_ = std::chrono::seconds(15);
    std::chrono::nanoseconds connect_limit_ = std::chrono::seconds(30);
};

} // namespace muster::hosts
