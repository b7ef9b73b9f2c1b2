// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A worker on another host as the connection to that host has it: the socket that the supervisor talks to, what waits
/// for either side, and how far the call has come. Private to muster::process_pool.
///
///     host_channel c(worker, std::move(socket), std::move(end), "host1");
///     c.pass_on(number, stream);                // what the supervisor sent
///     if (c.take(bytes, most)) c.hand_over();   // what the worker has sent

#include "posix/owned_fd.hpp"
#include "process_pool/frame_stream.hpp"
#include "process_pool/spawn.hpp"
#include "process_pool/wire.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace muster::workers {

/// Makes an eventfd readable.
void signal_eventfd(int descriptor) noexcept;

/// A worker there, as the supervisor and tasks that are cancelled refer to it. *Thread safety*: any thread.
class worker_there final : public distant_process {
public:
    /// `wake_up` is the eventfd of the host's thread.
    explicit worker_there(int wake_up) noexcept : wake_up_(wake_up) {}

    void kill() noexcept override;
    process_end end() noexcept override;
    [[nodiscard]] bool is_to_be_killed() const noexcept { return kill_wanted_.load(); }
    /// From now on nothing wakes the host's thread.
    void set_end(process_end e) noexcept;

private:
    std::mutex lock_;
    std::atomic<bool> kill_wanted_{false};
    int wake_up_;
    process_end end_;
};

/// Cuts what the supervisor sends into pieces, none of which is of two messages.
class message_cutter {
public:
    /// Calls put(piece, is_last, number of the message).
    template <class Put>
    void cut(std::string_view bytes, Put put) {
        while (!bytes.empty()) {
            std::size_t n = 0;
            if (head_.size() < wire::header_bytes) {
                n = std::min(wire::header_bytes - head_.size(), bytes.size());
                head_.append(bytes.substr(0, n));
                if (head_.size() == wire::header_bytes)
                    left_ = header().length;
            }
            const bool has_head = head_.size() == wire::header_bytes;
            if (has_head) {
                const auto more = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - n));
                left_ -= more;
                n += more;
            }
            const bool is_last = has_head && left_ == 0;
            put(bytes.substr(0, n), is_last, has_head ? header().number : 0);
            if (is_last)
                head_.clear();
            bytes.remove_prefix(n);
        }
    }

private:
    [[nodiscard]] wire::header header() const noexcept {
        return wire::read_header(reinterpret_cast<const std::uint8_t*>(head_.data()));
    }
    std::string head_;
    std::uint64_t left_ = 0; ///< bytes of the message behind what has come of it
};

/// Movable. Its destructor tells an end that was not told before, so that the supervisor never waits for one that can't
/// come. *Thread safety*: one thread, the host's.
class host_channel {
public:
    enum class call : std::uint8_t { none, queued, begun };

    /// `host` is the name of the host. `end` is signalled once the worker's end is known.
    host_channel(
        std::shared_ptr<worker_there> w, detail::owned_fd socket, detail::owned_fd end, const std::string& host);
    host_channel(host_channel&&) noexcept = default;
    host_channel& operator=(host_channel&&) = delete;
    ~host_channel();

    [[nodiscard]] int socket() const noexcept { return socket_.get(); }

    // ---- from the supervisor ----
    /// Whether the supervisor may still send.
    [[nodiscard]] bool is_read() const noexcept { return intake_ == intake::open && stage_ == stage::runs; }
    /// Reads a piece and queues it; the end as such.
    void pass_on(std::uint32_t number, frame_stream& to);
    /// The agent has handed the call over. *Errors*: frame_error if none was sent.
    void call_has_begun();

    // ---- to the supervisor ----
    /// Keeps bytes that the worker has sent, as long as no more than `most` wait. *Returns* false once the worker has
    /// sent more, which can be no answer: nothing more is kept of it, and it is to be killed.
    [[nodiscard]] bool take(std::string_view bytes, std::uint64_t most);
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size() - handed_over_; }
    void hand_over() noexcept;
    /// The worker has closed its socket.
    void hang_up() noexcept {
        worker_end_ = worker_end::closed;
        hand_over();
    }

    // ---- its end ----
    [[nodiscard]] bool needs_kill() const noexcept {
        return stage_ == stage::runs && kill_ == kill::unsent && worker_->is_to_be_killed();
    }
    void kill_was_sent() noexcept { kill_ = kill::sent; }
    [[nodiscard]] bool has_ended() const noexcept { return stage_ != stage::runs; }
    /// The agent says how it ended, and has said before whatever else there was. `how` is of the process alone.
    void end_as(process_end how) noexcept;
    /// It was killed before it was started.
    void end_unstarted() noexcept;
    /// The host was lost; `stream` is the connection, or null if there is none that has been opened. `why` is left out
    /// where there is no memory for it.
    void end_as_lost(const frame_stream* stream, const std::string& why) noexcept;
    /// The supervisor is told once it has read all that has come. *Returns* whether that is so.
    [[nodiscard]] bool is_over() noexcept;

private:
    enum class intake : bool { open, closed };
    enum class worker_end : bool { open, closed };
    enum class inflow : bool { kept, thrown_away };
    enum class kill : bool { unsent, sent };
    enum class stage : std::uint8_t { runs, ended, told };

    void enter(stage next) noexcept;
    void tell() noexcept;

    std::shared_ptr<worker_there> worker_; ///< null once this was moved from
    detail::owned_fd socket_;
    detail::owned_fd end_;
    message_cutter cutter_;
    call call_ = call::none;
    std::uint64_t call_number_ = 0; ///< of the last call that was queued
    std::uint64_t call_ends_at_ = 0;
    intake intake_ = intake::open;
    worker_end worker_end_ = worker_end::open;
    inflow inflow_ = inflow::kept;
    kill kill_ = kill::unsent;
    stage stage_ = stage::runs;
    std::string waiting_;
    std::size_t handed_over_ = 0; ///< how much of what waits the supervisor has
    process_end how_;             ///< has the host's name from the beginning: an end is told without memory, too
};

} // namespace muster::workers
