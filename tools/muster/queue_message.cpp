// SPDX-License-Identifier: MIT
// This file writes and reads the messages between muster run and muster worker. A text is checked as the messages of a
// process pool are, before anything is built of it; then each number has to be one that it can be.
#include "queue_message.hpp"

#include "units.hpp"

#include "process_pool/wire.hpp"

#include <muster/process_pool/error.hpp>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <utility>

namespace tool {

namespace {

using nlohmann::json;
using kind = queued_end::kind;

constexpr std::uint64_t most_values = 1'000'000;
/// More than any system takes as the arguments of one program.
constexpr std::size_t most_in_words = std::size_t{16} << 20;

constexpr std::pair<std::string_view, kind> kinds[] = {{"ended", kind::ended}, {"not found", kind::not_found},
    {"not started", kind::not_started}, {"too slow", kind::too_slow}, {"too much output", kind::too_much_output},
    {"refused", kind::refused}, {"left", kind::worker_left}};

std::string as_text(const json& o) {
    const auto bytes = muster::wire::write(o);
    return {bytes.begin(), bytes.end()};
}

/// *Returns* what `read` makes of the message. *Errors*: std::invalid_argument.
template <class Read>
auto reading(std::string_view message, const char* thing, const Read& read) {
    try {
        const auto* const begin = reinterpret_cast<const std::uint8_t*>(message.data());
        return read(muster::wire::read(std::span(begin, message.size()), most_values));
    } catch (const muster::wire_error& e) {
        throw std::invalid_argument(fmt::format("the message is no {}: {}", thing, e.what()));
    } catch (const json::exception& e) {
        throw std::invalid_argument(fmt::format("the message is no {}: {}", thing, e.what()));
    }
}

std::uint64_t number(const json& o, const char* name, std::uint64_t most) {
    const auto& value = o.at(name);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
        throw std::invalid_argument(fmt::format("the message has a {} that can't be", name));
    return value.get<std::uint64_t>();
}

/// A year is more than any command needs, and no sum of two such times overflows.
std::chrono::nanoseconds time(const json& o, const char* name) {
    constexpr std::uint64_t longest = std::uint64_t{365} * 86'400'000'000'000;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(number(o, name, longest)));
}

std::uint64_t count(std::chrono::nanoseconds time) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
}

/// A mark is as long as it is, and stands for the name of a host: so the words can't grow without bounds.
bool is_host_mark(std::string_view text) {
    constexpr std::string_view before = "{host ";
    constexpr std::size_t digits = 32;
    return text.size() == before.size() + digits + 1 && text.starts_with(before) && text.back() == '}' &&
           text.substr(before.size(), digits).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void require_words(const std::vector<std::string>& words) {
    if (words.empty() || words.front().empty())
        throw std::invalid_argument("the message is no command: it names no program");
    std::size_t bytes = 0;
    for (const auto& word : words) {
        if (word.find('\0') != std::string::npos)
            throw std::invalid_argument("the message is no command: there is a NUL character in a word");
        bytes += word.size() + 1;
    }
    if (bytes > most_in_words)
        throw std::invalid_argument("the message is no command: no program can be given so many words");
}

/// A function of this program that does nothing: muster worker has a handler in its place.
std::string is_only_a_name(const std::string&) { return {}; }

} // namespace

std::string name_of_function_for(const std::string& tag) {
    constexpr std::size_t longest = 40;
    const auto is_fine = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    if (tag.size() > longest || !std::ranges::all_of(tag, is_fine))
        throw usage_error(
            fmt::format("'{}' is no tag of a worker: a tag has up to {} letters, digits and . _ -", tag, longest));
    return tag.empty() ? "muster run" : "muster run on " + tag;
}

const command_function& function_for(const std::string& tag) {
    // They stay for as long as the program does, as functions that a program has must.
    static std::mutex lock;
    static std::map<std::string, std::unique_ptr<command_function>> all;
    const std::lock_guard own(lock);
    auto& made = all[tag];
    if (!made)
        made = std::make_unique<command_function>(name_of_function_for(tag), &is_only_a_name);
    return *made;
}

std::string write_message(const queued_command& what) {
    json o{{"words", what.words}, {"grace", count(what.grace)}, {"linger", count(what.linger)},
        {"most_output", what.most_output}};
    if (!what.host_mark.empty())
        o["host_mark"] = what.host_mark;
    if (what.timeout)
        o["timeout"] = count(*what.timeout);
    return as_text(o);
}

queued_command read_command(std::string_view message) {
    return reading(message, "command", [](const json& o) {
        queued_command what;
        what.words = o.at("words").get<std::vector<std::string>>();
        require_words(what.words);
        what.grace = time(o, "grace");
        what.linger = time(o, "linger");
        what.most_output = number(o, "most_output", UINT64_MAX);
        if (o.contains("host_mark"))
            what.host_mark = o.at("host_mark").get<std::string>();
        if (!what.host_mark.empty() && !is_host_mark(what.host_mark))
            throw std::invalid_argument("the message is no command: its mark for the host is none");
        if (o.contains("timeout"))
            what.timeout = time(o, "timeout");
        return what;
    });
}

std::string write_message(const queued_end& end) {
    const auto* const named = std::ranges::find(kinds, end.how, &std::pair<std::string_view, kind>::second);
    if (named == std::ranges::end(kinds))
        throw std::logic_error("this end is none that a worker reports");
    json o{{"how", std::string(named->first)}, {"host", end.host},
        {"process", static_cast<std::uint64_t>(end.done.pid)}, {"out", end.done.out}, {"err", end.done.err}};
    if (!end.problem.empty())
        o["problem"] = end.problem;
    if (end.code != 0)
        o["code"] = static_cast<std::uint64_t>(end.code);
    if (end.done.signal != 0)
        o["signal"] = static_cast<std::uint64_t>(end.done.signal);
    else if (end.done.status >= 0)
        o["status"] = static_cast<std::uint64_t>(end.done.status);
    if (!end.done.output_ended)
        o["output_ended"] = false;
    if (end.done.dumped_core)
        o["core"] = true;
    return as_text(o);
}

queued_end read_end(std::string_view message) {
    return reading(message, "end of a command", [](json o) {
        queued_end end;
        const auto how = o.at("how").get<std::string>();
        const auto* const named = std::ranges::find(kinds, how, &std::pair<std::string_view, kind>::first);
        if (named == std::ranges::end(kinds))
            throw std::invalid_argument("the message is no end of a command that this version knows");
        end.how = named->second;
        end.host = o.at("host").get<std::string>();
        end.done.pid = static_cast<pid_t>(number(o, "process", INT32_MAX));
        end.done.out = std::move(o.at("out").get_ref<std::string&>());
        end.done.err = std::move(o.at("err").get_ref<std::string&>());
        if (o.contains("problem"))
            end.problem = o.at("problem").get<std::string>();
        if (o.contains("code"))
            end.code = static_cast<int>(number(o, "code", 4095));
        constexpr std::uint64_t most_signals = 64;
        if (o.contains("signal"))
            end.done.signal = static_cast<int>(number(o, "signal", most_signals));
        if (o.contains("status"))
            end.done.status = static_cast<int>(number(o, "status", 255));
        if (o.contains("output_ended"))
            end.done.output_ended = o.at("output_ended").get<bool>();
        if (o.contains("core"))
            end.done.dumped_core = o.at("core").get<bool>();
        if (end.how == kind::ended && end.done.signal == 0 && end.done.status < 0)
            throw std::invalid_argument("the message does not say how the command ended");
        return end;
    });
}

} // namespace tool
