// SPDX-License-Identifier: MIT
// The loop on libuv.
//
// The ready queue and the timers are the scheduler's own; libuv polls descriptors, watches signals and wakes the loop
// when another thread posts. poll() runs libuv without waiting, and then waits on libuv's descriptor itself, because
// libuv counts time in milliseconds.
//
// Signals belong to the whole program. watched_signals counts how many loops watch each one, so that the last loop
// gives the default action back, and leaves alone a signal that the program handles itself.
#include <muster/event_loop.hpp>

#include "posix/signal_actions.hpp"

#include <uv.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <list>
#include <mutex>
#include <random>
#include <system_error>
#include <utility>

namespace muster {

using detail::nanoseconds;

struct event_loop::backend {
    uv_loop_t loop{};
    uv_async_t wake{};
    std::list<uv_signal_t> interrupts; ///< held by address
    interrupt_function interrupted = nullptr;
    void* interrupt_context = nullptr;
    std::chrono::steady_clock::time_point epoch = std::chrono::steady_clock::now();

    static void send_wake(void* context) noexcept { uv_async_send(&static_cast<backend*>(context)->wake); }
};

namespace {

constexpr const char* no_loop = "no event loop can be made";

void require_uv(int status, const char* what) {
    if (status < 0)
        throw std::system_error(-status, std::generic_category(), what);
}

/// Checks that there are enough descriptors before uv_loop_init is called. When it runs out of them it does not give
/// back those that it got and, for the first loop of the program, ends the program.
void require_room_for_loop(bool first) {
    std::array<int, 6> taken{};
    taken.fill(-1);
    const std::size_t needed = first ? 6 : 4;
    int error = 0;
    for (std::size_t i = 0; i != needed && error == 0; i += 2)
        error = pipe2(&taken[i], O_CLOEXEC) == 0 ? 0 : errno;
    for (const int descriptor : taken) {
        if (descriptor >= 0)
            close(descriptor);
    }
    if (error != 0)
        throw std::system_error(error, std::generic_category(), no_loop);
}

constinit std::atomic<bool> had_a_loop = false;

/// Makes sure that descriptors 0, 1 and 2 are open: libuv ends the program (an assertion in uv__close) if it gets one
/// of them for itself.
void open_standard_descriptors() {
    int fd = -1;
    do
        fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd < 0)
        throw std::system_error(errno, std::generic_category(), no_loop);
    ::close(fd);
}

/// Closes a handle and waits for that: libuv closes handles only while its loop runs.
void close_now(uv_loop_t& loop, uv_handle_t* handle) noexcept {
    bool closed = false;
    handle->data = &closed;
    uv_close(handle, [](uv_handle_t* h) { *static_cast<bool*>(h->data) = true; });
    while (!closed)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/// Which signals the loops of this program watch. A signal whose action is neither the default nor set by a loop is
/// handled by the program itself, and no loop watches it.
class watched_signals {
public:
    /// *Returns* an error of libuv's; 0 also where the signal is left alone.
    static int start(uv_signal_t& handle, int signal, uv_signal_cb call) noexcept {
        const std::lock_guard lock(mutex_);
        auto& loops = loops_[static_cast<std::size_t>(signal)];
        struct sigaction now {};
        if (loops == 0 && (sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL))
            return 0;
        const int status = uv_signal_start(&handle, call, signal);
        if (status == 0 && loops++ == 0 && sigaction(signal, nullptr, &now) == 0)
            handler_ = now.sa_handler;
        return status;
    }
    /// Does nothing for one that was not started, or was stopped.
    static void stop(uv_signal_t& handle) noexcept {
        const std::lock_guard lock(mutex_);
        if (uv_is_active(reinterpret_cast<uv_handle_t*>(&handle)) == 0)
            return;
        const int signal = handle.signum;
        auto& loops = loops_[static_cast<std::size_t>(signal)];
        struct sigaction now {};
        const bool known = sigaction(signal, nullptr, &now) == 0;
        --loops;
        uv_signal_stop(&handle);
        // libuv sets the default, also where somebody has taken the signal over since.
        if (loops == 0 && known && now.sa_handler != handler_)
            sigaction(signal, &now, nullptr);
    }
    /// Restores what was set for a signal by somebody who had taken it over, perhaps from a loop that has ended since.
    static void put_back(int signal, const struct sigaction& before) noexcept {
        const std::lock_guard lock(mutex_);
        struct sigaction action = before;
        if (handler_ != nullptr && before.sa_handler == handler_ && loops_[static_cast<std::size_t>(signal)] == 0) {
            action = {};
            action.sa_handler = SIG_DFL;
        }
        sigaction(signal, &action, nullptr);
    }

private:
    static inline std::mutex mutex_;
    static inline std::array<int, 65> loops_{};
    static inline void (*handler_)(int) = nullptr; ///< what libuv sets
};

} // namespace

namespace detail {
void put_back_signal(int signal, const struct sigaction& before) noexcept { watched_signals::put_back(signal, before); }
} // namespace detail

event_loop::event_loop() : event_loop(std::make_unique<backend>()) {}

event_loop::event_loop(std::unique_ptr<backend> b) : scheduler(&backend::send_wake, b.get()), backend_(std::move(b)) {
    seed_random((std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}());
    open_standard_descriptors();
    require_room_for_loop(!had_a_loop.load(std::memory_order_relaxed));
    require_uv(uv_loop_init(&backend_->loop), no_loop);
    had_a_loop.store(true, std::memory_order_relaxed);
    if (const int status = uv_async_init(&backend_->loop, &backend_->wake, [](uv_async_t*) {}); status < 0) {
        uv_loop_close(&backend_->loop);
        require_uv(status, "no wake-up for an event loop can be made");
    }
}

event_loop::~event_loop() {
    destroy_tasks();
    while (end_hook* h = end_hooks_.pop_front())
        h->ended_(*h);
    unwatch_interrupt();
    close_now(backend_->loop, reinterpret_cast<uv_handle_t*>(&backend_->wake));
    // Awaiters that were destroyed just now may have handles that libuv is still closing.
    while (uv_loop_close(&backend_->loop) == UV_EBUSY)
        uv_run(&backend_->loop, UV_RUN_NOWAIT);
}

void* event_loop::native() noexcept { return &backend_->loop; }

nanoseconds event_loop::read_clock() noexcept {
    return std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now() - backend_->epoch);
}

