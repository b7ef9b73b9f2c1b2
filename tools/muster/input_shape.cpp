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

bool column_splitter::is_unfinished(const std::string& line) const noexcept {
    // A quote inside of quotes is written twice, so both are counted.
    return is_csv_ && std::ranges::count(line, '"') % 2 != 0;
}

std::vector<std::string> column_splitter::split(const std::string& line) const {
    std::vector<std::string> columns;
    if (is_csv_) {
        columns.emplace_back();
        bool is_quoted = false;
        // Lines of CSV end with a carriage return and a line feed, as the standard has it, or with a line feed.
        const auto size = line.size() - (line.ends_with('\r') ? 1 : 0);
        for (std::size_t at = 0; at != size; ++at) {
            const char c = line[at];
            if (c == '"' && is_quoted && at + 1 != size && line[at + 1] == '"')
                columns.back() += line[++at];
            else if (c == '"' && (is_quoted || columns.back().empty()))
                is_quoted = !is_quoted;
            else if (c == separator_.front() && !is_quoted)
                columns.emplace_back();
            else
                columns.back() += c;
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
    const char* from = line.c_str();
    regmatch_t match{};
    int flags = 0;
    while (*from != '\0' && ::regexec(&expression_->compiled, from, 1, &match, flags) == 0 && match.rm_eo != 0) {
        columns.emplace_back(from, static_cast<std::size_t>(match.rm_so));
        from += match.rm_eo;
        flags = REG_NOTBOL;
    }
    columns.emplace_back(from);
    return columns;
}

} // namespace tool
