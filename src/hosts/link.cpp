// SPDX-License-Identifier: MIT
// A link has one writer, write_frames(), which takes as many frames from the queue as make a write worthwhile, so that
// a hundred small frames cost one system call. Frames go out in the order in which they were put in. A sender of
// many frames waits for room() between them, so that the frames of others come in between.
//
//     open ------------> finishing    the writer ends with the last frame of the queue
//     open, finishing -> given_up     nothing is added to the queue any more, and what comes is thrown away
#include "hosts/link.hpp"

#include <muster/sleep.hpp>

#include <utility>

namespace muster::hosts {

namespace {

constexpr std::size_t batch_bytes = std::size_t{64} << 10;
constexpr std::size_t queue_bytes = std::size_t{256} << 10;

std::chrono::nanoseconds now() { return loop_clock::now().time_since_epoch(); }

} // namespace

link::link(io::reader from, io::stream& to, std::chrono::nanoseconds silence_limit)
    : from_(std::move(from)),
      to_(to),
      watch_(silence_limit, now()) {}

void link::put(std::string bytes, std::function<bool()> still_wanted) {
    if (phase_ == phase::given_up)
        return;
    queued_ += bytes.size();
    queue_.emplace_back(std::move(bytes), std::move(still_wanted));
    has_work_.set();
}

void link::greet(std::string_view hello) { put(std::string(magic) + to_bytes(frame_type::hello, hello), {}); }

void link::send(frame_type type, std::string_view payload, std::function<bool()> still_wanted) {
    put(to_bytes(type, payload), std::move(still_wanted));
}

task<> link::room() {
    while (phase_ != phase::given_up && queued_ > queue_bytes) {
        has_room_.clear();
        co_await has_room_.wait();
    }
}

std::string link::take_batch() {
    std::string batch;
    while (!queue_.empty() && batch.size() < batch_bytes) {
        auto first = std::move(queue_.front());
        queue_.pop_front();
        queued_ -= first.bytes.size();
        if (!first.still_wanted || first.still_wanted())
            batch += first.bytes;
    }
    if (queued_ <= queue_bytes)
        has_room_.set();
    return batch;
}

task<> link::write_frames() {
    for (;;) {
        while (queue_.empty()) {
            if (phase_ == phase::finishing)
                co_return;
            has_work_.clear();
            co_await has_work_.wait();
        }
        auto batch = take_batch();
        if (batch.empty())
            continue;
        auto writing = to_.write(std::move(batch));
        co_await std::move(writing);
    }
}

void link::finish() {
    if (phase_ == phase::open)
        phase_ = phase::finishing;
    has_work_.set();
}

void link::give_up() {
    phase_ = phase::given_up;
    has_room_.set();
}

task<frame> link::greeting() {
    for (bool greeted = false; !greeted;) {
        auto reading = from_.read_some();
        auto bytes = co_await std::move(reading);
        if (bytes.empty())
            throw frame_error("the connection ended before the handshake");
        greeted = scanner_.take(bytes);
    }
    parser_.take(scanner_.take_rest());
    auto taking = next();
    auto first = co_await std::move(taking);
    if (!first)
        throw frame_error("the connection ended in the middle of the handshake");
    if (first->type != frame_type::hello)
        throw frame_error("a handshake that begins with another frame");
    co_return std::move(*first);
}

task<std::optional<frame>> link::next() {
    for (;;) {
        if (phase_ != phase::given_up) {
            auto f = parser_.next();
            if (f && f->type != frame_type::beat)
                co_return f;
            if (f)
                continue;
        }
        auto reading = from_.read_some();
        auto bytes = co_await std::move(reading);
        if (bytes.empty())
            co_return std::nullopt;
        watch_.heard(now());
        if (phase_ != phase::given_up)
            parser_.take(bytes);
    }
}

task<> link::until_silent() {
    watch_.heard(now());
    for (;;) {
        send(frame_type::beat, {});
        co_await sleep_for(watch_.interval());
        if (watch_.look(now()) == frames::silence_watch::verdict::silent)
            co_return;
    }
}

void link::set_silence_limit(std::chrono::nanoseconds limit) { watch_ = frames::silence_watch(limit, now()); }

} // namespace muster::hosts
