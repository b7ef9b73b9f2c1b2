// SPDX-License-Identifier: MIT
// This file drives the virtual clock of a manual_loop. When no task is ready, poll() sets the clock to the next timer
// instead of sleeping; it waits only while another thread works for the loop, or while a promise is open and there is
// no timer, on a condition variable that the scheduler's wake function notifies. advance() goes from timer to timer up
// to the given time and runs what each makes ready.
#include <muster/testing/manual_loop.hpp>

#include <muster/detail/frame_allocator.hpp>

#include <algorithm>

namespace muster::testing {

manual_loop::manual_loop()
    : scheduler(
          [](void* context) noexcept {
              auto& self = *static_cast<manual_loop*>(context);
              const std::lock_guard lock(self.lock_);
              self.wake_ = true;
              self.woken_.notify_one();
          },
          this) {}

manual_loop::~manual_loop() { destroy_tasks(); }

bool manual_loop::wait_for_letter(std::optional<std::chrono::nanoseconds> limit) {
    std::unique_lock lock(lock_);
    const auto is_woken = [this] { return wake_; };
    if (limit) {
        if (!woken_.wait_for(lock, *limit, is_woken))
            return false;
    } else {
        woken_.wait(lock, is_woken);
    }
    wake_ = false;
    return true;
}

bool manual_loop::poll(bool may_wait, std::optional<detail::nanoseconds> until) {
    if (!may_wait)
        return true;
    const detail::mailbox::sleep asleep(*inbox());
    if (asleep.letter_is_there())
        return true;
    // A job on another thread takes no virtual time: it is waited for before the clock moves. A promise that
    // somebody holds, which may never be kept, is waited for only when there is no timer.
    if (external_work_in_progress())
        return wait_for_letter(std::nullopt);
    if (!until && external_work_left())
        return wait_for_letter(promise_limit_);
    if (!until)
        return false;
    clock_ = std::max(clock_, *until);
    return true;
}

void manual_loop::run_ready() {
    const detail::current_loop_scope scope(*this);
    do
        run_iteration();
    while (has_ready() || !inbox()->empty());
}

void manual_loop::advance(std::chrono::nanoseconds time) {
    const auto end = clock_ + time;
    run_ready();
    for (auto next = next_timer(); next && *next <= end; next = next_timer()) {
        clock_ = std::max(clock_, *next);
        run_ready();
    }
    clock_ = end;
}

std::int64_t live_frames() noexcept { return detail::live_frames(); }

} // namespace muster::testing
