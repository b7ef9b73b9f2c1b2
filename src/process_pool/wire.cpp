// SPDX-License-Identifier: MIT
#include "wire.hpp"

#include <muster/process_pool/error.hpp>

#include <string>

namespace muster::workers::wire {

namespace {

constexpr std::size_t deepest = 512; ///< what reads messages recurses

void put(std::uint8_t* to, std::uint64_t value, int bytes) noexcept {
    for (int i = bytes - 1; i >= 0; --i, value >>= 8)
        to[i] = static_cast<std::uint8_t>(value & 0xff);
}
std::uint64_t get(const std::uint8_t* from, std::size_t bytes) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != bytes; ++i)
        value = value << 8 | from[i];
    return value;
}

} // namespace

std::array<std::uint8_t, header_bytes> write(header h) noexcept {
    std::array<std::uint8_t, header_bytes> bytes{};
    put(bytes.data(), h.length, 4);
    put(bytes.data() + 4, h.number, 8);
    return bytes;
}

header read_header(const std::uint8_t* bytes) noexcept {
    return header(static_cast<std::uint32_t>(get(bytes, 4)), get(bytes + 4, 8));
}

std::vector<std::uint8_t> write(const nlohmann::json& value) { return nlohmann::json::to_cbor(value); }

const char* problem_of(const std::uint8_t* bytes, std::size_t count) noexcept {
    static constexpr const char* short_of = "it ends too early";
    std::array<std::uint64_t, deepest> open{}; // values that are still to come in each array or map around this place
    std::size_t depth = 0;
    std::size_t at = 0;
    bool tagged = false;
    for (;;) {
        if (at == count)
            return short_of;
        const int kind = bytes[at] >> 5;
        const int info = bytes[at] & 31;
        ++at;
        std::uint64_t argument = static_cast<std::uint64_t>(info);
        if (info > 27)
            return "it has a value of no announced length";
        if (info > 23) {
            const std::size_t width = std::size_t{1} << (info - 24);
            if (count - at < width)
                return short_of;
            argument = get(bytes + at, width);
            at += width;
        }
        if (tagged && kind != 2)
            return "it has a tag on what is no byte string";
        tagged = kind == 6;
        if (tagged)
            continue;
        if (kind == 2 || kind == 3) {
            if (count - at < argument)
                return short_of;
            at += static_cast<std::size_t>(argument);
        } else if (kind == 4 || kind == 5) {
            // Every value is a byte at least.
            if (argument > count)
                return short_of;
            const std::uint64_t inside = kind == 4 ? argument : 2 * argument;
            if (inside != 0) {
                if (depth == deepest)
                    return "it is nested too deeply";
                open[depth++] = inside;
                continue;
            }
        }
        while (depth != 0 && --open[depth - 1] == 0)
            --depth;
        if (depth == 0)
            return at == count ? nullptr : "something follows its end";
    }
}

nlohmann::json read(const std::uint8_t* bytes, std::size_t count) {
    if (const char* problem = problem_of(bytes, count))
        throw wire_error(std::string("a message is not valid: ") + problem);
    try {
        return nlohmann::json::from_cbor(bytes, bytes + count, true, true, nlohmann::json::cbor_tag_handler_t::store);
    } catch (const nlohmann::json::exception& e) {
        throw wire_error(std::string("a message is not valid: ") + e.what());
    }
}

} // namespace muster::workers::wire
