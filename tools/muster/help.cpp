// SPDX-License-Identifier: MIT
// This file prints the help. Of CLI11 it takes the options with their names and descriptions, and nothing of the
// library's own words.
#include "help.hpp"

#include <algorithm>
#include <sstream>

namespace tool {

namespace {

constexpr std::size_t columns = 80;
constexpr std::size_t column_of_text = 28;

/// "  -j,--limit N", and the description beside it.
std::string lines_of(const CLI::Option& option) {
    std::string names = option.get_name(false, true);
    // A flag that can be taken back shows that by its other name.
    for (std::size_t at = 0; (at = names.find("{false}")) != std::string::npos;)
        names.erase(at, 7);
    std::string line = "  " + names;
    if (option.get_expected_max() != 0)
        line += ' ' + option.get_type_name();
    std::string all;
    if (line.size() + 2 > column_of_text) {
        all = line + '\n';
        line.clear();
    }
    line.resize(column_of_text, ' ');
    std::istringstream words(option.get_description());
    bool is_first = true;
    for (std::string word; words >> word; is_first = false) {
        if (!is_first && line.size() + 1 + word.size() > columns) {
            all += line + '\n';
            line.assign(column_of_text, ' ');
            is_first = true;
        }
        line += (is_first ? "" : " ") + word;
    }
    return all + line + '\n';
}

} // namespace

std::string grouped_help::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const {
    std::string text = app->get_description() + '\n';
    text += usage_.empty() ? make_usage(app, std::move(name)) : usage_;
    std::vector<const CLI::Option*> left;
    for (const auto* option : app->get_options([](const CLI::Option* o) { return o->nonpositional(); }))
        left.push_back(option);
    for (const auto& [heading, names] : groups_) {
        std::string group;
        for (const auto& wanted : names) {
            const auto at = std::ranges::find_if(left, [&](const CLI::Option* o) { return o->check_name(wanted); });
            if (at == left.end())
                continue;
            group += lines_of(**at);
            left.erase(at);
        }
        if (!group.empty())
            text += '\n' + heading + ":\n" + group;
    }
    if (!left.empty())
        text += "\nOther options:\n";
    for (const auto* option : left)
        text += lines_of(*option);
    return text + '\n' + app->get_footer();
}

} // namespace tool
