// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --transfer, --return and --cleanup: the files that a command on another host needs and makes. They are sent as a
/// stream of tar's through the connection, and each that comes back is read by itself, under the name that was asked
/// for: a host can't say where anything is put here.
///
///     host_files files(options, sent, returned);
///     co_await files.send(host);
///     ...                                    // the command
///     co_await files.fetch(host);
///     co_await files.clean(host, folders);
///     ...                                    // all commands have ended
///     co_await remove_empty_folders(host, folders, directory);

#include <muster/hosts.hpp>
#include <muster/task.hpp>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace tool {

/// Where a file is here, and what it is called there: `name` is relative to the folder in which the command runs.
struct file_place {
    std::string folder; ///< empty: the one that muster runs in
    std::string name;
};
/// *Returns* the place of "dir/a" or "/base/./dir/a", whose name is dir/a. *Errors*: std::invalid_argument for a name
/// that leads out of the folder, and for the folder itself.
[[nodiscard]] file_place place_of(const std::string& text);

/// Names of folders on a host: those further down come first.
using folder_names = std::set<std::string, std::greater<>>;

/// Removes those folders on a host in which nothing is left. For the end of a run, when no command fills them.
/// `directory` is where commands run there; empty: where a login begins. No error: others are left.
[[nodiscard]] muster::task<> remove_empty_folders(
    muster::hosts::connection& host, const folder_names& folders, const std::string& directory);

/// *Cancellation*, of all: ends what runs there.
class host_files {
public:
    /// `directory` is where the command runs there; empty: where a login begins.
    /// *Errors*: std::invalid_argument, see place_of().
    host_files(const std::vector<std::string>& sent, const std::vector<std::string>& returned, std::string directory);

    /// The paths here under which files come back.
    [[nodiscard]] std::vector<std::string> returned_paths() const;
    /// *Errors*: host_lost_error, which says that the command has not begun; std::runtime_error in the words of the
    /// program that has failed.
    [[nodiscard]] muster::task<> send(muster::hosts::connection& host) const;
    /// *Errors*: host_lost_error; std::runtime_error; std::system_error for a file that can't be made here.
    [[nodiscard]] muster::task<> fetch(muster::hosts::connection& host) const;
    /// Removes there what was sent and returned. Its folders, which another command may just be filling, are added to
    /// `folders`. No error: what is not there is removed already.
    [[nodiscard]] muster::task<> clean(muster::hosts::connection& host, folder_names& folders) const;

private:
    [[nodiscard]] muster::command there(std::vector<std::string> words) const;
    [[nodiscard]] muster::task<> fetch_one(muster::hosts::connection& host, const file_place& file) const;

    std::vector<file_place> sent_;
    std::vector<file_place> returned_;
    std::string directory_;
};

} // namespace tool
