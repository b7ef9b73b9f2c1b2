// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// muster fetch: many URLs at once, each line of the input in exactly one count at the end.
///
///     fetch_options options;
///     options.urls = {"https://example.org/"};
///     return fetch(options);

#include "batch.hpp"

#include <muster/http.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tool {

struct fetch_options : batch_options {
    fetch_options() {}

    std::vector<std::string> urls;                  ///< the URLs; or "-" for standard input; or one template
    std::optional<std::vector<std::string>> inputs; ///< for the template
    std::string file;
    bool encode = true; ///< what is put into the template

    muster::http::client_options client; ///< the batch's limit and timeout replace its own
    std::string method;
    std::vector<std::pair<std::string, std::string>> headers;
    std::optional<std::pair<std::string, std::string>> user; ///< user name and password
    std::optional<std::string> data;
    std::string data_file; ///< or "-"

    /// A request ends when fewer than so many bytes of its answer come within the time.
    std::optional<std::chrono::nanoseconds> stall_time = std::chrono::seconds(30);
    std::uint64_t stall_bytes = 1;
    std::optional<std::uint64_t> max_size;
    std::string output;               ///< the bodies' folder; "-" is standard output
    std::vector<std::string> folders; ///< each that was written; the last of them is `output`
    std::string name;                 ///< of a body's file, a template; empty: after line and URL
    bool server_names = false;
    bool overwrite = false; ///< with server_names: files that are there already
    bool keep_order = false;
    bool continues = false; ///< bodies that an earlier run has begun
    bool skip_existing = false;
    bool if_modified = false;
    std::string cookie_jar;

    std::size_t per_host = 0; ///< requests at once to one server; 0: no limit of its own
    rate per_host_rate;
    std::uint64_t limit_rate = 0; ///< bytes a second, of all bodies; 0: no limit
};

/// Fetches what the source gives, without a log, and calls `at_end` when it is over. *Errors*: usage_error, before
/// anything is fetched.
void fetch_all(const fetch_options& options, line_source& source, printed_ledger& ledger, writer& out,
    stop_signals& signals, std::function<void(const batch&)> at_end);

/// The whole command. *Returns* the exit status. *Errors*: usage_error.
[[nodiscard]] int fetch(const fetch_options& options);

} // namespace tool
