// SPDX-License-Identifier: MIT
/// \file
/// Reading in units. A reader keeps what has come and was not taken yet. While it waits with nothing kept it has no
/// buffer either, so that an idle connection costs no more than its coroutine frames.
#include <muster/io/reader.hpp>

#include "io/descriptor.hpp"
#include "loops/require_event_loop.hpp"
#include "posix/system_error.hpp"
#include "vocabulary/one_at_a_time.hpp"

#include <muster/error.hpp>
#include <muster/sleep.hpp>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::io {

namespace {

/// Bytes that have come, between begin_ and end_ of an array that grows with them.
class read_buffer {
public:
    [[nodiscard]] std::string_view kept() const noexcept { return {data_.get() + begin_, end_ - begin_}; }

    [[nodiscard]] std::string take(std::size_t count) {
        std::string taken(kept().substr(0, count));
        skip(count);
        return taken;
    }
    void skip(std::size_t count) noexcept {
        begin_ += count;
        MUSTER_ASSERT(begin_ <= end_);
        if (begin_ == end_) {
            begin_ = end_ = 0;
            // One long line must not cost its memory for ever.
            if (size_ > largest_kept)
                release();
        }
    }

    /// Room for some more bytes; add() says how many have come. *Errors*: std::bad_alloc.
    [[nodiscard]] std::span<std::byte> room() {
        if (size_ - end_ < least_room)
            make_room();
        return std::as_writable_bytes(std::span<char>(data_.get() + end_, size_ - end_));
    }
    void add(std::size_t count) noexcept {
        end_ += count;
        MUSTER_ASSERT(end_ <= size_);
    }
    /// Gives the memory back, unless there are bytes in it.
    void release_if_empty() noexcept {
        if (begin_ == end_)
            release();
    }

private:
    static constexpr std::size_t least_room = 4096;
    static constexpr std::size_t largest_kept = std::size_t{256} << 10;

    void make_room() {
        const auto bytes = kept();
        if (size_ - bytes.size() < least_room) {
            const std::size_t size = std::max(size_ * 2, bytes.size() + 4 * least_room);
            auto larger = std::make_unique_for_overwrite<char[]>(size);
            std::ranges::copy(bytes, larger.get());
            data_ = std::move(larger);
            size_ = size;
        } else {
            std::copy(bytes.begin(), bytes.end(), data_.get());
        }
        begin_ = 0;
        end_ = bytes.size();
    }
    void release() noexcept {
        data_ = nullptr;
        size_ = begin_ = end_ = 0;
    }

    std::unique_ptr<char[]> data_;
    std::size_t size_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace

struct reader::state {
    explicit state(std::shared_ptr<detail::descriptor> d) noexcept : from(std::move(d)) {}

    /// Whether the operation that begins must let other tasks run first: many before it found all they needed here.
    [[nodiscard]] bool is_greedy() noexcept { return ++operations % most_in_a_row == 0; }

    static constexpr unsigned most_in_a_row = 256;

