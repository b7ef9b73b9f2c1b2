// SPDX-License-Identifier: MIT
// An input_puller runs the fiber that fetches the next element of an awaited input for a join. begin() steps the fiber
// at once, so the puller goes from idle or used to beginning; if the fiber ends within that step, the puller is
// arrived, and otherwise it is waiting until the fiber ends and the join is told. use() makes it used, ready for the
// next element.
#include <muster/detail/join/awaited_elements.hpp>

namespace muster::detail {

const fiber_owner_kind input_puller::kind_of{.ended = &ended, .name = &name_of};

input_puller::input_puller(join& j) noexcept : fiber_owner(kind_of), join_(&j), fiber_(j.loop(), *this) {}

input_puller::~input_puller() { fiber_.release_locals(); }

bool input_puller::begin(std::coroutine_handle<> root, outcome_base& out) noexcept {
    MUSTER_ASSERT(state_ == state::idle || state_ == state::used);
    out_ = &out;
    state_ = state::beginning;
    fiber_.forget_cancellation(); // the last element's, which had ended before it saw one
    fiber_.adopt(root, out);
    join_->share_context(fiber_);
    fiber_.step();
    if (state_ == state::arrived)
        return true;
    state_ = state::waiting;
    return false;
}

void input_puller::use() noexcept {
    MUSTER_ASSERT(state_ == state::arrived);
    state_ = state::used;
}

void input_puller::ended(fiber_owner& o, fiber& f) noexcept {
    auto& self = static_cast<input_puller&>(o);
    MUSTER_ASSERT(self.state_ == state::beginning || self.state_ == state::waiting);
    f.release_locals();
    const bool at_once = self.state_ == state::beginning;
    self.state_ = state::arrived;
    if (at_once)
        return;
    // A join that stops asks for no more children, and would not see that the input has failed.
    if (self.join_->stopping() && self.out_->failed())
        self.join_->input_failed(self.out_->error());
    self.join_->input_came();
}

std::string input_puller::name_of(const fiber_owner& o, const fiber&) {
    return "the input of " + static_cast<const input_puller&>(o).join_->name();
}

} // namespace muster::detail
