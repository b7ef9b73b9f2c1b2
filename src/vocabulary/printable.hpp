// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Text that came from somebody else, made safe to print. Private to muster and its command: every report, ledger,
/// progress line and message passes the foreign parts of its text through here.
///
///     line += detail::printable("503 \x1b[2J\nall is well");    // 503 \x1b[2J\nall is well, in plain letters

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

namespace muster::detail {

/// The most bytes of an error's or a peer's text that are printed.
inline constexpr std::size_t longest_printed_text = 4000;
/// The most bytes of a name that are printed: a task's, a file's, a command's.
inline constexpr std::size_t longest_printed_name = 500;

/// A character of UTF-8.
struct utf8_character {
    char32_t code;    ///< meaningless if the size is zero
    std::size_t size; ///< in bytes; zero if the bytes are no UTF-8
};

/// *Returns* what a text begins with. Overlong forms, surrogates and numbers beyond Unicode are no UTF-8. The text must
/// not be empty.
[[nodiscard]] utf8_character first_character_of(std::string_view text) noexcept;

/// *Returns* whether a character neither steers a terminal, nor breaks or reorders a line, nor is invisible.
[[nodiscard]] bool is_shown_as_it_is(char32_t c) noexcept;

/// *Returns* one line that a terminal shows as it is: letters of every script stay, and everything else that steers a
/// terminal, breaks the line or reorders it is written as an escape, such as \n, \x1b or \u{202e}. Bytes that are no
/// UTF-8 are escaped, too. At most `most` bytes of the text are used; a text that is longer ends with "..." and says
/// how long it was if that is more than twice as much.
/// *Complexity*: linear in `most`, whatever the length of the text.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = longest_printed_text);

/// printable() for each of several lines: line feeds stay.
[[nodiscard]] std::string printable_lines(std::string_view text, std::size_t most = longest_printed_text);

/// *Returns* one line of JSON that says the same, and in which what printable() escapes is escaped as JSON does it:
/// \u202e. `json` is UTF-8 and has no white space between its values but spaces.
[[nodiscard]] std::string printable_json(std::string json);

/// describe() with the line feeds of what an error says: for where each line is indented, so that none can be taken for
/// a line of somebody else.
[[nodiscard]] std::string describe_in_lines(const std::exception_ptr& error);

} // namespace muster::detail
