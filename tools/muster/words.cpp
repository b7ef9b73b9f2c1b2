// SPDX-License-Identifier: MIT
// This file reads the options that fetch and run share: describe() declares them to CLI11, and understand() turns the
// words into batch_options, with --fail-fast and --max-failures as short forms of --halt. nearest() finds the known
// word with the smallest edit distance to a mistyped one.
#include "words.hpp"

#include "streams.hpp"
#include "units.hpp"

#include "posix/owned_fd.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

/// Levenshtein's, with two letters that changed places counted once.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> two_before(b.size() + 1);
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> now(b.size() + 1);
    std::iota(before.begin(), before.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            now[j] = std::min({before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = std::min(now[j], two_before[j - 2] + 1);
        }
        std::swap(two_before, before);
        std::swap(before, now);
    }
    return before[b.size()];
}

} // namespace

void batch_words::describe(CLI::App& app, const option_names& names, const std::string& each,
    const std::string& limit_text, const std::string& timeout_text, const std::string& retried) {
    app.add_option(names.limit, limit, limit_text)->type_name("N");
    app.add_option(names.timeout, timeout, timeout_text)->type_name("TIME");
    app.add_option("--deadline", deadline, "time for everything; what has not ended then is cancelled")
        ->type_name("TIME");
    app.add_option("--retries,--retry", retries, "up to N further attempts after " + retried + " (0)")->type_name("N");
    app.add_option("--rate", rate, "at most N " + each + "s a second, or N/m a minute")->type_name("N[/s|/m]");
    auto* fast = app.add_flag("--fail-fast", fail_fast, "stop at the first failure");
    auto* going = app.add_flag("--keep-going", keep_going, "go on whatever fails (the default)");
    auto* some = app.add_option("--max-failures", max_failures, "stop after N failures")->type_name("N");
    app.add_option("--halt,--halt-on-error", halt,
           "stop at soon,fail=N: what runs goes on; now,fail=N: it is cancelled; also N%, success=N, done=N, never")
        ->type_name("WHEN");
    app.add_flag("--drain", drain, "the first Ctrl-C starts nothing more and lets what runs go on; the second ends it");
    app.add_option("--failed", failed, "write the inputs that did not succeed to FILE, to be given back with -f")
        ->type_name("FILE");
    app.add_option("--delay", delay, "begin one at most every TIME")->type_name("TIME");
    fast->excludes(going)->excludes(some);
    going->excludes(some);
    app.add_option("--spool-limit", spool_limit,
           "start nothing more while so much output waits to be read: 20M, 1G (1G); it is kept in TMPDIR")
        ->type_name("SIZE");
    app.add_option(
           "--max-load,--load", max_load, "start nothing more while the load is at N or above, or N% of the processors")
        ->type_name("N[%]");
    app.add_option("--min-memory,--memfree", min_memory, "start nothing more while less memory is available: 500M, 2G")
        ->type_name("SIZE");
    app.add_option("--ledger", ledger,
           "print it always, on failures or never (if anything failed or more than one ran; else its first line)")
        ->type_name("WHEN");
    app.add_option("--log-mode", log_mode, "permissions of a new --jsonl file (600: nobody else reads it)")
        ->type_name("MODE");
    app.add_flag(names.quiet, quiet, "print neither progress nor ledger");
    auto* none = app.add_flag("--no-progress", no_progress, "print no progress");
    app.add_flag("--progress", progress, "print progress, in lines of text, where standard error is no terminal, too")
        ->excludes(none);
    app.add_flag("--bar", bar, "show a bar in front of the progress")->excludes(none);
}

