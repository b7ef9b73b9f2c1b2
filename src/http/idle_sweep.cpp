// SPDX-License-Identifier: MIT
// A timer of libuv's on the client's last loop, which keeps no loop running. The client and the timer share a state
// under a lock, as the loop may be another thread's by the time that the client is used again or destroyed.
//
//                 begin                        pause
//     busy ------------------> idle, calls ------------> busy
//                                  |
//                                  | after `rounds` calls the timer stops
//                                  v
//                              idle, done ------------> busy
//
// A timer that is not the state's any more, as the client has gone or has begun on another loop, is closed by its own
// loop: when it fires, or when the loop ends.
#include "idle_sweep.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/scheduler.hpp>

#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#include <uv.h>

namespace muster::http {

namespace {

constexpr std::uint64_t milliseconds_between = 2000;
/// By then the oldest idle connection was dropped: see curl_loop::sweep_connections.
constexpr unsigned rounds = 40;

} // namespace

struct idle_sweep::state {
    enum class phase { busy, idle };

    std::mutex mutex;
    void* of = nullptr; ///< null once the client has gone
    function call = nullptr;
    timer* at = nullptr;
    phase now = phase::busy;
    unsigned left = 0; ///< calls until the timer stops
};

/// Belongs to its loop.
class idle_sweep::timer final : private event_loop::end_hook {
public:
    timer(event_loop& loop, std::shared_ptr<state> shared) noexcept
        : end_hook([](end_hook& h) noexcept { static_cast<timer&>(h).loop_has_ended(); }),
          loop_(&loop),
          state_(std::move(shared)) {
        uv_timer_init(static_cast<uv_loop_t*>(loop.native()), &timer_);
        timer_.data = this;
        uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
        loop.add(*this);
    }
    [[nodiscard]] bool is_on(const event_loop& loop) const noexcept { return loop_ == &loop; }
    [[nodiscard]] bool is_on_this_thread() const noexcept { return muster::detail::scheduler::current() == loop_; }
    void start() noexcept {
        if (uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_)) == 0)
            uv_timer_start(
                &timer_, [](uv_timer_t* t) { static_cast<timer*>(t->data)->fire(); }, milliseconds_between,
                milliseconds_between);
    }
    /// Frees it once libuv has let go of it.
    void close() noexcept {
        loop_->remove(*this);
        free_later();
    }

private:
    void free_later() noexcept {
        uv_close(reinterpret_cast<uv_handle_t*>(&timer_), [](uv_handle_t* h) { delete static_cast<timer*>(h->data); });
    }
    void loop_has_ended() noexcept {
        {
            const std::lock_guard lock(state_->mutex);
            if (state_->at == this)
                state_->at = nullptr;
        }
        free_later();
    }
    void fire() noexcept {
        {
            const std::lock_guard lock(state_->mutex);
            if (state_->at == this) {
                MUSTER_ASSERT(state_->of != nullptr);
                if (state_->now == state::phase::busy)
                    return;
                state_->call(state_->of);
                if (--state_->left == 0)
                    uv_timer_stop(&timer_);
                return;
            }
        }
        close();
    }

    event_loop* loop_;
    std::shared_ptr<state> state_;
    uv_timer_t timer_{};
};

idle_sweep::idle_sweep(void* of, function call) : state_(std::make_shared<state>()) {
    state_->of = of;
    state_->call = call;
}

idle_sweep::~idle_sweep() {
    const std::lock_guard lock(state_->mutex);
    state_->of = nullptr;
    timer* const at = std::exchange(state_->at, nullptr);
    if (at != nullptr && at->is_on_this_thread())
        at->close();
}

void idle_sweep::begin(event_loop& loop) noexcept {
    const std::lock_guard lock(state_->mutex);
    if (state_->at == nullptr || !state_->at->is_on(loop))
        state_->at = new (std::nothrow) timer(loop, state_);
    state_->now = state::phase::idle;
    state_->left = rounds;
    if (state_->at != nullptr)
        state_->at->start();
}

void idle_sweep::pause() noexcept {
    const std::lock_guard lock(state_->mutex);
    state_->now = state::phase::busy;
}

} // namespace muster::http
