// SPDX-License-Identifier: MIT
#include "earlier_run.hpp"

#include "units.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <stdexcept>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

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

std::string log_key(std::string_view text) {
    // FNV-1a.
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return fmt::format("{:016x}", hash);
}

earlier_run::earlier_run(const std::string& file, std::string command, std::string thing)
    : file_(file),
      command_(std::move(command)),
      thing_(std::move(thing)) {
    std::error_code no_matter;
    if (!std::filesystem::exists(file, no_matter))
        return;
    std::ifstream in(file, std::ios::binary);
    if (!in || std::filesystem::is_directory(file, no_matter))
        throw usage_error(
            fmt::format("--resume: {} can't be read: {}", file, std::generic_category().message(in ? EISDIR : errno)));
    std::string line;
    for (std::uint64_t number = 1; std::getline(in, line); ++number) {
        if (in.eof()) {
            // Without its line feed it may be the half of a line: that command runs again.
            cut_off_ = true;
            break;
        }
        read_line(line, number);
        whole_ += line.size() + 1;
    }
    if (in.bad())
        throw usage_error(fmt::format("--resume: reading {} failed", file));
}

void earlier_run::read_line(const std::string& line, std::uint64_t number) {
    try {
        const auto o = nlohmann::json::parse(line);
        const auto& index = o.at("index");
        if (!index.is_number_unsigned()) // a fraction, or more digits than fit, would become another index
            throw std::out_of_range("no index");
        auto& e = entries_[index.get<std::uint64_t>()];
        e.key = number_of(o.at("key").get<std::string>());
        e.ok = o.at("outcome").get<std::string>() == "ok";
    } catch (const std::exception&) {
        throw usage_error(fmt::format("--resume: line {} of {} is no entry of a log of muster {}: name the log that "
                                      "--jsonl of the earlier run wrote",
            number, file_, command_));
    }
}

void earlier_run::require_no_more_than(std::uint64_t lines) const {
    if (count() > lines)
        throw usage_error(fmt::format(
            "--resume: {} is the log of a longer list: it has {} entries, and this list {}", file_, count(), lines));
}

bool earlier_run::succeeded(std::uint64_t index, std::uint64_t line, const std::string& key) const {
    const auto at = entries_.find(index);
    if (at == entries_.end())
        return false;
    if (at->second.key != number_of(key))
        throw usage_error(fmt::format("--resume: {} is the log of another list or another template: line {} was "
                                      "another {} there. Give the same ones, or another --jsonl file",
            file_, line, thing_));
    return at->second.ok;
}

} // namespace tool
