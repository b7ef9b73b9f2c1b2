// SPDX-License-Identifier: MIT
#include "url_source.hpp"

#include "units.hpp"

#include <muster/sleep.hpp>
#include <muster/to_thread.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <stop_token>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

constexpr std::size_t read_size = std::size_t{64} << 10;

std::string text_of(int error) {
    return std::generic_category().message(error);
}

/// Blocks a thread of the pool until the descriptor can be read, or the wait is cancelled.
void wait_readable(std::stop_token token, int fd) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "waiting for input");
    const descriptor woken(pipe_ends[0]);
    const descriptor wakes(pipe_ends[1]);
    const std::stop_callback wake(token, [&] { static_cast<void>(write_all(wakes.get(), "x")); });
    pollfd watched[2] = {{fd, POLLIN, 0}, {woken.get(), POLLIN, 0}};
    while (::poll(watched, 2, -1) < 0 && errno == EINTR) {
    }
}

} // namespace

url_source::url_source(std::vector<std::string> urls) : name_("the arguments"), arguments_(std::move(urls)) {}

url_source::url_source(const std::string& file) : name_(file == "-" ? "standard input" : file) {
    if (file == "-")
        file_ = descriptor(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    else
        file_ = descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (!file_.open() || ::fstat(file_.get(), &about) != 0)
        throw usage_error(fmt::format("{} can't be read: {}", name_, text_of(errno)));
    if (S_ISDIR(about.st_mode))
        throw usage_error(fmt::format("{} is a directory: name a file with one URL a line", name_));
    regular_ = S_ISREG(about.st_mode);
    char nothing = 0;
    if (::read(file_.get(), &nothing, 0) < 0)
        throw usage_error(fmt::format("{} can't be read: {}", name_, text_of(errno)));
}

std::optional<std::size_t> url_source::total() const noexcept {
    return file_.open() ? std::nullopt : std::optional(arguments_.size());
}

bool url_source::ready_to_read() const noexcept {
    if (regular_)
        return true;
    pollfd watched{file_.get(), POLLIN, 0};
    return ::poll(&watched, 1, 0) > 0;
}

void url_source::read_more() {
    if (at_ != 0) {
        buffer_.erase(0, at_);
        scanned_ -= at_;
        at_ = 0;
    }
    const auto before = buffer_.size();
    buffer_.resize(before + read_size);
    ssize_t count = 0;
    do
        count = ::read(file_.get(), buffer_.data() + before, read_size);
    while (count < 0 && errno == EINTR);
    buffer_.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
    if (count > 0)
        return;
    // A descriptor that somebody made non-blocking has just nothing to give.
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (count < 0)
        failure_ = fmt::format("reading {} failed: {}", name_, text_of(errno));
    no_more_input_ = true;
}

void url_source::give_up(const std::string& why) {
    if (failure_.empty())
        failure_ = fmt::format("reading {} failed: {}", name_, why);
    no_more_input_ = true;
}

bool url_source::take_raw(std::string& text, bool& too_long) {
    for (;;) {
        const auto end = buffer_.find('\n', scanned_);
        const bool whole = end != std::string::npos;
        const auto next = whole ? end + 1 : buffer_.size();
        if (skipping_) {
            skipping_ = !whole && !no_more_input_;
            at_ = scanned_ = next;
            if (!whole)
                return false;
            continue;
        }
        const auto size = (whole ? end : next) - at_;
        too_long = size > longest_line;
        if (!whole && !too_long && !(no_more_input_ && size != 0)) {
            scanned_ = next;
            return false;
        }
        text.assign(buffer_, at_, std::min(size, longest_line));
        skipping_ = too_long && !whole && !no_more_input_;
        at_ = scanned_ = next;
        return true;
    }
}

bool url_source::is_url(std::string& text) {
    ++lines_;
    if (lines_ == 1 && text.starts_with("\xEF\xBB\xBF"))
        text.erase(0, 3);
    const auto first = text.find_first_not_of(" \t\r");
    if (first == std::string::npos) {
        ++blank_;
        return false;
    }
    if (text[first] == '#') {
        ++comments_;
        return false;
    }
    text.erase(text.find_last_not_of(" \t\r") + 1);
    text.erase(0, first);
    return true;
}

url_source::took url_source::try_take(input_line& line) {
    if (!file_.open()) {
        if (next_argument_ == arguments_.size()) {
            ended_ = true;
            return took::end;
        }
        line.text = std::move(arguments_[next_argument_++]);
        line.index = urls_++;
        line.number = ++lines_;
        line.too_long = false;
        return took::line;
    }
    // An endless stream of blank lines must leave the loop its turn.
    for (int reads = 0;; ++reads) {
        while (take_raw(line.text, line.too_long)) {
            if (!is_url(line.text))
                continue;
            line.index = urls_++;
            line.number = lines_;
            return took::line;
        }
        if (no_more_input_) {
            ended_ = true;
            return took::end;
        }
        if (stopped_ || (reads != 0 && !regular_) || !ready_to_read())
            return took::nothing_yet;
        read_more();
    }
}

muster::task<std::optional<input_line>> url_source::next() {
    const auto turn = co_await turn_.scoped_lock();
    for (;;) {
        input_line line;
        switch (try_take(line)) {
        case took::line: co_return std::optional(std::move(line));
        case took::end: co_return std::nullopt;
        case took::nothing_yet: break;
        }
        co_await wait();
    }
}

muster::task<> url_source::wait() {
    if (ready_to_read())
        co_await muster::yield();
    else
        co_await muster::to_thread(&wait_readable, file_.get());
}

} // namespace tool
