// SPDX-License-Identifier: MIT
#include <muster/io/signals.hpp>

#include "io/descriptor.hpp"
#include "loops/require_event_loop.hpp"
#include "posix/signal_actions.hpp"
#include "posix/system_error.hpp"

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

/// One for each watcher, read by the handler on whatever thread a signal arrives.
struct place {
    std::atomic<int> pipe{-1};
    std::atomic<std::uint64_t> signals{0};
};

std::array<place, 64> places;
std::atomic<int> in_handler{0};
std::atomic<pid_t> owner{0}; ///< a forked child must not tell its parent of its own signals

static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);

std::uint64_t bit(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }

extern "C" void muster_io_signal(int signal) {
    const int error = errno;
    in_handler.fetch_add(1);
    if (owner.load() == ::getpid()) {
        for (auto& p : places) {
            if ((p.signals.load() & bit(signal)) == 0)
                continue;
            const int pipe = p.pipe.load();
            const auto number = static_cast<unsigned char>(signal);
            if (pipe >= 0)
                static_cast<void>(!::write(pipe, &number, 1));
        }
    }
    in_handler.fetch_sub(1);
    errno = error;
}

/// What a signal did before the first watcher, and how many there are.
struct kept {
    struct sigaction before {};
    int watchers = 0;
};

std::mutex lock;
std::array<kept, most_signals + 1> table;

void unwatch(int signal) noexcept {
    auto& k = table[static_cast<std::size_t>(signal)];
    if (--k.watchers != 0)
        return;
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == &muster_io_signal)
        detail::put_back_signal(signal, k.before);
}

void unwatch_all(std::uint64_t signals) noexcept {
    for (int s = 1; s <= most_signals; ++s)
        if ((signals & bit(s)) != 0)
            unwatch(s);
}

void watch(int signal) {
    auto& k = table[static_cast<std::size_t>(signal)];
    struct sigaction action {};
    action.sa_handler = &muster_io_signal;
    action.sa_flags = SA_RESTART;
    ::sigfillset(&action.sa_mask);
    struct sigaction before {};
    if (::sigaction(signal, &action, &before) != 0)
        detail::throw_system_error(errno, "signal " + std::to_string(signal) + " can't be watched");
    if (k.watchers++ == 0)
        k.before = before;
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

struct signal_watcher::state {
    explicit state(std::uint64_t all) : ends(make_pipe()), signals(all) {
        const std::lock_guard guard(lock);
        for (auto& p : places) {
            if (p.pipe.load() < 0) {
                mine = &p;
                break;
            }
        }
        if (mine == nullptr)
            detail::throw_system_error(EAGAIN, "64 signal watchers are the most there can be");
        owner = ::getpid();
        mine->pipe = ends.writer.native_handle();
        mine->signals = signals;
        std::uint64_t watched = 0;
        try {
            for (int s = 1; s <= most_signals; ++s) {
                if ((signals & bit(s)) != 0) {
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
        unwatch_all(signals);
        vacate();
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    void vacate() noexcept {
        mine->signals = 0;
        mine->pipe = -1;
        // Whoever took the number before must have written before it can be somebody else's.
        while (in_handler.load() != 0 && owner.load() == ::getpid())
            ::sched_yield();
    }

    pipe_ends ends;
    std::uint64_t signals;
    place* mine = nullptr;
    external_work_guard work;
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

task<int> signal_watcher::next() {
    return next_of(state_ ? state_->ends.reader.shared() : std::make_shared<detail::descriptor>(-1));
}

} // namespace muster::io
