// SPDX-License-Identifier: MIT
#include <muster/event_loop.hpp>

#include <uv.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <random>
#include <system_error>

namespace muster {

using detail::nanoseconds;

struct event_loop::backend {
    uv_loop_t loop{};
    uv_async_t wake{};
    uv_signal_t interrupt{};
    bool watches_interrupt = false;
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

/// Without descriptors uv_loop_init does not give back those that it got and, for the first loop of the program, ends it:
/// whether there is room for them is seen before.
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

/// uv closes a handle in a turn of its loop.
void close_now(uv_loop_t& loop, uv_handle_t* handle) noexcept {
    bool closed = false;
    handle->data = &closed;
    uv_close(handle, [](uv_handle_t* h) { *static_cast<bool*>(h->data) = true; });
    while (!closed)
        uv_run(&loop, UV_RUN_NOWAIT);
}

} // namespace

event_loop::event_loop() : event_loop(std::make_unique<backend>()) {}

event_loop::event_loop(std::unique_ptr<backend> b)
    : scheduler(&backend::send_wake, b.get()), backend_(std::move(b)) {
    seed_random((std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}());
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
    unwatch_interrupt();
    close_now(backend_->loop, reinterpret_cast<uv_handle_t*>(&backend_->wake));
    // What awaiters were destroyed with may still be closing its handles.
    while (uv_loop_close(&backend_->loop) == UV_EBUSY)
        uv_run(&backend_->loop, UV_RUN_NOWAIT);
}

void* event_loop::native() noexcept {
    return &backend_->loop;
}

nanoseconds event_loop::read_clock() noexcept {
    return std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now() - backend_->epoch);
}

bool event_loop::poll(bool may_wait, std::optional<nanoseconds> until) {
    uv_loop_t& loop = backend_->loop;
    // Registers what was added since the last time, and takes what is there.
    uv_run(&loop, UV_RUN_NOWAIT);
    if (!may_wait || has_ready() || !inbox()->empty())
        return true;
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

bool event_loop::watch_interrupt(interrupt_function interrupted, void* context) {
    auto& b = *backend_;
    if (b.watches_interrupt)
        return false;
    require_uv(uv_signal_init(&b.loop, &b.interrupt), "SIGINT can't be watched");
    b.watches_interrupt = true;
    b.interrupted = interrupted;
    b.interrupt_context = context;
    b.interrupt.data = &b;
    const int status = uv_signal_start_oneshot(
        &b.interrupt,
        [](uv_signal_t* s, int) {
            auto& self = *static_cast<backend*>(s->data);
            self.interrupted(self.interrupt_context);
        },
        SIGINT);
    if (status < 0) {
        unwatch_interrupt();
        require_uv(status, "SIGINT can't be watched");
    }
    // It alone keeps nobody waiting.
    uv_unref(reinterpret_cast<uv_handle_t*>(&b.interrupt));
    return true;
}

void event_loop::unwatch_interrupt() noexcept {
    if (!backend_->watches_interrupt)
        return;
    backend_->watches_interrupt = false;
    close_now(backend_->loop, reinterpret_cast<uv_handle_t*>(&backend_->interrupt));
}

} // namespace muster
