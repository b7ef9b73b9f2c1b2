// SPDX-License-Identifier: MIT
#include "job_log.hpp"

#include "units.hpp"

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

const char* name_of(ending how) noexcept {
    switch (how) {
    case ending::ok: return "ok";
    case ending::error: return "error";
    case ending::cancelled: return "cancelled";
    case ending::not_started: break;
    }
    return "not_started";
}

} // namespace

job_log::job_log(const std::string& file) : name_(file == "-" ? "standard output" : file) {
    if (file == "-")
        return;
    file_ = descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!file_.open())
        throw usage_error(fmt::format("--jsonl: {} can't be written: {}", file,
            std::generic_category().message(errno)));
    fd_ = file_.get();
}

void job_log::fail(const std::error_code& why) {
    if (failure_.empty())
        failure_ = fmt::format("writing {} failed: {}: the log is not complete", name_, why.message());
}

void job_log::add(const job& j, const verdict& v) {
    if (!failure_.empty())
        return;
    nlohmann::ordered_json o;
    o["index"] = j.line.index;
    o["line"] = j.line.number;
    o["url"] = j.line.text;
    o["outcome"] = name_of(v.how);
    o["status"] = j.status != 0 ? nlohmann::ordered_json(j.status) : nlohmann::ordered_json(nullptr);
    o["bytes"] = j.bytes;
    o["seconds"] = std::round(std::chrono::duration<double>(j.took).count() * 1e6) / 1e6;
    o["attempts"] = j.attempts;
    if (v.how == ending::error) {
        o["error_type"] = short_type(v.error);
        o["error"] = problem_of(v.error);
    }
    if (!v.reason.empty())
        o["reason"] = v.reason;
    // The input may be anything; what is no UTF-8 in it becomes U+FFFD.
    const auto line = o.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    std::size_t written = 0;
    if (const auto failed = write_stream(fd_, line, &written)) {
        fail(*failed);
        // Half a line is no line. What can't be cut, a pipe, stays as it is.
        if (const auto end = ::lseek(fd_, 0, SEEK_CUR); written != 0 && end >= static_cast<off_t>(written))
            static_cast<void>(!::ftruncate(fd_, end - static_cast<off_t>(written)));
    }
}

void job_log::close() {
    if (const auto failed = file_.close())
        fail(failed);
}

} // namespace tool
