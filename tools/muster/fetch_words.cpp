// SPDX-License-Identifier: MIT
// This file reads the options of muster fetch: describe() declares them to CLI11, and understand() turns the words into
// fetch_options and refuses those that make no sense. expand_config() reads a --config file as TOML and puts its
// options in front of those that were typed, so that the typed ones win.
#include "fetch_words.hpp"

#include "streams.hpp"
#include "units.hpp"
#include "writer.hpp"

#include "http/scrub.hpp"

#include <muster/config.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

namespace http = muster::http;

/// A file of headers, passwords or options that is longer may have no end, and is refused.
constexpr std::size_t largest_file = std::size_t{1} << 20;

std::string read_standard_input() {
    std::string all;
    char bytes[65536];
    for (;;) {
        const auto count = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (count == 0)
            return all;
        if (count > 0)
            all.append(bytes, static_cast<std::size_t>(count));
        else if (errno != EINTR)
            throw usage_error(
                fmt::format("--data @-: reading standard input failed: {}", std::generic_category().message(errno)));
    }
}

std::pair<std::string, std::string> header_of(const std::string& text) {
    const auto colon = text.find(':');
    if (colon == std::string::npos || colon == 0)
        throw usage_error(fmt::format("--header: '{}' is no header: write 'Name: value'", http::without_secret(text)));
    const auto value = text.find_first_not_of(" \t", colon + 1);
    return {text.substr(0, colon), value == std::string::npos ? std::string() : text.substr(value)};
}

/// *Returns* the lines of a file that are not blank.
std::vector<std::string> lines_of(const char* option, const std::string& file) {
    std::istringstream in(text_of_file(option, file, largest_file));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        if (line.ends_with('\r'))
            line.pop_back();
        if (line.find_first_not_of(" \t") != std::string::npos)
            lines.push_back(line);
    }
    return lines;
}

std::string first_line_of(const char* option, const std::string& file) {
    const auto lines = lines_of(option, file);
    if (lines.empty())
        throw usage_error(fmt::format("{}: there is nothing in {}", option, file));
    return lines.front();
}

/// *Returns* whether the value of --proto, which is written as for curl, allows nothing but https.
bool is_https_alone(const std::string& protocols) {
    if (protocols.empty() || protocols == "=http,https" || protocols == "=https,http")
        return false;
    if (protocols == "=https" || protocols == "-http")
        return true;
    throw usage_error(fmt::format("--proto: '{}' will not do: write =https, or =http,https", protocols));
}

std::string netrc_file(std::string file) {
    if (file.empty()) {
        const char* home = std::getenv("HOME");
        file = (home != nullptr ? std::string(home) : std::string(".")) + "/.netrc";
    }
    if (::access(file.c_str(), R_OK) != 0)
        throw usage_error(fmt::format("--netrc: {} can't be read: {}", file, std::generic_category().message(errno)));
    return file;
}

http::http_version version_of(const std::string& text) {
    if (text == "1.0")
        return http::http_version::http1_0;
    if (text == "1.1")
        return http::http_version::http1_1;
    if (text == "2")
        return http::http_version::http2;
    throw usage_error(fmt::format("--http: '{}' will not do: 1.0, 1.1 or 2", text));
}

} // namespace

option_groups fetch_words::groups() {
    return {{"Input", {"--file", "--no-encode", "--config"}},
        {"Bodies", {"--output", "--remote-name", "--overwrite", "--name", "--keep-order", "--continue",
                       "--skip-existing", "--if-modified", "--max-size"}},
        {"How many, how fast", {"--limit", "--rate", "--delay", "--per-host", "--per-host-rate", "--limit-rate",
                                   "--max-load", "--min-memory"}},
        {"Failures and time", {"--retries", "--timeout", "--stall-timeout", "--connect-timeout", "--deadline",
                                  "--fail-fast", "--keep-going", "--max-failures", "--halt", "--drain", "--failed"}},
        {"Log and progress", {"--jsonl", "--log-mode", "--resume", "--ledger", "--quiet", "--no-progress", "--progress",
                                 "--bar", "--spool-limit"}},
        {"Requests", {"--method", "--header", "--data", "--data-file", "--user-agent", "--compressed", "--http",
                         "--max-redirects"}},
        {"Who asks", {"--user", "--netrc", "--netrc-file", "--cookie-jar"}},
        {"Whom to trust", {"--https-only", "--proto", "--no-private-addresses", "--cacert", "--cert", "--key", "--pin",
                              "--insecure", "--proxy", "--noproxy"}}};
}

