// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The messages between a pool and its workers; docs/guide/process_pool.md describes them. Private to
/// muster::process_pool.
///
///     const auto message = wire::write(value);
///     const auto value = wire::read(message, most_values);

#include <muster/process_pool/remote_function.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::workers::wire {

inline constexpr int version = 1;
inline constexpr int worker_descriptor = 3; ///< the number of the socket in the worker
/// The environment variable that a worker is known by; its value is the version.
inline constexpr const char* variable = "MUSTER_WORKER";
/// Its value in an agent, which a launcher starts on another host.
inline constexpr std::string_view agent = "agent";

/// Before each message: the bytes that follow, and the number of the call; 0 in the first message of each side.
struct header {
    header(std::uint32_t l, std::uint64_t n) noexcept : length(l), number(n) {}
    std::uint32_t length;
    std::uint64_t number;
};
inline constexpr std::size_t header_bytes = 12;
[[nodiscard]] std::array<std::uint8_t, header_bytes> write(header h) noexcept;
[[nodiscard]] header read_header(const std::uint8_t* bytes) noexcept;

/// An array, a map or a value in them is one level below what it is in; a message has this many at most.
inline constexpr std::size_t deepest = 512;
inline constexpr std::uint64_t no_value_limit = UINT64_MAX;
inline constexpr const char* too_deep = "it is nested too deeply";

/// *Returns* whether the value, as a part of a message that is this many levels down, goes below `deepest`.
[[nodiscard]] bool is_too_deep(const nlohmann::json& value, std::size_t levels_above = 0) noexcept;
/// *Errors*: wire_error if it is too deep.
[[nodiscard]] std::vector<std::uint8_t> write(const nlohmann::json& value);
/// *Errors*: wire_error, before anything is built, if it is no CBOR of the kind that is described, too deep, or of more
/// values than `most_values`.
[[nodiscard]] nlohmann::json read(std::span<const std::uint8_t> bytes, std::uint64_t most_values);
/// *Returns* what is wrong with it, which is empty if nothing is. No recursion and no allocation but for the text,
/// whatever the bytes are.
[[nodiscard]] std::string problem_of(std::span<const std::uint8_t> bytes, std::uint64_t most_values);
/// *Returns* how many values it has, keys of maps included; `bytes` is CBOR of the kind that is described.
[[nodiscard]] std::uint64_t count_values(std::span<const std::uint8_t> bytes) noexcept;

} // namespace muster::workers::wire

namespace muster {
namespace wire = workers::wire;
} // namespace muster
