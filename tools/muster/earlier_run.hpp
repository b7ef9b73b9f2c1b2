// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --resume: what a job log says of an earlier run. Of each input the last entry counts.
///
///     const earlier_run before(log.descriptor_to_resume(), "log.jsonl", "run", "command");
///     if (before.succeeded(line, key)) ...

#include "line_source.hpp"
#include "units.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tool {

/// Makes the source pass over the lines that are `done(line)`, each of which is given to `passed_over`. Where that is a
/// usage_error, as it is once the log proves to be another list's, `refused` gets its text.
template <class Done, class PassedOver, class Refused>
void pass_over_what_is_done(line_source& source, Done done, PassedOver passed_over, Refused refused) {
    source.only_if([done, passed_over, refused](const input_line& line) {
        try {
            if (!done(line))
                return true;
            passed_over(line);
            return false;
        } catch (const usage_error& e) {
            refused(e.what());
            return true;
        }
    });
}

/// *Returns* whether a text is the beginning of an entry of a job log, as far as it goes.
[[nodiscard]] bool begins_like_an_entry(std::string_view text) noexcept;

/// *Returns* what tells two texts apart in a log. It need not withstand anybody, only mistakes.
[[nodiscard]] std::string log_key(std::string_view text);

/// *Complexity*: memory in the number of inputs in the log, some bytes each.
class earlier_run {
public:
    /// Nothing before.
    earlier_run() = default;
    /// Reads the log from a descriptor; `file` is its name. A last line that was cut off does not count. `command` is
    /// the one that wrote it, "run"; `thing` what it has entries of, "command".
    /// *Errors*: usage_error if it can't be read, or is no log of that command.
    earlier_run(int fd, const std::string& file, std::string command, std::string thing);

    /// *Returns* whether what that input stands for succeeded. *Errors*: usage_error if another one had that place.
    [[nodiscard]] bool succeeded(const input_line& line, const std::string& key) const;

    /// Reads all of an input that is there already. *Returns* how many of its lines are not `done(line)`. *Errors*:
    /// usage_error if the log is another list's.
    template <class Done>
    [[nodiscard]] std::size_t look_ahead(line_source& trial, const Done& done) const {
        std::size_t left = 0;
        for (input_line line; trial.try_take(line) == line_source::took::line;)
            left += done(line) ? 0 : 1;
        require_no_more_than(trial.taken());
        return left;
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return entries_.size(); }
    /// How many bytes of the file are whole lines.
    [[nodiscard]] std::uint64_t whole() const noexcept { return whole_; }
    [[nodiscard]] bool was_cut_off() const noexcept { return cut_off_; }

private:
    struct entry {
        entry() noexcept {}
        std::uint64_t key = 0;
        bool ok = false;
    };
    void require_no_more_than(std::uint64_t lines) const;
    [[noreturn]] void refuse_line(std::uint64_t number) const;
    void read_line(const std::string& line, std::uint64_t number);

    std::string file_;
    std::string command_;
    std::string thing_;
    std::unordered_map<std::uint64_t, entry> entries_; ///< by index
    std::uint64_t whole_ = 0;
    bool cut_off_ = false;
};

} // namespace tool
