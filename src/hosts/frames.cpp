// SPDX-License-Identifier: MIT
// This file writes commands and their ends into the payloads of frames, and reads them. Whatever comes from the other
// side is checked here before anything is made of it.
#include "hosts/frames.hpp"

#include <muster/subprocess/error.hpp>

#include <algorithm>
#include <utility>

namespace muster::hosts {

// ---- commands ----

namespace {

enum class output_there : std::uint8_t { discarded, captured, merged };

output_there kind_of(const detail::output_plan& plan) noexcept {
    if (plan.merged)
        return output_there::merged;
    return plan.to == output::discard ? output_there::discarded : output_there::captured;
}

output_there read_output(payload_reader& from, bool may_be_merged) {
    const auto kind = from.number8();
    if (kind > (may_be_merged ? 2 : 1))
        throw frame_error("an output of an unknown kind");
    return static_cast<output_there>(kind);
}

std::chrono::nanoseconds read_time(payload_reader& from) {
    const auto count = from.number64();
    if (count > static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count()))
        throw frame_error("a time that is too long");
    return std::chrono::nanoseconds(static_cast<std::int64_t>(count));
}

std::uint64_t count_of(std::chrono::nanoseconds time) noexcept {
    return static_cast<std::uint64_t>(std::max(time, std::chrono::nanoseconds(0)).count());
}

} // namespace

std::string description_of(const command& what) {
    const auto& parts = what.parts();
    payload_writer to;
    to.number32(static_cast<std::uint32_t>(parts.words.size()));
    for (const auto& word : parts.words)
        to.text(word);
    to.number8(parts.clear_environment ? 1 : 0).number32(static_cast<std::uint32_t>(parts.environment.size()));
    for (const auto& change : parts.environment)
        to.number8(change.value ? 1 : 0).text(change.name).text(change.value.value_or(std::string()));
    to.text(parts.directory);
    to.number8(static_cast<std::uint8_t>(kind_of(parts.out))).number8(static_cast<std::uint8_t>(kind_of(parts.err)));
    return to.number64(count_of(parts.grace)).number64(count_of(parts.linger)).take();
}

command command_of(std::string_view description) {
    payload_reader from(description);
    std::vector<std::string> words;
    for (auto left = from.number32(); left != 0; --left)
        words.push_back(from.text());
    try {
        command what(std::move(words));
        if (from.number8() != 0)
            what.clear_env();
        for (auto left = from.number32(); left != 0; --left) {
            const bool is_set = from.number8() != 0;
            auto name = from.text();
            auto value = from.text();
            if (is_set)
                what.env(std::move(name), std::move(value));
            else
                what.unset_env(std::move(name));
        }
        if (auto path = from.text(); !path.empty())
            what.directory(std::move(path));
        if (read_output(from, false) == output_there::discarded)
            what.stdout_to(output::discard);
        const auto errors = read_output(from, true);
        if (errors == output_there::merged)
            what.merge_stderr();
        else if (errors == output_there::discarded)
            what.stderr_to(output::discard);
        what.grace(read_time(from));
        what.linger(read_time(from));
        from.end();
        return what;
    } catch (const std::invalid_argument& e) {
        throw frame_error(std::string("a command that can't be: ") + e.what());
    }
}

std::string payload_of(std::uint64_t id, const remote_end& end) {
    const auto& p = end.process;
    return payload_writer()
        .number64(id)
        .number8(static_cast<std::uint8_t>(end.how))
        .number32(static_cast<std::uint32_t>(p.status))
        .number32(static_cast<std::uint32_t>(p.signal))
        .number8(p.dumped_core ? 1 : 0)
        .number8(p.output_ended ? 1 : 0)
        .number64(count_of(p.duration))
        .number64(count_of(p.user_time))
        .number64(count_of(p.system_time))
        .number64(p.peak_memory)
        .number32(static_cast<std::uint32_t>(end.error))
        .text(std::string_view(end.problem).substr(0, 4000))
        .take();
}

remote_end read_end(payload_reader& from) {
    remote_end end;
    const auto how = from.number8();
    if (how > static_cast<std::uint8_t>(remote_end::kind::failed))
        throw frame_error("an end of an unknown kind");
    end.how = static_cast<remote_end::kind>(how);
    auto& p = end.process;
    p.status = static_cast<std::int32_t>(from.number32());
    p.signal = static_cast<std::int32_t>(from.number32());
    const bool exited = p.status >= 0 && p.status <= 255 && p.signal == 0;
    const bool signalled = p.status == -1 && p.signal > 0 && p.signal < 128;
    if (end.how == remote_end::kind::ended && !exited && !signalled)
        throw frame_error("an end that no process has");
    p.dumped_core = from.number8() != 0;
    p.output_ended = from.number8() != 0;
    p.duration = read_time(from);
    p.user_time = read_time(from);
    p.system_time = read_time(from);
    p.peak_memory = from.number64();
    end.error = static_cast<std::int32_t>(from.number32());
    end.problem = from.text();
    from.end();
    return end;
}

} // namespace muster::hosts
