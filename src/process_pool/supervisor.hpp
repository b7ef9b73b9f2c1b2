// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The thread of a pool that owns the workers: it starts them, gives them calls, takes in what they send, enforces the
/// time limits, kills and reaps. Private to muster::process_pool.
///
///     supervisor s(settings, queue);
///     s.run();   // returns once the queue is closed and every worker has ended

#include "process_pool/answer_reader.hpp"
#include "process_pool/call_queue.hpp"
#include "process_pool/distant_host.hpp"
#include "process_pool/pool_settings.hpp"
#include "process_pool/worker_handle.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

namespace muster::workers {

/// *Thread safety*: after the constructor one thread, the one that calls run().
class supervisor {
public:
    /// *Errors*: std::bad_alloc; std::system_error without a thread to be had.
    supervisor(const pool_settings& settings, call_queue& queue);
    void run() noexcept;

private:
    using clock = std::chrono::steady_clock;
    using held = call_queue::held;
    using job = process_pool::job;
    using phase = worker_handle::phase;

    /// Does what can be done now, then waits for an event. *Returns* false when there is nothing left to do, ever.
    [[nodiscard]] bool step() noexcept;

    // ---- calls on their way to a worker ----
    void refuse_waiting_calls() noexcept;
    void close_workers(const held& own) noexcept;
    void give_out_calls(const held& own) noexcept;
    /// Only if a call waits.
    void give_call(const held& own, worker_handle& w) noexcept;

    // ---- starting workers ----
    [[nodiscard]] bool wants_another_worker(const held& own) const noexcept;
    /// *Returns* where a worker may be started now: 0 here, the number of a host, or nothing.
    [[nodiscard]] std::optional<std::size_t> free_place() const noexcept;
    /// When a worker may be started next.
    [[nodiscard]] clock::time_point next_start() const noexcept;
    /// *Returns* how many workers a place may have.
    [[nodiscard]] std::size_t most_at(std::size_t place) const noexcept;
    void start_worker(std::size_t place) noexcept;
    /// `certain`: the next attempt would fail in the same way.
    void start_failed(const std::string& reason, bool certain = false) noexcept;
    void fail_waiting_calls(const std::string& reason) noexcept;

    // ---- events ----
    void wait_for_events() noexcept;
    [[nodiscard]] int poll_timeout() const noexcept;
    void handle_events(worker_handle& w, short on_socket, short on_end) noexcept;
    void enforce_deadline(worker_handle& w) noexcept;
    void erase_dead_workers() noexcept;

    // ---- what workers send ----
    /// *Returns* true if there may be more to read.
    bool read_socket(worker_handle& w) noexcept;
    void take_messages(worker_handle& w);
    void take_hello(worker_handle& w, const received_message& hello);
    void take_read_answers() noexcept;
    void kill_unreadable(worker_handle& w, std::exception_ptr damage) noexcept;

    // ---- ends of workers ----
    void reap(worker_handle& w) noexcept;
    void abandon_those_out_of_reach() noexcept;
    void abandon(worker_handle& w) noexcept;
    void reap_abandoned() noexcept;
    void conclude_call(worker_handle& w, const process_end& how) noexcept;
    void conclude_start(worker_handle& w, const process_end& how) noexcept;
    void report_unasked(const worker_handle& w, const process_end& how) noexcept;

    const pool_settings& settings_;
    call_queue& queue_;
    std::vector<std::unique_ptr<distant_host>> hosts_; ///< before the workers, which may be on them
    std::vector<std::size_t> used_;                    ///< workers of each place
    std::vector<std::unique_ptr<worker_handle>> workers_;
    std::vector<child_process> abandoned_; ///< those that can't be killed and have not ended
    std::vector<pollfd> polled_;
    std::vector<std::uint8_t> buffer_;
    std::uint64_t calls_ = 0;
    std::size_t failed_starts_ = 0; ///< since a process was last of use
    clock::time_point next_start_ = clock::time_point::min();
    answer_reader reader_; ///< after what it uses
};

} // namespace muster::workers
