// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The template of muster run, which makes a command of an input. A template of several words is executed as it is; one
/// of a single word is a command line, given to a shell only if it needs one. An input never becomes part of what a
/// shell reads: it is passed as an argument, so nothing in it is ever interpreted.
///
///     const auto t = command_template::of_line("convert {} {.}.png");
///     auto what = t.make(input, 1, 1);

#include <muster/subprocess.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

/// *Returns* the words of a command line in which nothing is special to a shell, and whose first word is a program and
/// nothing that only a shell knows; otherwise nothing.
[[nodiscard]] std::optional<std::vector<std::string>> plain_words(std::string_view line);

class command_template {
public:
    /// Each word is a word of the command. If none has a placeholder, the input comes last.
    /// *Errors*, of the two: usage_error.
    [[nodiscard]] static command_template of_words(const std::vector<std::string>& words);
    [[nodiscard]] static command_template of_line(const std::string& line);
    /// *Returns* a text with the placeholders of `text` put in, for people.
    [[nodiscard]] static std::string fill_in(
        const std::string& text, const std::string& input, std::uint64_t number, std::size_t slot);
    /// The inputs are command lines themselves.
    [[nodiscard]] static command_template of_nothing();

    /// `number` is the input's, from 1; `slot` is that of the place in which it runs, from 1.
    /// *Errors*: std::invalid_argument if there is a NUL in it.
    [[nodiscard]] muster::command make(const std::string& input, std::uint64_t number, std::size_t slot) const;
    /// The command as text, quoted as a shell could read it.
    [[nodiscard]] std::string show(const std::string& input, std::uint64_t number, std::size_t slot) const;
    /// A hash of template and input, which is the same in every run.
    [[nodiscard]] std::string key(const std::string& input) const;
    /// The template as it was given.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    enum class part { text, input, without_extension, base, folder, base_without_extension, number, slot };
    enum class quotes { none, single, twofold };
    enum class form { lines, words, shell };

    struct piece {
        piece(part p, std::string t, quotes q) : what(p), text(std::move(t)), inside(q) {}
        part what;
        std::string text;
        quotes inside;
    };
    using pieces = std::vector<piece>;

    command_template(form f, std::string text) : form_(f), text_(std::move(text)) {}

    [[nodiscard]] static std::size_t placeholder_at(std::string_view text, std::size_t at, part& what);
    [[nodiscard]] static pieces parse_word(std::string_view word);
    [[nodiscard]] static pieces parse_script(std::string_view line);
    [[nodiscard]] static bool has_placeholder(const std::vector<pieces>& words);
    [[nodiscard]] static std::string value(part what, const std::string& input, std::uint64_t number, std::size_t slot);
    void make_script();

    form form_;
    std::string text_;
    std::vector<pieces> words_; ///< or one, the script
    std::string script_;
    std::vector<part> parameters_; ///< of the script
};

} // namespace tool
