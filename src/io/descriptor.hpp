// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A non-blocking descriptor, and who waits for it. An operation tries the system call first and waits only if there is
/// nothing to do, or begins with a wait if the read before it took all there was; so a wait that is cancelled has lost
/// nothing. A descriptor may outlive its loop. Private to the library.
///
///     const descriptor::use mine(*d, descriptor::side::reading, "reading");
///     descriptor::readiness waiting(*d, descriptor::side::reading);
///     co_await waiting;

#include "posix/owned_fd.hpp"
#include "vocabulary/one_at_a_time.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/loop_thread.hpp>
#include <muster/event_loop.hpp>
#include <muster/io/address.hpp>
#include <muster/task.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <sys/types.h>

struct uv_poll_s;

namespace muster::detail {

/// Immovable; shared by what refers to it and by its operations in flight. *Thread safety*: one thread.
class descriptor {
public:
    enum class side : std::uint8_t { reading, writing };
    enum class kind : std::uint8_t { socket, pipe, other };
    class waiter;
    class readiness;
    class use;

    /// Takes over `fd`, which must be non-blocking; -1 makes a closed one.
    explicit descriptor(int fd) noexcept;
    /// Takes over `fd`. This one must be closed, and no operation may be in flight.
    void reset(int fd) noexcept;
    ~descriptor() { close(); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] bool is_open() const noexcept { return fd_.is_open(); }
    [[nodiscard]] bool is_socket() const noexcept { return kind_ == kind::socket; }
    [[nodiscard]] bool in_use(side s) const noexcept { return used_[index(s)].in_use(); }
    /// Whether a readiness or another waiter waits for this side.
    [[nodiscard]] bool has_waiter(side s) const noexcept { return waiting_[index(s)] != nullptr; }
    /// On its loop's thread: see is_here().
    void close() noexcept;
    [[nodiscard]] int release() noexcept;
    /// False while it is watched by a loop that lives and belongs to another thread.
    [[nodiscard]] bool is_here() const noexcept { return is_loop_thread(home_); }
    /// *Errors*: invalid_state_error, which begins with `what`, unless it is here.
    void require_here(const char* what,
        const char* instead = "do it on the loop's thread, with loop_handle::post, or give the descriptor away there "
                              "with release()") const {
        require_loop_thread(home_, what, instead);
    }
    /// For one that was made non-blocking although other programs share it: close() makes it blocking again.
    void block_again_when_closed() noexcept { blocks_again_ = true; }

    /// One try. *Returns* how much, or -1 with errno set, never EINTR.
    [[nodiscard]] ssize_t try_read(std::span<std::byte> into) noexcept;
    [[nodiscard]] ssize_t try_write(std::span<const std::byte> bytes) noexcept;

    /// Whether the last read got all that was there, so that the next one is better begun with a wait. Only once for
    /// each read, and never for what can't be waited for.
    [[nodiscard]] bool take_drained() noexcept { return std::exchange(drained_, false); }

    /// *Errors*: operation_canceled if it was closed during the operation.
    void require_still_open(const char* what) const;

    /// Whether the operation that begins must let other tasks run first, because many before it did not have to wait.
    [[nodiscard]] bool is_greedy() noexcept;

    [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }
    [[nodiscard]] std::uint64_t bytes_written() const noexcept { return bytes_written_; }
    /// How much of its bytes the write wrote that ended before all of them were; 0 if there was no such write.
    [[nodiscard]] std::uint64_t part_written() const noexcept { return part_written_; }
    void write_ended_after(std::uint64_t part) noexcept { part_written_ = part; }

    /// From now on, and until end_wait(), `w` is called once when this side can be used, or when the descriptor is
    /// closed. A side has one waiter at a time. *Returns* why the descriptor can't be watched.
    [[nodiscard]] std::error_code begin_wait(waiter& w, side s, event_loop& loop) noexcept;
    /// Does nothing unless `w` waits for this side.
    void end_wait(const waiter& w, side s) noexcept;

private:
    static constexpr std::size_t index(side s) noexcept { return static_cast<std::size_t>(s); }
    struct loop_end : event_loop::end_hook {
        explicit loop_end(descriptor& d) noexcept;
        descriptor* of;
    };

