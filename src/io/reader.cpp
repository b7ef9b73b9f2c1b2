// SPDX-License-Identifier: MIT
#include <muster/io/reader.hpp>

#include "io/descriptor.hpp"
#include "loops/require_event_loop.hpp"

#include <muster/error.hpp>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::io {

struct reader::state {
    explicit state(std::shared_ptr<detail::descriptor> d) noexcept : from(std::move(d)) {}

    [[nodiscard]] std::string_view there() const noexcept { return {buffer.data() + begin, end - begin}; }
    [[nodiscard]] std::string take(std::size_t count) {
        std::string taken(there().substr(0, count));
        skip(count);
        return taken;
    }
    void skip(std::size_t count) noexcept {
        begin += count;
        if (begin == end) {
            begin = end = 0;
            // One long line must not cost its memory for ever.
            if (buffer.size() > kept)
                buffer = std::string();
        }
    }
    /// Room for some more.
    [[nodiscard]] std::span<std::byte> room() {
        if (buffer.size() - end < least) {
            if (begin != 0) {
                std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(begin),
                    buffer.begin() + static_cast<std::ptrdiff_t>(end), buffer.begin());
                end -= begin;
                begin = 0;
            }
            if (buffer.size() - end < least)
                buffer.resize(std::max(buffer.size() * 2, end + 4 * least));
        }
        return std::as_writable_bytes(std::span<char>(buffer.data() + end, buffer.size() - end));
    }

    static constexpr std::size_t least = 4096;
    static constexpr std::size_t kept = std::size_t{256} << 10;

    std::shared_ptr<detail::descriptor> from;
    std::string buffer; ///< what has come is between begin and end
    std::size_t begin = 0;
    std::size_t end = 0;
    bool at_end = false;
    detail::one_at_a_time reading;
};

namespace {

using state_ptr = std::shared_ptr<reader::state>;

/// Waits for more. Gives false at the end.
task<bool> fill(reader::state& s) {
    if (s.at_end)
        co_return false;
    auto reading = detail::read_some(s.from, s.room());
    const std::size_t count = co_await std::move(reading);
    s.end += count;
    s.at_end = count == 0;
    co_return count != 0;
}

std::string bytes(std::size_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

task<std::optional<std::string>> line_of(state_ptr s, std::size_t limit) {
    detail::require_event_loop("reading");
    const detail::one_at_a_time::use mine(s->reading, "reading");
    std::size_t searched = 0;
    for (;;) {
        const auto there = s->there();
        const auto place = there.find('\n', searched);
        if (place == std::string_view::npos ? there.size() > limit : place > limit)
            throw limit_error(limit, "reading a line: it is longer than " + bytes(limit));
        if (place != std::string_view::npos) {
            auto line = s->take(place);
            s->skip(1);
            co_return line;
        }
        searched = there.size();
        const bool more = co_await fill(*s);
        if (more)
            continue;
        if (searched == 0)
            co_return std::nullopt;
        co_return s->take(searched);
    }
}

task<std::string> exactly_of(state_ptr s, std::size_t count) {
    detail::require_event_loop("reading");
    const detail::one_at_a_time::use mine(s->reading, "reading");
    while (s->there().size() < count) {
        const bool more = co_await fill(*s);
        if (!more) {
            auto partial = s->take(s->there().size());
            const std::string what = "reading " + bytes(count) + ": the end came after " + bytes(partial.size());
            throw incomplete_read_error(std::move(partial), what);
        }
    }
    co_return s->take(count);
}

task<std::string> until_of(state_ptr s, std::string delimiter, std::size_t limit) {
    if (delimiter.empty())
        throw std::invalid_argument("reader::read_until: the delimiter must not be empty");
    detail::require_event_loop("reading");
    const detail::one_at_a_time::use mine(s->reading, "reading");
    std::size_t searched = 0;
    for (;;) {
        const auto there = s->there();
        const auto place = there.find(delimiter, searched);
        const bool found = place != std::string_view::npos;
        const std::size_t length = found ? place + delimiter.size() : there.size();
        if (length > limit)
            throw limit_error(limit, "reading up to a mark: it does not come within " + bytes(limit));
        if (found)
            co_return s->take(length);
        searched = there.size() - std::min(there.size(), delimiter.size() - 1);
        const bool more = co_await fill(*s);
        if (!more) {
            auto partial = s->take(s->there().size());
            throw incomplete_read_error(std::move(partial), "reading up to a mark: the end came before it");
        }
    }
}

task<std::string> all_of(state_ptr s, std::size_t limit) {
    detail::require_event_loop("reading");
    const detail::one_at_a_time::use mine(s->reading, "reading");
    for (;;) {
        if (s->there().size() > limit)
            throw limit_error(limit, "reading all: there are more than " + bytes(limit));
        const bool more = co_await fill(*s);
        if (!more)
            co_return s->take(s->there().size());
    }
}

task<std::string> some_of(state_ptr s, std::size_t most) {
    detail::require_event_loop("reading");
    const detail::one_at_a_time::use mine(s->reading, "reading");
    if (most == 0)
        throw std::invalid_argument("reader::read_some: it must be allowed to read a byte at least");
    if (s->there().empty()) {
        const bool more = co_await fill(*s);
        if (!more)
            co_return std::string();
    }
    co_return s->take(std::min(most, s->there().size()));
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

std::size_t reader::buffered() const noexcept { return state_->there().size(); }

} // namespace muster::io
