// SPDX-License-Identifier: MIT
// This file keeps the time limits and the retries of a join's children. All children have the same limit, so those
// that began first expire first: one timer, armed for the front of a list, serves them all. A child with a limit is
// limited until it ends and is idle again; if the timer strikes first, it is expired and cancelled, and end() makes a
// timeout_error of the cancellation. Between attempts it is pausing, then due; next_due() makes it idle for the next
// one, and give_up() for good.
#include <muster/detail/join/attempts.hpp>

#include <muster/detail/assert.hpp>
#include <muster/error.hpp>

#include <utility>

namespace muster::detail {

child_clock::child_clock(attempts& all, join_slot& slot) noexcept
    : timer([](timer& t) noexcept {
          auto& clock = static_cast<child_clock&>(t);
          clock.all_->pause_is_over(clock);
      }),
      number_(slot.number_),
      all_(&all) {}

attempts::limit_timer::limit_timer(attempts& a) noexcept
    : timer([](timer& t) noexcept { static_cast<limit_timer&>(t).all->strike_limit(); }),
      all(&a) {}

attempts::attempts(
    std::optional<nanoseconds> each_within, const retry_rule* rule, const slots& all, call_entry& ready) noexcept
    : each_within_(each_within),
      rule_(rule),
      slots_(&all),
      ready_(&ready) {}

void attempts::disarm(scheduler& loop) noexcept {
    loop.disarm(next_limit_);
    for (std::size_t i = 0; i != clocks_.size(); ++i)
        loop.disarm(clocks_[i]);
}

bool attempts::add_clock(join_slot& s, std::size_t most) noexcept {
    MUSTER_ASSERT(s.number_ == clocks_.size());
    return clocks_.make(most, *this, s) != nullptr;
}

// ---- time limits ----

bool attempts::begin_limit(join_slot& s) noexcept {
    child_clock& c = clock_of(s);
    MUSTER_ASSERT(c.state_ == child_clock::state::idle);
    auto& loop = scheduler::of(s);
    c.limit_ = loop.now() + *each_within_;
    c.order_ = loop.take_timer_order();
    if (!next_limit_.armed() && !loop.arm(next_limit_, c.limit_, c.order_))
        return false;
    c.state_ = child_clock::state::limited;
    limited_.push_back(c);
    return true;
}

inline void attempts::end_limit(join_slot& s, child_clock::state then) noexcept {
    child_clock& c = clock_of(s);
    MUSTER_ASSERT(c.state_ == child_clock::state::limited);
    limited_.remove(c);
    c.state_ = then;
    // A timer that is armed for a child that has ended strikes without effect; one that serves no child is disarmed, so
    // that it does not keep the loop.
    if (limited_.empty())
        scheduler::of(s).disarm(next_limit_);
}

void attempts::end_with_limit(join_slot& s) noexcept {
    child_clock& c = clock_of(s);
    if (c.state_ == child_clock::state::limited) {
        end_limit(s, child_clock::state::idle);
        return;
    }
    MUSTER_ASSERT(c.state_ == child_clock::state::expired);
    c.state_ = child_clock::state::idle;
    outcome_base& out = *s.out_;
    if (out.was_cancelled())
        detail_outcome_access::set_error(
            out, std::make_exception_ptr(timeout_error("the child's own time limit was exceeded")));
}

void attempts::strike_limit() noexcept {
    child_clock* const c = limited_.front();
    MUSTER_ASSERT(c != nullptr);
    join_slot& s = slot_of(*c);
    auto& loop = scheduler::of(s);
    if (c->limit_ <= loop.now()) {
        end_limit(s, child_clock::state::expired);
        s.cancel(cancel_request(cancel_reason::deadline));
    }
    // The heap has room: this timer has just left it.
    if (const child_clock* const next = limited_.front(); next != nullptr && !next_limit_.armed())
        static_cast<void>(loop.arm(next_limit_, next->limit_, next->order_));
}

// ---- retries ----

bool attempts::worth_another(const join_slot& s) const {
    return rule_ != nullptr && s.out_->failed() && clock_of(s).retries_ < rule_->times &&
           (!rule_->retries || rule_->retries(s.out_->error()));
}

bool attempts::plan_another(join_slot& s) noexcept {
    child_clock& c = clock_of(s);
    MUSTER_ASSERT(c.state_ == child_clock::state::idle);
    auto& loop = scheduler::of(s);
    if (!loop.arm(c, loop.now() + rule_->pauses.after(c.retries_ + 1, loop.random())))
        return false;
    c.state_ = child_clock::state::pausing;
    ++waiting_;
    return true;
}

void attempts::pause_is_over(child_clock& c) noexcept {
    MUSTER_ASSERT(c.state_ == child_clock::state::pausing);
    c.state_ = child_clock::state::due;
    due_.push_back(c);
    scheduler::of(slot_of(c)).post(*ready_);
}

join_slot& attempts::next_due() noexcept {
    child_clock* const c = due_.pop_front();
    MUSTER_ASSERT(c != nullptr && c->state_ == child_clock::state::due);
    c->state_ = child_clock::state::idle;
    ++c->retries_;
    --waiting_;
    return slot_of(*c);
}

bool attempts::waits(const join_slot& s) const noexcept {
    const auto state = clock_of(s).state_;
    return state == child_clock::state::pausing || state == child_clock::state::due;
}

bool attempts::give_up(join_slot& s) noexcept {
    if (!waits(s))
        return false;
    child_clock& c = clock_of(s);
    if (c.state_ == child_clock::state::due)
        due_.remove(c);
    else
        scheduler::of(s).disarm(c);
    c.state_ = child_clock::state::idle;
    --waiting_;
    return true;
}

} // namespace muster::detail
