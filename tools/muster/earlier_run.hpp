// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --resume: what a job log says of an earlier run. Of each input the last entry counts.
///
///     const earlier_run before(log.descriptor_to_resume(), "log.jsonl", "run", "command");
///     if (before.succeeded(line)) ...

#include "content_key.hpp"
#include "line_source.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tool {

/// *Returns* whether a text is the beginning of an entry of a job log, as far as it goes.
[[nodiscard]] bool begins_like_an_entry(std::string_view text) noexcept;

/// *Complexity*: 17 bytes for each input in the log; about 37 while it is read.
class earlier_run {
public:
    /// Nothing before.
    earlier_run() = default;
    /// Reads the log from a descriptor; `file` is its name. A last line that was cut off does not count. `command` is
    /// the one that wrote it, "run"; `thing` what it has entries of, "command".
    /// *Errors*: usage_error if it can't be read, or is no log of that command.
    earlier_run(int fd, const std::string& file, std::string command, std::string thing);

    /// *Returns* whether what that input stands for succeeded, and notes that it is in the list.
    [[nodiscard]] bool succeeded(const input_line& line);

    /// *Returns* the name that the run has in a queue; empty if it went through none.
    [[nodiscard]] const std::string& name_in_queue() const noexcept { return name_in_queue_; }
    /// *Errors*: usage_error if the run went to another queue than the one with that id, which is empty without a
    /// queue.
    void require_queue(const std::string& id) const;
    /// *Errors*: usage_error if the run has another name in the queue than this one, unless one of them is empty.
    void require_name(const std::string& name) const;
    /// *Returns* how many attempts at that input went through the queue and are known not to have succeeded.
    [[nodiscard]] unsigned attempts(const content_key& key) const;

    /// Reads all of an input that is there already. *Returns* how many of its lines are not `done(line)`. *Errors*:
    /// usage_error if the log is another list's, which has nothing in common with this one.
    template <class Done>
    [[nodiscard]] std::size_t look_ahead(line_source& trial, const Done& done) {
        std::size_t left = 0;
        for (input_line line; trial.try_take(line) == line_source::took::line;)
            left += done(line) ? 0 : 1;
        if (trial.taken() != 0)
            require_something_in_common();
        return left;
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return keys_.size(); }
    /// How many entries are of inputs that were not in the list.
    [[nodiscard]] std::uint64_t count_removed() const noexcept;
    /// How many bytes of the file are whole lines.
    [[nodiscard]] std::uint64_t whole() const noexcept { return whole_; }
    [[nodiscard]] bool was_cut_off() const noexcept { return cut_off_; }

private:
    /// How an input ended in the earlier run, and whether it is in this run's list.
    enum class state : std::uint8_t { failed, succeeded, failed_and_listed, succeeded_and_listed };

    struct entry {
        entry(content_key k, std::size_t n, state s) : key(k), number(static_cast<std::uint32_t>(n)), ended(s) {}
        content_key key;
        std::uint32_t number; ///< its place among the recent ones
        state ended;
    };

    void take_in_recent();
    void require_something_in_common() const;
    [[noreturn]] void refuse_line(std::uint64_t number) const;
    void read_line(const std::string& line, std::uint64_t number);

    std::string file_;
    std::string command_;
    std::string thing_;
    std::string name_in_queue_;
    std::string queue_;                                               ///< its id
    std::unordered_map<content_key, unsigned, hash_of_key> attempts_; ///< in a queue
    std::vector<content_key> keys_;                                   ///< in their order, and without those of recent_
    std::vector<state> states_;                                       ///< of each
    std::vector<entry> recent_;                                       ///< the last of the log, in its order
    std::uint64_t whole_ = 0;
    bool cut_off_ = false;
};

} // namespace tool
