// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The options of muster run and muster hosts that say on which hosts commands run.
///
///     host_words words;
///     words.describe(app);
///     options.hosts = words.understand();

#include <muster/hosts.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

struct host_words {
    std::vector<std::string> on;
    std::string on_file;
    std::string launcher;
    std::string agent;
    std::string silence;
    bool install = false;

    void describe(CLI::App& app);
    /// *Returns* the address of the queue that --on names; empty if it names hosts, or nothing. *Errors*: usage_error
    /// for a queue beside other hosts.
    [[nodiscard]] std::string queue() const;
    /// *Returns* the hosts; none without --on and --on-file. *Errors*: usage_error, also if there is a queue.
    [[nodiscard]] std::vector<muster::hosts::host_options> understand() const;
};

/// *Returns* whether a word of --on is the address of a database, and no list of hosts: "postgresql://..." or
/// "NAME=...".
[[nodiscard]] bool is_address_of_queue(std::string_view word) noexcept;

/// *Returns* the words of a line as a shell would, with quotes and backslashes, but without anything else of a shell.
/// *Errors*: usage_error, naming the option, for quotes that are never closed.
[[nodiscard]] std::vector<std::string> split_words(const std::string& line, const std::string& option);

/// muster hosts: prints what each host offers, or why it does not answer. *Returns* the exit status.
/// *Errors*: usage_error without hosts.
[[nodiscard]] int show_hosts(const std::vector<muster::hosts::host_options>& hosts);

/// muster agent: serves the client on standard input and output. *Returns* the exit status.
[[nodiscard]] int be_agent();

} // namespace tool