    /// *Errors*: as `use`.
    [[nodiscard]] static one_at_a_time& free_side(descriptor& d, side s, const char* what);
    static void on_events(uv_poll_s* poll, int status, int events);
    void forget_waiter(side s) noexcept;
    [[nodiscard]] std::error_code watch(event_loop& loop) noexcept;
    [[nodiscard]] int wanted() const noexcept;
    void unwatch() noexcept;
    void wake(side s) noexcept;
    void wake_all() noexcept;

    owned_fd fd_;
    kind kind_;
    bool drained_ = false;
    bool blocks_again_ = false;
    std::uint8_t eager_ = 0; ///< how many operations in a row have not waited
    std::array<one_at_a_time, 2> used_;
    std::array<waiter*, 2> waiting_{};
    std::uint64_t bytes_read_ = 0;
    std::uint64_t bytes_written_ = 0;
    std::uint64_t part_written_ = 0;
    // libuv's handle stays with the loop that was waited on first. It goes on watching a side that no task waits for
    // until that side becomes ready: a task that reads and waits in a loop then costs no system call but the read.
    uv_poll_s* poll_ = nullptr;
    event_loop* loop_ = nullptr; ///< the loop that poll_ belongs to
    loop_id home_ = 0;           ///< the id of that loop; 0 without one
    int watched_ = 0;            ///< the events that libuv watches for, in its own bits
    loop_end loop_end_;
};

/// begin_wait() calls one when a side is ready. *Lifetime*: ends its wait before it is destroyed.
class descriptor::waiter {
public:
    waiter() = default;
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// Its wait has ended; it may begin another one, and close the descriptor, but not destroy it.
    virtual void on_ready() noexcept = 0;

protected:
    ~waiter() = default;
};

/// One operation on one side. *Errors*: bad_file_descriptor if it is closed; invalid_state_error if there is another
/// operation, or the running loop does no I/O.
class descriptor::use {
public:
    use(descriptor& d, side s, const char* what);

private:
    one_at_a_time::use alone_;
};

/// Waits until there may be something to do. *Errors*: what keeps the descriptor from being watched.
class descriptor::readiness final : public library_awaitable, public suspension, private waiter {
public:
    readiness(descriptor& d, side s) noexcept
        : suspension(s == side::reading ? reading_kind : writing_kind),
          of_(&d),
          side_(s) {}
    ~readiness() { of_->end_wait(*this, side_); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        failure_ = of_->begin_wait(*this, side_, static_cast<event_loop&>(fiber_->loop()));
        if (failure_)
            fiber_->yield(h);
        else
            fiber_->wait(*this, h);
    }
    void await_resume() const {
        fiber_->throw_if_cancelled();
        if (failure_)
            throw std::system_error(failure_, "a descriptor can't be watched");
    }

private:
    void on_ready() noexcept override { fiber_->wake(); }
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
        auto& self = static_cast<readiness&>(s);
        self.of_->end_wait(self, self.side_);
        return cancel_effect::interrupted;
    }
    static constexpr suspension_kind reading_kind{.what = "something to read", .cancel = &cancel, .can_fail = true};
    static constexpr suspension_kind writing_kind{.what = "room to write", .cancel = &cancel, .can_fail = true};

    descriptor* of_;
    side side_;
    std::error_code failure_;
};

/// The operations. Each shares the descriptor, so that its owner may go meanwhile.
[[nodiscard]] task<std::size_t> read_some(std::shared_ptr<descriptor> d, std::span<std::byte> into);
[[nodiscard]] task<> write_all(std::shared_ptr<descriptor> d, std::span<const std::byte> bytes);
[[nodiscard]] task<> write_text(std::shared_ptr<descriptor> d, std::string text);

/// For destructors: closes it, or, on a thread that is not its loop's, reports that and leaves it open: closing it
/// there would damage the loop. `what` names the object that was destroyed.
void close_or_report(const std::shared_ptr<descriptor>& d, const char* what) noexcept;
/// The object is never destroyed, as it could be only on a thread that must not.
void keep_for_good(std::shared_ptr<void> object) noexcept;

/// Makes a non-blocking socket. *Errors*: std::system_error.
[[nodiscard]] std::shared_ptr<descriptor> make_socket(int family);
/// Small pieces are sent at once, and are not gathered into larger packets.
void set_no_delay_on(int fd) noexcept;

} // namespace muster::detail
