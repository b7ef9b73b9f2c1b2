// SPDX-License-Identifier: MIT
// Destroys the frames of a fiber that never ended, because its loop ends.
//
// The fiber's coroutines form a chain, the innermost first. Where a coroutine waits for children that live inside its
// frame (a gather's), the children are destroyed before it. So that no depth needs more stack, the way back up is kept
// in the links of the ready queue, which nobody uses any more.
#include <muster/detail/fiber.hpp>

#include <utility>

namespace muster::detail {

void destroy_fiber_tree(fiber& root) noexcept {
    root.next_ = nullptr;
    fiber* f = &root;
    while (f != nullptr) {
        if (suspension* const wait = f->waits_for(); wait != nullptr && wait->kind_->last_child != nullptr) {
            if (fiber* child = wait->kind_->last_child(*wait)) {
                child->next_ = f;
                f = child;
                continue;
            }
        }
        fiber* const up = static_cast<fiber*>(f->next_);
        auto frame = std::exchange(f->leaf_, nullptr);
        f->go_to(fiber_state::ended);
        while (frame) {
            inline_link* link = promise_links::of(frame).link_;
            std::coroutine_handle<> parent;
            if (link != nullptr) {
                parent = link->parent();
                link->child_ = nullptr;
            }
            destroy_quietly(frame);
            // A destructor in the frame may have woken a fiber that is part of a frame which is destroyed next.
            f->loop_->drop_ready();
            frame = parent;
        }
        f = up;
    }
}

} // namespace muster::detail
