// SPDX-License-Identifier: MIT
// This file makes inputs out of lists and lines. combinations counts through groups of lists as a number counts through
// its digits; lists that stand side by side are one group and share a position. column_splitter cuts at a character, at
// matches of a regular expression, or at the commas of CSV.
#include "input_shape.hpp"

#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include <regex.h>

namespace tool {

combinations::combinations(std::vector<input_list> lists) : lists_(std::move(lists)) {
    for (std::size_t i = 0; i != lists_.size(); ++i) {
        const auto size = lists_[i].inputs.size();
        if (i == 0 || !lists_[i].beside) {
            groups_.emplace_back(i);
            if (size != 0 && total_ > SIZE_MAX / size)
                throw usage_error("there are more combinations of the inputs than can be counted");
            total_ *= size;
            continue;
        }
        ++groups_.back().count;
        if (const auto before = lists_[i - 1].inputs.size(); before != size)
            throw usage_error(fmt::format(
                ":::+ puts inputs side by side, one with one: there are {} of them beside {}", size, before));
    }
}

std::optional<std::vector<std::string>> combinations::next() {
    if (given_ == total_)
        return std::nullopt;
    ++given_;
    std::vector<std::string> parts;
    for (const auto& g : groups_) {
        for (std::size_t i = g.first; i != g.first + g.count; ++i)
            parts.push_back(lists_[i].inputs[g.at]);
    }
    for (auto g = groups_.rbegin(); g != groups_.rend(); ++g) {
        if (++g->at != lists_[g->first].inputs.size())
            break;
        g->at = 0;
    }
    return parts;
}

struct column_splitter::expression {
    explicit expression(const std::string& text) {
        const int failed = ::regcomp(&compiled, text.c_str(), REG_EXTENDED);
        if (failed == 0)
            return;
        char why[200];
        ::regerror(failed, &compiled, why, sizeof why);
        throw usage_error(fmt::format("--colsep: '{}' is no regular expression: {}", text, why));
    }
    ~expression() { ::regfree(&compiled); }
    expression(const expression&) = delete;
    expression& operator=(const expression&) = delete;

    regex_t compiled{};
};

column_splitter::column_splitter(const std::string& separator, bool is_csv) : is_csv_(is_csv) {
    std::string text = separator;
    for (std::size_t at = 0; (at = text.find("\\t", at)) != std::string::npos; ++at)
        text.replace(at, 2, 1, '\t');
    if (is_csv)
        separator_ = text.empty() ? std::string(1, ',') : text;
    else if (text.size() == 1)
        separator_ = text;
    else
        expression_ = std::make_shared<const expression>(text);
    if (is_csv && separator_.size() != 1)
        throw usage_error("--colsep: the columns of --csv are separated by one character");
}

/// As split() reads it: a quote opens at the beginning of a column alone, and within quotes it is written twice.
column_splitter::quote column_splitter::quote_behind(std::string_view line, quote before) const noexcept {
    if (!is_csv_)
        return quote::closed;
    quote now = before;
    bool begins_column = before == quote::closed;
    for (std::size_t at = 0; at != line.size(); ++at) {
        const char c = line[at];
        if (now == quote::open && c == '"' && at + 1 != line.size() && line[at + 1] == '"')
            ++at;
        else if (now == quote::open)
            now = c == '"' ? quote::closed : quote::open;
        else if (c == '"' && begins_column)
            now = quote::open;
        begins_column = now == quote::closed && c == separator_.front();
    }
    return now;
}

std::vector<std::string> column_splitter::split(const std::string& line) const {
    std::vector<std::string> columns;
    if (is_csv_) {
        columns.emplace_back();
        bool is_quoted = false;
        bool begins_column = true;
        // Lines of CSV end with a carriage return and a line feed, as the standard has it, or with a line feed.
        const auto size = line.size() - (line.ends_with('\r') ? 1 : 0);
        for (std::size_t at = 0; at != size; ++at) {
            const char c = line[at];
            const bool ends_column = c == separator_.front() && !is_quoted;
            if (c == '"' && is_quoted && at + 1 != size && line[at + 1] == '"')
                columns.back() += line[++at];
            else if (c == '"' && (is_quoted || begins_column))
                is_quoted = !is_quoted;
            else if (ends_column)
                columns.emplace_back();
            else
                columns.back() += c;
            begins_column = ends_column;
        }
        return columns;
    }
    if (!separator_.empty()) {
        std::size_t at = 0;
        for (std::size_t end = 0; (end = line.find(separator_, at)) != std::string::npos; at = end + 1)
            columns.push_back(line.substr(at, end - at));
        columns.push_back(line.substr(at));
        return columns;
    }
    // With REG_STARTEND the line ends where it ends, and not at a NUL in it.
    std::size_t at = 0;
    for (regmatch_t match{}; at != line.size();) {
        match.rm_so = static_cast<regoff_t>(at);
        match.rm_eo = static_cast<regoff_t>(line.size());
        if (::regexec(&expression_->compiled, line.c_str(), 1, &match, REG_STARTEND) != 0)
            break;
        const auto end = static_cast<std::size_t>(match.rm_eo);
        if (end == at)
            break;
        columns.push_back(line.substr(at, static_cast<std::size_t>(match.rm_so) - at));
        at = end;
    }
    columns.push_back(line.substr(at));
    return columns;
}

} // namespace tool
