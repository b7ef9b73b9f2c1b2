// SPDX-License-Identifier: MIT
// This file defines the order of things in muster fetch: it checks the options, opens the input, the log, the folder
// and the jar of cookies, passes over what is done already, runs the batch and prints the end.
#include "fetch.hpp"

#include "advice.hpp"
#include "body_file.hpp"
#include "cookie_jar.hpp"
#include "earlier_run.hpp"
#include "fetch_batch.hpp"
#include "job_log.hpp"
#include "log_entry.hpp"
#include "request_maker.hpp"
#include "server_name.hpp"
#include "stop_signals.hpp"
#include "streams.hpp"
#include "url_template.hpp"
#include "writer.hpp"

#include <muster/http.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

/// With limits for each server so many times the limit of requests may be taken from the input at once.
constexpr std::size_t most_waiting = 4;

/// *Returns* whether there is a line in a file on disk, without taking it.
bool has_a_line(const std::string& file, const line_rules& rules) {
    line_source trial(file, rules);
    input_line line;
    return trial.try_take(line) == line_source::took::line;
}

std::string nothing_in(const line_source& source) {
    return fmt::format("there is no {} in {}: give one a line", source.rules().thing, source.name());
}

/// The options about where bodies go.
void check_bodies(const fetch_options& o) {
    const bool to_standard_output = o.output == "-";
    if (to_standard_output && o.server_names)
        throw usage_error("-o - and --remote-name exclude each other");
    if (to_standard_output && o.jsonl == "-")
        throw usage_error("standard output can't have both the bodies and the log: --jsonl FILE");
    const bool has_folder = !o.output.empty() || o.server_names;
    if (!to_standard_output && has_folder && request_maker::asks_for_part(o))
        throw usage_error(
            "--header Range: a file gets a whole body, and --continue asks for parts by itself: -o - prints "
            "a part");
    if (o.keep_order && !to_standard_output)
        throw usage_error("--keep-order is for bodies that go to standard output: -o -");
    if (o.overwrite && !o.server_names)
        throw usage_error("--overwrite is for --remote-name: files with other names are replaced anyway");
    for (const auto& [set, option] : {std::pair(o.continues, "--continue"),
             std::pair(o.skip_existing, "--skip-existing"), std::pair(o.if_modified, "--if-modified")}) {
        if (set && to_standard_output)
            throw usage_error(fmt::format("{} is for bodies in files: -o DIR or --remote-name", option));
    }
    if (o.if_modified && o.server_names)
        throw usage_error(
            "--if-modified needs names that are known before the server is asked: -o DIR, not --remote-name");
}

std::string about_unknown_option(const std::string& word) {
    const auto advice = advice_on("fetch", word);
    return fmt::format(
        "there is no option '{}'{}{}\nSee muster fetch --help", word, advice.empty() ? "" : ": ", advice);
}

/// Names of files that a user of curl or wget did not mean as such.
void check_habits(const fetch_options& o) {
    if (!o.file.empty() && ::access(o.file.c_str(), F_OK) != 0 &&
        (looks_like_a_url(o.file) || looks_like_letters_of_curl(o.file)))
        throw usage_error(fmt::format("-f is for a file of URLs, and there is none with the name {}. If curl's -f is "
                                      "meant, leave it out: a status of 400 or more is a failure in any case",
            muster::http::without_password(o.file)));
    for (const auto& [value, option, advice] : {std::tuple(&o.output, "-o", "-o DIR is a folder for the bodies"),
             std::tuple(&o.cookie_jar, "-c", "-c FILE is a file of cookies; wget's -c is --continue"),
             std::tuple(&o.jsonl, "--jsonl", "it is the log's file"),
             std::tuple(&o.failed_file, "--failed", "it is the file for inputs that did not succeed")}) {
        if (looks_like_a_url(*value))
            throw usage_error(
                fmt::format("{} has {} as its value: {}", option, muster::http::without_password(*value), advice));
    }
    // For curl this is the name of the body's file. Whoever wants a folder of that name can say so by a slash.
    const bool is_one_url = o.urls.size() == 1 && o.urls.front() != "-" && o.file.empty() && !o.inputs;
    if (is_one_url && o.name.empty() && !o.server_names && looks_like_a_file(o.output) &&
        ::access(o.output.c_str(), F_OK) != 0)
        throw usage_error(fmt::format("-o is for a folder, and {0} looks like the name of a file: write '-o - URL > "
                                      "{0}' for a file, or '-o {0}/' for a folder",
            o.output));
    if (std::ranges::count_if(o.folders, looks_like_a_file) > 1)
        throw usage_error("-o is one folder for all bodies: names of their own stand in a list, -f FILE with URL, "
                          "tabulator and NAME in each line");
    for (const auto& url : o.urls) {
        if (const auto series = series_in(url); !series.empty() && !o.quiet) {
            complain(fmt::format("{} is a part of the URL as it is written; for a series write {{}} in its place, and "
                                 "::: and the inputs behind the URL",
                series));
            break;
        }
    }
}

