// SPDX-License-Identifier: MIT
#include <muster/detail/foreign.hpp>

#include <muster/detail/scheduler.hpp>
#include <muster/task.hpp>

namespace muster::detail {

const suspension_kind foreign_wait::kind_of{"another library's awaitable", &foreign_wait::cancel};

// Not inlined: what it holds must be on the stack, not in the bridge's frame, which may be gone, as the wait may be, as
// soon as the loop has the letter.
[[gnu::noinline]] void foreign_bridge::post(foreign_wait* wait) noexcept {
    const std::shared_ptr<mailbox> box = wait->inbox_;
    static_cast<void>(box->post(*wait));
}

foreign_bridge foreign_wait::hand_over(foreign_wait&) { co_return; }

void foreign_wait::begin(fiber& f, std::coroutine_handle<> h) {
    inbox_ = f.loop_->inbox();
    bridge_ = hand_over(*this);
    f.loop_->begin_external_work();
    f.wait(*this, h);
}

void foreign_wait::take_back() noexcept {
    fiber_->loop_->end_external_work();
    fiber_->wake();
}

void foreign_wait::arrived(letter& l, scheduler& loop) noexcept {
    auto& self = static_cast<foreign_wait&>(l);
    loop.end_external_work();
    self.fiber_->wake();
}

} // namespace muster::detail
