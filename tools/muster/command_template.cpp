// SPDX-License-Identifier: MIT
// This file parses templates and fills them in. A template is split into pieces, each a text or a placeholder. For a
// shell, the script is made once: each placeholder becomes a parameter such as ${1}, quoted according to the quotes
// that it stands in, and the values are passed as arguments. parse_script() reads as much of the shell's syntax as is
// needed to know those quotes.
#include "command_template.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
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

std::string_view base_of(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1);
}

std::string folder_of(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos)
        return ".";
    return std::string(path.substr(0, std::max<std::size_t>(slash, 1)));
}

/// ".profile" has no extension, and neither has "..".
std::string_view without_extension(std::string_view path) {
    const auto slash = path.rfind('/');
    const auto name = slash == std::string_view::npos ? 0 : slash + 1;
    const auto first = path.find_first_not_of('.', name);
    const auto dot = path.rfind('.');
    if (dot == std::string_view::npos || first == std::string_view::npos || dot < first)
        return path;
    return path.substr(0, dot);
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

std::size_t command_template::placeholder_at(std::string_view text, std::size_t at, part& what) {
    constexpr std::array<std::pair<std::string_view, part>, 7> all = {
        {{"{}", part::input}, {"{.}", part::without_extension}, {"{/}", part::base}, {"{//}", part::folder},
            {"{/.}", part::base_without_extension}, {"{#}", part::number}, {"{%}", part::slot}}};
    for (const auto& [word, p] : all) {
        if (text.substr(at).starts_with(word)) {
            what = p;
            return word.size();
        }
    }
    return 0;
}

command_template::pieces command_template::parse_word(std::string_view word) {
    pieces all;
    std::string text;
    for (std::size_t at = 0; at < word.size();) {
        part what{};
        const auto length = placeholder_at(word, at, what);
        if (length == 0) {
            text += word[at++];
            continue;
        }
        if (!text.empty())
            all.emplace_back(part::text, std::exchange(text, {}), quotes::none);
        all.emplace_back(what, std::string(), quotes::none);
        at += length;
    }
    if (!text.empty() || all.empty())
        all.emplace_back(part::text, std::move(text), quotes::none);
    return all;
}

/// Reads a command line as a shell does, as far as it takes to know in which quotes a placeholder stands. If that is
/// ever wrong the worst is a word in quotes too many or too few: what is put in is a parameter, which is not read
/// again.
command_template::pieces command_template::parse_script(std::string_view line) {
    pieces all;
    std::string text;
    std::string open; // what has been opened and not closed: " ' ` (
    const auto quoted = [&] {
        return open.ends_with('\'') ? quotes::single : open.ends_with('"') ? quotes::twofold : quotes::none;
    };
    for (std::size_t at = 0; at < line.size();) {
        part what{};
        if (const auto length = placeholder_at(line, at, what); length != 0) {
            all.emplace_back(part::text, std::exchange(text, {}), quotes::none);
            all.emplace_back(what, std::string(), quoted());
            at += length;
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
    all.emplace_back(part::text, std::move(text), quotes::none);
    return all;
}

bool command_template::has_placeholder(const std::vector<pieces>& words) {
    return std::ranges::any_of(words,
        [](const pieces& w) { return std::ranges::any_of(w, [](const piece& p) { return p.what != part::text; }); });
}

command_template command_template::of_words(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& w : words)
        text += (text.empty() ? "" : " ") + muster::shell_quote(w);
    command_template t(form::words, std::move(text));
    if (words.empty() || words.front().empty())
        throw usage_error("the template's first word names the program and can't be empty");
    for (const auto& w : words)
        t.words_.push_back(parse_word(w));
    if (!has_placeholder(t.words_))
        t.words_.push_back(parse_word("{}"));
    return t;
}

command_template command_template::of_line(const std::string& line) {
    if (line.find_first_not_of(" \t\n") == std::string::npos)
        throw usage_error("the template is empty: write the command to run, with {} for the input");
    // Placeholders aside, is there anything for a shell to do?
    std::string rest;
    for (const auto& p : parse_word(line))
        rest += p.what == part::text ? p.text : "x";
    const auto plain = plain_words(rest);
    command_template t(plain ? form::words : form::shell, line);
    if (plain) {
        for (const auto& w : split(line))
            t.words_.push_back(parse_word(w));
        if (!has_placeholder(t.words_))
            t.words_.push_back(parse_word("{}"));
        return t;
    }
    auto script = parse_script(line);
    if (!has_placeholder({script})) {
        script.emplace_back(part::text, " ", quotes::none);
        script.emplace_back(part::input, std::string(), quotes::none);
    }
    t.words_.push_back(std::move(script));
    t.make_script();
    return t;
}

command_template command_template::of_nothing() { return command_template(form::lines, {}); }

void command_template::make_script() {
    for (const auto& p : words_.front()) {
        if (p.what == part::text) {
            script_ += p.text;
            continue;
        }
        auto at = std::ranges::find(parameters_, p.what);
        if (at == parameters_.end())
            at = parameters_.insert(at, p.what);
        const auto parameter = fmt::format("${{{}}}", at - parameters_.begin() + 1);
        switch (p.inside) {
        case quotes::none:
            script_ += '"' + parameter + '"';
            break;
        case quotes::twofold:
            script_ += parameter;
            break;
        case quotes::single:
            script_ += "'\"" + parameter + "\"'";
            break;
        }
    }
}

std::string command_template::value(part what, const std::string& input, std::uint64_t number, std::size_t slot) {
    switch (what) {
    case part::text:
        break;
    case part::input:
        return input;
    case part::without_extension:
        return std::string(without_extension(input));
    case part::base:
        return std::string(base_of(input));
    case part::folder:
        return folder_of(input);
    case part::base_without_extension:
        return std::string(without_extension(base_of(input)));
    case part::number:
        return std::to_string(number);
    case part::slot:
        return std::to_string(slot);
    }
    return {};
}

std::string command_template::fill_in(
    const std::string& text, const std::string& input, std::uint64_t number, std::size_t slot) {
    std::string filled;
    for (const auto& p : parse_word(text))
        filled += p.what == part::text ? p.text : value(p.what, input, number, slot);
    return filled;
}

muster::command command_template::make(const std::string& input, std::uint64_t number, std::size_t slot) const {
    std::vector<std::string> words;
    switch (form_) {
    case form::lines: {
        auto plain = plain_words(input);
        return plain ? muster::command(std::move(*plain)) : muster::command::shell(input);
    }
    case form::words:
        for (const auto& w : words_) {
            std::string word;
            for (const auto& p : w)
                word += p.what == part::text ? p.text : value(p.what, input, number, slot);
            words.push_back(std::move(word));
        }
        return muster::command(std::move(words));
    case form::shell:
        break;
    }
    auto what = muster::command::shell(script_);
    for (const auto p : parameters_)
        what.arg(value(p, input, number, slot));
    return what;
}

std::string command_template::show(const std::string& input, std::uint64_t number, std::size_t slot) const {
    std::string text;
    switch (form_) {
    case form::lines:
        return input;
    case form::words:
        for (const auto& w : words_) {
            std::string word;
            for (const auto& p : w)
                word += p.what == part::text ? p.text : value(p.what, input, number, slot);
            text += (text.empty() ? "" : " ") + muster::shell_quote(word);
        }
        return text;
    case form::shell:
        break;
    }
    for (const auto& p : words_.front()) {
        if (p.what == part::text) {
            text += p.text;
            continue;
        }
        const auto quoted = muster::shell_quote(value(p.what, input, number, slot));
        // Out of the quotes, in quotes of its own, and back.
        const char* around = p.inside == quotes::single ? "'" : p.inside == quotes::twofold ? "\"" : "";
        text += around + quoted + around;
    }
    return text;
}

std::string command_template::key(const std::string& input) const {
    // FNV-1a: it need not withstand anybody, only mistakes.
    std::uint64_t hash = 0xcbf29ce484222325u;
    const auto add = [&](std::string_view bytes) {
        for (const char c : bytes)
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    };
    add(text_);
    add(std::string_view("\0", 1));
    add(input);
    return fmt::format("{:016x}", hash);
}

} // namespace tool
