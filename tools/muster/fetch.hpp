// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// muster fetch: many URLs at once, each line of the input in exactly one count at the end.
///
///     fetch_options options;
///     options.urls = {"https://example.org/"};
///     return fetch(options);

#include "ledger.hpp"
#include "units.hpp"
#include "url_source.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tool {

/// What main returns.
enum exit_status : int {
    all_succeeded = 0,
    some_failed = 1,
    bad_usage = 2,
    was_interrupted = 130, ///< by SIGINT
    was_terminated = 143   ///< by SIGTERM
};

struct fetch_options {
    fetch_options() {}

    std::vector<std::string> urls; ///< or "-" alone
    std::string file;
    std::size_t limit = 32;
    std::optional<std::chrono::nanoseconds> timeout = std::chrono::seconds(30); ///< each attempt
    std::optional<std::chrono::nanoseconds> deadline;                           ///< everything
    std::size_t retries = 0;
    rate at_most;
    std::optional<std::size_t> max_failures; ///< stop after so many
    std::optional<std::uint64_t> max_size;
    std::string output;
    std::string jsonl;
    bool quiet = false;
    bool show_progress = true;
};

/// How a batch ended. The counts are in the ledger.
struct batch_end {
    batch_end() noexcept {}
    bool interrupted = false;
    bool by_sigterm = false; ///< it was SIGTERM that interrupted it
    std::chrono::nanoseconds elapsed{0};

    [[nodiscard]] exit_status interrupted_status() const noexcept { return by_sigterm ? was_terminated : was_interrupted; }
};

class job_log;

/// Fetches what the source gives. `at_end` is called once, when all is counted and signals are still caught: what it
/// writes is not cut off by one. *Errors*: usage_error, before anything is fetched.
[[nodiscard]] batch_end fetch_all(const fetch_options& options, url_source& source, ledger& counts, job_log* log,
    const std::function<void(const batch_end&)>& at_end = {});

/// The whole command. *Returns* the exit status. *Errors*: usage_error.
[[nodiscard]] int fetch(const fetch_options& options);

} // namespace tool
