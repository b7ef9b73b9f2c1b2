// SPDX-License-Identifier: MIT
// This file parses templates and fills them in. A template is split into pieces, each a text or a placeholder. In the
// script for a shell each placeholder becomes a parameter such as ${1}, quoted according to the quotes that it stands
// in, and the values are passed as arguments. parse_script() reads as much of the shell's syntax as is
// needed to know those quotes.
#include "command_template.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tool {

namespace {

/// Words that a shell knows and the system does not, or where the two mean different things.
constexpr std::string_view words_of_shell[] = {".", ":", "alias", "bg", "break", "case", "cd", "command", "continue",
    "do", "done", "elif", "else", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function",
    "getopts", "hash", "if", "in", "jobs", "local", "read", "readonly", "return", "select", "set", "shift", "source",
    "then", "time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"};

bool is_plain(char c) noexcept {
    constexpr std::string_view others = "_-./:,+@%=";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos || static_cast<unsigned char>(c) >= 0x80;
}

std::vector<std::string> split(std::string_view line) {
    std::vector<std::string> words;
    for (std::size_t at = 0;;) {
        at = line.find_first_not_of(" \t", at);
        if (at == std::string_view::npos)
            return words;
        const auto end = std::min(line.find_first_of(" \t", at), line.size());
        words.emplace_back(line.substr(at, end - at));
        at = end;
    }
}

/// A word that a shell would run as a program: no assignment, and nothing of its own.
bool is_program(std::string_view word) {
    return word.find('=') == std::string_view::npos &&
           std::ranges::find(words_of_shell, word) == std::ranges::end(words_of_shell);
}

} // namespace

std::optional<std::vector<std::string>> plain_words(std::string_view line) {
    if (!std::ranges::all_of(line, [](char c) { return is_plain(c) || c == ' ' || c == '\t'; }))
        return std::nullopt;
    auto words = split(line);
    if (words.empty() || !is_program(words.front()))
        return std::nullopt;
    return words;
}

command_template::pieces command_template::parse_word(std::string_view word) const {
    pieces all;
    std::string text;
    for (std::size_t at = 0; at < word.size();) {
        if (const auto literal = rules_.places.literal_at(word, at); literal != 0) {
            text += word.substr(at + 1, literal);
            at += literal + 2;
        } else if (const auto found = rules_.places.at(word, at)) {
            if (!text.empty())
                all.emplace_back(std::exchange(text, {}));
            all.emplace_back(found->what, quotes::none);
            at += found->size;
        } else {
            text += word[at++];
        }
    }
    if (!text.empty() || all.empty())
        all.emplace_back(std::move(text));
    return all;
}

/// Reads a command line as a shell does, as far as it takes to know in which quotes a placeholder stands. If that is
/// ever wrong the worst is a word in quotes too many or too few: what is put in is a parameter, which is not read
/// again.
command_template::pieces command_template::parse_script(std::string_view line) const {
    pieces all;
    std::string text;
    std::string open; // what has been opened and not closed: " ' ` (
    const auto quoted = [&] {
        return open.ends_with('\'') ? quotes::single : open.ends_with('"') ? quotes::twofold : quotes::none;
    };
    for (std::size_t at = 0; at < line.size();) {
        if (const auto literal = rules_.places.literal_at(line, at); literal != 0) {
            text += line.substr(at + 1, literal);
            at += literal + 2;
            continue;
        }
        if (const auto found = rules_.places.at(line, at)) {
            all.emplace_back(std::exchange(text, {}));
            all.emplace_back(found->what, quoted());
            at += found->size;
            continue;
        }
        const char c = line[at];
        const char next = at + 1 < line.size() ? line[at + 1] : '\0';
        std::size_t taken = 1;
        switch (quoted()) {
        case quotes::single:
            if (c == '\'')
                open.pop_back();
            break;
        case quotes::twofold:
        case quotes::none: {
            const bool twofold = quoted() == quotes::twofold;
            if (c == '\\') {
                taken = next != '\0' ? 2 : 1;
            } else if (c == '"') {
                twofold ? open.pop_back() : open.push_back('"');
            } else if (c == '\'' && !twofold) {
                open.push_back('\'');
            } else if (c == '`') {
                open.ends_with('`') ? open.pop_back() : open.push_back('`');
            } else if (c == '$' && next == '(') {
                open.push_back('(');
                taken = 2;
            } else if (c == '$' && next == '{') {
                taken = std::min(line.find('}', at), line.size() - 1) - at + 1;
            } else if (c == '(' && !twofold) {
                open.push_back('(');
            } else if (c == ')' && open.ends_with('(')) {
                open.pop_back();
            } else if (c == '#' && !twofold &&
                       (at == 0 || std::string_view(" \t\n;&|(").find(line[at - 1]) != std::string_view::npos)) {
                taken = std::min(line.find('\n', at), line.size()) - at;
            }
            break;
        }
        }
        text += line.substr(at, taken);
        at += taken;
    }
    if (open.find_first_of("'\"`") != std::string::npos)
        throw usage_error(fmt::format("the template has a quote {} that is never closed: {}", open.back(), line));
    all.emplace_back(std::move(text));
    return all;
}

