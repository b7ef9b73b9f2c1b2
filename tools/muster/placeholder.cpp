// SPDX-License-Identifier: MIT
// This file knows how placeholders are written and what they stand for. Between the braces there is a number or a name
// of a part, or nothing, and then the form: nothing, ., /, //, /., and without a part also # and %.
#include "placeholder.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tool {

namespace {

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

std::string in_form(placeholder::form what, const std::string& text) {
    switch (what) {
    case placeholder::form::without_extension:
        return std::string(without_extension(text));
    case placeholder::form::base:
        return std::string(base_of(text));
    case placeholder::form::folder:
        return folder_of(text);
    case placeholder::form::base_without_extension:
        return std::string(without_extension(base_of(text)));
    case placeholder::form::input:
    case placeholder::form::number:
    case placeholder::form::slot:
    case placeholder::form::host:
        break;
    }
    return text;
}

std::optional<placeholder::form> form_of(std::string_view text, bool has_part) {
    using form = placeholder::form;
    constexpr std::pair<std::string_view, form> all[] = {{"", form::input}, {".", form::without_extension},
        {"/", form::base}, {"//", form::folder}, {"/.", form::base_without_extension}, {"#", form::number},
        {"%", form::slot}};
    const auto* known = std::ranges::find(all, text, &std::pair<std::string_view, form>::first);
    if (known == std::ranges::end(all) || (has_part && (known->second == form::number || known->second == form::slot)))
        return std::nullopt;
    return known->second;
}

} // namespace

std::size_t placeholder::words(const input_line& line) const noexcept {
    return part == 0 && is_of_the_input() && line.is_list() ? line.parts.size() : 1;
}

std::string placeholder::value(const input_line& line, std::size_t word, const run_place& at) const {
    if (what == form::number)
        return std::to_string(line.index + 1);
    if (what == form::slot)
        return std::to_string(at.number);
    if (what == form::host)
        return at.host;
    if (part == 0)
        return in_form(what, line.is_list() ? line.parts.at(word) : line.text);
    if (part == 1 && line.parts.empty())
        return in_form(what, line.text);
    if (part > line.parts.size())
        throw std::invalid_argument(fmt::format("the template asks for {{{}}}, and here the input has {} {}", part,
            line.parts.size(), line.parts.size() == 1 ? "part" : "parts"));
    return in_form(what, line.parts[part - 1]);
}

std::optional<placeholders::found> placeholders::parse(std::string_view text, std::size_t place) const {
    text.remove_prefix(place);
    if (!own_word.empty())
        return text.starts_with(own_word) ? std::optional(found(placeholder(), own_word.size())) : std::nullopt;
    const auto end = text.starts_with('{') ? text.find('}') : std::string_view::npos;
    if (end == std::string_view::npos)
        return std::nullopt;
    auto inside = text.substr(1, end - 1);
    placeholder p;
    if (runs != where::here && inside == "host") {
        p.what = placeholder::form::host;
        return found(p, end + 1);
    }
    std::size_t longest = 0;
    for (std::size_t i = 0; i != names.size(); ++i) {
        const auto& name = names[i];
        if (name.size() > longest && inside.starts_with(name) && form_of(inside.substr(name.size()), true)) {
            longest = name.size();
            p.part = i + 1;
        }
    }
    constexpr std::size_t most_digits = 4;
    const auto digits = std::min(inside.find_first_not_of("0123456789"), inside.size());
    if (longest == 0 && digits != 0 && digits <= most_digits && inside.front() != '0') {
        longest = digits;
        p.part = std::stoul(std::string(inside.substr(0, digits)));
    }
    inside.remove_prefix(longest);
    const auto form = form_of(inside, p.part != 0);
    if (!form)
        return std::nullopt;
    p.what = *form;
    return found(p, end + 1);
}

std::optional<placeholders::found> placeholders::at(std::string_view text, std::size_t place) const {
    if (own_word.empty() && text.substr(place).starts_with("{=") && text.find("=}", place) != std::string_view::npos)
        throw usage_error(
            fmt::format("the template has {}: there are no expressions of Perl here. {{.}} {{/}} {{//}} {{/.}} "
                        "are parts of the input, a shell has ${{NAME%.gz}}; with -I WORD braces are text",
                text.substr(place, text.find("=}", place) + 2 - place)));
    const auto f = parse(text, place);
    if (f && on_standard_input && f->what.is_of_the_input())
        throw usage_error(fmt::format(
            "the template has {}, but with --pipe the lines come on standard input", text.substr(place, f->size)));
    if (f && runs == where::by_workers && f->what.what == placeholder::form::slot)
        throw usage_error("the template has {%}, the place that a command runs in, which the workers of a queue have "
                          "not: leave it out, or write {#} for the number of the input");
    if (f && parts && f->what.part > *parts)
        throw usage_error(fmt::format("the template has {0}, and an input has {1}: give more lists behind ::: or "
                                      "columns with --colsep; {{{0}}} stands for {0} itself",
            text.substr(place, f->size), *parts == 1 ? "one part" : fmt::format("{} parts", *parts)));
    return f;
}

std::size_t placeholders::literal_at(std::string_view text, std::size_t place) const {
    if (!own_word.empty() || !text.substr(place).starts_with("{{"))
        return 0;
    const auto f = parse(text, place + 1);
    return f && text.substr(place + 1 + f->size).starts_with('}') ? f->size : 0;
}

} // namespace tool
