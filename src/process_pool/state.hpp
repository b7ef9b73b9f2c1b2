// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A pool's inside: the queue, the workers, and the one thread that talks to them. Private to muster::process_pool.
///
///     submit -> queue -> dispatch (the thread) -> socket -> answer or death -> executor_job::finish()

#include "spawn.hpp"
#include "wire.hpp"

#include <muster/process_pool.hpp>

#include <poll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace muster {

/// All of it is the supervisor's; what other threads look at (job, why, process, stage) it changes with the lock.
struct process_pool::worker {
    enum class stage : std::uint8_t { starting, idle, busy, ending };
    /// Why it was killed by the pool.
    enum class cause : std::uint8_t { none, start_timeout, call_timeout, cancelled, shutdown, broken };
    using time_point = std::chrono::steady_clock::time_point;

    workers::child process;
    stage stage_ = stage::starting;
    cause why = cause::none;
    bool has_served = false;
    bool hung_up = false; ///< its end of the socket is closed
    bool broken = false;  ///< what it sends is no longer looked at
    job* job_ = nullptr;
    std::uint64_t number = 0; ///< of the call
    time_point deadline = time_point::max();
    std::exception_ptr error; ///< of a broken one
    std::string problem;      ///< what it said when it could not start

    std::array<std::uint8_t, wire::header_bytes> head{};
    const std::vector<std::uint8_t>* body = nullptr; ///< being sent
    std::size_t sent = 0;                            ///< of both
    std::vector<std::uint8_t> received;

    void begin_sending(std::uint64_t n, const std::vector<std::uint8_t>& message) noexcept {
        number = n;
        head = wire::write(wire::header(static_cast<std::uint32_t>(message.size()), n));
        body = &message;
        sent = 0;
    }
    [[nodiscard]] bool has_to_send() const noexcept { return body != nullptr; }
    /// Sends what the socket takes. *Returns* 0, or the error.
    int send() noexcept;
    /// With the lock, unless no other thread can know of it yet.
    void kill(cause c) noexcept {
        if (why == cause::none)
            why = c;
        process.kill();
    }
};

struct process_pool::state {
    using clock = std::chrono::steady_clock;

    explicit state(const process_pool_options& o);

    // ---- any thread, with the lock ----
    void push_back(job& j) noexcept;
    void push_front(job& j) noexcept;
    void remove(job& j) noexcept;
    /// *Returns* what waits, as a list linked by after_.
    [[nodiscard]] executor_job* take_queue() noexcept;
    void wake() noexcept;

    // ---- the supervisor ----
    void supervise() noexcept;
    /// Whether the calling thread is the supervisor. A thread's id would not do: after its end another may have it.
    [[nodiscard]] bool is_own_thread() const noexcept;
    /// *Returns* false when there is nothing left to do, ever.
    [[nodiscard]] bool turn() noexcept;
    void go_on_closing() noexcept;
    void dispatch() noexcept;
    void give(worker& w, job& j) noexcept;
    [[nodiscard]] bool wants_another() const noexcept;
    void start_one() noexcept;
    void start_failed(const std::string& reason, bool for_good = false) noexcept;
    void give_up(const std::string& reason) noexcept;
    void wait_for_events() noexcept;
    [[nodiscard]] int poll_timeout() const noexcept;
    /// *Returns* false if the worker is dead and done with.
    [[nodiscard]] bool handle_events(worker& w, short on_socket, short on_end) noexcept;
    /// *Returns* true if there may be more to read.
    bool read_socket(worker& w) noexcept;
    void take_messages(worker& w);
    void take_message(worker& w, std::uint64_t number, const std::uint8_t* bytes, std::size_t count);
    void take_hello(worker& w, const nlohmann::json& message);
    void take_answer(worker& w, const nlohmann::json& message);
    void break_off(worker& w, std::exception_ptr error) noexcept;
    void strike_deadline(worker& w) noexcept;
    void bury(worker& w) noexcept;
    void conclude_call(worker& w, const workers::process_end& how) noexcept;
    void conclude_start(worker& w, const workers::process_end& how) noexcept;
    /// The job is no longer the worker's. *Returns* why the worker was killed.
    worker::cause release(worker& w) noexcept;
    [[nodiscard]] std::string describe(const worker& w) const;

    process_pool_options options;
    std::string path;
    std::vector<std::string> arguments;
    std::vector<std::string> environment; ///< as it was when the pool was made: another thread may change it later
    std::vector<std::uint8_t> greeting;   ///< the first message to each worker

    mutable std::mutex lock;
    executor_job* first = nullptr;
    executor_job* last = nullptr;
    std::size_t waiting = 0;
    std::size_t at_work = 0;
    bool woken = false;
    bool closing = false;
    bool at_once = false;
    std::vector<std::unique_ptr<worker>> crew; ///< changed by the supervisor only, with the lock

    workers::descriptor wake_up; ///< an eventfd
    std::vector<pollfd> polled;
    std::vector<std::uint8_t> buffer;
    std::uint64_t calls = 0;
    std::size_t failed_starts = 0; ///< since a process has last been of use
    clock::time_point next_start = clock::time_point::min();

    std::mutex joining;
    std::thread supervisor;
    std::shared_ptr<state> kept; ///< by a supervisor that can't be waited for
};

} // namespace muster