void batch_words::understand(batch_options& o) const {
    const bool names_a_file = !limit.empty() && limit.find_first_not_of("0123456789%") != std::string::npos &&
                              ::access(limit.c_str(), F_OK) == 0;
    if (names_a_file)
        o.limit_file = limit;
    if (!limit.empty())
        o.limit = names_a_file ? limit_of_file(limit) : parse_limit(limit, "--limit");
    if (!max_load.empty()) {
        const bool is_part = max_load.ends_with('%');
        const auto number =
            parse_count(max_load.substr(0, max_load.size() - (is_part ? 1 : 0)), "--max-load", 1, 100'000);
        o.machine.load = static_cast<double>(number) * (is_part ? static_cast<double>(processors()) / 100 : 1);
    }
    if (!min_memory.empty())
        o.machine.memory = parse_size(min_memory, "--min-memory");
    constexpr std::pair<std::string_view, batch_options::ledger> ledgers[] = {{"", batch_options::ledger::automatic},
        {"always", batch_options::ledger::always}, {"failures", batch_options::ledger::failures},
        {"never", batch_options::ledger::never}};
    const auto* known = std::ranges::find(ledgers, ledger, &std::pair<std::string_view, batch_options::ledger>::first);
    if (known == std::ranges::end(ledgers))
        throw usage_error(fmt::format("--ledger: write always, failures or never, not '{}'", ledger));
    o.prints = known->second;
    if (timeout == "none")
        o.timeout.reset();
    else if (!timeout.empty())
        o.timeout = parse_duration(timeout, "--timeout");
    if (!deadline.empty())
        o.deadline = parse_duration(deadline, "--deadline");
    o.retries = parse_count(retries, "--retries", 0, 1000);
    if (!rate.empty())
        o.at_most = parse_rate(rate, "--rate");
    if (!delay.empty()) {
        if (!rate.empty())
            throw usage_error("--rate and --delay exclude each other");
        o.at_most = tool::rate(1, parse_duration(delay, "--delay"));
    }
    if (!halt.empty()) {
        if (fail_fast || !max_failures.empty())
            throw usage_error("--halt and --fail-fast or --max-failures exclude each other");
        o.halt = parse_halt(halt);
    }
    if (fail_fast || !max_failures.empty())
        o.halt.how = halt_rule::when::now;
    if (!max_failures.empty())
        o.halt.least = parse_count(max_failures, "--max-failures", 1, 1'000'000'000);
    o.drain = drain;
    o.failed_file = failed;
    if (!log_mode.empty())
        o.log_mode = parse_mode(log_mode, "--log-mode");
    if (!spool_limit.empty())
        o.spool_limit = parse_size(spool_limit, "--spool-limit");
    o.quiet = quiet;
    using shown = batch_options::progress;
    o.shown = no_progress ? shown::none : progress ? shown::anywhere : shown::on_terminal;
    o.with_bar = bar;
}

std::size_t parse_limit(const std::string& text, const std::string& option) {
    constexpr std::size_t most = 100'000;
    if (text.starts_with('+') || text.starts_with('-')) {
        const auto beside = parse_count(text.substr(1), option, 0, most);
        return text.front() == '+' ? processors() + beside : std::max(processors(), beside + 1) - beside;
    }
    if (!text.ends_with('%'))
        return parse_count(text, option, 1, most);
    const auto percent = parse_count(text.substr(0, text.size() - 1), option, 1, most);
    return std::clamp<std::size_t>(processors() * percent / 100, 1, most);
}

std::size_t limit_of_file(const std::string& file) {
    // It is read while the loop runs, which a pipe would hold up, and a device without an end as well.
    const muster::detail::owned_fd in(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    struct stat about {};
    if (!in.is_open() || ::fstat(in.get(), &about) != 0)
        throw usage_error(fmt::format("--limit: {} can't be read: {}", file, std::generic_category().message(errno)));
    if (!S_ISREG(about.st_mode))
        throw usage_error(fmt::format("--limit: {} is no file on disk, which could be read again", file));
    constexpr std::string_view blanks = " \t\r\n";
    std::string text(64, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(in.get(), text.data(), text.size()), 0)));
    text.erase(0, std::min(text.size(), text.find_first_not_of(blanks)));
    text.resize(std::min(text.size(), text.find_first_of(blanks)));
    if (text.empty())
        throw usage_error(fmt::format("--limit: there is no number in {}", file));
    return parse_limit(text, fmt::format("--limit: {}", file));
}

halt_rule parse_halt(const std::string& text) {
    halt_rule rule;
    if (text == "never" || text == "0")
        return rule;
    // The short forms that GNU parallel had first.
    if (text == "1" || text == "2")
        return parse_halt(text == "1" ? "soon,fail=1" : "now,fail=1");
    if (text.ends_with('%') && text.find_first_not_of("0123456789%") == std::string::npos)
        return parse_halt("soon,fail=" + text);
    const auto comma = text.find(',');
    const auto equals = text.find('=');
    const auto how = text.substr(0, comma);
    const auto what = comma < equals ? text.substr(comma + 1, equals - comma - 1) : std::string();
    auto number = equals != std::string::npos ? text.substr(equals + 1) : std::string();
    const bool is_known = (how == "soon" || how == "now") && (what == "fail" || what == "success" || what == "done");
    if (!is_known || number.empty())
        throw usage_error(fmt::format(
            "--halt: '{}' will not do: write never, soon,fail=1, now,fail=10%, now,success=1 or soon,done=100", text));
    rule.how = how == "soon" ? halt_rule::when::soon : halt_rule::when::now;
    rule.what = what == "fail"      ? halt_rule::counted::failed
                : what == "success" ? halt_rule::counted::succeeded
                                    : halt_rule::counted::ended;
    rule.is_percentage = number.ends_with('%');
    if (rule.is_percentage)
        number.pop_back();
    rule.least = parse_count(number, "--halt", 1, rule.is_percentage ? 100 : 1'000'000'000);
    return rule;
}

void take_last_of_repeated(CLI::App& app) {
    for (auto* option : app.get_options())
        if (option->get_items_expected_max() == 1 && option->get_lnames() != std::vector<std::string>{"header"})
            option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
    std::optional<std::string> best;
    // A third of the letters may be wrong, but not all of a short word.
    std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const auto& k : known) {
        const bool begins = word.size() > 3 && std::string_view(k).starts_with(word);
        if (const auto d = begins ? 1 : distance(word, k); d < least && d < k.size()) {
            least = d;
            best = k;
        }
    }
    return best;
}

std::vector<std::string> options_of(const CLI::App& app) {
    std::vector<std::string> all;
    for (const auto* option : app.get_options()) {
        for (const auto& name : option->get_lnames())
            all.push_back("--" + name);
        for (const auto& name : option->get_snames())
            all.push_back("-" + name);
    }
    return all;
}

} // namespace tool