void fetch_words::describe(CLI::App& app) {
    app_ = &app;
    app.add_option("URL", urls, "what to get; - reads URLs from standard input, one a line");
    app.add_option("-f,--file", file, "read URLs from FILE, one a line; blank lines and # comments are passed over")
        ->type_name("FILE");
    app.add_flag("--no-encode", not_encoded, "put inputs into the URL as they are, not %-encoded");
    batch_words::describe(app, {"-j,--limit,--parallel-max", "--timeout,-m,--max-time", "-q,--quiet,-s,--silent"},
        "request", "at most N at once (32)", "time for each attempt: 500ms, 2s, 1m (none)",
        "a failed look-up, a refused or broken connection, an answer that is cut off, a time-out, a status of 5xx, "
        "429 or 408, if it is safe to repeat the "
        "request; not before the server's Retry-After");
    app.add_option("-X,--method,--request", method, "GET unless there is data: then POST")->type_name("METHOD");
    app.add_option(
           "-H,--header", headers, "'Name: value', as often as there are some; @FILE: those in FILE, one a line")
        ->type_name("HEADER")
        ->allow_extra_args(false);
    app.add_option("-d,--data,--data-binary", data,
           "send this along; @FILE sends a file, @- standard input; in a template {} is the input")
        ->type_name("DATA");
    app.add_option("--data-file", data_file, "send FILE along")->type_name("FILE");
    app.add_option("-u,--user", user, "name and password for the server; @FILE: as the first line of FILE")
        ->type_name("NAME:PASSWORD");
    app.add_option("-A,--user-agent", user_agent, "(muster/VERSION)")->type_name("NAME");
    app.add_flag("--compressed,!--no-compressed", compressed, "let servers compress bodies (the default)");
    app.add_option("--http", http, "1.0, 1.1 or 2; otherwise 2 where a TLS server agrees to it, else 1.1")
        ->type_name("VERSION");
    app.add_option("--per-host", per_host, "at most N requests at once to one server")->type_name("N");
    app.add_option("--per-host-rate", per_host_rate, "begin at most N requests a second to one server, or N/m a minute")
        ->type_name("N[/s|/m]");
    app.add_option("--limit-rate", limit_rate, "read at most SIZE bytes a second, of all bodies together: 100K, 5M")
        ->type_name("SIZE");
    app.add_option("-c,--cookie-jar", cookie_jar, "send the cookies in FILE, and write them back at the end")
        ->type_name("FILE");
    app.add_flag("--netrc", home_netrc, "names and passwords for servers from ~/.netrc");
    app.add_option("--netrc-file", netrc, "the same from FILE")->type_name("FILE");
    app.add_flag("--https-only", https_only, "refuse URLs of http, and redirects there");
    app.add_option("--proto", protocols, "=https: the same, as curl writes it")->type_name("PROTOCOLS");
    app.add_flag("--no-private-addresses", no_private_addresses,
        "connect to public addresses only, redirects included; no proxy is used");
    app.add_option("--pin,--pinnedpubkey", pin, "the server's key must be one of these: sha256//BASE64, with ; between")
        ->type_name("KEYS");
    app.add_option("--connect-timeout", connect_timeout, "time for making a connection (30s)")->type_name("TIME");
    app.add_option("--stall-timeout", stall_timeout,
           "end a request of which nothing more comes within TIME (30s), or fewer than SIZE bytes; none: wait for ever")
        ->type_name("[SIZE/]TIME");
    app.add_option("--max-redirects,--max-redirs", max_redirects, "follow at most N (20); 0: a redirect is the answer")
        ->type_name("N");
    app.add_option("--max-size,--max-filesize", max_size, "a larger body is a failure: 1000, 20K, 5M, 1G")
        ->type_name("SIZE");
    app.add_option("-x,--proxy", proxy, "instead of what the environment says; 'none': no proxy")->type_name("URL");
    app.add_option("--noproxy", no_proxy, "hosts without a proxy, separated by commas")->type_name("HOSTS");
    app.add_option("--cacert", ca_file, "trust the authorities in FILE (PEM) instead of the system's")
        ->type_name("FILE");
    app.add_option("-E,--cert", certificate, "our own certificate, in PEM")->type_name("FILE");
    app.add_option("--key", key, "and its key, if that is not in the same file")->type_name("FILE");
    app.add_flag("-k,--insecure", insecure, "believe any server to be the right one");
    app.add_option("-o,--output,--output-dir", output,
           "write the bodies into files in DIR, named after line and URL; -: to standard output, each whole")
        ->type_name("DIR");
    app.add_flag("-O,--remote-name,--remote-header-name,--remote-name-all", server_names,
        "name them as the server does (Content-Disposition), or as the URL ends; in the current folder without -o");
    app.add_flag("--overwrite", overwrite, "with -O: replace files that are there already");
    app.add_option("--name", name, "name them so instead: {#} is the number of the input, {} the input or URL")
        ->type_name("TEMPLATE");
    app.add_flag("--keep-order", keep_order, "with -o -: in the order of the input, not as they come");
    app.add_flag("--continue", continues, "go on with bodies that an earlier run left in part, if they are the same");
    app.add_flag("--skip-existing", skip_existing, "do not ask for bodies whose files are there");
    app.add_flag("--if-modified", if_modified, "ask for bodies whose files are there only if they have changed since");
    app.add_option(
           "--jsonl,--joblog", jsonl, "write one JSON object for each URL to FILE, as they end; - is standard output")
        ->type_name("FILE");
    app.add_flag("--resume", resume, "do not get again what has succeeded according to the --jsonl FILE; add to it");
    app.add_option("--config", config, "read options from FILE: limit = 100, header = [\"A: b\"], quiet = true")
        ->type_name("FILE");
    take_last_of_repeated(app);
    app.footer("One URL may be a template for inputs, given behind ::: or one a line with -f: {}\n"
               "is the input, %-encoded, {#} its number. A status of 400 or more is a failure.\n"
               "At the end the ledger is printed: what became of every URL, failures by type,\n"
               "the slowest. Ctrl-C and SIGTERM cancel, clean up and print it as well.\n\n"
               "muster fetch --limit 100 --retries 3 -f urls.txt -o pages --jsonl log.jsonl\n"
               "muster fetch 'https://example.org/item/{}' ::: 17 18 'an odd one'\n"
               "muster fetch --retries 3 --jsonl log.jsonl --resume -f urls.txt\n\n"
               "Exit status: 0 all succeeded, 1 some did not, 2 bad usage, 130 interrupted,\n"
               "143 ended by SIGTERM.\n");
}

