// SPDX-License-Identifier: MIT
// The order in which tasks end, and the calls of next() that ask for it. Each task has a watcher that enters its index
// into `ended_`; `serve()` gives the entries to the calls that wait, first come first served. A call that is cancelled
// after it was given an entry puts it back in front.
#include <muster/as_completed.hpp>

#include <muster/detail/assert.hpp>

#include <algorithm>
#include <functional>
#include <new>
#include <numeric>
#include <utility>

namespace muster::detail {

const suspension_kind completion_order::next_wait::kind_of{
    .what = "the next of as_completed",
    .cancel = &next_wait::cancel,
    .can_fail = true,
    .list =
        [](const suspension& s, wait_lister& lister) {
            if (const auto* order = static_cast<const next_wait&>(s).order_)
                order->list(lister);
        },
};

completion_order::watched::watched() noexcept
    : watcher(
          [](watcher& w) noexcept {
              auto& self = static_cast<watched&>(w);
              if (auto* loop = self.order_->link_->loop())
                  loop->post(static_cast<call_entry&>(self));
          },
          [](call_entry& c, bool run) noexcept {
              auto& self = static_cast<watched&>(c);
              if (run)
                  self.order_->one_ended(self.index_);
          }) {}

completion_order::limit_timer::limit_timer(completion_order& o) noexcept
    : timer([](timer& t) noexcept { static_cast<limit_timer&>(t).order_->time_is_up(); }),
      order_(&o) {}

completion_order::completion_order(std::size_t count, std::optional<nanoseconds> timeout)
    : link_(scheduler::require("as_completed").link()),
      watched_(std::make_unique<watched[]>(count)),
      count_(count),
      pending_(count),
      limit_(*this) {
    ended_.reserve(count);
    auto& loop = *link_->loop();
    if (timeout && count != 0 && !loop.arm(limit_, loop.now() + clamp_to_nanoseconds(*timeout)))
        throw std::bad_alloc();
    link_->retain();
}

completion_order::~completion_order() {
    while (next_wait* const w = waiting_.pop_front()) {
        w->state_ = next_wait::state::lost;
        w->order_ = nullptr;
        w->fiber_->wake();
    }
    while (next_wait* const w = settled_.pop_front()) {
        w->state_ = next_wait::state::lost;
        w->order_ = nullptr;
    }
    for (std::size_t i = 0; i != count_; ++i)
        watched_[i].unwatch();
    if (auto* loop = link_->loop()) {
        for (std::size_t i = 0; i != count_; ++i)
            loop->unpost(watched_[i]);
        loop->disarm(limit_);
    }
    link_->release();
}

void completion_order::watch(std::size_t i, completable& c) {
    watched_[i].order_ = this;
    watched_[i].index_ = i;
    watched_[i].on_ = counted<completable>(&c);
    watched_[i].watch(c);
}

void completion_order::list(wait_lister& lister) const {
    for (std::size_t i = 0; i != count_; ++i)
        if (watched_[i].on_)
            list_completable(*watched_[i].on_, lister);
}

void completion_order::one_ended(std::size_t index) noexcept {
    if (timed_out_)
        return;
    MUSTER_ASSERT(pending_ != 0);
    watched_[index].ended_as_ = ended_.size();
    ended_.push_back(index);
    if (--pending_ == 0)
        link_->loop()->disarm(limit_);
    serve();
}

void completion_order::time_is_up() noexcept {
    timed_out_ = true;
    for (std::size_t i = 0; i != count_; ++i)
        watched_[i].unwatch();
    serve();
}

void completion_order::settle(next_wait& w) noexcept {
    MUSTER_ASSERT(w.state_ == next_wait::state::waiting && has_answer());
    if (given_ != ended_.size()) {
        w.state_ = next_wait::state::given;
        w.index_ = ended_[given_++];
    } else {
        w.state_ = next_wait::state::timed_out;
    }
}

/// A call was cancelled after it was given `index`: the entry goes back to its position among those not given.
void completion_order::take_back(std::size_t index) noexcept {
    MUSTER_ASSERT(given_ != 0 && asked_ != 0);
    --asked_;
    ended_[--given_] = index;
    for (std::size_t i = given_; i + 1 != ended_.size(); ++i) {
        if (watched_[ended_[i]].ended_as_ < watched_[ended_[i + 1]].ended_as_)
            break;
        std::swap(ended_[i], ended_[i + 1]);
    }
    serve();
}

void completion_order::serve() noexcept {
    while (!waiting_.empty() && has_answer()) {
        next_wait& w = *waiting_.pop_front();
        settle(w);
        settled_.push_back(w);
        w.fiber_->wake();
    }
}

completion_order::next_wait::next_wait(completion_order& order) noexcept : suspension(kind_of), order_(&order) {
    if (order.asked_ == order.count_) {
        state_ = state::no_more;
        return;
    }
    ++order.asked_;
    // Calls that wait already come first.
    if (order.waiting_.empty() && order.has_answer())
        order.settle(*this);
}

completion_order::next_wait::~next_wait() { leave_list(); }

void completion_order::next_wait::leave_list() noexcept {
    if (order_ == nullptr || !std::exchange(listed_, false))
        return;
    (state_ == state::waiting ? order_->waiting_ : order_->settled_).remove(*this);
}

void completion_order::next_wait::begin(fiber& f, std::coroutine_handle<> h) noexcept {
    order_->waiting_.push_back(*this);
    listed_ = true;
    f.wait(*this, h);
}

cancel_effect completion_order::next_wait::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<next_wait&>(s);
    MUSTER_ASSERT(self.state_ == state::waiting);
    self.leave_list();
    --self.order_->asked_;
    self.state_ = state::cancelled;
    self.order_ = nullptr;
    return cancel_effect::interrupted;
}

std::optional<std::size_t> completion_order::next_wait::finish() {
    leave_list();
    if (fiber_ != nullptr && fiber_->cancellation_due()) {
        if (state_ == state::given) {
            order_->take_back(index_);
        }
        fiber_->throw_cancelled();
    }
    switch (state_) {
    case state::given:
        return index_;
    case state::timed_out:
        throw timeout_error("as_completed: the time is up, and not all have ended");
    case state::lost:
        throw invalid_state_error("as_completed was destroyed while a task waited for its next handle");
    case state::no_more:
        break;
    case state::waiting:
    case state::cancelled:
        MUSTER_ASSERT(false);
        break;
    }
    return std::nullopt;
}

std::vector<std::size_t> first_occurrences(const std::vector<const void*>& ids) {
    std::vector<std::size_t> by_id(ids.size());
    std::iota(by_id.begin(), by_id.end(), std::size_t{0});
    std::sort(by_id.begin(), by_id.end(),
        [&](std::size_t a, std::size_t b) { return ids[a] != ids[b] ? std::less<>()(ids[a], ids[b]) : a < b; });
    by_id.erase(std::unique(by_id.begin(), by_id.end(), [&](std::size_t a, std::size_t b) { return ids[a] == ids[b]; }),
        by_id.end());
    std::sort(by_id.begin(), by_id.end());
    return by_id;
}

} // namespace muster::detail
