// SPDX-License-Identifier: MIT
#include "job_log.hpp"

#include "printed_ledger.hpp"
#include "units.hpp"

#include <muster/subprocess.hpp>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace tool {

namespace {

const char* name_of(muster::outcome_state how) noexcept {
    switch (how) {
    case muster::outcome_state::value:
        return "ok";
    case muster::outcome_state::error:
        return "error";
    case muster::outcome_state::cancelled:
        return "cancelled";
    case muster::outcome_state::not_started:
        break;
    }
    return "not_started";
}

using json = nlohmann::ordered_json;

void add_end(json& o, const job& j, const verdict& v) {
    o["seconds"] = std::round(std::chrono::duration<double>(j.took).count() * 1e6) / 1e6;
    o["attempts"] = j.attempts;
    if (v.state == muster::outcome_state::error) {
        o["error_type"] = short_type(v.error);
        o["error"] = problem_of(v.error);
    }
    if (!v.reason.empty())
        o["reason"] = v.reason;
}

/// The input may be anything; what is no UTF-8 in it becomes U+FFFD.
std::string line_of(const json& o) { return o.dump(-1, ' ', false, json::error_handler_t::replace) + '\n'; }

} // namespace

job_log::job_log(writer& out, const std::string& file, std::uint64_t keep)
    : out_(out),
      name_(file == "-" ? "standard output" : file) {
    if (file == "-")
        return;
    file_ = muster::detail::owned_fd(
        ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (keep == 0 ? O_TRUNC : 0), 0666));
    if (!file_.is_open())
        throw usage_error(
            fmt::format("--jsonl: {} can't be written: {}", file, std::generic_category().message(errno)));
    fd_ = file_.get();
    if (keep != 0 && (::ftruncate(fd_, static_cast<off_t>(keep)) != 0 || ::lseek(fd_, 0, SEEK_END) < 0))
        throw usage_error(
            fmt::format("--jsonl: {} can't be written: {}", file, std::generic_category().message(errno)));
    out_.keep_texts_whole(fd_);
}

void job_log::fail(const std::string& why) {
    if (failure_.empty())
        failure_ = fmt::format("writing {} failed: {}: the log is not complete", name_, why);
}

void job_log::add_url(const job& j, const verdict& v, const std::string& url, const std::string& key) {
    json o;
    o["index"] = j.line.index;
    o["line"] = j.line.number;
    o["url"] = url;
    if (url != j.line.text)
        o["input"] = j.line.text;
    o["key"] = key;
    o["outcome"] = name_of(v.state);
    o["status"] = j.status != 0 ? json(j.status) : json(nullptr);
    o["bytes"] = j.bytes;
    add_end(o, j, v);
    write(line_of(o));
}

void job_log::add_command(const job& j, const verdict& v, const std::string& key, const std::string& command) {
    json o;
    o["index"] = j.line.index;
    o["line"] = j.line.number;
    o["input"] = j.line.text;
    o["command"] = command;
    o["key"] = key;
    o["outcome"] = name_of(v.state);
    const auto* exit = v.state == muster::outcome_state::error ? muster::get_if<muster::exit_error>(v.error) : nullptr;
    const auto* signal =
        v.state == muster::outcome_state::error ? muster::get_if<muster::signal_error>(v.error) : nullptr;
    o["exit_status"] = v.state == muster::outcome_state::value ? json(0)
                       : exit != nullptr                       ? json(exit->status())
                                                               : json(nullptr);
    o["signal"] = signal != nullptr ? json(muster::signal_name(signal->signal())) : json(nullptr);
    o["bytes"] = j.bytes;
    add_end(o, j, v);
    write(line_of(o));
}

void job_log::write(const std::string& line) {
    try {
        out_.write(fd_, line);
    } catch (const std::system_error& e) {
        fail(e.what());
    }
}

void job_log::close() {
    if (const auto problem = out_.problem_of(fd_); !problem.empty())
        fail(problem);
    if (const auto failed = file_.close())
        fail(failed.message());
}

} // namespace tool
