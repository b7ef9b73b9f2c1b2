// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --tag and --line-buffer: cuts what a command writes into lines, and puts a tag before each of them.
///
///     line_tag tag("input");
///     tag.give("one\ntwo\n", [](std::string_view lines) { ... });   // "input\tone\ninput\ttwo\n"

#include "line_source.hpp"
#include "vocabulary/printable.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace tool {

/// *Returns* how many bytes of a text without a line feed, with a piece behind it, can be printed: whole lines; or all
/// if a line is longer than any may be, because a line without an end must not fill the memory. Only the piece is
/// searched, which may be a single byte.
[[nodiscard]] inline std::size_t whole_lines(std::string_view begun, std::string_view piece) noexcept {
    const auto end = piece.rfind('\n');
    if (end != std::string_view::npos)
        return begun.size() + end + 1;
    return begun.size() + piece.size() > line_source::longest_line ? begun.size() + piece.size() : 0;
}

/// An input is anything, and its lines are printed on terminals: a tag is one bounded line that is safe to print.
class line_tag {
public:
    /// No tag.
    line_tag() = default;
    explicit line_tag(std::string_view text) : text_(muster::detail::printable(text, longest) + '\t') {}

    /// Gives `sink` the text, each line of it behind the tag. A line may come in several texts, and has one tag. A few
    /// empty lines become much with their tags, which `sink` is given in parts.
    template <class Sink>
    void give(std::string_view text, const Sink& sink) {
        if (text_.empty() && !text.empty()) {
            sink(text);
            return;
        }
        std::string part;
        while (!text.empty()) {
            const auto end = text.find('\n');
            const auto size = end == std::string_view::npos ? text.size() : end + 1;
            if (next_ == position::begins_a_line)
                part += text_;
            next_ = end == std::string_view::npos ? position::within_a_line : position::begins_a_line;
            part += text.substr(0, size);
            text.remove_prefix(size);
            if (part.size() >= part_size || text.empty())
                sink(std::string_view(std::exchange(part, {})));
        }
    }

private:
    static constexpr std::size_t longest = 1000;
    static constexpr std::size_t part_size = std::size_t{64} << 10;
    enum class position { begins_a_line, within_a_line };
    std::string text_;
    position next_ = position::begins_a_line; ///< where the next text begins
};

} // namespace tool
