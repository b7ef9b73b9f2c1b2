// SPDX-License-Identifier: MIT
#include <muster/as_completed.hpp>

#include <algorithm>
#include <functional>
#include <new>
#include <numeric>
#include <utility>

namespace muster::detail {

const suspension_kind completion_order::next_wait::kind_of{
    "the next of as_completed", &next_wait::cancel, nullptr, true};

completion_order::watch_one::watch_one() noexcept
    : watcher(
          [](watcher& w) noexcept {
              auto& self = static_cast<watch_one&>(w);
              if (auto* loop = self.order->link_->loop())
                  loop->post(static_cast<call_entry&>(self));
          },
          [](call_entry& c, bool run) noexcept {
              auto& self = static_cast<watch_one&>(c);
              if (run)
                  self.order->one_ended(self.index);
          }) {}

completion_order::limit_timer::limit_timer(completion_order& o) noexcept
    : timer([](timer& t) noexcept { static_cast<limit_timer&>(t).order->time_is_up(); }),
      order(&o) {}

completion_order::completion_order(std::size_t count, std::optional<nanoseconds> timeout)
    : link_(scheduler::require("as_completed").link()),
      watches_(std::make_unique<watch_one[]>(count)),
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
    for (std::size_t i = 0; i != count_; ++i)
        watches_[i].unwatch();
    if (auto* loop = link_->loop()) {
        for (std::size_t i = 0; i != count_; ++i)
            loop->unpost(watches_[i]);
        loop->disarm(limit_);
    }
    link_->release();
}

void completion_order::watch(std::size_t i, completable& c) {
    watches_[i].order = this;
    watches_[i].index = i;
    watches_[i].on = counted<completable>(&c);
    watches_[i].watch(c);
}

void completion_order::one_ended(std::size_t index) noexcept {
    if (timed_out_)
        return;
    watches_[index].ended = true;
    ended_.push_back(index);
    if (--pending_ == 0)
        link_->loop()->disarm(limit_);
    serve();
}

void completion_order::time_is_up() noexcept {
    timed_out_ = true;
    for (std::size_t i = 0; i != count_; ++i)
        watches_[i].unwatch();
    serve();
}

void completion_order::settle(next_wait& w) noexcept {
    w.settled_ = true;
    if (given_ != ended_.size())
        w.index_ = ended_[given_++];
    else
        w.timed_out_ = true;
}

void completion_order::serve() noexcept {
    while (first_ != nullptr && (given_ != ended_.size() || timed_out_)) {
        auto& w = *std::exchange(first_, first_->after_);
        if (first_ == nullptr)
            last_ = nullptr;
        settle(w);
        w.fiber_->wake();
    }
}

completion_order::next_wait::next_wait(completion_order& order) noexcept : suspension(kind_of), order_(&order) {
    if (order.asked_ == order.count_) {
        settled_ = true;
        return;
    }
    ++order.asked_;
    if (order.first_ == nullptr && (order.given_ != order.ended_.size() || order.timed_out_))
        order.settle(*this);
}

void completion_order::next_wait::begin(fiber& f, std::coroutine_handle<> h) noexcept {
    (order_->last_ != nullptr ? order_->last_->after_ : order_->first_) = this;
    order_->last_ = this;
    f.wait(*this, h);
}

cancel_effect completion_order::next_wait::cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
    auto& self = static_cast<next_wait&>(s);
    auto& order = *self.order_;
    next_wait* before = nullptr;
    for (auto* w = order.first_; w != &self; w = w->after_)
        before = w;
    (before != nullptr ? before->after_ : order.first_) = self.after_;
    if (order.last_ == &self)
        order.last_ = before;
    --order.asked_;
    return cancel_effect::interrupted;
}

std::optional<std::size_t> completion_order::next_wait::finish() {
    if (fiber_ != nullptr && fiber_->cancellation_due()) {
        // What it was to be given goes to the next one who asks.
        if (index_) {
            --order_->asked_;
            order_->ended_[--order_->given_] = *index_;
            order_->serve();
        }
        fiber_->throw_cancelled();
    }
    if (timed_out_)
        throw timeout_error("as_completed: the time is up, and not all have ended");
    return index_;
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