    std::shared_ptr<detail::descriptor> from;
    read_buffer buffer;
    detail::one_at_a_time reading;
    unsigned operations = 0;
    bool at_end = false;
};

namespace {

using state_ptr = std::shared_ptr<reader::state>;

/// One read operation: no other task reads meanwhile. *Errors*: invalid_state_error, also for a reader that was moved
/// from.
class operation {
public:
    explicit operation(const state_ptr& s) : alone_(valid(s).reading, "reading") {}

private:
    static reader::state& valid(const state_ptr& s) {
        if (s == nullptr)
            throw invalid_state_error("reading: this io::reader was moved from");
        detail::require_event_loop("reading");
        return *s;
    }
    detail::one_at_a_time::use alone_;
};

/// Waits for more. Gives false at the end.
task<bool> fill(reader::state& s) {
    if (s.at_end)
        co_return false;
    auto& from = *s.from;
    const detail::descriptor::use mine(from, detail::descriptor::side::reading, "reading");
    if (from.is_greedy()) {
        co_await yield();
        from.require_still_open("reading");
    }
    for (;;) {
        // The memory is there before anything is read, so that nothing that was read can be lost.
        const ssize_t count = from.try_read(s.buffer.room());
        if (count >= 0) {
            s.buffer.add(static_cast<std::size_t>(count));
            s.at_end = count == 0;
            co_return count != 0;
        }
        if (errno != EAGAIN)
            detail::throw_system_error(errno, "reading");
        s.buffer.release_if_empty();
        detail::descriptor::readiness waiting(from, detail::descriptor::side::reading);
        co_await waiting;
        from.require_still_open("reading");
    }
}

std::string bytes(std::size_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

task<std::optional<std::string>> line_of(state_ptr s, std::size_t limit) {
    const operation mine(s);
    if (s->is_greedy())
        co_await yield();
    std::size_t searched = 0;
    for (;;) {
        const auto kept = s->buffer.kept();
        const auto found_at = kept.find('\n', searched);
        if (found_at == std::string_view::npos ? kept.size() > limit : found_at > limit)
            throw limit_error(limit, "reading a line: it is longer than " + bytes(limit));
        if (found_at != std::string_view::npos) {
            auto line = s->buffer.take(found_at);
            s->buffer.skip(1);
            co_return line;
        }
        searched = kept.size();
        const bool more = co_await fill(*s);
        if (more)
            continue;
        if (searched == 0)
            co_return std::nullopt;
        co_return s->buffer.take(searched);
    }
}

task<std::string> exactly_of(state_ptr s, std::size_t count) {
    const operation mine(s);
    if (s->is_greedy())
        co_await yield();
    while (s->buffer.kept().size() < count) {
        const bool more = co_await fill(*s);
        if (!more) {
            auto partial = s->buffer.take(s->buffer.kept().size());
            const std::string what = "reading " + bytes(count) + ": the end came after " + bytes(partial.size());
            throw incomplete_read_error(std::move(partial), what);
        }
    }
    co_return s->buffer.take(count);
}

task<std::string> until_of(state_ptr s, std::string delimiter, std::size_t limit) {
    if (delimiter.empty())
        throw std::invalid_argument("reader::read_until: the delimiter must not be empty");
    const operation mine(s);
    if (s->is_greedy())
        co_await yield();
    std::size_t searched = 0;
    for (;;) {
        const auto kept = s->buffer.kept();
        const auto found_at = kept.find(delimiter, searched);
        const bool found = found_at != std::string_view::npos;
        const std::size_t length = found ? found_at + delimiter.size() : kept.size();
        if (length > limit)
            throw limit_error(limit, "reading up to a mark: it does not come within " + bytes(limit));
        if (found)
            co_return s->buffer.take(length);
        searched = kept.size() - std::min(kept.size(), delimiter.size() - 1);
        const bool more = co_await fill(*s);
        if (!more) {
            auto partial = s->buffer.take(s->buffer.kept().size());
            throw incomplete_read_error(std::move(partial), "reading up to a mark: the end came before it");
        }
    }
}

task<std::string> all_of(state_ptr s, std::size_t limit) {
    const operation mine(s);
    if (s->is_greedy())
        co_await yield();
    for (;;) {
        if (s->buffer.kept().size() > limit)
            throw limit_error(limit, "reading all: there are more than " + bytes(limit));
        const bool more = co_await fill(*s);
        if (!more)
            co_return s->buffer.take(s->buffer.kept().size());
    }
}

task<std::string> some_of(state_ptr s, std::size_t most) {
    const operation mine(s);
    if (s->is_greedy())
        co_await yield();
    if (most == 0)
        throw std::invalid_argument("reader::read_some: it must be allowed to read a byte at least");
    if (s->buffer.kept().empty()) {
        const bool more = co_await fill(*s);
        if (!more)
            co_return std::string();
    }
    co_return s->buffer.take(std::min(most, s->buffer.kept().size()));
}

} // namespace

reader::reader(const stream& from)
    : state_(std::make_shared<state>(from.shared() ? from.shared() : std::make_shared<detail::descriptor>(-1))) {}

task<std::optional<std::string>> reader::read_line(std::size_t limit) { return line_of(state_, limit); }

task<std::string> reader::read_exactly(std::size_t count) { return exactly_of(state_, count); }

task<std::string> reader::read_until(std::string delimiter, std::size_t limit) {
    return until_of(state_, std::move(delimiter), limit);
}

task<std::string> reader::read_all(std::size_t limit) { return all_of(state_, limit); }

task<std::string> reader::read_some(std::size_t most) { return some_of(state_, most); }

std::size_t reader::buffered() const noexcept { return state_ ? state_->buffer.kept().size() : 0; }

} // namespace muster::io
