// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The template of muster run, which makes a command of an input. A template of several words is executed as it is; one
/// of a single word is a command line, given to a shell only if it needs one. An input never becomes part of what a
/// shell reads: it is passed as an argument, so nothing in it is ever interpreted.
///
///     const auto t = command_template::of_line("convert {} {.}.png");
///     auto what = t.make(line, 1);

#include "content_key.hpp"
#include "placeholder.hpp"

#include <muster/subprocess.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// *Returns* the words of a command line in which nothing is special to a shell, and whose first word is a program and
/// nothing that only a shell knows; otherwise nothing.
[[nodiscard]] std::optional<std::vector<std::string>> plain_words(std::string_view line);

class command_template {
public:
    struct rules {
        rules() {}
        placeholders places;
        std::vector<std::string> shell; ///< a shell and its options, which reads every command; none: sh, where needed
    };

    /// Each word is a word of the command. If none has a placeholder, the input comes last.
    /// *Errors*, of the two: usage_error.
    [[nodiscard]] static command_template of_words(const std::vector<std::string>& words, const rules& how = rules());
    [[nodiscard]] static command_template of_line(const std::string& line, const rules& how = rules());
    /// The inputs are command lines themselves.
    [[nodiscard]] static command_template of_nothing(const rules& how = rules());

    /// `slot` is that of the place in which it runs, from 1.
    /// *Errors*: std::invalid_argument if there is a NUL in it, or if the input has too few parts.
    [[nodiscard]] muster::command make(const input_line& line, std::size_t slot) const;
    /// The command as text, quoted as a shell could read it.
    [[nodiscard]] std::string show(const input_line& line, std::size_t slot) const;
    /// *Returns* a text, such as a tag, with the input put into its placeholders.
    [[nodiscard]] std::string fill_in(const std::string& text, const input_line& line, std::size_t slot) const;
    /// Made of template and input: the same in every run.
    [[nodiscard]] content_key key(const input_line& line) const;
    /// *Returns* about how many bytes of arguments an input takes beside others in one command.
    [[nodiscard]] std::size_t cost(const std::string& input) const noexcept;
    /// *Returns* the word in the command line by which a shell would read an input after all, such as eval; or nothing.
    [[nodiscard]] std::string what_reads_again() const;
    /// The template as it was given.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    enum class quotes { none, single, twofold };
    enum class form { lines, words, shell };

    struct piece {
        explicit piece(std::string t) : text(std::move(t)) {}
        piece(placeholder p, quotes q) : place(p), inside(q) {}
        std::string text;
        std::optional<placeholder> place;
        quotes inside = quotes::none;
        bool stands_alone = true; ///< between white space, or between quotes of its own
    };
    using pieces = std::vector<piece>;
    /// A script with its parameters.
    struct filled_script {
        filled_script() {}
        std::string text;
        std::vector<std::string> values;
    };

    command_template(form f, std::string text, const rules& how) : form_(f), text_(std::move(text)), rules_(how) {}

    [[nodiscard]] pieces parse_word(std::string_view word) const;
    [[nodiscard]] pieces parse_script(std::string_view line) const;
    void add_input_if_missing();
    void look_what_stands_alone();
    [[nodiscard]] std::vector<std::string> make_words(const input_line& line, std::size_t slot) const;
    [[nodiscard]] filled_script make_script(const input_line& line, std::size_t slot) const;
    [[nodiscard]] muster::command of_shell(std::string script) const;

    form form_;
    std::string text_;
    rules rules_;
    std::vector<pieces> words_; ///< or one, the script
};

} // namespace tool
