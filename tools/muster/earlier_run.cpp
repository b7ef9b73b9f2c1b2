// SPDX-License-Identifier: MIT
// This file reads the log of an earlier run: each line is parsed as JSON and reduced to a key and whether it succeeded.
// A line that is no entry is a usage error. Only a last line without a line feed may be half an entry; it is left out,
// and the job it was about runs again.
#include "earlier_run.hpp"

#include "units.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

std::uint64_t number_of(const std::string& key) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number, 16);
    if (error != std::errc() || end != key.data() + key.size() || key.size() != 16)
        throw std::invalid_argument("no key");
    return number;
}

} // namespace

std::uint64_t log_key(std::string_view text) {
    // FNV-1a.
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return hash;
}

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
    keep_last_of_each();
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
    try {
        const auto o = nlohmann::json::parse(line);
        const auto& index = o.at("index");
        if (!index.is_number_unsigned()) // a fraction, or more digits than fit, would become another index
            throw std::out_of_range("no index");
        const bool succeeded = o.at("outcome").get<std::string>() == "ok";
        entries_.push_back((number_of(o.at("key").get<std::string>()) & key_bits) | (succeeded ? ok : 0));
    } catch (const std::exception&) {
        refuse_line(number);
    }
}

void earlier_run::keep_last_of_each() {
    std::vector<std::pair<entry, std::size_t>> all; // each with its place in the log
    all.reserve(entries_.size());
    for (std::size_t i = 0; i != entries_.size(); ++i)
        all.emplace_back(entries_[i], i);
    const auto key_of = [](const std::pair<entry, std::size_t>& e) { return e.first & key_bits; };
    std::ranges::sort(all, [&](const auto& a, const auto& b) {
        return key_of(a) != key_of(b) ? key_of(a) < key_of(b) : a.second < b.second;
    });
    std::size_t kept = 0;
    for (std::size_t i = 0; i != all.size(); ++i) {
        if (i + 1 == all.size() || key_of(all[i]) != key_of(all[i + 1]))
            entries_[kept++] = all[i].first;
    }
    entries_.resize(kept);
    entries_.shrink_to_fit();
}

void earlier_run::require_something_in_common() const {
    if (count() != 0 && count_removed() == count())
        throw usage_error(fmt::format("--resume: {} is the log of another list or another template: none of its {} {} "
                                      "is in this one. Give the same ones, or another --jsonl file",
            file_, count(), count() == 1 ? thing_ : thing_ + "s"));
}

std::uint64_t earlier_run::count_removed() const noexcept {
    return static_cast<std::uint64_t>(std::ranges::count_if(entries_, [](entry e) { return (e & listed) == 0; }));
}

bool earlier_run::succeeded(const input_line& line) {
    const auto at = std::ranges::lower_bound(entries_, line.key & key_bits, {}, [](entry e) { return e & key_bits; });
    if (at == entries_.end() || (*at & key_bits) != (line.key & key_bits))
        return false;
    *at |= listed;
    return (*at & ok) != 0;
}

} // namespace tool
