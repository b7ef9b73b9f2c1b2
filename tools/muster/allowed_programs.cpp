// SPDX-License-Identifier: MIT
// This file decides by the text of a command's first word, before anything is looked for: a word without a slash is
// matched with the patterns of names and found in the folders of PATH; a word with slashes must be an absolute path
// without ".", ".." and empty parts, so that no other way of writing a path gets around a pattern. A link within an
// allowed folder is allowed: whoever may put it there may put a program there.
#include "allowed_programs.hpp"

#include "units.hpp"

#include "vocabulary/printable.hpp"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

/// Programs that execute what their arguments, their input or a file of the user's say.
constexpr std::string_view anything[] = {"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "xargs", "find",
    "nice", "nohup", "setsid", "timeout", "sudo", "su", "ssh", "make", "awk", "python3", "perl", "ruby", "node"};

/// The program by which muster has a template read that needs a shell; for a pattern it is called sh.
constexpr std::string_view shell_of_templates = "/bin/sh";

bool has_slash(std::string_view text) noexcept { return text.find('/') != std::string_view::npos; }

/// *Returns* whether each part of an absolute path is a name.
bool is_plain_path(std::string_view path) noexcept {
    if (!path.starts_with('/'))
        return false;
    path.remove_prefix(1);
    for (;;) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        if (part.empty() || part == "." || part == "..")
            return false;
        if (slash == std::string_view::npos)
            return true;
        path.remove_prefix(slash + 1);
    }
}

bool matches(const std::string& pattern, const std::string& text) noexcept {
    return has_slash(pattern) == has_slash(text) &&
           ::fnmatch(pattern.c_str(), text.c_str(), FNM_PATHNAME | FNM_PERIOD | FNM_NOESCAPE) == 0;
}

bool is_program(const std::string& file) noexcept {
    struct stat about {};
    return ::stat(file.c_str(), &about) == 0 && S_ISREG(about.st_mode) && ::access(file.c_str(), X_OK) == 0;
}

} // namespace

allowed_programs::allowed_programs(std::vector<std::string> patterns, const std::string& path)
    : patterns_(std::move(patterns)) {
    for (const auto& pattern : patterns_) {
        if (pattern.empty())
            throw usage_error("--allow: name a program, or give a pattern for paths");
        if (has_slash(pattern) && !is_plain_path(pattern))
            throw usage_error(fmt::format("--allow {}: write a name, or an absolute path without . and ..",
                muster::detail::printable(pattern, 200)));
    }
    for (std::string_view rest = path; !rest.empty();) {
        const auto end = std::min(rest.find(':'), rest.size());
        // An empty or relative folder would depend on where a command runs.
        if (rest.starts_with('/'))
            folders_.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
}

std::string allowed_programs::find(const std::string& name) const {
    for (const auto& folder : folders_) {
        auto file = folder + '/' + name;
        if (is_program(file))
            return file;
    }
    return {};
}

allowed_programs::answer allowed_programs::look_up(const std::string& program) const {
    answer result;
    const auto shown = muster::detail::printable(program, 200);
    if (program.empty() || (has_slash(program) && !is_plain_path(program))) {
        result.problem =
            fmt::format("'{}' is no program for a worker: write a name, or an absolute path without . and ..", shown);
        return result;
    }
    const bool is_shell = program == shell_of_templates || program == "sh";
    const auto is_it = [&](const std::string& pattern) {
        return matches(pattern, program) || (is_shell && matches(pattern, "sh"));
    };
    if (!std::ranges::any_of(patterns_, is_it)) {
        result.problem = is_shell
                             ? fmt::format("it needs a shell, and the worker does not allow sh; it allows {}", text())
                             : fmt::format("the worker does not allow {}; it allows {}", shown, text());
        return result;
    }
    result.file = has_slash(program) ? program : find(program);
    const bool is_there = !result.file.empty() && ::access(result.file.c_str(), F_OK) == 0;
    result.is = is_there ? answer::kind::allowed : answer::kind::not_found;
    if (!is_there)
        result.problem = has_slash(program) ? "there is no such program" : "there is no such command in PATH";
    return result;
}

std::vector<std::string> allowed_programs::that_run_anything() const {
    std::vector<std::string> found;
    for (const auto name : anything) {
        const std::string as_name(name);
        const auto allows = [&](const std::string& pattern) {
            return matches(pattern, as_name) || matches(pattern, "/bin/" + as_name) ||
                   matches(pattern, "/usr/bin/" + as_name);
        };
        if (std::ranges::any_of(patterns_, allows))
            found.push_back(as_name);
    }
    return found;
}

std::string allowed_programs::text() const {
    constexpr std::size_t most = 500;
    return muster::detail::printable(fmt::format("{}", fmt::join(patterns_, ", ")), most);
}

} // namespace tool
