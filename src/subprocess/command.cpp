// SPDX-License-Identifier: MIT
// This file has the checked setters of a command, and makes its text for messages. A setter refuses what can't be
// handed to a process, such as a NUL in a word. describe() quotes the words as a shell would, replaces control
// characters, and cuts the text between two characters if it gets too long.
#include <muster/subprocess/command.hpp>

#include "vocabulary/printable.hpp"

#include <algorithm>
#include <stdexcept>

namespace muster {

namespace {

void refuse_nul(std::string_view text, const std::string& what) {
    if (text.find('\0') != std::string_view::npos)
        throw std::invalid_argument("command: " + what + " has a NUL in it, which no process can be given");
}

void refuse_negative(std::chrono::nanoseconds time, const char* what) {
    if (time.count() < 0)
        throw std::invalid_argument(std::string("command::") + what + ": the time must not be negative");
}

bool needs_quotes(std::string_view word) noexcept {
    constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,+@%=^";
    return word.empty() || word.front() == '=' || word.find_first_not_of(plain) != std::string_view::npos;
}

constexpr std::size_t longest_description = 200;

} // namespace

std::string shell_quote(std::string_view word) {
    if (!needs_quotes(word))
        return std::string(word);
    std::string quoted = "'";
    for (const char c : word) {
        if (c == '\'')
            quoted += "'\\''";
        else
            quoted += c;
    }
    return quoted + '\'';
}

command::command(std::vector<std::string> words) {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("command: the first word names the program and can't be empty");
    for (std::size_t i = 0; i < words.size(); ++i)
        refuse_nul(words[i], i == 0 ? "the program" : "argument " + std::to_string(i));
    parts_.words = std::move(words);
}

command::command(std::initializer_list<std::string_view> words)
    : command(std::vector<std::string>(words.begin(), words.end())) {}

command command::shell(std::string line) {
    // The name that sh has in its messages, "$0", stands before the arguments.
    return command("/bin/sh", "-c", std::move(line), "sh");
}

command& command::arg(std::string word) & {
    refuse_nul(word, "argument " + std::to_string(parts_.words.size()));
    parts_.words.push_back(std::move(word));
    return *this;
}

command& command::env(std::string name, std::string value) & {
    refuse_nul(name, "the name of a variable");
    refuse_nul(value, "the value of " + name);
    if (name.empty() || name.find('=') != std::string::npos)
        throw std::invalid_argument("command::env: '" + name + "' can't be the name of a variable");
    std::erase_if(parts_.environment, [&](const auto& c) { return c.name == name; });
    parts_.environment.emplace_back(std::move(name), std::move(value));
    return *this;
}

command& command::unset_env(std::string name) & {
    std::erase_if(parts_.environment, [&](const auto& c) { return c.name == name; });
    parts_.environment.emplace_back(std::move(name), std::nullopt);
    return *this;
}

command& command::clear_env() & noexcept {
    parts_.clear_environment = true;
    return *this;
}

command& command::directory(std::string path) & {
    refuse_nul(path, "the directory");
    if (path.empty())
        throw std::invalid_argument("command::directory: the path is empty; write \".\" for the current directory");
    parts_.directory = std::move(path);
    return *this;
}

command& command::new_session() & noexcept {
    parts_.group = detail::grouping::own_session;
    return *this;
}

command& command::stdin_null() & noexcept {
    parts_.input = detail::input_from::null;
    return *this;
}

command& command::stdin_inherit() & noexcept {
    parts_.input = detail::input_from::inherit;
    return *this;
}

command& command::stdin_bytes(std::string bytes) & noexcept {
    parts_.input = detail::input_from::bytes;
    parts_.bytes = std::move(bytes);
    return *this;
}

command& command::stdin_file(std::string path) & {
    refuse_nul(path, "the file for standard input");
    parts_.input = detail::input_from::file;
    parts_.bytes = std::move(path);
    return *this;
}

command& command::stdin_pipe() & noexcept {
    parts_.input = detail::input_from::pipe;
    return *this;
}

command& command::stdout_to(output where) & {
    parts_.out.to = where;
    parts_.out.sink = nullptr;
    return *this;
}

command& command::stdout_to(output_sink sink) & {
    parts_.out.to = output::capture;
    parts_.out.sink = std::move(sink);
    return *this;
}

command& command::stderr_to(output where) & {
    parts_.err.to = where;
    parts_.err.sink = nullptr;
    parts_.err.merged = false;
    return *this;
}

command& command::stderr_to(output_sink sink) & {
    parts_.err.to = output::capture;
    parts_.err.sink = std::move(sink);
    parts_.err.merged = false;
    return *this;
}

command& command::merge_stderr() & noexcept {
    parts_.err.merged = true;
    parts_.err.sink = nullptr;
    return *this;
}

command& command::output_limit(std::uint64_t bytes) & noexcept {
    parts_.limit = bytes;
    parts_.keeps_tail = false;
    return *this;
}

command& command::keep_tail(std::size_t bytes) & noexcept {
    parts_.limit = bytes;
    parts_.keeps_tail = true;
    return *this;
}

command& command::grace(std::chrono::nanoseconds time) & {
    refuse_negative(time, "grace");
    parts_.grace = time;
    return *this;
}

command& command::linger(std::chrono::nanoseconds time) & {
    refuse_negative(time, "linger");
    parts_.linger = time;
    return *this;
}

command& command::on_start(std::function<void(pid_t)> call) & noexcept {
    parts_.started = std::move(call);
    return *this;
}

command& command::on_open_output(std::function<void(int, int)> call) & noexcept {
    parts_.left_open = std::move(call);
    return *this;
}

std::string command::describe() const {
    std::string text;
    for (const auto& word : parts_.words) {
        if (!text.empty())
            text += ' ';
        text += shell_quote(std::string_view(word).substr(0, longest_description));
        if (text.size() > longest_description)
            break;
    }
    return detail::printable(text, longest_description);
}

} // namespace muster
