// SPDX-License-Identifier: MIT
// This file puts together the text of a remote_error: its type, its message, its causes, and where it was thrown. All
// of that came from another process, so that the text is made safe to print and bounded; the parts stay as they came.
#include <muster/process_pool/error.hpp>

#include "vocabulary/printable.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace muster {

namespace {

std::string sentence(const std::string& type, const std::string& message, const std::string& where,
    const std::vector<remote_error::cause>& causes) {
    constexpr std::size_t most_causes = 32;
    const auto named = [](const std::string& t, const std::string& m) {
        return detail::printable(t, detail::longest_printed_name) + ": " + detail::printable(m);
    };
    std::string text = named(type, message);
    for (std::size_t i = 0; i != std::min(causes.size(), most_causes); ++i)
        text += "; because of " + named(causes[i].type, causes[i].message);
    if (causes.size() > most_causes)
        text += "; and " + std::to_string(causes.size() - most_causes) + " more causes";
    return text + " (thrown by " + detail::printable(where, detail::longest_printed_name) + ')';
}

} // namespace

remote_error::remote_error(std::string type, std::string message, std::string where, std::vector<cause> causes)
    : process_pool_error(sentence(type, message, where, causes)),
      text_(std::make_shared<const text>(
          text{std::move(type), std::move(message), std::move(where), std::move(causes)})) {}

} // namespace muster
