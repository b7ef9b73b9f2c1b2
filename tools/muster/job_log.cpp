// SPDX-License-Identifier: MIT
// This file opens the log and makes its entries. A regular file is locked while this process writes it. An earlier log
// is either renamed, or, with --resume, cut after its last whole line and continued; a file that is no log is left as
// it is. Each entry is built as one line of JSON and given to the writer.
#include "job_log.hpp"

#include "earlier_run.hpp"
#include "printed_ledger.hpp"
#include "streams.hpp"
#include "units.hpp"

#include "vocabulary/printable.hpp"

#include <muster/http.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
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

/// "2026-01-31T12:00:00.123Z". The loop's clock, which is never set, has another beginning than the calendar's.
std::string time_for_log(muster::loop_clock::time_point when) {
    using namespace std::chrono;
    const auto then = system_clock::now() - duration_cast<system_clock::duration>(muster::loop_clock::now() - when);
    const auto milliseconds = floor<std::chrono::milliseconds>(then.time_since_epoch()).count();
    const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
        parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, milliseconds % 1000);
}

const std::string& host_name() {
    static const std::string name = [] {
        char text[256] = {};
        return ::gethostname(text, sizeof text - 1) == 0 ? std::string(text) : std::string();
    }();
    return name;
}

void add_end(json& o, const job& j, const job_end& v) {
    o["seconds"] = std::round(std::chrono::duration<double>(j.took).count() * 1e6) / 1e6;
    o["attempts"] = j.attempts;
    if (j.attempts != 0)
        o["started"] = time_for_log(j.began);
    o["host"] = j.host.empty() ? host_name() : j.host;
    if (v.state == muster::outcome_state::error) {
        o["error_type"] = short_type(v.error);
        o["error"] = problem_of(v.error);
    }
    if (!v.reason.empty())
        o["reason"] = v.reason;
}

/// The input may be anything; what is no UTF-8 in it becomes U+FFFD. A log may be read in a terminal, so nothing in it
/// steers one.
std::string line_of(const json& o) {
    return muster::detail::printable_json(o.dump(-1, ' ', false, json::error_handler_t::replace)) + '\n';
}

} // namespace

job_log::job_log(writer& out, const std::string& file, unsigned mode)
    : out_(out),
      path_(file),
      name_(file == "-" ? "standard output" : file),
      mode_(mode) {
    if (file == "-") {
        out_.keep_texts_whole(fd_);
        return;
    }
    struct stat about {};
    const bool is_new = ::stat(file.c_str(), &about) != 0;
    is_regular_ = is_new || S_ISREG(about.st_mode);
    if (!is_regular_) {
        open_file(O_WRONLY);
        return;
    }
    open_file(O_RDWR | O_CREAT);
    lock();
}

void job_log::refuse(const std::string& why) const {
    throw usage_error(fmt::format("--jsonl: {} can't be written: {}", path_, why));
}

void job_log::open_file(int flags) {
    file_ = open_to_write("--jsonl", path_, flags, mode_);
    fd_ = file_.get();
    out_.keep_texts_whole(fd_);
}

/// The lock belongs to the process: if the process opened and closed the file a second time, the lock would end.
void job_log::lock() {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(fd_, F_SETLK, &whole) == 0)
        return;
    // A file system without locks is no reason not to write.
    if (errno != EAGAIN && errno != EACCES)
        return;
    const bool known = ::fcntl(fd_, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    throw usage_error(
        fmt::format("--jsonl: {} is being written by another run{}: wait for its end, or name another file", path_,
            known ? fmt::format(", process {}", whole.l_pid) : std::string()));
}

bool job_log::begin_anew() {
    if (!is_regular_)
        return false;
    char beginning[16];
    const auto count = ::pread(fd_, beginning, sizeof beginning, 0);
    if (count == 0)
        return false;
    if (count < 0)
        refuse(std::generic_category().message(errno));
    if (!begins_like_an_entry(std::string_view(beginning, static_cast<std::size_t>(count))))
        throw usage_error(
            fmt::format("--jsonl: {} is no log of muster's, and stays as it is: name another file", path_));
    // The file that a link points to is renamed, and the link goes on pointing to the log.
    std::error_code failed;
    const auto real = std::filesystem::canonical(path_, failed);
    if (!failed)
        std::filesystem::rename(real, real.string() + ".old", failed);
    if (failed)
        refuse(failed.message());
    // The new file may be read by those who could read the old one.
    struct stat about {};
    const bool known = ::fstat(fd_, &about) == 0;
    open_file(O_RDWR | O_CREAT);
    if (known)
        static_cast<void>(::fchmod(fd_, about.st_mode & 0777));
    lock();
    return true;
}

