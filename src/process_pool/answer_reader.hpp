// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The thread of a pool that reads answers. To decode an answer takes time and memory as it is large, and runs the
/// user's from_json, which may do anything: on the supervisor it would hold up the time limits of all other calls, on
/// the loop all its tasks. Private to muster::process_pool.
///
///     reader.read(worker);                          // the supervisor; the worker is `decoding`
///     while (auto* w = reader.take_read()) { ... }  // the supervisor, once it was woken

#include "process_pool/call_queue.hpp"
#include "process_pool/pool_settings.hpp"
#include "process_pool/worker_handle.hpp"

#include <muster/detail/intrusive_list.hpp>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace muster::workers {

class answer_reader {
public:
    /// *Errors*: std::system_error without a thread to be had.
    answer_reader(const pool_settings& settings, call_queue& queue);
    /// As end(), if that was not called.
    ~answer_reader();
    answer_reader(const answer_reader&) = delete;
    answer_reader& operator=(const answer_reader&) = delete;

    /// Reads the answer that the worker keeps. Its call is finished if the answer can be read; if not, the supervisor
    /// has to end the worker, and the call with it.
    void read(worker_handle& w) noexcept;
    /// Ends the thread and waits for it, when nothing is being read. Not on the thread itself: a call that is finished
    /// there may be the last owner of the pool, so the supervisor calls this before it ends.
    void end() noexcept;
    /// *Returns* a worker whose answer has been read; null if there is none. Its damage() says whether it could be.
    [[nodiscard]] worker_handle* take_read() noexcept;

private:
    void run() noexcept;
    void read_one(worker_handle& w) noexcept;

    const pool_settings& settings_;
    call_queue& queue_;
    std::mutex lock_;
    std::condition_variable changed_;
    detail::intrusive_list<worker_handle> to_read_;
    detail::intrusive_list<worker_handle> read_;
    bool ending_ = false;
    std::thread thread_;
};

} // namespace muster::workers
