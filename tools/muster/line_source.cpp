// SPDX-License-Identifier: MIT
// This file reads the input and cuts it into lines. try_take() gives the next line that counts, from the arguments or
// from a buffer, and reads more only if that can't block; when there is nothing yet, next() waits on a thread of the
// pool. Of a line that is too long only the beginning is kept, and the rest is skipped. take_one() gives lines as they
// come, cut into columns if they are to be; take_bundle() collects several of them; try_take() numbers what it gives.
#include "line_source.hpp"

#include "streams.hpp"
#include "units.hpp"

#include <muster/detail/assert.hpp>
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

std::string text_of(int error) { return std::generic_category().message(error); }

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const auto& p : parts)
        text.append(&p == &parts.front() ? "" : " ").append(p);
    return text;
}

/// Blocks a thread of the pool until the descriptor can be read, or the wait is cancelled.
void wait_readable(std::stop_token token, int fd) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "waiting for input");
    const muster::detail::owned_fd woken(pipe_ends[0]);
    const muster::detail::owned_fd wakes(pipe_ends[1]);
    const std::stop_callback wake(token, [&] { static_cast<void>(write_all(wakes.get(), "x")); });
    pollfd watched[2] = {{fd, POLLIN, 0}, {woken.get(), POLLIN, 0}};
    while (::poll(watched, 2, -1) < 0 && errno == EINTR) {}
}

} // namespace

line_source::line_source(std::vector<std::string> arguments, line_rules rules)
    : name_("the arguments"),
      rules_(std::move(rules)),
      arguments_(std::move(arguments)) {}

line_source::line_source(std::vector<input_list> lists, line_rules rules)
    : name_("the arguments"),
      rules_(std::move(rules)) {
    if (lists.size() == 1)
        arguments_ = std::move(lists.front().inputs);
    else
        combined_.emplace(std::move(lists));
}

line_source::line_source(const std::string& file, line_rules rules)
    : name_(file == "-" ? "standard input" : file),
      rules_(std::move(rules)) {
    if (file == "-")
        file_ = muster::detail::owned_fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    else
        file_ = muster::detail::owned_fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (!file_.is_open() || ::fstat(file_.get(), &about) != 0)
        throw usage_error(fmt::format("{} can't be read: {}", name_, text_of(errno)));
    if (S_ISDIR(about.st_mode))
        throw usage_error(fmt::format("{} is a directory: name a file with one {} a line", name_, rules_.thing));
    regular_ = S_ISREG(about.st_mode);
    char nothing = 0;
    if (::read(file_.get(), &nothing, 0) < 0)
        throw usage_error(fmt::format("{} can't be read: {}", name_, text_of(errno)));
}

std::optional<std::size_t> line_source::total() const noexcept {
    if (file_.is_open())
        return expected_;
    if (bundle_.cost)
        return std::nullopt;
    auto all = combined_ ? combined_->total() : arguments_.size();
    if (bundle_.most_inputs != 0)
        all = all / bundle_.most_inputs + (all % bundle_.most_inputs != 0 ? 1 : 0);
    return all - std::min<std::size_t>(all, passed_over_);
}

bool line_source::ready_to_read() const noexcept {
    if (regular_)
        return true;
    pollfd watched{file_.get(), POLLIN, 0};
    return ::poll(&watched, 1, 0) > 0;
}

