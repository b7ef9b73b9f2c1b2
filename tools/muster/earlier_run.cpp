// SPDX-License-Identifier: MIT
// This file reads the log of an earlier run: each line is parsed as JSON and reduced to a key and whether it succeeded.
// These are collected, and merged from time to time into a sorted list that holds the last entry of each key.
// A line that is no entry is a usage error. Only a last line without a line feed may be half an entry; it is left out,
// and the job it was about runs again.
#include "earlier_run.hpp"

#include "log_entry.hpp"
#include "units.hpp"

#include "vocabulary/printable.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

bool begins_like_an_entry(std::string_view text) noexcept {
    constexpr std::string_view beginning = R"({"index":)";
    return text.substr(0, beginning.size()) == beginning.substr(0, text.size());
}

earlier_run::earlier_run(int fd, const std::string& file, std::string command, std::string thing)
    : file_(file),
      command_(std::move(command)),
      thing_(std::move(thing)) {
    constexpr std::size_t piece = std::size_t{256} << 10;
    constexpr std::size_t longest_entry = std::size_t{16} << 20;
    std::string buffer;
    std::uint64_t number = 1;
    for (off_t at = 0;;) {
        const auto before = buffer.size();
        buffer.resize(before + piece);
        const auto count = ::pread(fd, buffer.data() + before, piece, at);
        buffer.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            throw usage_error(
                fmt::format("--resume: {} can't be read: {}", file, std::generic_category().message(errno)));
        if (count == 0)
            break;
        at += count;
        std::size_t begin = 0;
        for (std::size_t end = 0; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
            read_line(buffer.substr(begin, end - begin), number++);
            whole_ += end - begin + 1;
        }
        buffer.erase(0, begin);
        if (buffer.size() > longest_entry)
            refuse_line(number);
    }
    // A last line without a line feed may be half an entry: that command runs again. A text that can't be half an entry
    // is another program's, and is not cut off.
    take_in_recent();
    recent_.shrink_to_fit();
    cut_off_ = !buffer.empty();
    if (!begins_like_an_entry(buffer))
        refuse_line(number);
}

void earlier_run::refuse_line(std::uint64_t number) const {
    throw usage_error(
        fmt::format("--resume: line {} of {} is no entry of a log of muster {}: name the log that --jsonl "
                    "of the earlier run wrote",
            number, file_, command_));
}

void earlier_run::read_line(const std::string& line, std::uint64_t number) {
    const auto read = read_entry(line);
    if (read && !read->run.empty()) {
        if (read->run != name_in_queue_)
            attempts_.clear();
        name_in_queue_ = read->run;
        queue_ = read->queue;
        return;
    }
    const auto key = read ? content_key::from(read->key) : std::nullopt;
    const bool succeeded = read && read->outcome == "ok";
    if (!key)
        refuse_line(number);
    recent_.emplace_back(*key, recent_.size(), succeeded ? state::succeeded : state::failed);
    // Only those that have an end in the queue: any other one may still be made, under the same number.
    if (!succeeded && read->ended_in_queue != 0)
        attempts_[*key] += read->ended_in_queue;
    // Merging copies what is there already: it is done the less often, the more that is.
    constexpr std::size_t enough = 16'384;
    constexpr std::size_t part = 8;
    if (recent_.size() >= std::max(enough, keys_.size() / part))
        take_in_recent();
}

/// Merges what was read last into what was read before. Of an input that is in both, the later entry counts.
void earlier_run::take_in_recent() {
    std::ranges::sort(
        recent_, [](const entry& a, const entry& b) { return a.key != b.key ? a.key < b.key : a.number < b.number; });
    // Of several entries of an input the last one stays.
    const auto first =
        std::unique(recent_.rbegin(), recent_.rend(), [](const entry& a, const entry& b) { return a.key == b.key; });
    recent_.erase(recent_.begin(), first.base());
    std::size_t replaced = 0;
    for (const auto& one : recent_)
        replaced += std::ranges::binary_search(keys_, one.key) ? 1u : 0u;
    std::vector<content_key> keys;
    std::vector<state> states;
    keys.reserve(keys_.size() + recent_.size() - replaced);
    states.reserve(keys.capacity());
    auto later = recent_.cbegin();
    const auto take_later = [&] {
        keys.push_back(later->key);
        states.push_back(later->ended);
        ++later;
    };
    for (std::size_t i = 0; i != keys_.size(); ++i) {
        while (later != recent_.cend() && later->key < keys_[i])
            take_later();
        if (later != recent_.cend() && later->key == keys_[i]) {
            take_later();
            continue;
        }
        keys.push_back(keys_[i]);
        states.push_back(states_[i]);
    }
    while (later != recent_.cend())
        take_later();
    keys_ = std::move(keys);
    states_ = std::move(states);
    recent_.clear();
}

void earlier_run::require_queue(const std::string& id) const {
    if (name_in_queue_.empty() || queue_ == id)
        return;
    throw usage_error(
        fmt::format("--resume: the commands of {} went to {} queue, where some of them may still run: give "
                    "the same --on and --schema, or another --jsonl file",
            file_, id.empty() ? "a" : "another"));
}

void earlier_run::require_name(const std::string& name) const {
    if (name.empty() || name_in_queue_.empty() || name == name_in_queue_)
        return;
    const auto shown = muster::detail::printable(name_in_queue_, muster::detail::longest_printed_name);
    throw usage_error(fmt::format(
        "--resume: {0} is the log of the run {1} in the queue, and --attach names another: what {1} has "
        "submitted may still run, and would begin again. Give --attach {1}, or leave it out, or name another "
        "--jsonl file",
        file_, shown));
}

void earlier_run::require_something_in_common() const {
    if (count() != 0 && count_removed() == count())
        throw usage_error(fmt::format("--resume: {} is the log of another list or another template: none of its {} {} "
                                      "is in this one. Give the same ones, or another --jsonl file",
            file_, count(), count() == 1 ? thing_ : thing_ + "s"));
}

unsigned earlier_run::attempts(const content_key& key) const {
    const auto at = attempts_.find(key);
    return at == attempts_.end() ? 0 : at->second;
}

std::uint64_t earlier_run::count_removed() const noexcept {
    return static_cast<std::uint64_t>(
        std::ranges::count_if(states_, [](state s) { return s == state::failed || s == state::succeeded; }));
}

bool earlier_run::succeeded(const input_line& line) {
    const auto at = std::ranges::lower_bound(keys_, line.key);
    if (at == keys_.end() || *at != line.key)
        return false;
    auto& s = states_[static_cast<std::size_t>(at - keys_.begin())];
    if (s == state::failed)
        s = state::failed_and_listed;
    if (s == state::succeeded)
        s = state::succeeded_and_listed;
    return s == state::succeeded_and_listed;
}

} // namespace tool
