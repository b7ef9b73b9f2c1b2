// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A non-blocking descriptor and who waits for it. An operation tries the system call first and waits only if there is
/// nothing to do: so a wait that is cancelled has lost nothing. A descriptor may outlive its loop. Private to the
/// library.
///
///     descriptor::use mine(*d, descriptor::side::reading);
///     descriptor::readiness waiting(*d, descriptor::side::reading);
///     co_await waiting;

#include "vocabulary/one_at_a_time.hpp"

#include <muster/detail/fiber.hpp>
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
#include <thread>

#include <sys/types.h>

struct uv_poll_s;

namespace muster::detail {

/// Immovable; shared by what refers to it and its operations in flight. *Thread safety*: one thread.
class descriptor {
public:
    enum class side : std::uint8_t { reading, writing };
    class readiness;
    class use;

    /// Takes over `fd`, which must be non-blocking.
    explicit descriptor(int fd) noexcept;
    /// The same for one that has none, and is not in use.
    void reset(int fd) noexcept;
    ~descriptor() { close(); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    [[nodiscard]] bool is_socket() const noexcept { return socket_; }
    [[nodiscard]] bool in_use(side s) const noexcept { return used_[index(s)].in_use(); }
    void close() noexcept;
    [[nodiscard]] int release() noexcept;
    /// It was made non-blocking although others share it: that is undone when it is closed.
    void block_again_when_closed() noexcept { block_again_ = true; }

    /// One try. *Returns* how much, or -1 with errno set, never EINTR.
    [[nodiscard]] ssize_t try_read(std::span<std::byte> into) noexcept;
    [[nodiscard]] ssize_t try_write(std::span<const std::byte> bytes) noexcept;

    /// *Errors*: operation_canceled if it was closed during the operation.
    void require_still_open(const char* what) const;

    /// Whether the operation that begins must let others run first: many did not have to wait.
    [[nodiscard]] bool is_greedy() noexcept;

    std::uint64_t read_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t part_written_ = 0; ///< of a write that ended within its bytes; 0: there was none

private:
    struct told;
    static constexpr std::size_t index(side s) noexcept { return static_cast<std::size_t>(s); }
    struct loop_end : event_loop::end_hook {
        explicit loop_end(descriptor& d) noexcept;
        descriptor* of;
    };

    [[nodiscard]] static one_at_a_time& free_side(descriptor& d, side s, const char* what);
    [[nodiscard]] std::error_code begin_wait(readiness& r) noexcept;
    void end_wait(side s) noexcept;
    [[nodiscard]] std::error_code watch(event_loop& loop) noexcept;
    [[nodiscard]] int wanted() const noexcept;
    void unwatch() noexcept;
    void wake(side s) noexcept;
    void wake_all() noexcept;

    int fd_;
    bool socket_;
    bool block_again_ = false;
    std::uint8_t eager_ = 0;
    std::array<one_at_a_time, 2> used_;
    std::array<readiness*, 2> waiting_{};
    // libuv's handle stays with the loop that was waited on first, and goes on watching what nobody waits for at the
    // moment until that happens: who reads, and waits for more, costs no system call but the read.
    uv_poll_s* poll_ = nullptr;
    event_loop* loop_ = nullptr; ///< of poll_
    std::thread::id thread_;     ///< its
    int watched_ = 0;            ///< libuv's events
    loop_end loop_end_;
};

/// One operation on one side. *Errors*: bad_file_descriptor if it is closed; invalid_state_error if there is another,
/// or the running loop does no I/O.
class descriptor::use {
public:
    use(descriptor& d, side s, const char* what);

private:
    one_at_a_time::use alone_;
};

/// Waits until there may be something to do. *Errors*: what keeps it from being watched.
class descriptor::readiness final : public library_awaitable, public suspension {
public:
    readiness(descriptor& d, side s) noexcept
        : suspension(s == side::reading ? reading_kind : writing_kind),
          of_(&d),
          side_(s) {}
    ~readiness() {
        if (of_->waiting_[index(side_)] == this)
            of_->end_wait(side_);
    }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        failure_ = of_->begin_wait(*this);
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
    friend class descriptor;
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
        auto& self = static_cast<readiness&>(s);
        self.of_->end_wait(self.side_);
        return cancel_effect::interrupted;
    }
    static constexpr suspension_kind reading_kind{"something to read", &cancel, nullptr, true};
    static constexpr suspension_kind writing_kind{"room to write", &cancel, nullptr, true};

    descriptor* of_;
    side side_;
    std::error_code failure_;
};

/// The operations, each with its own share of the descriptor.
[[nodiscard]] task<std::size_t> read_some(std::shared_ptr<descriptor> d, std::span<std::byte> into);
[[nodiscard]] task<> write_all(std::shared_ptr<descriptor> d, std::span<const std::byte> bytes);
[[nodiscard]] task<> write_text(std::shared_ptr<descriptor> d, std::string text);

/// Makes a non-blocking socket. *Errors*: std::system_error.
[[nodiscard]] std::shared_ptr<descriptor> make_socket(int family);
/// *Returns* an error, if there is one.
[[nodiscard]] task<std::error_code> connect_to(std::shared_ptr<descriptor> d, io::address to);
void set_no_delay(int fd) noexcept;

} // namespace muster::detail
