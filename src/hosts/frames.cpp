// SPDX-License-Identifier: MIT
// This file turns frames into bytes and bytes into frames. A frame is a byte for its type, four for the length of its
// payload, and the payload. Whatever comes from the other side is checked here before anything is made of it: types,
// lengths, and that a payload has neither too few nor too many bytes.
#include "hosts/frames.hpp"

#include <muster/subprocess/error.hpp>

#include <algorithm>
#include <utility>

namespace muster::hosts {

namespace {

constexpr std::size_t head_bytes = 5;
/// Once so many bytes were given, the rest is moved to the front.
constexpr std::size_t least_move = std::size_t{256} << 10;

bool is_known(std::uint8_t type) noexcept {
    return type == 1 || type == 2 || (type >= 10 && type <= 16) || (type >= 20 && type <= 26);
}

std::uint64_t get(std::string_view bytes, std::size_t count) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != count; ++i)
        value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    return value;
}

} // namespace

std::string to_bytes(frame_type type, std::string_view payload) {
    MUSTER_ASSERT(payload.size() <= largest_frame);
    return payload_writer()
        .number8(static_cast<std::uint8_t>(type))
        .number32(static_cast<std::uint32_t>(payload.size()))
        .rest(payload)
        .take();
}

std::optional<frame> frame_parser::next() {
    const auto left = std::string_view(bytes_).substr(at_);
    if (left.empty())
        return std::nullopt;
    const auto type = static_cast<std::uint8_t>(left.front());
    if (!is_known(type))
        throw frame_error("a frame of the unknown type " + std::to_string(type));
    if (left.size() < head_bytes)
        return std::nullopt;
    const auto length = static_cast<std::size_t>(get(left.substr(1), 4));
    if (length > largest_frame)
        throw frame_error(
            "a frame of " + std::to_string(length) + " bytes, and none has more than " + std::to_string(largest_frame));
    if (left.size() - head_bytes < length)
        return std::nullopt;
    frame f(static_cast<frame_type>(type), std::string(left.substr(head_bytes, length)));
    at_ += head_bytes + length;
    if (at_ == bytes_.size() || at_ >= least_move) {
        bytes_.erase(0, at_);
        at_ = 0;
    }
    return f;
}

bool greeting_scanner::take(std::string_view bytes) {
    // The magic may have begun at the end of what came before.
    const auto from = preamble_.size() - std::min(preamble_.size(), magic.size() - 1);
    preamble_.append(bytes);
    const auto at = preamble_.find(magic, from);
    if (at != std::string::npos) {
        rest_ = preamble_.substr(at + magic.size());
        preamble_.resize(at);
        return true;
    }
    if (preamble_.size() > longest_preamble)
        throw frame_error("64 KiB of text, and no agent has answered");
    return false;
}

payload_writer& payload_writer::number(std::uint64_t n, int bytes) {
    for (int i = bytes - 1; i >= 0; --i)
        bytes_ += static_cast<char>(static_cast<unsigned char>(n >> (8 * i) & 0xff));
    return *this;
}

payload_writer& payload_writer::text(std::string_view t) {
    number32(static_cast<std::uint32_t>(t.size()));
    return rest(t);
}

payload_writer& payload_writer::rest(std::string_view t) {
    bytes_.append(t);
    return *this;
}

std::uint64_t payload_reader::number(std::size_t bytes) {
    if (bytes_.size() < bytes)
        throw frame_error("a frame that ends too early");
    const auto value = get(bytes_, bytes);
    bytes_.remove_prefix(bytes);
    return value;
}

std::string payload_reader::text() {
    const auto size = number32();
    if (bytes_.size() < size)
        throw frame_error("a text that is longer than its frame");
    std::string t(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return t;
}

std::string_view payload_reader::rest() noexcept { return std::exchange(bytes_, {}); }

void payload_reader::end() const {
    if (!bytes_.empty())
        throw frame_error("a frame with something behind its end");
}

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
