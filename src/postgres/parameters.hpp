// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The parameters of a statement in the binary form of the protocol, which needs no quoting: numbers, texts, keys, and
/// arrays of them. Private to muster::postgres.
///
///     parameters p;
///     p.text("name").array(keys);

#include <muster/postgres/call_key.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::postgres {

/// Each function adds one and returns this. *Errors*: std::bad_alloc.
class parameters {
public:
    parameters& text(std::string_view value);
    parameters& number32(std::int32_t value);
    parameters& number64(std::int64_t value);
    parameters& array(std::span<const call_key> values);
    parameters& array(std::span<const std::string> values);
    parameters& array(std::span<const std::int32_t> values);
    parameters& array(std::span<const std::int64_t> values);
    parameters& array(std::span<const std::vector<std::uint8_t>> values);

    [[nodiscard]] const std::vector<unsigned>& types() const noexcept { return types_; }
    [[nodiscard]] const std::vector<std::string>& values() const noexcept { return values_; }

private:
    std::vector<unsigned> types_;
    std::vector<std::string> values_;
};

} // namespace muster::postgres
