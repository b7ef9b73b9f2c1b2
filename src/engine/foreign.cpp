// SPDX-License-Identifier: MIT
// The untyped half of awaiting another library's awaitable. The awaitable is given the handle of a small coroutine, the
// bridge. Whichever thread resumes the bridge posts the wait to the task's loop as a letter, and opening the letter
// wakes the task.
#include <muster/detail/foreign.hpp>

#include <muster/task.hpp>

namespace muster::detail {

const suspension_kind foreign_wait::kind_of{.what = "another library's awaitable", .cancel = &foreign_wait::cancel};

// Not inlined: as soon as the loop has the letter, the wait and the bridge's frame may be gone, so the share of the
// mailbox must be on this thread's stack.
[[gnu::noinline]] void foreign_bridge::post(foreign_wait* wait) noexcept {
    const std::shared_ptr<mailbox> box = wait->inbox_;
    static_cast<void>(box->post(*wait));
}

foreign_bridge foreign_wait::hand_over(foreign_wait&) { co_return; }

void foreign_wait::begin(fiber& f, std::coroutine_handle<> h) {
    inbox_ = f.loop().inbox();
    bridge_ = hand_over(*this);
    f.loop().begin_external_work();
    f.wait(*this, h);
}

void foreign_wait::take_back() noexcept {
    fiber_->loop().end_external_work();
    fiber_->wake();
}

void foreign_wait::arrived(letter& l, fiber_loop& loop) noexcept {
    auto& self = static_cast<foreign_wait&>(l);
    loop.end_external_work();
    self.fiber_->wake();
}

} // namespace muster::detail