void command_template::add_input_if_missing() {
    if (rules_.places.on_standard_input)
        return;
    const bool has_one = std::ranges::any_of(words_,
        [](const pieces& w) { return std::ranges::any_of(w, [](const piece& p) { return p.place.has_value(); }); });
    if (has_one)
        return;
    if (form_ == form::words) {
        words_.push_back({piece(placeholder(), quotes::none)});
        return;
    }
    words_.front().emplace_back(" ");
    words_.front().emplace_back(placeholder(), quotes::none);
}

/// Where {} is a list, its words can't have other text around them without quotes: a shell would read it as one word.
void command_template::look_what_stands_alone() {
    auto& all = words_.front();
    for (std::size_t i = 0; i != all.size(); ++i) {
        auto& p = all[i];
        if (!p.place)
            continue;
        const char before = i != 0 && !all[i - 1].text.empty() ? all[i - 1].text.back() : ' ';
        const char behind = i + 1 != all.size() && !all[i + 1].text.empty() ? all[i + 1].text.front() : ' ';
        constexpr std::string_view ends_of_words = " \t\n;&|()<>";
        switch (p.inside) {
        case quotes::none:
            p.stands_alone = ends_of_words.find(before) != std::string_view::npos &&
                             ends_of_words.find(behind) != std::string_view::npos;
            break;
        case quotes::single:
            p.stands_alone = before == '\'' && behind == '\'';
            break;
        case quotes::twofold:
            p.stands_alone = before == '"' && behind == '"';
            break;
        }
        if (rules_.places.are_lists && p.place->part == 0 && p.inside == quotes::none && !p.stands_alone)
            throw usage_error(fmt::format("a command gets several inputs, and in '{}' there is other text beside a "
                                          "placeholder for them: put white "
                                          "space around it, or quotes, in which they are one word",
                text_));
    }
}

command_template command_template::of_words(const std::vector<std::string>& words, const rules& how) {
    std::string text;
    for (const auto& w : words)
        text += (text.empty() ? "" : " ") + muster::shell_quote(w);
    command_template t(how.shell.empty() ? form::words : form::shell, std::move(text), how);
    if (words.empty() || words.front().empty())
        throw usage_error("the template's first word names the program and can't be empty");
    for (const auto& w : words)
        t.words_.push_back(t.parse_word(w));
    if (t.form_ == form::words) {
        t.add_input_if_missing();
        return t;
    }
    // The shell gets each word in quotes, so that it is the command's as it is.
    pieces joined;
    for (const auto& w : t.words_) {
        if (!joined.empty())
            joined.emplace_back(" ");
        for (const auto& p : w)
            joined.push_back(p.place ? p : piece(muster::shell_quote(p.text)));
    }
    t.words_ = {std::move(joined)};
    t.add_input_if_missing();
    t.look_what_stands_alone();
    return t;
}

command_template command_template::of_line(const std::string& line, const rules& how) {
    if (line.find_first_not_of(" \t\n") == std::string::npos)
        throw usage_error("the template is empty: write the command to run, with {} for the input");
    command_template t(form::shell, line, how);
    // Placeholders aside, is there anything for a shell to do?
    std::string rest;
    for (const auto& p : t.parse_word(line))
        rest += p.place ? "x" : p.text;
    if (how.shell.empty() && plain_words(rest)) {
        t.form_ = form::words;
        for (const auto& w : split(line))
            t.words_.push_back(t.parse_word(w));
        t.add_input_if_missing();
        return t;
    }
    t.words_.push_back(t.parse_script(line));
    t.add_input_if_missing();
    t.look_what_stands_alone();
    return t;
}

command_template command_template::of_nothing(const rules& how) { return command_template(form::lines, {}, how); }

std::vector<std::string> command_template::make_words(const input_line& line, std::size_t slot) const {
    std::vector<std::string> words;
    for (const auto& w : words_) {
        // A word with a placeholder for several inputs is there for each of them.
        std::size_t copies = 1;
        for (const auto& p : w)
            copies = std::max(copies, p.place ? p.place->words(line) : 1);
        for (std::size_t i = 0; i != copies; ++i) {
            std::string word;
            for (const auto& p : w)
                word += p.place ? p.place->value(line, i, slot) : p.text;
            words.push_back(std::move(word));
        }
    }
    return words;
}

