// SPDX-License-Identifier: MIT
// This file puts together the text of a remote_error: its type, its message, its causes, and where it was thrown.
#include <muster/process_pool/error.hpp>

#include <string>
#include <utility>
#include <vector>

namespace muster {

namespace {

std::string sentence(const std::string& type, const std::string& message, const std::string& where,
    const std::vector<remote_error::cause>& causes) {
    std::string text = type + ": " + message;
    for (const auto& c : causes)
        text += "; because of " + c.type + ": " + c.message;
    return text + " (thrown by " + where + ')';
}

} // namespace

remote_error::remote_error(std::string type, std::string message, std::string where, std::vector<cause> causes)
    : process_error(sentence(type, message, where, causes)),
      text_(std::make_shared<const text>(
          text{std::move(type), std::move(message), std::move(where), std::move(causes)})) {}

} // namespace muster