void check(const fetch_options& o) {
    for (const auto& url : o.urls) {
        if (url.size() > 1 && url.front() == '-')
            throw usage_error(about_unknown_option(url));
    }
    check_habits(o);
    const bool from_input = o.urls == std::vector<std::string>{"-"};
    if (o.urls.empty() && o.file.empty())
        throw usage_error("there is nothing to fetch: give URLs, -f FILE, or - for standard input");
    if (o.inputs && !o.file.empty())
        throw usage_error("give inputs after ::: or -f FILE, not both");
    if (o.inputs && o.urls.size() != 1)
        throw usage_error("before ::: there must be one URL, with {} where the inputs go");
    if (o.inputs && !request_maker::has_places(o))
        throw usage_error(fmt::format("{} has no place for the inputs: put {{}} into it, or {{#}} for their numbers",
            muster::http::without_password(o.urls.front())));
    if (!o.urls.empty() && !o.file.empty() && !request_maker::is_template(o))
        throw usage_error("give URLs or -f FILE, not both; or one URL with {} in it, and the inputs for it in FILE");
    if (!from_input && std::ranges::find(o.urls, "-") != o.urls.end())
        throw usage_error("- stands for standard input and can't be mixed with URLs");
    if (o.resume && (o.jsonl.empty() || o.jsonl == "-"))
        throw usage_error("--resume needs --jsonl FILE, with the log of the earlier run");
    if (o.data && !o.data_file.empty())
        throw usage_error("give one body: --data or --data-file, not both");
    if (!o.data_file.empty() && ::access(o.data_file.c_str(), R_OK) != 0)
        throw usage_error(
            fmt::format("the body can't be read: {}: {}", o.data_file, std::generic_category().message(errno)));
    const bool has_folder = !o.output.empty() && o.output != "-";
    if (!o.name.empty() && !has_folder)
        throw usage_error("--name says how the files are called that -o DIR writes: give that, too");
    if (!o.name.empty() && !url_template(o.name).has_places())
        throw usage_error("--name: give the files names of their own: {} is the input, {#} its number");
    if (!o.name.empty() && o.server_names)
        throw usage_error("--name and --remote-name exclude each other");
    check_bodies(o);
    if (o.name.find('/') != std::string::npos || o.name.starts_with('.'))
        throw usage_error("--name: a name has no slash in it, and no dot at its beginning");
}

/// *Returns* the files that servers have named in an earlier run, by the keys of their lines.
std::unordered_map<content_key, std::string, hash_of_key> files_in_log(const std::string& log) {
    std::unordered_map<content_key, std::string, hash_of_key> files;
    std::ifstream in(log);
    for (std::string line; std::getline(in, line);) {
        // The last line may be half an entry.
        const auto entry = read_entry(line);
        if (!entry || entry->file.empty())
            continue;
        if (const auto key = content_key::from(entry->key))
            files[*key] = entry->file;
    }
    return files;
}

/// *Returns* whether two names that safe_name() made are of one URL.
bool differs_in_number_alone(std::string_view a, std::string_view b) {
    const auto behind_number = [](std::string_view name) { return name.substr(std::min(name.find('-'), name.size())); };
    return behind_number(a) == behind_number(b);
}

bool is_file_here(const std::string& name) {
    std::error_code no_matter;
    return std::filesystem::symlink_status(name, no_matter).type() == std::filesystem::file_type::regular;
}

std::string file_of(const fetch_options& o) { return o.urls == std::vector<std::string>{"-"} ? "-" : o.file; }

std::unique_ptr<line_source> open_source(const fetch_options& o) {
    const auto rules = request_maker::is_template(o) ? line_rules::inputs('\n') : line_rules::urls();
    if (o.inputs)
        return std::make_unique<line_source>(*o.inputs, rules);
    const auto file = file_of(o);
    return file.empty() ? std::make_unique<line_source>(o.urls, rules) : std::make_unique<line_source>(file, rules);
}

} // namespace

void fetch_all(const fetch_options& options, line_source& source, printed_ledger& ledger, writer& out,
    stop_signals& signals, std::function<void(const batch&)> at_end) {
    output_folder nowhere({});
    muster::http::client client(client_options_for(options, options.limit));
    fetch_batch b(options, options.limit, client, source, ledger, out, nowhere, nullptr);
    run_batch(b, signals);
    at_end(b);
    signals.end_listening();
}

