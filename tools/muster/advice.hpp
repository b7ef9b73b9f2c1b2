// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Advice for those who write an option of GNU parallel, xargs, curl or wget that muster does not have.
///
///     advice_on("run", "--no-run-if-empty")    // "without inputs nothing runs in any case"

#include <string_view>

namespace tool {

/// *Returns* what to write instead of the option of another program, or empty. `command` is "run" or "fetch"; `word` is
/// as it was written, with a value perhaps.
[[nodiscard]] std::string_view advice_on(std::string_view command, std::string_view word) noexcept;

/// *Returns* whether a word begins as a URL does, which the name of a file hardly ever does.
[[nodiscard]] bool looks_like_a_url(std::string_view word) noexcept;

/// *Returns* whether a word may be what curl's users write behind -f, as in `-fsSL`: letters of options.
[[nodiscard]] bool looks_like_letters_of_curl(std::string_view word) noexcept;

/// *Returns* whether a path ends as the name of a file does, "page.html", and not as that of a folder.
[[nodiscard]] bool looks_like_a_file(std::string_view path) noexcept;

/// *Returns* the part of a URL that curl would make several of, "[1-9]" or "{a,b}"; empty if there is none.
[[nodiscard]] std::string_view series_in(std::string_view url) noexcept;

} // namespace tool
