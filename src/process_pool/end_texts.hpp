// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The wording of the ways in which a worker and its call can end, and the errors made of it. Nothing here decides
/// anything. Private to muster::process_pool.
///
///     job.set_error(ends::death_during_call({id, how, settings}, job.name()));

#include "process_pool/pool_settings.hpp"
#include "process_pool/spawn.hpp"

#include <chrono>
#include <exception>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace muster::workers {

/// *Returns* the name of a thread or process of the pool, which the system shows up to 15 characters of; without memory
/// the suffix alone.
[[nodiscard]] std::string thread_name(std::string_view pool, const char* suffix) noexcept;

namespace ends {

/// A worker that has ended, and the pool that it belonged to.
struct ended_worker {
    pid_t process;
    process_end how;
    const pool_settings& pool;
};

/// The text of the cancellation of a call that waits for a worker.
inline constexpr const char* never_made = "the call had not begun, and was never made";

// Errors of a call. Without memory each is a std::bad_alloc instead.
[[nodiscard]] std::exception_ptr death_during_call(const ended_worker& w, const std::string& function) noexcept;
[[nodiscard]] std::exception_ptr call_timeout(const ended_worker& w, const std::string& function) noexcept;
[[nodiscard]] std::exception_ptr damaged_answer(
    const ended_worker& w, const std::string& function, const std::exception_ptr& damage) noexcept;
[[nodiscard]] std::exception_ptr unreadable_result(
    const std::string& function, const std::exception_ptr& problem) noexcept;
[[nodiscard]] std::exception_ptr out_of_reach_during_call(
    pid_t process, const pool_settings& pool, const std::string& function) noexcept;
[[nodiscard]] std::exception_ptr no_process_started(
    const pool_settings& pool, const std::string& function, const std::string& reason) noexcept;

/// Of a worker that made no call.
[[nodiscard]] std::exception_ptr sent_unasked(const ended_worker& w, const std::exception_ptr& damage) noexcept;

// Reasons why a worker did not start, or ended before it was of use.
[[nodiscard]] std::string not_ready_in_time(const ended_worker& w);
[[nodiscard]] std::string out_of_reach(pid_t process, const pool_settings& pool);
[[nodiscard]] std::string damaged_start(const ended_worker& w, const std::exception_ptr& damage);
[[nodiscard]] std::string death_before_ready(const ended_worker& w);
[[nodiscard]] std::string death_before_first_call(const ended_worker& w);

} // namespace ends
} // namespace muster::workers
