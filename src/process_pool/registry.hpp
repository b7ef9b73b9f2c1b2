// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The functions and exceptions that both sides of a pool know by name. Private to muster::process_pool.
///
///     const auto* entry = registry::find("app::resize");

#include <muster/process_pool/remote_function.hpp>

#include <nlohmann/json.hpp>

#include <exception>
#include <map>
#include <string>

namespace muster::workers::registry {

/// *Returns* null if there is none.
[[nodiscard]] const detail::remote_entry* find(const std::string& name);
/// *Returns* the names of all functions with their signatures, as text.
[[nodiscard]] std::map<std::string, std::string> signatures();
/// *Returns* the first fault of the registrations; empty if there is none.
[[nodiscard]] std::string problem();

/// *Returns* the answer for an exception that a function threw.
[[nodiscard]] nlohmann::json describe(const std::exception_ptr& error, const detail::remote_entry* entry);
/// The other way round, for the "error" part of an answer. Throws if it is malformed.
[[nodiscard]] std::exception_ptr rebuild(const nlohmann::json& error);

} // namespace muster::workers::registry

namespace muster {
namespace registry = workers::registry;
} // namespace muster