bool event_loop::poll(bool may_wait, std::optional<nanoseconds> until) {
    uv_loop_t& loop = backend_->loop;
    // libuv registers what was added since the last time, and takes the events that are there.
    uv_run(&loop, UV_RUN_NOWAIT);
    if (!may_wait || std::exchange(again_, false) || has_ready() || !inbox()->empty())
        return true;
    until = next_timer(); // what was called may have armed one
    if (!until && !external_work_left()) {
        // The wake-up counts as alive, or uv_run would not look at it; here it must not count.
        auto* wake = reinterpret_cast<uv_handle_t*>(&backend_->wake);
        uv_unref(wake);
        const bool alive = uv_loop_alive(&loop) != 0;
        uv_ref(wake);
        if (!alive)
            return false;
    }
    // libuv counts in milliseconds; waiting on its descriptor ourselves keeps timers exact.
    timespec wait{};
    timespec* limit = nullptr;
    if (until) {
        const auto left = std::max(nanoseconds(0), *until - read_clock());
        wait.tv_sec = static_cast<std::time_t>(left.count() / 1'000'000'000);
        wait.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
        limit = &wait;
    }
    pollfd events{uv_backend_fd(&loop), POLLIN, 0};
    if (ppoll(&events, 1, limit, nullptr) < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "waiting for events failed");
    uv_run(&loop, UV_RUN_NOWAIT);
    return true;
}

bool event_loop::watch_interrupt(std::uint64_t signals, interrupt_function interrupted, void* context) {
    auto& b = *backend_;
    if (!b.interrupts.empty())
        return false;
    b.interrupted = interrupted;
    b.interrupt_context = context;
    for (int signal = 1; signals != 0; ++signal, signals >>= 1) {
        if ((signals & 1) == 0)
            continue;
        uv_signal_t& handle = b.interrupts.emplace_back();
        int status = uv_signal_init(&b.loop, &handle);
        if (status < 0) {
            b.interrupts.pop_back();
        } else {
            handle.data = &b;
            status = watched_signals::start(handle, signal, [](uv_signal_t* s, int number) {
                auto& self = *static_cast<backend*>(s->data);
                for (auto& each : self.interrupts)
                    watched_signals::stop(each);
                self.interrupted(number, self.interrupt_context);
            });
            // The loop does not wait for a signal alone.
            uv_unref(reinterpret_cast<uv_handle_t*>(&handle));
        }
        if (status < 0) {
            unwatch_interrupt();
            require_uv(status, "the signals that interrupt can't be watched");
        }
    }
    return !b.interrupts.empty();
}

void event_loop::unwatch_interrupt() noexcept {
    while (!backend_->interrupts.empty()) {
        watched_signals::stop(backend_->interrupts.back());
        close_now(backend_->loop, reinterpret_cast<uv_handle_t*>(&backend_->interrupts.back()));
        backend_->interrupts.pop_back();
    }
}

} // namespace muster
