// SPDX-License-Identifier: MIT
// The channel between a promise, on any thread, and its future, on the loop's.
//
// Both sides own the channel; the one that lets go last frees it. The promise's side lets go when the channel, which is
// also a letter, has been opened by the loop, or could not be sent. The loop's side lets go when the future has ended
// or the loop does.
#include <muster/promise.hpp>

#include <muster/report.hpp>

#include <utility>

namespace muster::detail {

promise_channel::promise_channel(
    scheduler& loop, completable& target, letter::function arrived, free_function f) noexcept
    : letter(arrived),
      watcher(&target_ended, nullptr),
      loop_share(&loop_ended),
      free_(f),
      inbox_(loop.inbox()),
      target_(&target) {
    watch(target);
    inbox_->keep(*this);
    inbox_->enter();
}

void promise_channel::detach() noexcept {
    wanted_.store(false, std::memory_order_release);
    target_ = {};
    drop();
}

void promise_channel::target_ended(watcher& w) noexcept {
    // The code that ended the future holds it, so the channel is never its last owner here.
    auto& self = static_cast<promise_channel&>(w);
    self.inbox_->give_back(self);
    self.detach();
}

void promise_channel::loop_ended(loop_share& s) noexcept {
    auto& self = static_cast<promise_channel&>(s);
    self.unwatch();
    self.detach();
}

bool promise_channel::send() noexcept {
    const std::shared_ptr<mailbox> box = inbox_;
    // Once it is posted, or let go, it may be gone.
    bool sent = false;
    if (wanted())
        sent = box->post(*this);
    if (!sent)
        drop();
    // Last, so that the loop never sees nothing outside and nothing in its box.
    box->leave();
    return sent;
}

void promise_channel::report_unwanted(const outcome_base& result) noexcept {
    if (!result.failed() || result.failed_with<broken_promise_error>())
        return;
    report r(report_kind::suppressed);
    r.error = result.error();
    send_report(r, [&] {
        r.name = "promise";
        r.detail = "its future had been cancelled";
    });
}

} // namespace muster::detail
