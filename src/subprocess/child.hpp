// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A started process until it has been reaped, private to the library: signals that can't reach a stranger, the end and
/// its figures, and a destructor that leaves neither zombie nor stray.
///
///     child c(what, ends);
///     c.ask_to_end();
///     if (c.reap()) use(c.result());

#include "io/descriptor.hpp"
#include "subprocess/spawn.hpp"

#include <muster/detail/intrusive_list.hpp>
#include <muster/subprocess.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <sys/types.h>

namespace muster::detail {

/// This process's ends of the pipes to a child: standard input, output, error. Null where there is no pipe.
using pipe_set = std::array<std::shared_ptr<descriptor>, 3>;

/// child::listen() calls one at the end of the process. *Lifetime*: it stops listening before it is destroyed.
class end_listener : public list_hook<end_listener> {
public:
    /// It listens no longer. The child was reaped, or else it was given up and could not be killed.
    virtual void on_end() noexcept = 0;

protected:
    ~end_listener() = default;
};

/// *Thread safety*: one thread.
class child final : private descriptor::waiter {
public:
    /// Starts it. *Errors*: as spawn.
    child(const command& what, pipe_set& ours);
    /// As give_up().
    ~child();
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// False while a loop on another thread watches for its end.
    [[nodiscard]] bool is_here() const noexcept { return pidfd_.is_here(); }
    /// *Errors*: invalid_state_error, which begins with `what`, unless it is here.
    void require_here(const char* what) const {
        pidfd_.require_here(what, "do it on the loop's thread, with loop_handle::post");
    }
    [[nodiscard]] bool reaped() const noexcept { return phase_ != phase::running; }

    /// `l` is called once when the process has ended. It must not have ended yet, or not have been reaped. *Returns*
    /// why the end can't be watched.
    [[nodiscard]] std::error_code listen(end_listener& l, event_loop& loop) noexcept;
    /// Does nothing if `l` does not listen.
    void unlisten(end_listener& l) noexcept;

    /// Takes its end if it has ended. *Returns* whether it was taken, now or before.
    bool reap() noexcept { return reaped() || take_end(false); }
    /// Kills it with its group, unless it was reaped, waits for its end, and calls the listeners. A process that may
    /// not be killed, because it runs as another user, is left alone.
    void give_up() noexcept;
    /// How it ended. *Errors*: spawn_error if another part of the program took that.
    [[nodiscard]] completed_process result() const;

    /// To the process alone. *Returns* false if it has ended.
    bool signal(int number) noexcept;
    /// To the process and what it started in its group. *Returns* false, with errno set, if it has ended or (EPERM) may
    /// not be sent signals.
    bool signal_group(int number) noexcept;
    /// SIGTERM, also to what is stopped.
    void ask_to_end() noexcept;
    /// After it was reaped: whether something of its group is still alive. Only asked while it is being ended.
    [[nodiscard]] bool group_left() const noexcept;
    /// Only while group_left() is true: otherwise the group's number may be a stranger's.
    void kill_group_left() noexcept;
    void ask_group_left_to_end() noexcept;

private:
    enum class phase : std::uint8_t {
        running,
        reaped,
        lost, ///< another part of the program has reaped it
    };

    void on_ready() noexcept override;
    void tell_listeners() noexcept;
    bool take_end(bool wait) noexcept;

    std::string description_;
    pid_t pid_ = 0;
    descriptor pidfd_; ///< readable once the process has ended
    intrusive_list<end_listener> listeners_;
    event_loop* loop_ = nullptr; ///< the loop on which there are listeners
    bool own_group_ = true;
    phase phase_ = phase::running;
    completed_process end_;
    std::chrono::steady_clock::time_point began_;
};

} // namespace muster::detail
