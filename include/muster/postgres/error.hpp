// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of calls that go through a queue, apart from what the functions themselves throw: the worker of a call
/// died, the key was used for another call, the outcome is not kept any more, or the database can't be reached.
///
///     try { auto sum = co_await muster::run_in_executor(queue, hash(path)); }
///     catch (const muster::postgres::worker_died_error& e) { log(e.host(), e.process()); }

#include <muster/config.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster::postgres {

/// The base of these errors. Copying none of them throws.
class queue_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The worker that made the call is gone, and the call may not be started once more. How much of it was done is not
/// known.
class worker_died_error final : public queue_error {
public:
    /// How the end of the worker was noticed.
    enum class sign : std::uint8_t {
        session, ///< its connection to the database has ended, and it did not come back
        lease,   ///< it has not renewed its lease in time
        left,    ///< it was told to end, and ended before the call had
    };

    worker_died_error(std::string host, int process, sign how);

    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& host() const noexcept { return *host_; }
    /// The process id that it had there.
    [[nodiscard]] int process() const noexcept { return process_; }
    [[nodiscard]] sign how() const noexcept { return how_; }

private:
    std::shared_ptr<const std::string> host_;
    int process_;
    sign how_;
};

/// The key of the call was used before for another function, or for other arguments. Nothing was started.
class key_in_use_error final : public queue_error {
public:
    using queue_error::queue_error;
};

/// The call was made, but its outcome has been kept for as long as was asked, and is gone. Nothing was started again.
class outcome_expired_error final : public queue_error {
public:
    using queue_error::queue_error;
};

/// The database can't be reached, or has no queue of this version. A call that fails with this may have been made, or
/// may still be made: its outcome is there under its key.
class unreachable_error final : public queue_error {
public:
    using queue_error::queue_error;
};

/// The database refused a statement, for example because the role has no right to it.
class database_error final : public queue_error {
public:
    database_error(const std::string& what, std::string state)
        : queue_error(what),
          state_(std::make_shared<const std::string>(std::move(state))) {}

    /// The SQLSTATE, "42501" say. *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& state() const noexcept { return *state_; }

private:
    std::shared_ptr<const std::string> state_;
};

} // namespace muster::postgres
