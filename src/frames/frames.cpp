// SPDX-License-Identifier: MIT
// This file turns frames into bytes and bytes into frames. A frame is a byte for its type, four for the length of its
// payload, and the payload. Whatever comes from the other side is checked here before anything is made of it: types,
// lengths, and that a payload has neither too few nor too many bytes.
#include "frames/frames.hpp"

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>

#include <algorithm>
#include <utility>

namespace muster::frames {

namespace {

constexpr std::size_t head_bytes = 5;
/// Once so many bytes were given, the rest is moved to the front.
constexpr std::size_t least_move = std::size_t{256} << 10;

bool is_known(std::uint8_t type) noexcept {
    return type == 1 || type == 2 || (type >= 10 && type <= 16) || (type >= 20 && type <= 26) ||
           (type >= 40 && type <= 48);
}

std::uint64_t get(std::string_view bytes, std::size_t count) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != count; ++i)
        value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    return value;
}

} // namespace

std::string own_version() {
    return std::to_string(version_major) + '.' + std::to_string(version_minor) + '.' + std::to_string(version_patch);
}

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

} // namespace muster::frames
