// SPDX-License-Identifier: MIT
// The loop on libuv.
//
// The ready queue and the timers are the scheduler's own; libuv polls descriptors and watches signals. poll() is one
// run of libuv, and so one epoll_wait, whether it sleeps or not. Two descriptors of the loop's own end a sleep:
//
//     wake_fd   an eventfd. Another thread writes it when it has posted a letter and the loop sleeps (mailbox.hpp).
//     alarm_fd  a timerfd, because libuv counts time in milliseconds. It rings at the earliest timer or before. It is
//               set only when it would ring too late: a timer that was disarmed leaves it as it is, and the loop then
//               wakes once for nothing. So limits that come and go far in the future cost no system call.
//
//     alarm:   off --set--> set --its time has come--> rung --set--> set
//                                                      rung --no timer is left--> off
//
// Signals belong to the whole program. watched_signals counts how many loops watch each one, so that the last loop
// gives the default action back, and leaves alone a signal that the program handles itself.
#include <muster/event_loop.hpp>

#include "posix/owned_fd.hpp"
#include "posix/signal_actions.hpp"

#include <muster/detail/assert.hpp>

#include <uv.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <list>
#include <mutex>
#include <random>
#include <system_error>
#include <utility>

namespace muster {

using detail::nanoseconds;

struct event_loop::backend {
    enum class alarm_state { off, set, rung };

    uv_loop_t loop{};
    detail::owned_fd wake_fd;
    detail::owned_fd alarm_fd;
    uv_poll_t wake{};
    uv_poll_t alarm{};
    alarm_state alarm_is = alarm_state::off;
    nanoseconds alarm_time{0};         ///< while it is set
    std::list<uv_signal_t> interrupts; ///< held by address
    interrupt_function interrupted = nullptr;
    void* interrupt_context = nullptr;
    std::chrono::steady_clock::time_point epoch = std::chrono::steady_clock::now();

    static void send_wake(void* context) noexcept;
    void open();
    void close() noexcept;
    void set_alarm(std::optional<nanoseconds> until) noexcept;
    [[nodiscard]] bool is_alive() noexcept;
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

void event_loop::backend::send_wake(void* context) noexcept {
    // It fails only if nobody has read some 2^64 wake-ups before this one.
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(static_cast<backend*>(context)->wake_fd.get(), &one, sizeof one);
    MUSTER_ASSERT(written == sizeof one);
}

void event_loop::backend::open() {
    wake_fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    alarm_fd.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!wake_fd.is_open() || !alarm_fd.is_open())
        throw std::system_error(errno, std::generic_category(), no_loop);
    require_room_for_loop(!had_a_loop.load(std::memory_order_relaxed));
    require_uv(uv_loop_init(&loop), no_loop);
    had_a_loop.store(true, std::memory_order_relaxed);
    int status = uv_poll_init(&loop, &wake, wake_fd.get());
    if (status == 0) {
        status = uv_poll_init(&loop, &alarm, alarm_fd.get());
        if (status != 0)
            close_now(loop, reinterpret_cast<uv_handle_t*>(&wake));
    }
    if (status != 0) {
        uv_loop_close(&loop);
        require_uv(status, no_loop);
    }
    wake.data = alarm.data = this;
    status = uv_poll_start(&wake, UV_READABLE, [](uv_poll_t* w, int, int) {
        std::uint64_t count = 0;
        static_cast<void>(!::read(static_cast<backend*>(w->data)->wake_fd.get(), &count, sizeof count));
    });
    MUSTER_ASSERT(status == 0);
    status = uv_poll_start(&alarm, UV_READABLE,
        [](uv_poll_t* a, int, int) { static_cast<backend*>(a->data)->alarm_is = alarm_state::rung; });
    MUSTER_ASSERT(status == 0); // libuv refuses only a handle that is being closed
    // The wake-up counts as alive, or uv_run would not look at it.
    uv_unref(reinterpret_cast<uv_handle_t*>(&alarm));
}

void event_loop::backend::close() noexcept {
    close_now(loop, reinterpret_cast<uv_handle_t*>(&alarm));
    close_now(loop, reinterpret_cast<uv_handle_t*>(&wake));
    // Awaiters that were destroyed just now may have handles that libuv is still closing.
    while (uv_loop_close(&loop) == UV_EBUSY)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/// Makes sure that a sleep ends at this time, or before it.
void event_loop::backend::set_alarm(std::optional<nanoseconds> until) noexcept {
    const bool rings_in_time = alarm_is == alarm_state::set && until && alarm_time <= *until;
    if (rings_in_time || (!until && alarm_is != alarm_state::rung))
        return;
    itimerspec at{}; // all zero: it does not ring
    if (until) {
        const nanoseconds start = epoch.time_since_epoch();
        const auto time = (start + std::min(*until, nanoseconds::max() - start)).count();
        at.it_value.tv_sec = static_cast<std::time_t>(time / 1'000'000'000);
        at.it_value.tv_nsec = static_cast<long>(time % 1'000'000'000);
        alarm_time = *until;
    }
    alarm_is = until ? alarm_state::set : alarm_state::off;
    [[maybe_unused]] const int status = ::timerfd_settime(alarm_fd.get(), TFD_TIMER_ABSTIME, &at, nullptr);
    MUSTER_ASSERT(status == 0);
}

/// *Returns* whether libuv has anything to wait for, other than this loop's own descriptors.
bool event_loop::backend::is_alive() noexcept {
    auto* own = reinterpret_cast<uv_handle_t*>(&wake);
    uv_unref(own);
    const bool alive = uv_loop_alive(&loop) != 0;
    uv_ref(own);
    return alive;
}

event_loop::event_loop() : event_loop(std::make_unique<backend>()) {}

event_loop::event_loop(std::unique_ptr<backend> b) : scheduler(&backend::send_wake, b.get()), backend_(std::move(b)) {
    seed_random((std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}());
    open_standard_descriptors();
    backend_->open();
}

event_loop::~event_loop() {
    destroy_tasks();
    while (end_hook* h = end_hooks_.pop_front())
        h->ended_(*h);
    unwatch_interrupt();
    backend_->close();
}

void* event_loop::native() noexcept { return &backend_->loop; }

nanoseconds event_loop::read_clock() noexcept {
    return std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now() - backend_->epoch);
}

bool event_loop::poll(bool may_wait, std::optional<nanoseconds> until) {
    auto& b = *backend_;
    if (!may_wait || (until && *until <= read_clock())) {
        uv_run(&b.loop, UV_RUN_NOWAIT);
        return true;
    }
    {
        const detail::mailbox::sleep asleep(*inbox());
        const bool has_letter = asleep.letter_is_there();
        if (has_letter || until || external_work_left() || b.is_alive()) {
            if (!has_letter)
                b.set_alarm(until);
            uv_run(&b.loop, has_letter ? UV_RUN_NOWAIT : UV_RUN_ONCE);
            return true;
        }
    }
    // Only a signal that came just now can still change anything.
    uv_run(&b.loop, UV_RUN_NOWAIT);
    return has_ready() || next_timer() || external_work_left() || b.is_alive();
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
