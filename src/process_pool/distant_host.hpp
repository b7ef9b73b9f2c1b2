// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The pool's side of another host: a thread that starts the launcher of the agent there, and carries what the
/// supervisor and the workers there say to each other over the one connection. To the supervisor a worker there looks
/// like one here: a socket, and a descriptor that tells of its end. Private to muster::process_pool.
///
///     distant_host host(settings.hosts[0], settings);
///     auto process = host.open_worker();      // connects if need be, and never waits

#include "process_pool/pool_settings.hpp"
#include "process_pool/spawn.hpp"

#include <chrono>
#include <memory>
#include <thread>

namespace muster::workers {

/// *Thread safety*: one thread, the supervisor's.
class distant_host {
public:
    using clock = std::chrono::steady_clock;

    /// *Lifetime*: the settings must outlive it. *Errors*: std::system_error without a descriptor.
    distant_host(const host_settings& host, const pool_settings& pool);
    /// Ends the connection, and with it the agent and its workers; a launcher that does not end is killed.
    ~distant_host();
    distant_host(const distant_host&) = delete;
    distant_host& operator=(const distant_host&) = delete;

    /// *Returns* a worker there, which is being started. If the host can't be reached the end of the worker says so.
    /// *Errors*: std::system_error; std::bad_alloc.
    [[nodiscard]] child_process open_worker();
    /// A host that could not be reached, or was lost, is left alone until then.
    [[nodiscard]] clock::time_point next_start() const noexcept;

private:
    class desk;
    class connector;
    std::shared_ptr<desk> desk_; ///< shared with the workers there, which may be killed by any thread
    const host_settings& host_;
    const pool_settings& pool_;
    std::thread thread_; ///< started with the first worker
};

} // namespace muster::workers
