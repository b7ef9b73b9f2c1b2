// SPDX-License-Identifier: MIT
// Lines from a file, against a plain count of them: each rule of what is a line, a blank and a comment.
#include "fuzz.hpp"

#include "line_source.hpp"

#include "posix/owned_fd.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace {

struct expected {
    std::vector<std::string> lines;
    std::uint64_t blank = 0;
    std::uint64_t comments = 0;
};

std::string trimmed(std::string text) {
    const std::string_view blanks = " \t\r";
    text.erase(0, std::min(text.find_first_not_of(blanks), text.size()));
    text.erase(text.find_last_not_of(blanks) + 1);
    return text;
}

expected counted(std::string_view text, const tool::line_rules& rules) {
    expected all;
    for (bool is_first = true; !text.empty(); is_first = false) {
        const auto end = std::min(text.find(rules.end), text.size());
        std::string line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        // A mark of the byte order is no part of the first line.
        if (is_first && rules.end == '\n' && line.starts_with("\xEF\xBB\xBF"))
            line.erase(0, 3);
        const auto inner = trimmed(line);
        if (rules.has_comments && inner.starts_with('#'))
            ++all.comments;
        else if (line.empty() || (rules.spaces_count_as_blank && inner.empty()))
            ++all.blank;
        else
            all.lines.push_back(rules.trims ? inner : line);
    }
    return all;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const muster::detail::owned_fd file(::memfd_create("lines", MFD_CLOEXEC));
    static const std::string name = "/proc/self/fd/" + std::to_string(file.get());
    fuzz::input in(data, size);
    const auto rule = in.number(3);
    const auto rules = rule == 0   ? tool::line_rules::urls()
                       : rule == 1 ? tool::line_rules::commands()
                                   : tool::line_rules::inputs(rule == 2 ? '\n' : '\0');
    const auto text = in.rest();
    FUZZ_CHECK(::ftruncate(file.get(), 0) == 0);
    FUZZ_CHECK(::pwrite(file.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    tool::line_source source(name, rules);
    std::vector<std::string> lines;
    for (tool::input_line line; source.try_take(line) == tool::line_source::took::line;) {
        FUZZ_CHECK(line.index == lines.size());
        lines.push_back(line.text);
    }
    FUZZ_CHECK(source.exhausted());
    // With CSV-like trimming the texts may differ in blanks alone; how many lines there are may not.
    const auto all = counted(text, rules);
    FUZZ_CHECK(source.taken() == lines.size());
    FUZZ_CHECK(lines.size() + source.blank_lines() + source.comments() == all.lines.size() + all.blank + all.comments);
    FUZZ_CHECK(lines.size() == all.lines.size());
    FUZZ_CHECK(source.comments() == all.comments);
    for (std::size_t i = 0; i != lines.size(); ++i)
        FUZZ_CHECK(trimmed(lines[i]) == trimmed(all.lines[i]));
    return 0;
}