int fetch(const fetch_options& asked) {
    fetch_options options = asked;
    check(options);
    const std::string file = file_of(options);
    const auto source = open_source(options);
    const request_maker maker(options);
    if (!file.empty() && source->is_finite() && file != "-" && !has_a_line(file, source->rules()))
        throw usage_error(nothing_in(*source));
    require_files_apart(
        {{"the input", file == "-" ? "/dev/stdin" : file}, {"what --data-file names", options.data_file}},
        {{"--jsonl", options.jsonl == "-" ? std::string() : options.jsonl}, {"--failed", options.failed_file},
            {"--cookie-jar", options.cookie_jar}});
    const bool to_standard_output = options.output == "-";
    if (options.server_names && options.output.empty())
        options.output.assign(1, '.'); // assigning the text makes g++ 12 warn of a copy that overlaps
    output_folder folder(to_standard_output ? std::string() : options.output);
    const cookie_jar jar(options.cookie_jar);
    writer out;
    std::optional<job_log> log;
    if (!options.jsonl.empty())
        log.emplace(out, options.jsonl, options.log_mode);
    auto before = options.resume ? earlier_run(log->descriptor_to_resume(), options.jsonl, "fetch", "URL or request")
                                 : earlier_run();
    std::optional<std::unordered_map<content_key, std::string, hash_of_key>> named_before; ///< read when it is needed
    const auto is_there = [&](const planned_request& what, const input_line& line) {
        if (!folder.is_open())
            return !what.name.empty() && is_file_here(what.name);
        const bool by_server = options.server_names && what.name.empty();
        const auto name = by_server ? url_name(what.url) : maker.file_name(line, what);
        if (folder.has_file(name) || !options.resume || !options.name.empty() || !what.name.empty())
            return folder.has_file(name);
        // The server has given it another name; or the list has changed, and its lines have other numbers.
        if (!named_before)
            named_before = files_in_log(options.jsonl);
        const auto at = named_before->find(line.key);
        return at != named_before->end() && (by_server || differs_in_number_alone(at->second, name)) &&
               folder.has_file(at->second);
    };
    const auto has_place = [&](const planned_request& what) {
        return !to_standard_output && (folder.is_open() || !what.name.empty());
    };
    // A body that is not where it is to be now is fetched again.
    const auto is_done = [&](const input_line& line) {
        const auto what = maker.plan(line);
        const bool succeeded = before.succeeded(line);
        if (options.skip_existing && has_place(what) && is_there(what, line))
            return true;
        return succeeded && (!has_place(what) || is_there(what, line));
    };
    const auto content = [&](const input_line& line) { return maker.key(line, maker.plan(line).url); };
    if (log)
        source->know_by(content);
    const bool passes_over = options.resume || options.skip_existing;
    if (passes_over && file != "-" && source->is_finite()) {
        const auto trial = open_source(options);
        if (log)
            trial->know_by(content);
        source->expect(before.look_ahead(*trial, is_done));
    }
    // A request has a connection and a file, or looks up a name, which takes more.
    options.limit = limit_in_reach(options, "requests");
    begin_log(log, options, before, "that URL is asked for again");

    // A request that waits for the limit of its server must not keep requests to other servers from starting, so
    // more requests are taken from the input than run at once.
    const auto together = options.limit;
    if (options.per_host != 0 || options.per_host_rate.count != 0)
        options.limit *= most_waiting;
    printed_ledger ledger;
    muster::http::client client(client_options_for(options, together));
    jar.load(client);
    fetch_batch b(options, together, client, *source, ledger, out, folder, log ? &*log : nullptr);
    if (passes_over)
        source->only_if([&](const input_line& line) {
            if (!is_done(line))
                return true;
            b.pass_over(line.index);
            return false;
        });
    // Made last: it refers to the batch and the writer until it is gone.
    stop_signals signals;
    run_batch(b, signals);
    out.drain();
    if (log)
        log->close();
    say_what_was_removed(before, *source, options);
    if (source->taken() == 0 && source->exhausted() && b.signal() == 0)
        throw usage_error(nothing_in(*source));
    if (b.dropped_bodies())
        ledger.remark("bodies were not kept: -o DIR, -O or -o - (standard output) says where they go");
    const bool ledger_on_output = !to_standard_output && (!log || !log->to_standard_output());
    return b.status(print_end(b, out, ledger, *source, ledger_on_output, options.quiet,
        {b.failure(), source->failure(), log ? log->failure() : std::string(), jar.save(client)}));
}

} // namespace tool
