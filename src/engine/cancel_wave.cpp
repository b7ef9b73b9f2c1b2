// SPDX-License-Identifier: MIT
//
// A wave goes from target to target by a list. When it comes to a target for the second time there may be a circle: a
// task waits, by gathers, races and plain awaits, for itself. Then a depth-first search goes the same ways again; where
// it meets a target of its own path, the circle is cut:
//
//    gather of A --child--> task B --awaits--> task C, in a gather --child--> task A, in the gather of A
//
//    C's gather counts A as cancelled and no longer waits for it. Were there no such gather, B's await would be
//    interrupted.
//
// A task group asks its tasks by itself, when its own task runs again, and then has the same search made.
//
// The search keeps its path in the targets, so it needs no memory and no native stack.
#include <muster/detail/cancel_wave.hpp>

#include <muster/detail/fiber.hpp>

#include <utility>

namespace muster::detail {

namespace {

/// Where a child leads: to a target, by way of tasks that await each other.
struct way {
    cancel_target* target = nullptr;
    fiber* last_hop = nullptr; ///< the last task on the way whose await can be ended
};

way follow(const cancel_target::child& from) noexcept {
    // fiber::cancel cuts circles of tasks that only await each other; the bound guards against an error in that.
    constexpr int most_hops = 1 << 20;
    way w;
    w.target = from.combinator;
    fiber* at = from.task;
    for (int hops = 0; w.target == nullptr && at != nullptr; ++hops) {
        suspension* const op = at->waits_for();
        if (op == nullptr || op->kind_->waits_on == nullptr || at->hold() != nullptr || hops == most_hops)
            return {};
        fiber* next = nullptr;
        if (op->kind_->waits_on(*op, next, w.target))
            w.last_hop = at;
        at = next;
    }
    return w;
}

} // namespace

void cancel_wave::reach(cancel_target& target) noexcept {
    if (target.times_++ == 0)
        to_reach_.push_front(target);
    if (state_ != state::idle) {
        if (target.times_ > 1)
            state_ = state::met_one_again;
        return;
    }
    state_ = state::under_way;
    ++number_;
    while (cancel_target* const next = to_reach_.pop_front()) {
        const auto times = std::exchange(next->times_, 0);
        if (std::exchange(next->seen_in_, number_) == number_) {
            state_ = state::met_one_again;
            continue;
        }
        for (auto i = times; i != 0; --i)
            next->cancel_children();
    }
    if (std::exchange(state_, state::idle) == state::met_one_again)
        while (cut_a_circle(target)) {}
}

bool cancel_wave::cut_path(cancel_target& last, cancel_target& first) noexcept {
    // First choice: cut the circle at a child of a combinator, because the combinator can go on without that child.
    // Second choice: interrupt a plain await.
    for (const bool only_children : {true, false}) {
        for (cancel_target* t = &last; t != nullptr; t = t == &first ? nullptr : t->up_) {
            cancel_target::child c;
            static_cast<void>(t->child_at(t->next_child_ - 1, c));
            if (only_children && c.can_be_cut) {
                t->cut(t->next_child_ - 1);
                return true;
            }
            if (fiber* const hop = only_children ? nullptr : follow(c).last_hop) {
                hop->cut_circle(t->request());
                return true;
            }
        }
    }
    return false;
}

bool cancel_wave::cut_a_circle(cancel_target& from) noexcept {
    ++number_;
    const auto enter = [this](cancel_target& t, cancel_target* up) {
        t.seen_in_ = number_;
        t.up_ = up;
        t.next_child_ = 0;
        t.path_ = cancel_target::path_state::on_path;
    };
    enter(from, nullptr);
    cancel_target* at = &from;
    while (at != nullptr) {
        cancel_target::child child;
        if (!at->child_at(at->next_child_, child)) {
            at->path_ = cancel_target::path_state::off_path;
            at = at->up_;
            continue;
        }
        ++at->next_child_;
        cancel_target* const met = follow(child).target;
        if (met == nullptr)
            continue;
        if (met->seen_in_ != number_) {
            enter(*met, at);
            at = met;
            continue;
        }
        if (met->path_ != cancel_target::path_state::on_path)
            continue;
        if (cut_path(*at, *met))
            return true;
    }
    return false;
}

bool cancel_wave::would_stop_something(cancel_target& target) noexcept {
    cancel_target* at = &target;
    while (at != nullptr) {
        cancel_target* also = nullptr;
        if (at->has_child_to_stop(also))
            return true;
        at = also;
    }
    return false;
}

} // namespace muster::detail
