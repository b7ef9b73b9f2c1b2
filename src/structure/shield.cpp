// SPDX-License-Identifier: MIT
// The wait of asyncio's shield watches its task and passes no cancellation on; a cancellation of the waiter only takes
// the watcher off. The structured hold is a stretch of the waiter's own code, which the fiber keeps: see cancel_hold.
#include <muster/shield.hpp>

namespace muster::detail {

const suspension_kind shielded_wait::kind_of{
    .what = "a shielded task or future",
    .cancel = &shielded_wait::cancel,
    .list = [](const suspension& s,
                wait_lister& lister) { list_completable(*static_cast<const shielded_wait&>(s).on_, lister); },
};

shielded_wait::entry::entry(shielded_wait& w) noexcept
    : watcher(
          [](watcher& watched) noexcept {
              auto& self = static_cast<entry&>(watched);
              self.wait->fiber_->loop().post(static_cast<call_entry&>(self));
          },
          [](call_entry& c, bool run) noexcept {
              if (run)
                  static_cast<entry&>(c).wait->fiber_->wake();
          }),
      wait(&w) {}

shielded_wait::shielded_wait(counted<completable> c) : suspension(kind_of), on_(std::move(c)), watch_(*this) {
    if (!on_)
        throw invalid_state_error("this handle refers to nothing: it was default-made or moved from");
    on_->require_awaitable();
}

shielded_wait::~shielded_wait() {
    watch_.unwatch();
    if (watch_.queued_)
        fiber_->loop().unpost(watch_);
}

cancel_effect shielded_wait::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<shielded_wait&>(s);
    self.watch_.unwatch();
    self.fiber_->loop().unpost(self.watch_);
    return cancel_effect::interrupted;
}

void shielded_wait::finish() {
    if (fiber_ != nullptr)
        fiber_->throw_if_cancelled();
}

cancellation_hold::cancellation_hold() : fiber_(*scheduler::require("hold_cancellation").running()) {
    fiber_.begin_hold(*this);
}

cancellation_hold::~cancellation_hold() { fiber_.end_hold(*this); }

} // namespace muster::detail
