// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// errno as a value and as an exception: what was tried stands in front, the system's own words follow. Private to the
/// library.
///
///     if (::listen(fd, backlog) != 0) throw_system_error(errno, "listening");

#include <string>
#include <system_error>

namespace muster::detail {

[[nodiscard]] inline std::error_code system_code(int error) noexcept { return {error, std::generic_category()}; }

/// *Errors*: always std::system_error.
[[noreturn]] inline void throw_system_error(int error, const std::string& what) {
    throw std::system_error(system_code(error), what);
}

} // namespace muster::detail
