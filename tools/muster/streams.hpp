// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The care for the descriptors that the program was started with: errors of writing are neither dropped nor fatal,
/// closed standard descriptors do no harm, and there are enough for what is to run at once.
///
///     if (const auto failed = write_all(1, text)) complain(failed->message());

#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

namespace tool {

/// Writes a text at once, waiting for the reader. *Returns* the error that kept it from writing all of the text;
/// `written` counts what was written. While a writer lives, it is the one to be asked.
[[nodiscard]] std::optional<std::error_code> write_all(
    int fd, std::string_view text, std::size_t* written = nullptr) noexcept;

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