fetch_options fetch_words::understand() const {
    fetch_options o;
    // Requests have nothing to do with the number of processors, so none are added to or taken from that.
    if (limit.starts_with('+') || limit.starts_with('-'))
        static_cast<void>(parse_count(limit, "--limit", 1, 100'000));
    batch_words::understand(o);
    o.urls = urls;
    o.inputs = inputs;
    o.file = file;
    o.encode = !not_encoded;
    o.method = method;
    for (const auto& h : headers) {
        for (const auto& line : h.starts_with('@') ? lines_of("--header", h.substr(1)) : std::vector{h})
            o.headers.push_back(header_of(line));
    }
    if (!user.empty()) {
        const auto text = user.starts_with('@') ? first_line_of("--user", user.substr(1)) : user;
        const auto colon = text.find(':');
        if (colon == std::string::npos)
            throw usage_error("--user: write NAME:PASSWORD, or @FILE for a file with it");
        o.user.emplace(text.substr(0, colon), text.substr(colon + 1));
    }
    if (!per_host.empty())
        o.per_host = parse_count(per_host, "--per-host", 1, 100'000);
    if (!per_host_rate.empty())
        o.per_host_rate = parse_rate(per_host_rate, "--per-host-rate");
    if (!limit_rate.empty())
        o.limit_rate = parse_size(limit_rate, "--limit-rate");
    o.cookie_jar = cookie_jar;
    o.data_file = data_file;
    if (data == "@-") {
        if (urls == std::vector<std::string>{"-"} || file == "-")
            throw usage_error("standard input can't be both the list and the data");
        o.data = read_standard_input();
    } else if (data.starts_with('@')) {
        if (!data_file.empty())
            throw usage_error("give one body: --data or --data-file, not both");
        o.data_file = data.substr(1);
    } else if (app_ != nullptr && app_->count("--data") != 0) {
        o.data = data;
    }
    try {
        auto& c = o.client;
        c.user_agent(user_agent.empty() ? fmt::format("muster/{}.{}.{}", muster::version_major, muster::version_minor,
                                              muster::version_patch)
                                        : user_agent);
        c.compression(compressed);
        if (!http.empty())
            c.version(version_of(http));
        if (!connect_timeout.empty())
            c.connect_timeout(parse_duration(connect_timeout, "--connect-timeout"));
        if (!max_redirects.empty())
            c.redirects(parse_count(max_redirects, "--max-redirects", 0, 1'000'000));
        if (!proxy.empty())
            c.proxy(proxy == "none" ? std::string() : proxy);
        if (!no_proxy.empty())
            c.no_proxy(no_proxy);
        if (https_only || is_https_alone(protocols))
            c.https_only();
        if (home_netrc || !netrc.empty())
            c.netrc(netrc_file(netrc));
        if (no_private_addresses)
            c.no_private_addresses();
        http::tls_options tls;
        if (!pin.empty())
            tls.pin(pin);
        if (!ca_file.empty()) {
            if (::access(ca_file.c_str(), R_OK) != 0)
                throw usage_error(
                    fmt::format("--cacert: {} can't be read: {}", ca_file, std::generic_category().message(errno)));
            tls.ca_file(ca_file);
        }
        if (!key.empty() && certificate.empty())
            throw usage_error("--key needs --cert FILE, the certificate that it belongs to");
        if (!certificate.empty())
            tls.client_certificate(certificate, key);
        if (insecure) {
            tls.accept_any_certificate();
            complain(
                "--insecure: whoever is on the way can pretend to be any server, and read and change all that is sent");
        }
        c.tls(tls);
    } catch (const std::invalid_argument& e) {
        // The setters of options are named as the options are.
        std::string text = e.what();
        for (const std::string_view setters : {"tls_options::", "client_options::"}) {
            if (!text.starts_with(setters))
                continue;
            text.replace(0, setters.size(), "--");
            std::replace(text.begin(), std::ranges::find(text, ':'), '_', '-');
        }
        throw usage_error(text);
    }
    if (stall_timeout == "none") {
        o.stall_time.reset();
    } else if (!stall_timeout.empty()) {
        const auto slash = stall_timeout.find('/');
        if (slash != std::string::npos)
            o.stall_bytes = parse_size(stall_timeout.substr(0, slash), "--stall-timeout");
        o.stall_time = parse_duration(
            slash == std::string::npos ? stall_timeout : stall_timeout.substr(slash + 1), "--stall-timeout");
    }
    if (!max_size.empty())
        o.max_size = parse_size(max_size, "--max-size");
    o.output = output;
    if (app_ != nullptr && app_->count("--output") != 0)
        o.folders = app_->get_option("--output")->results();
    o.name = name;
    o.server_names = server_names;
    o.overwrite = overwrite;
    o.keep_order = keep_order;
    o.continues = continues;
    o.skip_existing = skip_existing;
    o.if_modified = if_modified;
    o.jsonl = jsonl;
    o.resume = resume;
    return o;
}

namespace {

std::vector<std::string> options_in(const std::string& file, const CLI::App& command) {
    std::istringstream all(text_of_file("--config", file, largest_file));
    std::vector<std::string> words;
    for (const auto& item : CLI::ConfigTOML().from_config(all)) {
        if (item.name == "++" || item.name == "--")
            continue; // the beginning and end of a section
        const auto* option = command.get_option_no_throw("--" + item.name);
        if (option == nullptr || item.name == "config" || item.name == "help") {
            const auto meant = nearest("--" + item.name, options_of(command));
            throw usage_error(fmt::format("--config: {}: there is no option '{}' for a file{}", file, item.name,
                meant && meant->substr(2) != item.name ? fmt::format(": did you mean {}?", meant->substr(2)) : ""));
        }
        const bool flag = option->get_items_expected_max() == 0;
        for (const auto& value : item.inputs) {
            if (!flag)
                words.push_back(fmt::format("--{}={}", item.name, value));
            else if (value == "true")
                words.push_back("--" + item.name);
            else if (value != "false")
                throw usage_error(fmt::format("--config: {}: '{}' is true or false, not '{}'", file, item.name, value));
        }
    }
    return words;
}

} // namespace

void expand_config(std::vector<std::string>& arguments, const CLI::App& command) {
    constexpr std::string_view name = "--config";
    std::vector<std::string> from_files;
    for (std::size_t i = 1; i < arguments.size() && arguments[i] != "--";) {
        std::string file;
        std::size_t words = 1;
        if (arguments[i] == name && i + 1 < arguments.size()) {
            file = arguments[i + 1];
            words = 2;
        } else if (arguments[i].starts_with("--config=")) {
            file = arguments[i].substr(name.size() + 1);
        } else {
            ++i;
            continue;
        }
        const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
        arguments.erase(at, at + static_cast<std::ptrdiff_t>(words));
        for (auto& word : options_in(file, command))
            from_files.push_back(std::move(word));
    }
    arguments.insert(arguments.begin() + 1, from_files.begin(), from_files.end());
}

} // namespace tool
