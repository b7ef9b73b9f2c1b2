// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The care for the descriptors that the program was started with: errors of writing are neither dropped nor fatal,
/// closed standard descriptors do no harm, and there are enough for what is to run at once.
///
///     if (const auto failed = write_all(1, text)) complain(failed->message());

#include "posix/owned_fd.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tool {

/// Writes a text at once, waiting for the reader. *Returns* the error that kept it from writing all of the text;
/// `written` counts what was written. While a writer lives, it is the one to be asked.
[[nodiscard]] std::optional<std::error_code> write_all(
    int fd, std::string_view text, std::size_t* written = nullptr) noexcept;

/// Opens a file that the user has named, for writing; flags and mode are those of open(). A pipe with a name is waited
/// for until somebody reads it, a few seconds at most. *Errors*: usage_error, which names the option.
[[nodiscard]] muster::detail::owned_fd open_to_write(
    const char* option, const std::string& file, int flags, unsigned mode);

/// *Returns* all of a file that the user has named. *Errors*: usage_error, which names the option, also for a file of
/// more than `most` bytes: it may have no end.
[[nodiscard]] std::string text_of_file(const char* option, const std::string& file, std::size_t most);

/// A file that the user has named, and what it is for a run, in the words of messages.
struct named_file {
    named_file(std::string is, std::string path) : what(std::move(is)), name(std::move(path)) {}
    std::string what;
    std::string name; ///< empty: there is none
};

/// *Errors*: usage_error if a file on disk is to be written that is read as well, which would lose what is in it, or
/// that is to be written as two things.
void require_files_apart(const std::vector<named_file>& read, const std::vector<named_file>& written);

/// Puts something in the place of standard descriptors that are closed, so that no file or socket gets their number;
/// reading or writing them still fails. Ignores the signals that stand for errors which are seen anyway.
void prepare_process() noexcept;

/// Raises the limit of open descriptors to at least so many, if that is allowed. Programs that are started afterwards
/// inherit it, and not every program likes a high one, so it is only raised when it must be.
void require_descriptors(std::size_t count) noexcept;
/// How many processors this process may use, as taskset and containers say.
[[nodiscard]] std::size_t processors() noexcept;
/// How many descriptors may be open at a time.
[[nodiscard]] std::size_t most_open_files() noexcept;

} // namespace tool
