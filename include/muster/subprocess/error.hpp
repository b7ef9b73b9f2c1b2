// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of running a command. A command that never ran is a spawn_error, with the system's code; one that
/// ran and ended badly is a process_error, which knows how.
///
///     try { auto done = co_await run_command(what); done.throw_if_failed(); }
///     catch (const muster::command_not_found_error& e) { install(e.program()); }
///     catch (const muster::exit_error& e) { log(e.status(), e.error_output()); }

#include <muster/config.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace muster {

/// The command could not be started: code() says why, what() also which step failed. Copying never throws.
class spawn_error : public std::system_error {
public:
    spawn_error(std::string program, std::string command, std::error_code code, const std::string& problem)
        : std::system_error(code, command + ": " + problem),
          text_(std::make_shared<const text>(std::move(program), std::move(command))) {}

    /// The program as the command names it. *Lifetime*, also of the next: as long as any copy of this.
    [[nodiscard]] const std::string& program() const noexcept { return text_->program; }
    /// The command for a line of text, shortened.
    [[nodiscard]] const std::string& command() const noexcept { return text_->command; }

private:
    struct text {
        text(std::string p, std::string c) : program(std::move(p)), command(std::move(c)) {}
        std::string program;
        std::string command;
    };
    std::shared_ptr<const text> text_;
};

/// There is no such program: neither at that path nor, without a slash in its name, in a directory of PATH.
class command_not_found_error final : public spawn_error {
public:
    using spawn_error::spawn_error;
};

/// The command ran, and did not end well. Copying never throws.
class process_error : public std::runtime_error {
public:
    /// The command for a line of text, shortened. *Lifetime*, also of the next: as long as any copy of this.
    [[nodiscard]] const std::string& command() const noexcept { return text_->command; }
    /// The last of what it wrote to standard error, if that was captured.
    [[nodiscard]] const std::string& error_output() const noexcept { return text_->error_output; }

protected:
    process_error(const std::string& problem, std::string command, std::string error_output)
        : std::runtime_error(command + ": " + problem),
          text_(std::make_shared<const text>(std::move(command), std::move(error_output))) {}

private:
    struct text {
        text(std::string c, std::string e) : command(std::move(c)), error_output(std::move(e)) {}
        std::string command;
        std::string error_output;
    };
    std::shared_ptr<const text> text_;
};

/// It exited with a status other than zero.
class exit_error final : public process_error {
public:
    exit_error(int status, std::string command, const std::string& error_output);
    [[nodiscard]] int status() const noexcept { return status_; }

private:
    int status_;
};

/// A signal ended it.
class signal_error final : public process_error {
public:
    signal_error(int signal, bool dumped_core, std::string command, const std::string& error_output);
    [[nodiscard]] int signal() const noexcept { return signal_; }
    [[nodiscard]] bool dumped_core() const noexcept { return dumped_core_; }

private:
    int signal_;
    bool dumped_core_;
};

/// It wrote more than command::output_limit allows, and was ended.
class output_limit_error final : public process_error {
public:
    output_limit_error(std::uint64_t limit, std::string command);
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

private:
    std::uint64_t limit_;
};

/// *Returns* "SIGTERM"; "signal 99" for a number that has no name.
[[nodiscard]] std::string signal_name(int signal);

} // namespace muster
