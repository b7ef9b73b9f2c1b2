// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Inputs of a command that are more than a line: several lists (every combination of them,
/// or side by side), the columns of a line, or many lines for one command.
///
///     combinations all({{{"a", "b"}, false}, {{"1", "2"}, false}});      // a 1, a 2, b 1, b 2
///     column_splitter("\\t", false).split("x\ty");

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// The inputs behind one ::: or :::+.
struct input_list {
    input_list(std::vector<std::string> all, bool is_beside) : inputs(std::move(all)), beside(is_beside) {}
    std::vector<std::string> inputs;
    std::string file; ///< behind ::::, whose lines the inputs are
    bool beside;      ///< :::+, its inputs go with those of the list before, one with one
};

/// Every combination of several lists, the last list's inputs fastest.
class combinations {
public:
    /// *Errors*: usage_error if lists that stand side by side have different lengths.
    explicit combinations(std::vector<input_list> lists);
    /// *Returns* the inputs of the next combination, one of each list; nothing at the end.
    [[nodiscard]] std::optional<std::vector<std::string>> next();
    [[nodiscard]] std::size_t total() const noexcept { return total_; }

private:
    struct group {
        explicit group(std::size_t from) : first(from) {}
        std::size_t first; ///< the first of the lists that stand side by side
        std::size_t count = 1;
        std::size_t at = 0;
    };

    std::vector<input_list> lists_;
    std::vector<group> groups_;
    std::size_t total_ = 1;
    std::size_t given_ = 0;
};

/// Cuts lines into columns.
class column_splitter {
public:
    /// The separator is one character, or an extended regular expression, in which \t is a tabulator; or the columns
    /// are those of CSV (RFC 4180). *Errors*: usage_error if it is no expression.
    column_splitter(const std::string& separator, bool is_csv);

    [[nodiscard]] std::vector<std::string> split(const std::string& line) const;
    /// Whether a quote of CSV is open: the line feed that comes next belongs to the text then.
    enum class quote { closed, open };
    /// *Returns* the state behind a line, of which `before` is the state in front of it.
    [[nodiscard]] quote quote_behind(std::string_view line, quote before) const noexcept;

private:
    struct expression;

    bool is_csv_;
    std::string separator_; ///< a character; empty: the expression
    std::shared_ptr<const expression> expression_;
};

/// --colsep, --csv, --header.
struct column_rules {
    column_rules() {}
    std::string separator;
    bool is_csv = false;
    bool has_header = false;
    [[nodiscard]] bool has_columns() const noexcept { return is_csv || !separator.empty(); }
};

/// How many inputs a command gets.
struct bundle_rules {
    bundle_rules() {}
    std::size_t most_inputs = 0;       ///< 0: one command for each
    std::size_t most_bytes = SIZE_MAX; ///< of arguments, counted with `cost`
    std::function<std::size_t(const std::string&)> cost;
};

} // namespace tool