void line_source::read_more() {
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

void line_source::stop_reading() noexcept {
    stopped_ = true;
    // A pipe that is empty and has no writer any more was read to its end, although nobody has been told so yet.
    pollfd watched{file_.get(), POLLIN, 0};
    if (file_.is_open() && !regular_ && ::poll(&watched, 1, 0) > 0 && watched.revents == POLLHUP)
        no_more_input_ = true;
}

void line_source::give_up(const std::string& why) {
    if (failure_.empty())
        failure_ = fmt::format("reading {} failed: {}", name_, why);
    no_more_input_ = true;
}

bool line_source::take_raw(std::string& text, bool& too_long) {
    for (;;) {
        const auto end = buffer_.find(rules_.end, scanned_);
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

bool line_source::accept(std::string& text) {
    ++lines_;
    if (lines_ == 1 && rules_.end == '\n' && text.starts_with("\xEF\xBB\xBF"))
        text.erase(0, 3);
    if (!rules_.trims && rules_.has_comments && text.ends_with('\r'))
        text.pop_back();
    const auto first = text.find_first_not_of(" \t\r");
    if (text.empty() || (rules_.spaces_count_as_blank && first == std::string::npos)) {
        ++blank_;
        return false;
    }
    if (rules_.has_comments && text[first] == '#') {
        ++comments_;
        return false;
    }
    if (rules_.trims) {
        text.erase(text.find_last_not_of(" \t\r") + 1);
        text.erase(0, first);
    }
    return true;
}

bool line_source::is_wanted(const input_line& line) {
    if (!wanted_ || wanted_(line))
        return true;
    ++passed_over_;
    return false;
}

line_source::took line_source::take_one(input_line& line, int& reads) {
    line.parts.clear();
    line.is = input_line::kind::line;
    line.too_long = false;
    if (!file_.is_open()) {
        if (combined_) {
            auto parts = combined_->next();
            ended_ = !parts;
            if (ended_)
                return took::end;
            line.parts = std::move(*parts);
            line.is = input_line::kind::combination;
            line.text = joined(line.parts);
        } else {
            ended_ = next_argument_ == arguments_.size();
            if (ended_)
                return took::end;
            line.text = std::move(arguments_[next_argument_++]);
        }
        line.number = ++lines_;
        if (splitter_)
            cut(line);
        return took::line;
    }
    // One read a call at the most, so that an endless stream of blank lines does not block the loop.
    for (;; ++reads) {
        while (take_raw(line.text, line.too_long)) {
            // A blank line inside of quotes is part of the text.
            if (!unfinished_.empty())
                ++lines_;
            else if (!accept(line.text))
                continue;
            line.number = lines_;
            if (splitter_ && take_rest_of_record(line))
                continue;
            return took::line;
        }
        if (no_more_input_) {
            if (!unfinished_.empty()) {
                line.number = lines_;
                give_up_record(line);
                return took::line;
            }
            ended_ = true;
            return took::end;
        }
        if (stopped_ || (reads != 0 && !regular_) || !ready_to_read())
            return took::nothing_yet;
        read_more();
    }
}

/// Puts a line behind those of its record of CSV. *Returns* whether more lines belong to it; else cuts it into columns.
/// Each line is looked at once: many short ones behind an open quote would take long otherwise.
bool line_source::take_rest_of_record(input_line& line) {
    using quote = column_splitter::quote;
    if (line.too_long && unfinished_.empty())
        return false;
    const auto before = unfinished_.empty() ? quote::closed : quote::open;
    const auto behind = splitter_->quote_behind(line.text, before);
    if (before == quote::open || behind == quote::open)
        unfinished_ += line.text;
    if (line.too_long || unfinished_.size() > longest_line) {
        give_up_record(line);
        return false;
    }
    if (behind == quote::open) {
        unfinished_ += rules_.end;
        return true;
    }
    if (before == quote::open)
        line.text = std::exchange(unfinished_, {});
    cut(line);
    return false;
}

/// A record of CSV whose quote is not closed in time is no input.
void line_source::give_up_record(input_line& line) {
    line.text = std::exchange(unfinished_, {});
    line.is = input_line::kind::columns;
    line.too_long = true;
}

void line_source::cut(input_line& line) const {
    line.parts = splitter_->split(line.text);
    line.is = input_line::kind::columns;
}

line_source::took line_source::take_bundle_so_far(input_line& line) {
    line = std::exchange(begun_, input_line());
    begun_bytes_ = 0;
    line.is = input_line::kind::bundle;
    line.text = joined(line.parts);
    return took::line;
}

line_source::took line_source::take_bundle(input_line& line, int& reads) {
    for (;;) {
        input_line one;
        const auto took_one = over_ ? took::line : take_one(one, reads);
        if (over_)
            one = std::move(*over_);
        over_.reset();
        if (took_one != took::line) {
            const bool is_last = took_one == took::end || stopped_;
            return is_last && !begun_.parts.empty() ? take_bundle_so_far(line) : took_one;
        }
        const auto bytes = bundle_.cost ? bundle_.cost(one.text) : 0;
        const bool fits = begun_bytes_ + bytes <= bundle_.most_bytes && !one.too_long;
        if (!fits && !begun_.parts.empty()) {
            over_ = std::move(one);
            return take_bundle_so_far(line);
        }
        if (one.too_long) {
            line = std::move(one);
            return took::line;
        }
        if (begun_.parts.empty())
            begun_.number = one.number;
        begun_.parts.push_back(std::move(one.text));
        begun_bytes_ += bytes;
        if (begun_.parts.size() == bundle_.most_inputs)
            return take_bundle_so_far(line);
    }
}

/// A line that is longer than a block makes a longer block, up to a limit; the input is cut there.
line_source::took line_source::take_block(input_line& line, int& reads) {
    constexpr std::size_t most_blocks = 64;
    for (;; ++reads) {
        const auto there = buffer_.size() - at_;
        std::size_t size = 0;
        if (there != 0 && (no_more_input_ || stopped_) && there <= block_) {
            size = there;
        } else if (there >= block_) {
            auto end = buffer_.rfind(rules_.end, at_ + block_ - 1);
            if (end == std::string::npos || end < at_)
                end = buffer_.find(rules_.end, at_ + block_);
            if (end != std::string::npos)
                size = end + 1 - at_;
            else if (no_more_input_ || stopped_ || there >= most_blocks * block_)
                size = there;
        }
        if (size != 0) {
            line = input_line();
            line.is = input_line::kind::block;
            line.parts.push_back(buffer_.substr(at_, size));
            line.number = lines_ + 1;
            const auto& block = line.parts.front();
            lines_ += static_cast<std::uint64_t>(std::ranges::count(block, rules_.end));
            lines_ += block.back() == rules_.end ? 0 : 1;
            line.text = fmt::format("lines {} to {}", line.number, lines_);
            at_ += size;
            scanned_ = at_;
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

line_source::took line_source::try_take(input_line& line) {
    for (int reads = 0;;) {
        const auto what = block_ != 0                ? take_block(line, reads)
                          : bundle_.most_inputs != 0 ? take_bundle(line, reads)
                                                     : take_one(line, reads);
        if (what != took::line)
            return what;
        line.index = taken_++;
        if (content_)
            line.key = occurrences_.next(content_(line));
        if (is_wanted(line))
            return what;
    }
}

bool line_source::wait_and_take(input_line& line) {
    for (;;) {
        switch (try_take(line)) {
        case took::line:
            return true;
        case took::end:
            return false;
        case took::nothing_yet:
            pollfd watched{file_.get(), POLLIN, 0};
            static_cast<void>(::poll(&watched, 1, -1));
            break;
        }
    }
}

std::vector<std::string> line_source::take_header() {
    MUSTER_ASSERT(splitter_ && taken_ == 0 && lines_ == 0 && bundle_.most_inputs == 0);
    input_line line;
    if (!wait_and_take(line))
        throw usage_error(fmt::format("--header: there is no first line in {} to name the columns", name_));
    if (line.too_long)
        throw usage_error(fmt::format("--header: the first line of {} does not end", name_));
    taken_ = 0;
    return line.parts;
}

muster::task<std::optional<input_line>> line_source::next() {
    const auto one_at_a_time = co_await next_call_.scoped_lock();
    for (;;) {
        input_line line;
        switch (try_take(line)) {
        case took::line:
            co_return std::optional(std::move(line));
        case took::end:
            co_return std::nullopt;
        case took::nothing_yet:
            break;
        }
        co_await wait();
    }
}

muster::task<> line_source::wait() {
    if (ready_to_read())
        co_await muster::yield();
    else
        co_await muster::to_thread(&wait_readable, file_.get());
}

} // namespace tool
