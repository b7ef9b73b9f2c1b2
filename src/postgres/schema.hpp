// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The tables and functions that a queue is in its database, as SQL. Private to muster::postgres.
///
///     for (const auto& statement : schema::migration(schema::version, quoted)) ...

#include <muster/postgres/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muster::postgres::schema {

/// The version of the tables that this program makes and uses.
inline constexpr int version = 5;

/// *Errors*: std::invalid_argument for a name that is no plain one: lower-case letters, digits and underscores, 30 at
/// most, not a digit first, nor "pg_" in front.
void expect_name(std::string_view name);
/// *Errors*: unreachable_error for tables of another version than this program's, which says what to run.
void expect_version(std::int64_t found, std::string_view name);
/// *Returns* whether an error of the database means that there is no queue in the schema.
[[nodiscard]] bool says_that_none_is_there(const database_error& e) noexcept;
/// *Errors*: unreachable_error, always: there is no queue in the schema.
[[noreturn]] void throw_that_none_is_there(std::string_view name);
/// *Returns* the statements that bring tables of version `to - 1` to version `to`; version 1 makes them.
[[nodiscard]] std::string migration(int to, std::string_view name);
/// *Returns* the statements that make the functions anew, and say who may call them.
[[nodiscard]] std::string functions(std::string_view name);
/// *Returns* the statements that make the two roles, `name_client` and `name_worker`, where they are missing.
[[nodiscard]] std::string roles(std::string_view name);

} // namespace muster::postgres::schema
