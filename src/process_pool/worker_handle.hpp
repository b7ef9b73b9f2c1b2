// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The pool's side of one worker: its process, its socket, the call that it makes. worker_main.cpp is the other side,
/// the code that runs in the worker. Private to muster::process_pool.
///
///     w.send_call(number, job);
///     w.become(worker_handle::phase::calling);

#include "process_pool/call_queue.hpp"
#include "process_pool/spawn.hpp"
#include "process_pool/wire.hpp"

#include <muster/detail/intrusive_list.hpp>
#include <muster/process_pool.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace muster::workers {

/// The message that is on its way to a worker, as far as the socket has not taken it yet.
class outgoing_message {
public:
    /// *Lifetime*: `body` stays where it is until is_pending() is false, or drop().
    void begin(std::uint64_t number, const std::vector<std::uint8_t>& body) noexcept;
    [[nodiscard]] bool is_pending() const noexcept { return body_ != nullptr; }
    [[nodiscard]] bool nothing_was_sent() const noexcept { return sent_ == 0; }
    /// Sends what the socket takes. *Returns* 0, or the error.
    [[nodiscard]] int send(int socket) noexcept;
    void drop() noexcept { body_ = nullptr; }

private:
    std::array<std::uint8_t, wire::header_bytes> head_{};
    const std::vector<std::uint8_t>* body_ = nullptr;
    std::size_t sent_ = 0; ///< bytes of head and body together
};

/// A whole message, with its header still in front.
class received_message {
public:
    received_message(std::vector<std::uint8_t> bytes) noexcept : bytes_(std::move(bytes)) {}
    [[nodiscard]] std::uint64_t number() const noexcept { return wire::read_header(bytes_.data()).number; }
    [[nodiscard]] std::span<const std::uint8_t> body() const noexcept {
        return std::span(bytes_).subspan(wire::header_bytes);
    }

private:
    std::vector<std::uint8_t> bytes_;
};

