// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where the URLs come from: arguments, a file or standard input, one a line, read as they are needed. Blank lines and
/// lines that begin with # are counted and passed over. Reading a pipe never holds up the loop.
///
///     auto line = co_await source.next();      // empty at the end

#include "streams.hpp"

#include <muster/mutex.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tool {

struct input_line {
    input_line() {}
    std::uint64_t index = 0;  ///< among the URLs, from 0
    std::uint64_t number = 0; ///< among all lines, from 1
    std::string text;
    bool too_long = false; ///< the text is only its beginning
};

/// Immovable. *Thread safety*: the loop's thread.
class url_source {
public:
    static constexpr std::size_t longest_line = std::size_t{1} << 20;

    explicit url_source(std::vector<std::string> urls);
    /// "-" is standard input. *Errors*: usage_error if it can't be read.
    explicit url_source(const std::string& file);

    enum class took { line, nothing_yet, end };
    /// Takes the next URL if that needs no waiting. For arguments and files it never does.
    [[nodiscard]] took try_take(input_line& line);
    /// *Returns* the next URL, or nothing at the end. *Cancellation*: nothing is lost.
    [[nodiscard]] muster::task<std::optional<input_line>> next();
    /// Waits until there may be more to take. *Cancellation*: ends it at once.
    [[nodiscard]] muster::task<> wait();

    /// True if it is sure to have an end: arguments, or a file on disk.
    [[nodiscard]] bool is_finite() const noexcept { return !file_.open() || regular_; }
    /// From now on only what was read already is taken.
    void stop_reading() noexcept { stopped_ = true; }
    /// It can't be read any further; what was read still is taken.
    void give_up(const std::string& why);

    [[nodiscard]] std::optional<std::size_t> total() const noexcept;
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::uint64_t urls() const noexcept { return urls_; }
    [[nodiscard]] std::uint64_t blank_lines() const noexcept { return blank_; }
    [[nodiscard]] std::uint64_t comments() const noexcept { return comments_; }
    /// True once its end was met.
    [[nodiscard]] bool exhausted() const noexcept { return ended_ && failure_.empty(); }
    /// Why reading it failed in the middle; empty if it did not.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

private:
    [[nodiscard]] bool ready_to_read() const noexcept;
    void read_more();
    /// Takes a line off the buffer, if there is one. *Returns* false if it needs more input.
    [[nodiscard]] bool take_raw(std::string& text, bool& too_long);
    [[nodiscard]] bool is_url(std::string& text);

    std::string name_;
    std::vector<std::string> arguments_;
    std::size_t next_argument_ = 0;
    descriptor file_;
    bool regular_ = false;
    bool no_more_input_ = false; ///< the end of the file was read; the buffer may hold a last line
    bool skipping_ = false;      ///< the rest of a line that is too long
    bool ended_ = false;
    bool stopped_ = false;
    std::string buffer_;
    std::size_t at_ = 0;      ///< what of the buffer was taken
    std::size_t scanned_ = 0; ///< up to where it has no line feed
    std::uint64_t lines_ = 0;
    std::uint64_t urls_ = 0;
    std::uint64_t blank_ = 0;
    std::uint64_t comments_ = 0;
    std::string failure_;
    muster::mutex turn_; ///< one waits at a time, the others in line
};

} // namespace tool
