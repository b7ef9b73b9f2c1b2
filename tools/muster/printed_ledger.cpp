// SPDX-License-Identifier: MIT
// This file names, groups and prints failures. A failure's kind is a short name for users, such as "status 404".
// Failures of one kind whose texts differ in more than numbers become entries of their own, up to a few; failures that
// commands explained themselves do not. text() writes the whole ledger, the most frequent failures first.
#include "printed_ledger.hpp"

#include "units.hpp"

#include "http/scrub.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/http.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <string_view>
#include <utility>

namespace tool {

namespace {

using muster::detail::printable;

std::string kind_of(const std::exception_ptr& error) {
    if (const auto* e = muster::get_if<muster::http::status_error>(error))
        return fmt::format("status {}", e->status());
    if (const auto* e = muster::get_if<muster::exit_error>(error))
        return fmt::format("exit status {}", e->status());
    if (const auto* e = muster::get_if<muster::signal_error>(error))
        return muster::signal_name(e->signal());
    // The words of users, instead of the names of types.
    constexpr std::pair<std::string_view, const char*> names[] = {{"connect_error", "no connection"},
        {"resolve_error", "unknown host"}, {"reset_error", "connection reset"}, {"truncated_error", "answer cut off"},
        {"protocol_error", "garbage answer"}, {"tls_error", "TLS failed"}, {"url_error", "bad URL"},
        {"timeout_error", "time limit"}, {"too_large_error", "answer too large"}, {"output_error", "file not written"},
        {"file_error", "file not written"}, {"digest_error", "digest differs"}, {"line_error", "bad line"},
        {"body_error", "body not sent"}, {"command_not_found_error", "no such command"},
        {"spawn_error", "can't be started"}, {"command_refused_error", "not allowed"},
        {"cancelled_in_queue_error", "cancelled in the queue"}, {"postgres::worker_died_error", "worker died"},
        {"postgres::outcome_expired_error", "outcome not kept any more"},
        {"postgres::unreachable_error", "queue out of reach"}, {"postgres::database_error", "refused by the queue"}};
    if (muster::is_a<output_too_long_error>(error))
        return "too much output";
    const auto type = short_type(error);
    const auto* named = std::ranges::find(names, type, &std::pair<std::string_view, const char*>::first);
    if (named != std::ranges::end(names))
        return named->second;
    return type.find("std::") != std::string::npos ? "can't be run" : type;
}

/// A few lines at most: what a command complained last, or the problem itself.
std::vector<std::string> lines_about(const std::exception_ptr& error) {
    constexpr std::size_t most = 5;
    if (const auto* start = muster::get_if<muster::spawn_error>(error)) {
        const auto& command = start->command();
        return {printable(command.substr(0, command.find(' ')), 60) + ": " + printable(problem_of(error), 200)};
    }
    const auto* e = muster::get_if<muster::process_error>(error);
    if (e == nullptr || e->error_output().empty())
        return {printable(problem_of(error), 200)};
    std::vector<std::string> lines;
    std::string_view left = e->error_output();
    while (!left.empty() && lines.size() != most) {
        if (left.ends_with('\n'))
            left.remove_suffix(1);
        const auto feed = left.rfind('\n');
        const auto begin = feed == std::string_view::npos ? 0 : feed + 1;
        lines.insert(lines.begin(), printable(left.substr(begin), 200));
        left = left.substr(0, begin);
    }
    return lines;
}

/// Whether two problems differ in nothing but numbers, such as times and ports.
bool are_alike(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    const auto is_no_digit = [](char c) { return c < '0' || c > '9'; };
    return std::ranges::equal(a, b, [&](const std::string& one, const std::string& other) {
        return std::ranges::equal(one | std::views::filter(is_no_digit), other | std::views::filter(is_no_digit));
    });
}

std::string bytes_for_reading(std::uint64_t bytes) {
    const auto number = static_cast<double>(bytes);
    if (bytes < 10'000)
        return fmt::format("{} bytes", bytes);
    if (bytes < 10'000'000)
        return fmt::format("{:.0f} KB", number / 1e3);
    if (bytes < 10'000'000'000)
        return fmt::format("{:.0f} MB", number / 1e6);
    return fmt::format("{:.1f} GB", number / 1e9);
}

} // namespace

std::string short_type(const std::exception_ptr& error) {
    std::string name = muster::type_name(error);
    for (const std::string_view shared : {"muster::http::", "muster::", "tool::"}) {
        if (name.starts_with(shared))
            return name.substr(shared.size());
    }
    return name;
}

std::string problem_of(const std::exception_ptr& error) {
    if (const auto* e = muster::get_if<muster::http::error>(error))
        return e->problem();
    if (const auto* e = muster::get_if<muster::process_error>(error))
        return std::string(e->what()).substr(e->command().size() + 2);
    if (const auto* e = muster::get_if<muster::spawn_error>(error))
        return std::string(e->what()).substr(e->command().size() + 2);
    if (const auto* e = muster::get_if<std::exception>(error))
        return printable(e->what());
    return muster::describe(error);
}

std::string summary_of(const std::exception_ptr& error) {
    const auto lines = lines_about(error);
    return kind_of(error) + (lines.empty() ? std::string() : ": " + lines.back());
}

std::string without_password_of_input(const std::string& input) {
    // An input of a template may be an address of mail: a user without a password is no secret.
    const auto user = muster::http::user_of(input);
    const bool is_url = input.find(":/") != std::string::npos || user.find(':') != std::string_view::npos;
    return is_url ? muster::http::without_password(input) : input;
}

std::string printed_ledger::shown(const std::string& input, std::size_t most) const {
    return printable(
        of_ == of::requests ? without_password_of_input(input) : muster::http::without_passwords(input), most);
}

void printed_ledger::add(const job& j, const job_end& v) {
    counts_.submit();
    counts_.count(v.state);
    for (unsigned retry = 1; retry < j.attempts; ++retry)
        counts_.count_retry();
    MUSTER_ASSERT(counts_.adds_up());
    for (std::size_t i = 0; j.line.is == input_line::kind::bundle && i != j.line.inputs(); ++i) {
        inputs_.submit();
        inputs_.count(v.state);
    }
    if (v.state == muster::outcome_state::not_started)
        return;
    if (v.state == muster::outcome_state::value || of_ == of::commands)
        bytes_ += j.bytes;
    if (v.state == muster::outcome_state::error) {
        const auto name = kind_of(v.error);
        auto problem = lines_about(v.error);
        // Failures of one name that are told apart by their texts are kinds of their own, as far as there are few.
        std::size_t of_that_name = 0;
        auto at = kinds_.end();
        for (auto k = kinds_.begin(); k != kinds_.end(); ++k) {
            if (k->name != name)
                continue;
            ++of_that_name;
            if (at == kinds_.end() || are_alike(k->problem, problem))
                at = k;
        }
        const bool has_own_texts = muster::is_a<muster::process_error>(v.error);
        if (at == kinds_.end() ||
            (!are_alike(at->problem, problem) && !has_own_texts && of_that_name < examples_of_a_kind)) {
            at = kinds_.emplace(kinds_.end(), name, shown(j.line.text, 200), j.line.number, std::move(problem));
            at->host = printable(j.host, 100);
        }
        ++at->count;
    }
    if (slowest_.size() == slowest_kept && slowest_.back().took >= j.took)
        return;
    if (slowest_.size() == slowest_kept)
        slowest_.pop_back();
    const auto at = std::ranges::upper_bound(slowest_, j.took, std::greater<>(), &slow::took);
    slowest_.emplace(at, j.took, shown(j.line.text, 100), j.line.number);
}

std::uint64_t printed_ledger::failed_with(const std::string& name) const noexcept {
    std::uint64_t count = 0;
    for (const auto& k : kinds_)
        count += k.name == name ? k.count : 0;
    return count;
}

std::string printed_ledger::why_nothing_ran() const {
    const auto unstarted = failed_with("no such command") + failed_with("can't be started");
    if (unstarted == 0 || unstarted != counts_.submitted() - counts_.not_started())
        return {};
    const auto& first = kinds_.front();
    return first.problem.empty() ? first.name : first.problem.front();
}

std::string printed_ledger::first_line() const {
    const auto& c = counts_;
    auto line = fmt::format("{} submitted = {} succeeded + {} failed + {} cancelled + {} not started", c.submitted(),
        c.succeeded(), c.failed(), c.cancelled(), c.not_started());
    if (const auto& i = inputs_; i.submitted() != 0)
        line += fmt::format(" [{} inputs = {} + {} + {} + {}]", i.submitted(), i.succeeded(), i.failed(), i.cancelled(),
            i.not_started());
    return line + '\n';
}

std::string printed_ledger::text(const line_source& from, std::chrono::nanoseconds elapsed) const {
    std::string text = first_line();
    const auto& c = counts_;
    text +=
        fmt::format("{} {} in {}, {} {}\n", bytes_for_reading(bytes_), of_ == of::commands ? "of output" : "received",
            show_duration(elapsed), c.retries(), c.retries() == 1 ? "retry" : "retries");
    text += remark_;
    if (!kinds_.empty()) {
        text += "failures by kind, with the first of each:\n";
        auto kinds = kinds_;
        std::ranges::sort(kinds,
            [](const kind& a, const kind& b) { return a.count != b.count ? a.count > b.count : a.line < b.line; });
        for (const auto& k : kinds) {
            text += fmt::format("  {:>6}  {:<18} line {}{}{}: {}\n", k.count, k.name, k.line,
                k.host.empty() ? "" : " on ", k.host, k.input);
            for (const auto& line : k.problem)
                text += fmt::format("{:29}{}\n", "", line);
        }
    }
    if (!slowest_.empty()) {
        text += "slowest:\n";
        for (const auto& s : slowest_)
            text += fmt::format("  {:>10}  line {}: {}\n", show_duration(s.took), s.line, s.input);
    }
    if (from.passed_over() != 0)
        text += fmt::format("{} had succeeded before: {}\n",
            of_ == of::commands ? "not run again, because they" : "passed over, because their files are there or they",
            from.passed_over());
    if (from.blank_lines() + from.comments() != 0)
        text += fmt::format("not counted above: {} blank lines, {} comments\n", from.blank_lines(), from.comments());
    if (!from.exhausted())
        text += fmt::format("{} was not read to its end: lines after {} are not counted\n", from.name(),
            from.taken() + from.blank_lines() + from.comments());
    return text;
}

} // namespace tool
