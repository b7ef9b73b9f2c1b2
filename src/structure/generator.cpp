// SPDX-License-Identifier: MIT
// The untyped half of a generator. Its coroutine runs inline in the task that waits in next(), so its frame can't be
// destroyed while it runs. A generator that is destroyed meanwhile cancels the task instead, as a time limit does: the
// request ends what the coroutine awaits, and end_wait() takes it back, destroys the frame and throws the error.
#include <muster/generator.hpp>

#include <muster/detail/assert.hpp>

#include <new>

namespace muster::detail {

void generator_link::begin_wait(fiber& f) noexcept {
    MUSTER_ASSERT(phase_ == phase::idle);
    phase_ = phase::running;
    fiber_ = &f;
    hold_ = f.hold();
    cancels_before_ = f.cancels_here();
}

void generator_link::end_wait() {
    if (phase_ == phase::running) {
        phase_ = phase::idle;
        return;
    }
    MUSTER_ASSERT(phase_ == phase::abandoned);
    phase_ = phase::gone;
    fiber_->uncancel();
    const bool cancelled_by_others = ended_.was_cancelled() && fiber_->cancels_here() > cancels_before_;
    destroy_frame();
    if (ended_.failed() || cancelled_by_others)
        ended_.rethrow();
    throw_generator_error(this, false);
}

void generator_link::drop_wait() noexcept {
    if (phase_ == phase::running) {
        phase_ = phase::idle;
        return;
    }
    phase_ = phase::gone;
    destroy_frame();
}

void generator_link::abandon() noexcept {
    if (phase_ == phase::running) {
        phase_ = phase::abandoned;
        fiber_->cancel(cancel_request(cancel_reason::parent_cancelled), hold_);
        return;
    }
    phase_ = phase::gone;
    destroy_frame();
}

void generator_link::destroy_frame() noexcept {
    if (child_)
        destroy_quietly(std::exchange(child_, nullptr));
}

void throw_generator_error(const generator_link* link, bool no_memory) {
    if (link != nullptr && (link->where() == generator_link::phase::running))
        throw invalid_state_error("this generator runs already: another task waits for its next value");
    if (link != nullptr)
        throw invalid_state_error("this generator was destroyed while a task waited for its next value");
    if (no_memory)
        throw std::bad_alloc();
    throw invalid_state_error("this generator was moved from");
}

} // namespace muster::detail
