// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// muster run: many commands at once, each in exactly one count at the end.
///
///     run_options options;
///     options.words = {"gzip {}"};
///     options.inputs = {{{"a", "b"}, false}};
///     return run(options);

#include "batch.hpp"
#include "command_queue.hpp"
#include "input_shape.hpp"

#include <muster/hosts.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tool {

struct run_options : batch_options {
    run_options();

    std::vector<std::string> words;                ///< the template; none: the lines are commands
    std::optional<std::vector<input_list>> inputs; ///< after :::
    std::string file;                              ///< lines from there; empty: standard input
    std::string word_like_an_option;               ///< a word of the template that may have been meant for muster
    std::optional<char> line_end;                  ///< of a file or of standard input, instead of a line feed
    bool keep_order = false;
    bool ungrouped = false;
    bool dry_run = false;
    std::optional<std::string> tag; ///< a template: what each line of output begins with, and a tabulator
    bool line_buffered = false;     ///< whole lines are printed as they come
    column_rules columns;
    std::size_t inputs_each = 0; ///< for one command; 0: one, which is no list
    bool as_many_as_fit = false;
    std::string stdin_from;        ///< a file for the standard input of each command
    std::uint64_t block_size = 0;  ///< --pipe: so many bytes of lines are a command's standard input; 0: not so
    std::uint64_t most_output = 0; ///< of each command; 0: no limit
    int nice = 0;
    bool has_terminal = false; ///< one command at a time, which reads and writes the terminal itself
    bool trace = false;
    std::string own_placeholder;    ///< stands for the input, instead of {} and the like
    std::vector<std::string> shell; ///< and its options, which reads each command
    std::string results;            ///< a folder: each command's outputs in files of their own
    std::chrono::nanoseconds grace = std::chrono::seconds(5);
    std::chrono::nanoseconds linger = std::chrono::milliseconds(500); ///< for outputs, once a process has ended
    std::string directory;                                            ///< where commands run
    std::vector<muster::hosts::host_options> hosts;                   ///< where they run; none: here
    std::size_t least_hosts = 1;                                      ///< with fewer nothing is run
    bool retry_elsewhere = false; ///< also what may have begun on a host that was lost
    [[nodiscard]] bool has_files() const noexcept { return !sent_files.empty() || !returned_files.empty(); }
    bool limit_is_given = false; ///< not so: as many as the hosts have places, or 1000 in a queue
    queue_place queue;           ///< where they run, if its address is not empty
    [[nodiscard]] bool is_queued() const noexcept { return !queue.address.empty(); }
    std::vector<std::string> sent_files;     ///< templates of the names of what commands on hosts need
    std::vector<std::string> returned_files; ///< and of what they make
    bool cleans_up = false;                  ///< both are removed there
    std::vector<std::pair<std::string, std::string>> environment; ///< what commands on hosts get of this one's
};

/// The whole command. *Returns* the exit status. *Errors*: usage_error, before anything is run. `make_queue` makes
/// the queue that `--on` names; it may be empty if the commands run elsewhere, or in a dry run.
[[nodiscard]] int run(const run_options& options, const queue_maker& make_queue = {});

} // namespace tool
