// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The command line of muster fetch as it was written, and the file of options that it may name.
///
///     fetch_words words;
///     words.describe(app);
///     ...
///     return fetch(words.understand());

#include "fetch.hpp"
#include "help.hpp"
#include "words.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace tool {

struct fetch_words : batch_words {
    std::vector<std::string> urls;
    std::optional<std::vector<std::string>> inputs; ///< what stands behind :::
    std::string file;
    bool not_encoded = false;
    std::string method;
    std::vector<std::string> headers;
    std::string data;
    std::string data_file;
    std::string user;
    std::string user_agent;
    bool compressed = true;
    std::string http;
    std::string connect_timeout;
    std::string max_redirects;
    std::string stall_timeout;
    std::string max_size;
    std::string proxy;
    std::string no_proxy;
    std::string ca_file;
    std::string certificate;
    std::string key;
    bool insecure = false;
    std::string output;
    std::string name;
    bool server_names = false;
    bool overwrite = false;
    bool keep_order = false;
    bool continues = false;
    bool skip_existing = false;
    bool if_modified = false;
    std::string per_host;
    std::string per_host_rate;
    std::string limit_rate;
    std::string cookie_jar;
    bool home_netrc = false;
    std::string netrc;
    bool https_only = false;
    std::string protocols;
    bool no_private_addresses = false;
    std::string pin;
    bool resume = false;
    std::string config; ///< read by expand_config

    void describe(CLI::App& app);
    /// *Returns* the options in the order in which the help shows them.
    [[nodiscard]] static option_groups groups();
    /// *Errors*: usage_error. Reads standard input for --data @-.
    [[nodiscard]] fetch_options understand() const;

private:
    CLI::App* app_ = nullptr;
};

/// Replaces each --config FILE of the arguments, whose first is the command's name, by what is in the file, put before
/// all others: so what is on the command line has the last word. *Errors*: usage_error.
void expand_config(std::vector<std::string>& arguments, const CLI::App& command);

} // namespace tool
