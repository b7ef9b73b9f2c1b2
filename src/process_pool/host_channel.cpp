// SPDX-License-Identifier: MIT
// A host_channel knows of its call whether that
//
//     none ------> queued     its last piece stands in the stream
//     queued ----> begun      the agent has said that it was handed over
//
// has begun when the host is lost: not if it is none, or if its last piece was not written; that is not known if the
// piece was written; and it has if the agent said so. A worker's end, which comes behind everything that the agent said
// before, makes a call that was not handed over one that has not begun. The end names the call that it is about: the
// supervisor may have sent another one since, which was never read here. The worker itself
//
//     runs ---> ended     how it ended is known
//     ended --> told      the supervisor has read all that had come before, and knows too
#include "process_pool/host_channel.hpp"

#include <muster/detail/assert.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <new>

namespace muster::workers {

namespace {

/// Once so many bytes were handed over, the rest is moved to the front.
constexpr std::size_t least_move = std::size_t{256} << 10;

} // namespace

void signal_eventfd(int descriptor) noexcept {
    const std::uint64_t one = 1;
    while (::write(descriptor, &one, sizeof one) < 0 && errno == EINTR) {}
}

// ---- worker_there ----

void worker_there::kill() noexcept {
    kill_wanted_.store(true);
    const std::lock_guard own(lock_);
    if (wake_up_ >= 0)
        signal_eventfd(wake_up_);
}

process_end worker_there::end() noexcept {
    const std::lock_guard own(lock_);
    return std::move(end_);
}

void worker_there::set_end(process_end e) noexcept {
    const std::lock_guard own(lock_);
    end_ = std::move(e);
    wake_up_ = -1;
}

// ---- host_channel ----

host_channel::host_channel(
    std::shared_ptr<worker_there> w, detail::owned_fd socket, detail::owned_fd end, const std::string& host)
    : worker_(std::move(w)),
      socket_(std::move(socket)),
      end_(std::move(end)) {
    how_.host = host;
}

host_channel::~host_channel() {
    if (worker_ == nullptr || stage_ == stage::told)
        return;
    if (stage_ == stage::runs)
        end_as_lost(nullptr, "no memory");
    tell();
}

void host_channel::enter(stage next) noexcept {
    MUSTER_ASSERT(next == (stage_ == stage::runs ? stage::ended : stage::told) && stage_ != stage::told);
    stage_ = next;
}

void host_channel::pass_on(std::uint32_t number, frame_stream& to) {
    std::array<char, frames::largest_piece> bytes; // NOLINT: filled below
    const auto n = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n < 0)
        return;
    if (n == 0) {
        intake_ = intake::closed;
        to.put(frames::frame_type::worker_close, frames::payload_writer().number32(number).take());
        return;
    }
    cutter_.cut(std::string_view(bytes.data(), static_cast<std::size_t>(n)),
        [&](std::string_view piece, bool is_last, std::uint64_t message) {
            to.put(is_last ? frames::frame_type::worker_last : frames::frame_type::worker_data,
                frames::payload_writer().number32(number).rest(piece).take());
            call_ = is_last && message != 0 ? call::queued : call::none;
            call_number_ = call_ == call::queued ? message : 0;
            call_ends_at_ = to.queued();
        });
}

void host_channel::call_has_begun() {
    if (call_ != call::queued)
        throw frames::frame_error("the beginning of a call that was not sent");
    call_ = call::begun;
}

bool host_channel::take(std::string_view bytes, std::uint64_t most) {
    if (inflow_ == inflow::thrown_away)
        return true;
    if (bytes.size() > most - std::min<std::uint64_t>(most, waiting())) {
        inflow_ = inflow::thrown_away;
        return false;
    }
    waiting_ += bytes;
    return true;
}

void host_channel::hand_over() noexcept {
    while (waiting() != 0) {
        const auto n = ::send(socket_.get(), waiting_.data() + handed_over_, waiting(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        // After an error the supervisor does not read it any more.
        handed_over_ = n < 0 ? waiting_.size() : handed_over_ + static_cast<std::size_t>(n);
        if (handed_over_ == waiting_.size() || handed_over_ >= least_move) {
            waiting_.erase(0, handed_over_);
            handed_over_ = 0;
        }
    }
    if (worker_end_ == worker_end::closed)
        ::shutdown(socket_.get(), SHUT_WR);
}

void host_channel::end_as(process_end how) noexcept {
    how.begun = call_ == call::begun ? hosts::begun::yes : hosts::begun::no;
    how.call = call_number_;
    how.host = std::move(how_.host);
    how_ = std::move(how);
    enter(stage::ended);
    hand_over();
}

void host_channel::end_unstarted() noexcept {
    how_.signal = SIGKILL;
    how_.begun = hosts::begun::no;
    enter(stage::ended);
    hand_over();
}

void host_channel::end_as_lost(const frame_stream* stream, const std::string& why) noexcept {
    how_.how = stream != nullptr ? process_end::kind::host_lost : process_end::kind::not_started;
    how_.known = false;
    how_.begun = hosts::begun::no;
    how_.call = call_number_;
    if (stream != nullptr && call_ == call::begun)
        how_.begun = hosts::begun::yes;
    else if (stream != nullptr && call_ == call::queued && stream->written() >= call_ends_at_)
        how_.begun = hosts::begun::unknown;
    try {
        how_.why = why;
    } catch (const std::bad_alloc&) {
        how_.why = "no memory"; // a text that is so short needs none
    }
    enter(stage::ended);
    hand_over();
}

bool host_channel::is_over() noexcept {
    if (stage_ != stage::ended)
        return stage_ == stage::told;
    hand_over();
    if (waiting() != 0)
        return false;
    tell();
    return true;
}

void host_channel::tell() noexcept {
    enter(stage::told);
    worker_->set_end(std::move(how_));
    signal_eventfd(end_.get());
}

} // namespace muster::workers
