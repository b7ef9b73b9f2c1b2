// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --resume: what a job log says of an earlier run. Of each input the last entry counts.
///
///     const earlier_run before(file);
///     if (before.succeeded(line.index, key)) ...

#include "line_source.hpp"
#include "units.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tool {

/// *Returns* what tells two texts apart in a log. It need not withstand anybody, only mistakes.
[[nodiscard]] std::string log_key(std::string_view text);

/// *Complexity*: memory in the number of inputs in the log, some bytes each.
class earlier_run {
public:
    /// Nothing before.
    earlier_run() = default;
    /// Reads the log; one that is not there is empty. A last line that was cut off does not count. `command` is the
    /// one that wrote it, "run"; `thing` what it has entries of, "command".
    /// *Errors*: usage_error if it can't be read, or is no log of that command.
    earlier_run(const std::string& file, std::string command, std::string thing);

    /// *Returns* whether what that input stands for succeeded. *Errors*: usage_error if another one had that place.
    [[nodiscard]] bool succeeded(std::uint64_t index, std::uint64_t line, const std::string& key) const;

    /// Reads all of an input that is there already. *Returns* how many of its lines did not succeed. *Errors*:
    /// usage_error if the log is another list's.
    template <class Key>
    [[nodiscard]] std::size_t look_ahead(line_source& trial, const Key& key_of) const {
        std::size_t left = 0;
        for (input_line line; trial.try_take(line) == line_source::took::line;)
            left += succeeded(line.index, line.number, key_of(line)) ? 0 : 1;
        require_no_more_than(trial.taken());
        return left;
    }
    /// Makes the source pass over the lines that succeeded, each of which is given to `passed_over`. Once it finds that
    /// the log is another list's it calls `refused` with the reason, and passes over nothing more.
    template <class Key, class PassedOver, class Refused>
    void pass_over_what_succeeded(line_source& source, Key key_of, PassedOver passed_over, Refused refused) const {
        source.only_if([this, key_of, passed_over, refused](const input_line& line) {
            try {
                if (!succeeded(line.index, line.number, key_of(line)))
                    return true;
                passed_over(line);
                return false;
            } catch (const usage_error& e) {
                refused(e.what());
                return true;
            }
        });
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
    void read_line(const std::string& line, std::uint64_t number);

    std::string file_;
    std::string command_;
    std::string thing_;
    std::unordered_map<std::uint64_t, entry> entries_; ///< by index
    std::uint64_t whole_ = 0;
    bool cut_off_ = false;
};

} // namespace tool
