// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one check that what belongs to a loop is used on that loop's thread. From any other thread it throws an error
/// that names the way that is safe there: without the check a wake-up would be lost, or the counts be damaged.
///
///     require_loop_thread(home, "event::set", "call it on the loop's thread, with loop_handle::post");
///
/// A loop belongs to the thread that made it, and then to the one that runs it. A loop that has ended belongs to no
/// thread: what is left of it may be used anywhere, one thread at a time.

#include <muster/config.hpp>

#include <cstdint>

namespace muster::detail {

/// Names a loop for good: no other loop of the program has the same id, before or after. 0 names none.
using loop_id = std::uint64_t;

/// The loop that runs on this thread; 0 if none does.
extern constinit thread_local loop_id current_loop_id;

/// How a message goes on for what has no thread-safe function of its own.
inline constexpr const char* post_it = "call it on the loop's thread, with loop_handle::post";

/// The slow half of the check. *Errors*: invalid_state_error if the loop lives and belongs to another thread.
void check_loop_thread(loop_id home, const char* what, const char* instead);
/// The slow half of loop_home::require_waiter.
void check_waiting_thread(loop_id home, const char* what);
/// The slow half of loop_home::join. *Returns* whether the loop lives.
[[nodiscard]] bool loop_lives(loop_id id) noexcept;
[[noreturn]] void throw_other_loop(const char* what);

/// *Errors*: invalid_state_error if `home` lives and belongs to another thread: "WHAT was called on a thread that is
/// not its loop's: INSTEAD". *Complexity*: on the loop's thread, while the loop runs, a comparison.
inline void require_loop_thread(loop_id home, const char* what, const char* instead = post_it) {
    if (home != current_loop_id) [[unlikely]]
        check_loop_thread(home, what, instead);
}
/// The same as an answer, for destructors.
[[nodiscard]] bool is_loop_thread(loop_id home) noexcept;

/// The loop that a primitive belongs to: none until a task first waits for it, and none again when that loop has ended.
class loop_home {
public:
    /// A task of the running loop is about to wait. *Errors*: invalid_state_error if the primitive belongs to another
    /// loop, which lives; `what` is the function, "event::wait".
    void join(const char* what) {
        if (id_ == current_loop_id) [[likely]]
            return;
        if (id_ != 0 && loop_lives(id_))
            throw_other_loop(what);
        id_ = current_loop_id;
    }
    /// An awaitable of the primitive is about to be made, and awaited later. *Errors*: invalid_state_error if the
    /// primitive belongs to a loop of another thread.
    void require_waiter(const char* what) const {
        if (id_ != current_loop_id && id_ != 0) [[unlikely]]
            check_waiting_thread(id_, what);
    }
    /// The primitive is about to be changed, which may wake a task. *Errors*: as require_loop_thread.
    void require_thread(const char* what, const char* instead = post_it) const {
        if (id_ != current_loop_id && id_ != 0) [[unlikely]]
            check_loop_thread(id_, what, instead);
    }
    [[nodiscard]] loop_id id() const noexcept { return id_; }

private:
    loop_id id_ = 0;
};

/// A loop's entry in the list of those that live, for as long as it does.
class loop_identity {
public:
    loop_identity();
    ~loop_identity();
    loop_identity(const loop_identity&) = delete;
    loop_identity& operator=(const loop_identity&) = delete;

    [[nodiscard]] loop_id id() const noexcept { return id_; }
    /// The loop is about to run on this thread and belongs to it from now on.
    void belongs_here() noexcept;

private:
    loop_id id_;
    std::uint64_t thread_; ///< the number of the thread that it belonged to last, as this object knows it
};

} // namespace muster::detail