/// Each placeholder becomes one parameter, or one for each of several inputs, quoted according to where it stands.
command_template::filled_script command_template::make_script(const input_line& line, std::size_t slot) const {
    filled_script s;
    std::vector<std::pair<placeholder, std::size_t>> known; // and the number of the first parameter
    for (const auto& p : words_.front()) {
        if (!p.place) {
            s.text += p.text;
            continue;
        }
        const auto count = p.place->words(line);
        auto at = std::ranges::find(known, *p.place, &std::pair<placeholder, std::size_t>::first);
        if (at == known.end()) {
            at = known.insert(at, {*p.place, s.values.size() + 1});
            for (std::size_t i = 0; i != count; ++i)
                s.values.push_back(p.place->value(line, i, slot));
        }
        // Words of their own leave the quotes in between; in other quotes all are one word.
        const char* between = p.stands_alone ? "\" \"" : " ";
        const char* around = p.inside == quotes::none ? "\"" : p.inside == quotes::single ? "'\"" : "";
        const char* back = p.inside == quotes::none ? "\"" : p.inside == quotes::single ? "\"'" : "";
        s.text += around;
        for (std::size_t i = 0; i != count; ++i)
            s.text += fmt::format("{}${{{}}}", i != 0 ? between : "", at->second + i);
        s.text += back;
    }
    return s;
}

muster::command command_template::of_shell(std::string text) const {
    if (rules_.shell.empty())
        return muster::command::shell(std::move(text));
    auto words = rules_.shell;
    words.insert(words.end(), {"-c", std::move(text), rules_.shell.front()});
    return muster::command(std::move(words));
}

std::string command_template::fill_in(const std::string& text, const input_line& line, std::size_t slot) const {
    std::string filled;
    for (const auto& p : parse_word(text)) {
        filled += p.text;
        for (std::size_t i = 0; p.place && i != p.place->words(line); ++i)
            filled += (i != 0 ? " " : "") + p.place->value(line, i, slot);
    }
    return filled;
}

muster::command command_template::make(const input_line& line, std::size_t slot) const {
    switch (form_) {
    case form::lines: {
        auto plain = rules_.shell.empty() ? plain_words(line.text) : std::nullopt;
        return plain ? muster::command(std::move(*plain)) : of_shell(line.text);
    }
    case form::words:
        return muster::command(make_words(line, slot));
    case form::shell:
        break;
    }
    auto s = make_script(line, slot);
    auto what = of_shell(std::move(s.text));
    for (auto& value : s.values)
        what.arg(std::move(value));
    return what;
}

std::string command_template::show(const input_line& line, std::size_t slot) const {
    std::string text;
    switch (form_) {
    case form::lines:
        return line.text;
    case form::words:
        for (const auto& word : make_words(line, slot))
            text += (text.empty() ? "" : " ") + muster::shell_quote(word);
        return text;
    case form::shell:
        break;
    }
    for (const auto& p : words_.front()) {
        if (!p.place) {
            text += p.text;
            continue;
        }
        // Out of the quotes, in quotes of its own, and back.
        const char* around = p.inside == quotes::single ? "'" : p.inside == quotes::twofold ? "\"" : "";
        std::string shown;
        for (std::size_t i = 0; i != p.place->words(line); ++i) {
            const auto value = p.place->value(line, i, slot);
            shown += (i != 0 ? " " : "") + (p.stands_alone ? muster::shell_quote(value) : value);
        }
        text += around + (p.stands_alone ? shown : muster::shell_quote(shown)) + around;
    }
    return text;
}

content_key command_template::key(const input_line& line) const {
    std::string all;
    for (const auto& word : rules_.shell)
        all += word + '\n';
    all += text_ + '\0';
    if (!line.is_list())
        return content_key(all + line.text);
    for (const auto& p : line.parts)
        all += p + '\0';
    return content_key(all);
}

std::string command_template::what_reads_again() const {
    if (form_ != form::shell)
        return {};
    std::string all;
    for (const auto& p : words_.front())
        all += p.place ? "x" : p.text;
    for (const std::string_view sign : {"$((", "((", "[["}) {
        if (all.find(sign) != std::string::npos)
            return std::string(sign);
    }
    std::ranges::replace_if(
        all, [](char c) { return std::string_view("\t\n;&|(){}`").find(c) != std::string_view::npos; }, ' ');
    for (const auto& word : split(all)) {
        for (const std::string_view builtin : {"eval", "trap", "let"}) {
            if (word == builtin)
                return word;
        }
    }
    return {};
}

std::size_t command_template::cost(const std::string& input) const noexcept {
    constexpr std::size_t pointer = 8;
    constexpr std::size_t parameter = 12; // of a script, such as "${1234}" with a blank behind it
    std::size_t bytes = 0;
    for (const auto& w : words_) {
        std::size_t text = 0;
        std::size_t places = 0;
        for (const auto& p : w) {
            text += p.text.size();
            places += p.place && p.place->part == 0 ? 1 : 0;
        }
        if (places != 0)
            bytes += form_ == form::words ? text + places * input.size() + 1 + pointer
                                          : places * (input.size() + 1 + pointer + parameter);
    }
    return bytes;
}

} // namespace tool
