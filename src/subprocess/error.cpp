// SPDX-License-Identifier: MIT
// This file words the errors of commands that ended badly: a status or a signal's name with the last line of standard
// error, or the limit that an output exceeded.
#include <muster/subprocess/error.hpp>

#include "vocabulary/printable.hpp"

#include <csignal>
#include <cstring>
#include <string_view>

namespace muster {

namespace {

constexpr std::size_t longest_shown_line = 200;

/// ": " and the last line of what a command complained, which most often says what was wrong.
std::string last_line_of(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.remove_suffix(1);
    if (const auto feed = text.rfind('\n'); feed != std::string_view::npos)
        text.remove_prefix(feed + 1);
    if (text.empty())
        return {};
    return ": " + detail::printable(text, longest_shown_line);
}

} // namespace

std::string signal_name(int signal) {
    if (const char* name = ::sigabbrev_np(signal))
        return std::string("SIG") + name;
    if (signal >= SIGRTMIN && signal <= SIGRTMAX)
        return "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
    return "signal " + std::to_string(signal);
}

exit_error::exit_error(int status, std::string command, const std::string& error_output)
    : process_error(
          "exit status " + std::to_string(status) + last_line_of(error_output), std::move(command), error_output),
      status_(status) {}

signal_error::signal_error(int signal, bool dumped_core, std::string command, const std::string& error_output)
    : process_error(
          "ended by " + signal_name(signal) + (dumped_core ? ", core dumped" : "") + last_line_of(error_output),
          std::move(command), error_output),
      signal_(signal),
      dumped_core_(dumped_core) {}

output_limit_error::output_limit_error(std::uint64_t limit, std::string command)
    : process_error("it wrote more than " + std::to_string(limit) +
                        " bytes to one of its outputs: raise output_limit, or say keep_tail or discard",
          std::move(command), {}),
      limit_(limit) {}

} // namespace muster
