// SPDX-License-Identifier: MIT
/// \file
/// Signals as bytes in pipes. The handler of a signal writes its number into the pipe of every watcher that wants it,
/// and next() reads from that pipe. A handler may run on any thread, at any moment, so it touches atomic slots only,
/// and a watcher that goes waits until no handler is running before its pipe is closed.
#include <muster/io/signals.hpp>

#include "io/descriptor.hpp"
#include "loops/require_event_loop.hpp"
#include "posix/signal_actions.hpp"
#include "posix/system_error.hpp"

#include <muster/detail/assert.hpp>
#include <muster/io/pipe.hpp>
#include <muster/loop_handle.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include <sched.h>
#include <unistd.h>

namespace muster::io {

namespace {

constexpr int most_signals = 64;

/// The part of a watcher that the handler reads.
struct watcher_slot {
    std::atomic<int> pipe{-1}; ///< -1: the slot is free
    std::atomic<std::uint64_t> signals{0};
};

std::array<watcher_slot, 64> slots;
std::atomic<int> handlers_running{0};
std::atomic<pid_t> owner{0}; ///< a forked child has the same pipes, and must not write its own signals into them

static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);

std::uint64_t bit(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }

extern "C" void muster_io_signal(int signal) {
    const int error = errno;
    handlers_running.fetch_add(1);
    if (owner.load() == ::getpid()) {
        for (auto& p : slots) {
            if ((p.signals.load() & bit(signal)) == 0)
                continue;
            const int pipe = p.pipe.load();
            const auto number = static_cast<unsigned char>(signal);
            if (pipe >= 0)
                static_cast<void>(!::write(pipe, &number, 1));
        }
    }
    handlers_running.fetch_sub(1);
    errno = error;
}

struct watched_signal {
    struct sigaction before {}; ///< what it did before the first watcher
    int watchers = 0;
};

std::mutex lock;
std::array<watched_signal, most_signals + 1> table; ///< with the lock

/// With the lock.
void unwatch(int signal) noexcept {
    auto& w = table[static_cast<std::size_t>(signal)];
    MUSTER_ASSERT(w.watchers > 0);
    if (--w.watchers != 0)
        return;
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == &muster_io_signal)
        detail::put_back_signal(signal, w.before);
}

/// With the lock.
void unwatch_all(std::uint64_t signals) noexcept {
    for (int s = 1; s <= most_signals; ++s)
        if ((signals & bit(s)) != 0)
            unwatch(s);
}

/// With the lock. *Errors*: std::system_error.
void watch(int signal) {
    auto& w = table[static_cast<std::size_t>(signal)];
    struct sigaction action {};
    action.sa_handler = &muster_io_signal;
    action.sa_flags = SA_RESTART;
    ::sigfillset(&action.sa_mask);
    struct sigaction before {};
    if (::sigaction(signal, &action, &before) != 0)
        detail::throw_system_error(errno, "signal " + std::to_string(signal) + " can't be watched");
    if (w.watchers++ == 0)
        w.before = before;
}

std::uint64_t set_of(std::initializer_list<int> signals) {
    std::uint64_t all = 0;
    for (const int s : signals) {
        if (s < 1 || s > most_signals || s == SIGKILL || s == SIGSTOP || s == SIGSEGV || s == SIGBUS || s == SIGFPE ||
            s == SIGILL)
            throw std::invalid_argument("signal_watcher: " + std::to_string(s) + " is no signal that can be watched");
        all |= bit(s);
    }
    if (all == 0)
        throw std::invalid_argument("signal_watcher: name a signal at least");
    return all;
}

} // namespace

class signal_watcher::state {
public:
    explicit state(std::uint64_t signals) : ends_(make_pipe()), signals_(signals) {
        const std::lock_guard guard(lock);
        slot_ = &free_slot();
        owner = ::getpid();
        slot_->pipe = ends_.writer.native_handle();
        slot_->signals = signals_;
        std::uint64_t watched = 0;
        try {
            for (int s = 1; s <= most_signals; ++s) {
                if ((signals_ & bit(s)) != 0) {
                    watch(s);
                    watched |= bit(s);
                }
            }
        } catch (...) {
            unwatch_all(watched);
            vacate();
            throw;
        }
    }
    ~state() {
        const std::lock_guard guard(lock);
        unwatch_all(signals_);
        vacate();
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    [[nodiscard]] const std::shared_ptr<detail::descriptor>& pipe() const noexcept { return ends_.reader.shared(); }

private:
    static watcher_slot& free_slot() {
        for (auto& s : slots)
            if (s.pipe.load() < 0)
                return s;
        detail::throw_system_error(EAGAIN, "64 signal watchers are the most there can be");
    }
    void vacate() noexcept {
        slot_->signals = 0;
        slot_->pipe = -1;
        // A handler that has read the pipe's number must have written to it before another descriptor can get it.
        while (handlers_running.load() != 0 && owner.load() == ::getpid())
            ::sched_yield();
    }

    pipe_ends ends_;
    std::uint64_t signals_;
    watcher_slot* slot_ = nullptr;
    external_work_guard work_; ///< the loop waits for signals as long as there is a watcher
};

signal_watcher::signal_watcher(std::initializer_list<int> signals) {
    const auto all = set_of(signals);
    detail::require_event_loop("watching signals");
    state_ = std::make_unique<state>(all);
}

signal_watcher::signal_watcher(signal_watcher&&) noexcept = default;
signal_watcher& signal_watcher::operator=(signal_watcher&&) noexcept = default;
signal_watcher::~signal_watcher() = default;

namespace {

task<int> next_of(std::shared_ptr<detail::descriptor> pipe) {
    std::byte number{};
    auto reading = detail::read_some(std::move(pipe), std::span<std::byte>(&number, 1));
    const std::size_t count = co_await std::move(reading);
    if (count == 0)
        throw std::system_error(std::make_error_code(std::errc::operation_canceled), "waiting for a signal");
    co_return static_cast<int>(number);
}

} // namespace

task<int> signal_watcher::next() { return next_of(state_ ? state_->pipe() : std::make_shared<detail::descriptor>(-1)); }

} // namespace muster::io