int job_log::descriptor_to_resume() const {
    if (!is_regular_)
        throw usage_error(fmt::format("--resume: {} is no file: name the log of the earlier run", name_));
    return fd_;
}

void job_log::go_on_behind(std::uint64_t keep) {
    if (::ftruncate(fd_, static_cast<off_t>(keep)) != 0 || ::lseek(fd_, 0, SEEK_END) < 0)
        refuse(std::generic_category().message(errno));
}

void job_log::fail(const std::string& why) {
    if (failure_.empty())
        failure_ = fmt::format("writing {} failed: {}: the log is not complete", name_, why);
}

void job_log::add_url(const job& j, const job_end& v, const std::string& url, const std::string& file) {
    json o;
    o["index"] = j.line.index;
    o["line"] = j.line.number;
    // The key tells requests apart, also those whose passwords alone differ.
    o["url"] = muster::http::without_password(url);
    if (url != j.line.text)
        o["input"] = without_password_of_input(j.line.text);
    o["key"] = j.line.key.text();
    o["outcome"] = name_of(v.state);
    if (!file.empty())
        o["file"] = file;
    o["status"] = j.status != 0 ? json(j.status) : json(nullptr);
    o["bytes"] = j.bytes;
    add_end(o, j, v);
    write(line_of(o));
}

void job_log::add_command(
    const job& j, const job_end& v, const std::string& command, std::optional<unsigned> ended_in_queue) {
    json o;
    o["index"] = j.line.index;
    o["line"] = j.line.number;
    o["input"] = j.line.text;
    if (j.line.is_list())
        o["inputs"] = j.line.parts;
    o["command"] = command;
    o["key"] = j.line.key.text();
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
    if (ended_in_queue)
        o["ended_in_queue"] = *ended_in_queue;
    write(line_of(o));
}

void job_log::add_run(const std::string& name, const std::string& queue) {
    json o;
    o["index"] = nullptr;
    o["run"] = name;
    o["queue"] = queue;
    write(line_of(o));
    out_.drain();
    if (const auto problem = out_.problem_of(fd_); !problem.empty())
        refuse(problem);
    if (!is_regular_)
        return;
    if (::fdatasync(fd_) != 0)
        refuse(std::generic_category().message(errno));
    // The file may be new, and its name in the folder with it. A folder that may not be read can't be synchronised.
    std::error_code failed;
    const auto folder = std::filesystem::canonical(path_, failed).parent_path();
    const muster::detail::owned_fd opened(
        failed ? -1 : ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY));
    if (opened.is_open() && ::fsync(opened.get()) != 0 && errno != EINVAL)
        refuse(std::generic_category().message(errno));
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

void begin_log(
    std::optional<job_log>& log, const batch_options& options, const earlier_run& before, const char* again) {
    if (!log)
        return;
    if (options.resume) {
        log->go_on_behind(before.whole());
        if (before.was_cut_off() && !options.quiet)
            complain(fmt::format("the last line of {} was cut off: {}", options.jsonl, again));
    } else if (log->begin_anew() && !options.quiet) {
        complain(fmt::format("{} was the log of an earlier run: it is {}.old now", options.jsonl, options.jsonl));
    }
}

void say_what_was_removed(const earlier_run& before, const line_source& source, const batch_options& options) {
    const auto count = before.count_removed();
    if (options.quiet || count == 0 || !source.exhausted())
        return;
    complain(fmt::format("{} of {} {} not in the list any more, and {} there",
        count == 1 ? "1 entry" : fmt::format("{} entries", count), options.jsonl, count == 1 ? "is" : "are",
        count == 1 ? "stays" : "stay"));
}

} // namespace tool