/// The bytes that a worker has sent and nobody has looked at.
class incoming_bytes {
public:
    void append(std::span<const std::uint8_t> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
    [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
    /// Takes the first message, if all of it is there. *Errors*: wire_error if it announces more than `limit` bytes.
    [[nodiscard]] std::optional<received_message> take_message(std::uint64_t limit);

private:
    std::vector<std::uint8_t> bytes_;
};

/// Only the supervisor uses it, but for these: `cause_` and the process's number on the system's list are guarded by
/// the queue's lock, because a task that is cancelled kills its worker from its own thread; in the phase `decoding` the
/// answer and its call are the answer_reader's.
///
///     starting --hello--> idle --call sent--> calling --whole answer--> decoding --+
///        |                 | ^                  |  ^                       |       |
///        |     pool closes | +------------------|--|-----------------------+       |
///        |                 v    answer was read |  +-------------------------------+
///        |              exiting                 |     answer can't be read: its process is killed
///        |                 |                    |
///        +-------------> dead <-----------------+     (idle too)
///
/// The supervisor does not touch a worker in the phase `decoding`; its process may be killed meanwhile, and what it has
/// sent counts all the same.
class worker_handle : public detail::list_hook<worker_handle> {
public:
    enum class phase : std::uint8_t { starting, idle, calling, decoding, exiting, dead };
    /// Whether what comes from the socket is still read: a worker has `hung_up` when its end is closed, and is
    /// `unreadable` once it has sent what can't be read.
    enum class stream : std::uint8_t { open, hung_up, unreadable };
    /// Why the pool killed the process.
    enum class cause : std::uint8_t { none, start_timeout, call_timeout, cancelled, shutdown, damage };
    using job = process_pool::job;
    using time_point = std::chrono::steady_clock::time_point;

    /// `place`: 0 on this machine, and otherwise the number of the host, from 1.
    worker_handle(child_process process, std::size_t place) noexcept : process_(std::move(process)), place_(place) {}
    [[nodiscard]] std::size_t place() const noexcept { return place_; }

    [[nodiscard]] phase now() const noexcept { return phase_; }
    /// The one place where the phase changes; asserts that the picture has the transition.
    void become(phase next) noexcept;
    /// Whether its next call, or its first, can be given to it or will be soon.
    [[nodiscard]] bool is_of_use(const call_queue::held& own) const noexcept {
        return stream_ == stream::open && killed_because(own) == cause::none;
    }
    [[nodiscard]] bool has_served() const noexcept { return has_served_; }

    // ---- the process ----
    [[nodiscard]] child_process& process() noexcept { return process_; }
    [[nodiscard]] const child_process& process() const noexcept { return process_; }
    /// The first cause counts: it decides which error the call ends with. A process that can't be killed is
    /// out_of_reach from then on: the supervisor, which has to be woken, leaves it alone.
    void kill(const call_queue::held& own, cause why) noexcept;
    /// Kills a process that is about to end by itself, or of no use any more, without being the cause of its end.
    void kill_without_cause(const call_queue::held&) noexcept { kill_or_give_up(); }
    [[nodiscard]] bool is_out_of_reach(const call_queue::held&) const noexcept { return reach_ == reach::out_of_reach; }
    [[nodiscard]] cause killed_because(const call_queue::held&) const noexcept { return cause_; }
    /// Gives the process away without its socket, so that the process sees its end. The worker is dead.
    [[nodiscard]] child_process take_process() noexcept {
        process_.close_socket();
        return std::move(process_);
    }
    process_end reap(const call_queue::held&) noexcept { return process_.reap(); }

    // ---- the socket ----
    [[nodiscard]] stream reads() const noexcept { return stream_; }
    void hang_up() noexcept {
        if (stream_ == stream::open)
            stream_ = stream::hung_up;
    }
    /// Nothing it sends is looked at any more.
    void found_unreadable(std::exception_ptr why) noexcept;
    [[nodiscard]] const std::exception_ptr& damage() const noexcept { return damage_; }
    [[nodiscard]] incoming_bytes& input() noexcept { return input_; }
    [[nodiscard]] bool has_to_send() const noexcept { return output_.is_pending(); }
    /// Hangs up if it can't be sent.
    void send_on() noexcept;
    void send_greeting(const std::vector<std::uint8_t>& body) noexcept;
    /// Keeps the reason that a worker gave for not starting.
    void refuse_to_start(std::string problem) noexcept { problem_ = std::move(problem); }
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

    // ---- its call ----
    /// *Returns* false if the process had died before: the call has not begun then, and is another worker's.
    [[nodiscard]] bool send_call(const call_queue::held& own, std::uint64_t number, job& j) noexcept;
    [[nodiscard]] std::uint64_t call_number() const noexcept { return number_; }
    /// Null if it makes none.
    [[nodiscard]] job* call() const noexcept { return call_; }
    void call_is_over() noexcept;

    // ---- its answer, in the phase `decoding` ----
    void keep_answer(received_message answer) noexcept { answer_ = std::move(answer); }
    [[nodiscard]] std::optional<received_message> take_answer() noexcept { return std::exchange(answer_, {}); }
    /// Null if the answer could be read; the answer_reader says so.
    void answer_was_read(std::exception_ptr damage) noexcept { damage_ = std::move(damage); }

    // ---- time ----
    [[nodiscard]] time_point deadline() const noexcept { return deadline_; }
    void set_deadline(time_point at) noexcept { deadline_ = at; }
    void clear_deadline() noexcept { deadline_ = time_point::max(); }

private:
    enum class reach : std::uint8_t { within, out_of_reach };

    void kill_or_give_up() noexcept;

    child_process process_;
    std::size_t place_;
    reach reach_ = reach::within; ///< guarded as `cause_` is
    phase phase_ = phase::starting;
    stream stream_ = stream::open;
    cause cause_ = cause::none;
    bool has_served_ = false;
    job* call_ = nullptr;
    std::uint64_t number_ = 0;
    time_point deadline_ = time_point::max();
    std::exception_ptr damage_;
    std::string problem_;
    outgoing_message output_;
    incoming_bytes input_;
    std::optional<received_message> answer_;
};

} // namespace muster::workers
