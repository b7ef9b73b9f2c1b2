// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The messages between a pool and its workers; docs/guide/process_pool.md describes them. Private to
/// muster::process_pool.
///
///     const auto message = wire::write(value);
///     const auto value = wire::read(message.data(), message.size());

#include <muster/process_pool/remote_function.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

namespace muster::workers::wire {

inline constexpr int version = 1;
inline constexpr int worker_descriptor = 3;              ///< of the socket, in the worker
inline constexpr const char* variable = "MUSTER_WORKER"; ///< in the environment of a worker: the version

/// Before each message: the bytes that follow, and the number of the call; 0 for what is said before the first one.
struct header {
    header(std::uint32_t l, std::uint64_t n) noexcept : length(l), number(n) {}
    std::uint32_t length;
    std::uint64_t number;
};
inline constexpr std::size_t header_bytes = 12;
[[nodiscard]] std::array<std::uint8_t, header_bytes> write(header h) noexcept;
[[nodiscard]] header read_header(const std::uint8_t* bytes) noexcept;

[[nodiscard]] std::vector<std::uint8_t> write(const nlohmann::json& value);
/// *Errors*: wire_error if it is no CBOR of the kind that is described, or too deep.
[[nodiscard]] nlohmann::json read(const std::uint8_t* bytes, std::size_t count);
/// *Returns* what is wrong with it, null if nothing is. No recursion, whatever the bytes are.
[[nodiscard]] const char* problem_of(const std::uint8_t* bytes, std::size_t count) noexcept;

} // namespace muster::workers::wire

namespace muster::workers::registry {

/// *Returns* null if there is none.
[[nodiscard]] const detail::remote_entry* find(const std::string& name);
/// What is wrong with what was registered; empty if nothing is.
[[nodiscard]] std::string problem();

/// The answer for what a function threw.
[[nodiscard]] nlohmann::json describe(const std::exception_ptr& error, const detail::remote_entry* entry);
/// The other way round, for the "error" part of an answer. Throws if it is malformed.
[[nodiscard]] std::exception_ptr rebuild(const nlohmann::json& error);

} // namespace muster::workers::registry

namespace muster {
namespace wire = workers::wire;
namespace registry = workers::registry;
} // namespace muster
