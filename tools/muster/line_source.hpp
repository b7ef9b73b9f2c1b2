// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A line_source gives the URLs, commands or inputs of a run, one a line: from the arguments, a file or standard input.
/// They are read as they are needed. Blank lines and comments are counted and passed over. Reading a pipe never holds
/// up the loop.
///
///     auto line = co_await source.next();      // empty at the end

#include "content_key.hpp"
#include "input_shape.hpp"
#include "occurrences.hpp"
#include "posix/owned_fd.hpp"

#include <muster/mutex.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tool {

struct input_line {
    input_line() {}
    std::uint64_t index = 0;  ///< among those that count, from 0
    std::uint64_t number = 0; ///< among all lines, from 1
    content_key key;          ///< what it is known by in a log, see know_by()
    std::string text;
    enum class kind : std::uint8_t { line, columns, combination, bundle, block };
    kind is = kind::line;
    bool too_long = false; ///< the text is only its beginning
    /// Its columns; or its inputs, which the text shows with spaces between them; or its block of lines.
    std::vector<std::string> parts;

    /// Whether {} stands for all parts, each a word, and not for the text.
    [[nodiscard]] bool is_list() const noexcept { return is == kind::combination || is == kind::bundle; }
    /// *Returns* how many inputs it is.
    [[nodiscard]] std::size_t inputs() const noexcept { return is == kind::bundle ? parts.size() : 1; }
};

/// How a text is cut into lines, and which of them count.
struct line_rules {
    line_rules(std::string what, char end_of_line, bool trim, bool comments, bool spaces_are_blank)
        : thing(std::move(what)),
          end(end_of_line),
          trims(trim),
          has_comments(comments),
          spaces_count_as_blank(spaces_are_blank) {}
    static line_rules urls() { return {"URL", '\n', true, true, true}; }
    static line_rules commands() { return {"command", '\n', false, true, true}; }
    static line_rules inputs(char end) { return {"input", end, false, false, false}; }

    std::string thing; ///< for messages
    char end;
    bool trims; ///< spaces at both ends, and a carriage return
    bool has_comments;
    bool spaces_count_as_blank;
};

/// Immovable. *Thread safety*: the loop's thread.
class line_source {
public:
    static constexpr std::size_t longest_line = std::size_t{1} << 20;

    line_source(std::vector<std::string> arguments, line_rules rules);
    line_source(std::vector<input_list> lists, line_rules rules);
    /// "-" is standard input. *Errors*: usage_error if it can't be read.
    line_source(const std::string& file, line_rules rules);

    /// Lines are cut into columns. *Errors*: usage_error.
    void cut_into_columns(const column_rules& columns) { splitter_.emplace(columns.separator, columns.is_csv); }
    /// Takes the first line off, which names the columns; waits for it. *Errors*: usage_error.
    [[nodiscard]] std::vector<std::string> take_header();
    /// Whole lines, so many bytes of them at most, become one, whose text only says which they are.
    void give_blocks_of(std::size_t bytes) { block_ = bytes; }
    /// Several lines become one.
    void bundle(bundle_rules rules) { bundle_ = std::move(rules); }

    /// Lines get a key, made of what `content` returns and of how often that came before.
    void know_by(std::function<content_key(const input_line&)> content) { content_ = std::move(content); }
    /// Lines for which it says false are counted as passed_over(), and not given. They have their index.
    void only_if(std::function<bool(const input_line&)> wanted) { wanted_ = std::move(wanted); }

    enum class took { line, nothing_yet, end };
    /// Takes the next line if that needs no waiting. For arguments and regular files it never answers
    /// nothing_yet.
    [[nodiscard]] took try_take(input_line& line);
    /// Takes the next line and blocks until there is one: before there is a loop. *Returns* false at the end.
    [[nodiscard]] bool wait_and_take(input_line& line);
    /// *Returns* the next line, or nothing at the end. *Cancellation*: nothing is lost.
    [[nodiscard]] muster::task<std::optional<input_line>> next();
    /// Waits until there may be more to take. *Cancellation*: ends it at once.
    [[nodiscard]] muster::task<> wait();

    /// True if it is sure to have an end: arguments, or a file on disk.
    [[nodiscard]] bool is_finite() const noexcept { return !file_.is_open() || regular_; }
    /// From now on only what was read already is taken. Notices whether that was all.
    void stop_reading() noexcept;
    /// It can't be read any further; what was read still is taken.
    void give_up(const std::string& why);

    /// How many there are, if that is known; without those that only_if refuses.
    [[nodiscard]] std::optional<std::size_t> total() const noexcept;
    /// For a file that was counted before.
    void expect(std::size_t total) noexcept { expected_ = total; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const line_rules& rules() const noexcept { return rules_; }
    /// How many counted as lines so far, passed over or not.
    [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t passed_over() const noexcept { return passed_over_; }
    [[nodiscard]] std::uint64_t blank_lines() const noexcept { return blank_; }
    [[nodiscard]] std::uint64_t comments() const noexcept { return comments_; }
    /// True once its end was met.
    [[nodiscard]] bool exhausted() const noexcept { return ended_ && failure_.empty(); }
    /// Why reading it failed in the middle; empty if it did not.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

private:
    [[nodiscard]] bool ready_to_read() const noexcept;
    void read_more();
    /// *Returns* a line as it came. `reads` counts how often more was read: a pipe is read once a call of try_take().
    [[nodiscard]] took take_one(input_line& line, int& reads);
    void cut(input_line& line) const;
    [[nodiscard]] bool take_rest_of_record(input_line& line);
    void give_up_record(input_line& line);
    [[nodiscard]] took take_bundle(input_line& line, int& reads);
    [[nodiscard]] took take_block(input_line& line, int& reads);
    [[nodiscard]] took take_bundle_so_far(input_line& line);
    /// Takes a line off the buffer, if there is one. *Returns* false if it needs more input.
    [[nodiscard]] bool take_raw(std::string& text, bool& too_long);
    /// *Returns* whether the line counts, and makes it what it stands for.
    [[nodiscard]] bool accept(std::string& text);
    [[nodiscard]] bool is_wanted(const input_line& line);

    std::string name_;
    line_rules rules_;
    std::function<content_key(const input_line&)> content_;
    occurrences occurrences_;
    std::function<bool(const input_line&)> wanted_;
    std::optional<std::size_t> expected_;
    std::vector<std::string> arguments_;
    std::size_t next_argument_ = 0;
    std::optional<combinations> combined_;
    std::optional<column_splitter> splitter_;
    std::string unfinished_; ///< lines of a record of CSV whose quotes are still open
    std::size_t block_ = 0;  ///< bytes; 0: lines are given one by one
    bundle_rules bundle_;
    input_line begun_; ///< the bundle that is being made
    std::size_t begun_bytes_ = 0;
    std::optional<input_line> over_; ///< did not fit into the bundle before
    muster::detail::owned_fd file_;
    bool regular_ = false;
    bool no_more_input_ = false; ///< the end of the file was read; the buffer may hold a last line
    bool skipping_ = false;      ///< the rest of a line that is too long
    bool ended_ = false;
    bool stopped_ = false;
    std::string buffer_;
    std::size_t at_ = 0;      ///< what of the buffer was taken
    std::size_t scanned_ = 0; ///< up to where it has no line feed
    std::uint64_t lines_ = 0;
    std::uint64_t taken_ = 0;
    std::uint64_t passed_over_ = 0;
    std::uint64_t blank_ = 0;
    std::uint64_t comments_ = 0;
    std::string failure_;
    muster::mutex next_call_; ///< one call of next() after the other
};

} // namespace tool
