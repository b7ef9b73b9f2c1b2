// SPDX-License-Identifier: MIT
#include <muster/detail/join/join.hpp>

#include <muster/detail/join/options.hpp>
#include <muster/detail/loop_watch.hpp>
#include <muster/exception_group.hpp>
#include <muster/task.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace muster::detail {

const suspension_kind join::kind_of{
    .what = "its children", .cancel = &join::cancel, .last_child = &join::last_child, .list = &join::list};

join::join(join_options options) noexcept
    : suspension(kind_of),
      call_entry(&act),
      fiber_owner(&child_ended, &slot_name, &slot_site),
      options_(std::move(options)) {
    if (options_.policy == on_failure::cancel_siblings && options_.max_failures != unlimited)
        options_.policy = on_failure::finish_siblings;
}

join::~join() {
    if (loop_ == nullptr)
        return;
    loop_->unpost(*this);
    for (std::size_t i = 0; i != watch_count_; ++i) {
        watches_[i].unwatch();
        loop_->unpost(watches_[i]);
    }
    if (deadline_)
        loop_->disarm(*deadline_);
    if (pace_)
        loop_->disarm(*pace_);
    loop_->disarm(each_limit_);
    for (std::size_t i = 0; i != slots_.size(); ++i) {
        if (auto* clock = clock_of(slots_[i]))
            loop_->disarm(*clock);
        slots_[i].release_locals();
    }
}

// ---- slots ----

slot_store::~slot_store() {
    for (std::size_t i = made_; i != 0; --i) {
        auto& s = (*this)[i - 1];
        if (with_clocks_)
            std::destroy_at(&clock_of(s));
        std::destroy_at(&s);
    }
    for (auto& c : more_)
        free(c);
    free(first_);
}

void slot_store::free(chunk& c) noexcept {
    if (c.slots != nullptr && !lent_)
        std::allocator<join_slot>().deallocate(c.slots, c.room);
    if (c.clocks != nullptr)
        std::allocator<child_clock>().deallocate(c.clocks, c.room);
}

void slot_store::fill(chunk& c, std::size_t room) {
    if (c.slots == nullptr)
        c.slots = std::allocator<join_slot>().allocate(room);
    c.room = room;
    if (with_clocks_)
        c.clocks = std::allocator<child_clock>().allocate(room);
}

join_slot* slot_store::make(join& j, std::size_t most) noexcept {
    const std::size_t within = made_ % chunk_size;
    try {
        if (within == 0) {
            if (made_ != 0 && more_.size() < made_ / chunk_size)
                more_.emplace_back();
            chunk& c = made_ == 0 ? first_ : more_.back();
            if (c.slots == nullptr || (with_clocks_ && c.clocks == nullptr))
                fill(c, std::min(chunk_size, most - made_));
        }
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
    const chunk& c = chunk_of(made_);
    join_slot* const s = std::construct_at(c.slots + within, *j.loop_, j);
    s->place_ = static_cast<std::uint32_t>(made_);
    if (with_clocks_)
        std::construct_at(c.clocks + within, j, *s);
    ++made_;
    return s;
}

std::string join::name() const { return options_.name.empty() ? "gather" : options_.name; }

std::string join::child_name(std::size_t index) const { return name() + '[' + std::to_string(index) + ']'; }

std::string join::slot_name(const fiber_owner& o, const fiber& f) {
    return static_cast<const join&>(o).child_name(static_cast<const join_slot&>(f).index_);
}

// ---- beginning ----

void join::begin(fiber& parent, std::coroutine_handle<> h) noexcept {
    if (to_pull_ == 0 && options_.owns_children) {
        // Only handles and futures. If those that have ended decide, the caller goes on without a wait, as in asyncio,
        // and no cancellation of its own is looked for.
        begin(scheduler::of(parent), nullptr, nullptr);
        if (done_) {
            parent.transfer(h);
            return;
        }
        parent_ = &parent;
        parent.wait(*this, h);
        return;
    }
    parent_ = &parent;
    loop_ = &scheduler::of(parent);
    began_ = loop_->now();
    begun_ = true;
    watching_ = watch_count_;
    for (std::size_t i = 0; i != watch_count_; ++i) {
        watches_[i].join_ = this;
        watches_[i].watch(*watches_[i].on_);
    }
    if (to_pull_ != 0)
        loop_->post(static_cast<call_entry&>(*this));
    else
        exhausted_ = true;
    arm_deadline();
    parent.wait(*this, h);
}

void join::begin(scheduler& loop, over_function over, void* whom) noexcept {
    over_ = over;
    whom_ = whom;
    exhausted_ = true; // all children are watches
    loop_ = &loop;
    began_ = loop_->now();
    begun_ = true;
    watching_ = watch_count_;
    for (std::size_t i = 0; i != watch_count_; ++i) {
        watches_[i].join_ = this;
        if (!watches_[i].on_->done())
            watches_[i].watch(*watches_[i].on_);
    }
    arm_deadline();
    for (std::size_t i = 0; i != watch_count_; ++i)
        if (watches_[i].on_->done())
            watch_ended(watches_[i]);
    tell_if_over();
}

void join::arm_deadline() noexcept {
    if (!options_.within)
        return;
    deadline_.reset(new (std::nothrow)
            owned_timer([](timer& t) noexcept { static_cast<owned_timer&>(t).join_->strike_deadline(); }, *this));
    if (!deadline_ || !loop_->arm(*deadline_, loop_->now() + *options_.within))
        fail_edge(std::make_exception_ptr(std::bad_alloc()));
}

void join::act(call_entry& c, bool run) noexcept {
    if (!run)
        return;
    auto& j = static_cast<join&>(c);
    j.act();
    j.tell_if_over();
}

void join::act() noexcept {
    if (done_)
        return;
    // What is decided while children start is carried out in the next entry.
    const bool was_stopping = stopping_;
    if (!was_stopping)
        fill();
    if (was_stopping && !stop_carried_out_) {
        stop_carried_out_ = true;
        if (!children_cancelled_)
            cancel_running_and_theirs();
        drop_unstarted();
    }
    settle_if_done();
}

void join::end_wait() noexcept {
    done_ = true;
    if (looked_ahead_)
        total_ = next_ + 1; // it was pulled, and not started
    if (loop_->watch() != nullptr) [[unlikely]]
        loop_->watch()->joined(*this);
    if (parent_ != nullptr)
        parent_->wake();
}

/// Where no fiber waits, whoever waits is told as the last thing that an entry does, and may destroy this.
void join::tell_if_over() noexcept {
    if (done_ && over_ != nullptr)
        std::exchange(over_, nullptr)(whom_);
}

void join::fill() noexcept {
    // Without limits all start in one go, even if the first fails at once, as asyncio's do, unless one of them
    // cancels the caller; what is pulled lazily stops at once. A limit also bounds how many start in one turn, so that
    // children that end at once leave the loop room for its timers.
    const bool all_at_once = !lazy_ && options_.limit == unlimited && options_.rate == 0;
    std::size_t budget = options_.limit;
    filling_ = true;
    while (!exhausted_ && (all_at_once ? !children_cancelled_ : !stopping_)) {
        if (next_ == to_pull_) {
            exhausted_ = true;
            break;
        }
        if (running_ == most_at_once_)
            break;
        if (budget == 0) {
            loop_->post(static_cast<call_entry&>(*this));
            break;
        }
        if (!rate_allows())
            break;
        --budget;
        if (!start_next())
            exhausted_ = true;
    }
    filling_ = false;
}

join_slot* join::take_slot() noexcept {
    if (free_ != nullptr) {
        join_slot* const s = free_;
        free_ = static_cast<join_slot*>(s->next_);
        return s;
    }
    return slots_.make(*this, most_at_once_);
}

bool join::start_next() noexcept {
    join_slot* const taken = take_slot();
    if (taken == nullptr) {
        fail_edge(std::make_exception_ptr(std::bad_alloc()));
        return false;
    }
    join_slot& s = *taken;
    s.index_ = next_;
    s.set_ended();
    bool pulled = false;
    try {
        pulled = pull_(*this, s);
    } catch (...) {
        fail_edge(std::current_exception());
    }
    if (!pulled) {
        s.next_ = std::exchange(free_, &s);
        return false;
    }
    looked_ahead_ = false;
    ++next_;
    if (!sized_)
        total_ = next_;
    run_slot(s);
    return true;
}

void join::run_slot(join_slot& s) noexcept {
    ++running_;
    s.began_ = loop_->now();
    if (auto* clock = clock_of(s))
        clock->attempts_ = 0;
    make_attempt(s);
}

void join::make_attempt(join_slot& s) noexcept {
    if (s.ended()) {
        // Its function threw when it was called, or there was no memory for its frame: it has ended already.
        slot_ended(s);
        return;
    }
    if (children_cancelled_) [[unlikely]]
        s.cancel(stop_request_); // the function that made it cancelled the caller
    if (parent_->locals() != nullptr)
        s.share_locals(parent_->locals());
    s.belongs_to_run_of(*parent_);
    if (auto* clock = clock_of(s)) {
        clock->expired_ = false;
        if (options_.each_within && !begin_limit(*clock)) {
            s.destroy_unbegun();
            detail_outcome_access::set_error(*s.out_, std::make_exception_ptr(std::bad_alloc()));
            slot_ended(s);
            return;
        }
    }
    s.step();
}

bool join::rate_allows() noexcept {
    if (options_.rate == 0)
        return true;
    const std::size_t place = next_ % options_.rate;
    if (recent_starts_.size() < options_.rate) {
        try {
            recent_starts_.push_back(loop_->now());
        } catch (const std::bad_alloc&) {
            fail_edge(std::current_exception());
            return false;
        }
        return true;
    }
    const nanoseconds free_at = recent_starts_[place] + options_.rate_window;
    if (free_at <= loop_->now()) {
        recent_starts_[place] = loop_->now();
        return true;
    }
    if (!input_goes_on())
        return false;
    if (!pace_)
        pace_.reset(new (std::nothrow) owned_timer(
            [](timer& t) noexcept {
                auto& j = *static_cast<owned_timer&>(t).join_;
                j.loop_->post(static_cast<call_entry&>(j));
            },
            *this));
    if (!pace_ || (!pace_->armed() && !loop_->arm(*pace_, free_at)))
        fail_edge(std::make_exception_ptr(std::bad_alloc()));
    return false;
}

/// Nobody waits for the turn of a child that does not come.
bool join::input_goes_on() noexcept {
    if (has_next_ == nullptr || looked_ahead_)
        return true;
    try {
        looked_ahead_ = has_next_(*this);
    } catch (...) {
        fail_edge(std::current_exception());
    }
    exhausted_ = !looked_ahead_;
    return looked_ahead_;
}

// ---- ending ----

void join::child_ended(fiber_owner& o, fiber& f) noexcept {
    static_cast<join&>(o).slot_ended(static_cast<join_slot&>(f));
}

void join::slot_ended(join_slot& s) noexcept {
    s.release_locals();
    if (auto* clock = clock_of(s)) {
        end_limit(*clock);
        if (clock->expired_ && s.out_->was_cancelled())
            detail_outcome_access::set_error(
                *s.out_, std::make_exception_ptr(timeout_error("the child's own time limit was exceeded")));
        if (try_again(s))
            return;
    }
    --running_;
    const std::size_t index = s.index_;
    if (wants_durations_)
        durations_[index] = loop_->now() - s.began_;
    count(*s.out_, index);
    if (harvest_ != nullptr) {
        try {
            harvest_(*this, s);
        } catch (...) {
            fail_edge(std::current_exception());
        }
    }
    free_slot(s);
    if (filling_)
        return;
    if (exhausted_ || stopping_)
        settle_if_done();
    else
        loop_->post(static_cast<call_entry&>(*this));
}

void join::free_slot(join_slot& s) noexcept {
    s.out_ = nullptr;
    s.forget_cancellation();
    s.next_ = std::exchange(free_, &s);
}

// ---- time limits ----

bool join::begin_limit(child_clock& c) noexcept {
    c.limit_ = loop_->now() + *options_.each_within;
    c.order_ = loop_->take_timer_order();
    if (!each_limit_.armed() && !loop_->arm(each_limit_, c.limit_, c.order_))
        return false;
    c.limited_ = true;
    c.after_ = nullptr;
    c.before_ = std::exchange(last_limit_, &c);
    (c.before_ != nullptr ? c.before_->after_ : first_limit_) = &c;
    return true;
}

void join::end_limit(child_clock& c) noexcept {
    if (!c.limited_)
        return;
    c.limited_ = false;
    (c.before_ != nullptr ? c.before_->after_ : first_limit_) = c.after_;
    (c.after_ != nullptr ? c.after_->before_ : last_limit_) = c.before_;
    // One that is armed for a child that has ended strikes for nobody; with nobody left it does not keep the loop.
    if (first_limit_ == nullptr)
        loop_->disarm(each_limit_);
}

void join::strike_limit() noexcept {
    child_clock* const c = first_limit_;
    if (c->limit_ <= loop_->now()) {
        end_limit(*c);
        c->expired_ = true;
        c->slot_->cancel(cancel_request(cancel_reason::deadline));
    }
    // The heap has room: this timer has just left it.
    if (first_limit_ != nullptr && !each_limit_.armed())
        static_cast<void>(loop_->arm(each_limit_, first_limit_->limit_, first_limit_->order_));
}

bool join::try_again(join_slot& s) noexcept {
    const retry_rule* rule = options_.retry.get();
    auto* const clock = clock_of(s);
    if (rule == nullptr || stopping_ || !s.out_->failed() || clock->attempts_ >= rule->times)
        return false;
    if (rule->retries) {
        bool again = false;
        try {
            again = rule->retries(s.out_->error());
        } catch (...) {
            fail_edge(std::current_exception());
        }
        // It is the user's: it may have cancelled the caller.
        if (!again || stopping_)
            return false;
    }
    auto delay = static_cast<double>(rule->first_delay.count());
    const auto longest = static_cast<double>(rule->longest_delay.count());
    for (std::size_t i = 0; i != clock->attempts_ && delay > 0 && delay < longest && rule->factor > 1; ++i)
        delay *= rule->factor;
    delay = std::min(delay, longest);
    const double random = static_cast<double>(loop_->random() >> 11) * 0x1.0p-53;
    delay *= 1.0 - rule->jitter * random;
    clock->backing_off_ = true;
    if (!loop_->arm(*clock, loop_->now() + nanoseconds(static_cast<std::int64_t>(delay)))) {
        clock->backing_off_ = false;
        return false;
    }
    ++clock->attempts_;
    ++counts_.retries;
    return true;
}

void report_never_awaited(const join_options& options) noexcept {
    if (std::uncaught_exceptions() != 0)
        return;
    report r(report_kind::never_awaited);
    r.site = options.site;
    send_report(r, [&] { r.name = options.name; });
}

void child_clock::fired(timer& t) noexcept {
    auto& clock = static_cast<child_clock&>(t);
    auto& s = *clock.slot_;
    auto& j = *clock.join_;
    clock.backing_off_ = false;
    s.forget_cancellation();
    s.set_ended();
    try {
        j.again_(j, s);
    } catch (...) {
        detail_outcome_access::set_thrown(*s.out_, std::current_exception());
    }
    j.make_attempt(s);
}

void join::count(const outcome_base& o, std::size_t index) noexcept {
    ++ended_;
    switch (o.state()) {
    case outcome_state::value:
        ++counts_.succeeded;
        if (counts_.succeeded <= options_.quorum)
            note_winner(index);
        if (options_.leave == leave_at::any_end)
            break;
        return;
    case outcome_state::error:
        ++counts_.failed;
        break;
    case outcome_state::cancelled:
        ++counts_.cancelled;
        break;
    case outcome_state::not_started:
        ++counts_.not_started;
        return;
    }
    const bool failed = o.failed();
    // Asked to stop by this join, or by its caller: that it ended so decides nothing.
    const bool decides = failed || !stopping_;
    switch (options_.policy) {
    case on_failure::cancel_siblings:
        if (decides && decisive_ == unlimited) {
            decisive_ = index;
            stop(cancel_reason::sibling_failed, asked_by(index));
        }
        break;
    case on_failure::leave_siblings:
        // Cancelled by the deadline: that is the combinator's timeout_error, not this child's end.
        if (deadline_struck_ && !failed)
            break;
        if (decisive_ == unlimited && (options_.leave == leave_at::any_end || options_.leave == leave_at::no_value ||
                                          (failed && options_.leave == leave_at::error))) {
            decisive_ = index;
            settle_if_done();
        }
        break;
    case on_failure::finish_siblings:
    case on_failure::settle:
        if (stopping_)
            break;
        if (failed && counts_.failed >= options_.max_failures)
            stop(cancel_reason::stopped, asked_by(index));
        // The quorum can't be reached any more.
        if (options_.quorum != 0 && sized_ && total_ - counts_.failed - counts_.cancelled < options_.quorum)
            stop(cancel_reason::stopped, asked_by(index));
        break;
    }
}

void join::note_winner(std::size_t index) noexcept {
    try {
        winners_.push_back(index);
    } catch (const std::bad_alloc&) {
        fail_edge(std::current_exception());
    }
    if (counts_.succeeded == options_.quorum)
        stop(cancel_reason::race_lost, asked_by(index));
}

/// Who made the others stop, for their ledger. Without memory for the name they are not told.
cancel_text_ptr join::asked_by(std::size_t index) const noexcept {
    try {
        for (std::size_t i = 0; i != watch_count_; ++i)
            if (watches_[i].index_ == index)
                return cancel_text_ptr::make({}, watches_[i].on_->name());
        return cancel_text_ptr::make({}, child_name(index));
    } catch (const std::bad_alloc&) {
        return {};
    }
}

void join::settle_if_done() noexcept {
    if (done_)
        return;
    const bool early = options_.policy == on_failure::leave_siblings && decisive_ != unlimited;
    if (!early) {
        if (running_ != 0 || watching_ != 0 || !(exhausted_ || stop_carried_out_) || (stopping_ && !stop_carried_out_))
            return;
    }
    if (deadline_)
        loop_->disarm(*deadline_);
    if (pace_)
        loop_->disarm(*pace_);
    end_wait();
}

void join_watch::told(watcher& w) noexcept {
    auto& self = static_cast<join_watch&>(w);
    self.join_->loop_->post(static_cast<call_entry&>(self));
}

void join_watch::ended(call_entry& c, bool run) noexcept {
    auto& self = static_cast<join_watch&>(c);
    if (!run)
        return;
    self.join_->watch_ended(self);
    self.join_->tell_if_over();
}

void join::watch_ended(join_watch& w) noexcept {
    if (w.counted_ || done_)
        return;
    w.counted_ = true;
    last_ended_ = w.index_;
    --watching_;
    if (wants_durations_)
        durations_[w.index_] = loop_->now() - began_;
    count(w.on_->ended_as(), w.index_);
    if (stopping_ && !stop_carried_out_)
        return; // the entry that carries it out comes next, and settles
    settle_if_done();
}

// ---- stopping ----

void join::stop(cancel_reason reason, cancel_text_ptr text) noexcept {
    if (stopping_)
        return;
    stopping_ = true;
    stop_request_ = cancel_request(reason, std::move(text));
    loop_->post(static_cast<call_entry&>(*this));
}

void join::strike_deadline() noexcept {
    if (done_ || stopping_)
        return;
    deadline_struck_ = true;
    if (!options_.owns_children) {
        end_wait();
        return;
    }
    stop(cancel_reason::deadline);
    cancel_running_and_theirs();
}

void join::fail_edge(std::exception_ptr error) noexcept {
    if (!edge_error_) {
        edge_error_ = std::move(error);
    } else {
        report r(report_kind::suppressed);
        r.site = options_.site;
        r.error = std::move(error);
        send_report(r, [&] {
            r.name = name();
            r.detail = "another error of the same combinator's input or sink was delivered";
        });
    }
    stop(cancel_reason::stopped);
}

cancel_effect join::cancel(suspension& s, const cancel_request& request, fiber*&) noexcept {
    auto& j = static_cast<join&>(s);
    if (!j.options_.owns_children) {
        j.done_ = true;
        return cancel_effect::interrupted;
    }
    j.ask_to_stop(request);
    return cancel_effect::passed_on;
}

void join::ask_to_stop(const cancel_request& request) noexcept {
    cancelled_by_parent_ = true;
    parent_request_ = request;
    if (!stopping_)
        stop(cancel_reason::parent_cancelled, request.text);
    else
        stop_request_ = cancel_request(cancel_reason::parent_cancelled, request.text);
    cancel_running_and_theirs();
}

bool join::anyone_to_stop() const noexcept {
    const join* j = this;
    while (j != nullptr) {
        // The last of several joins is looked at by the loop, so that a chain of them takes no native stack.
        const join* within = nullptr;
        for (std::size_t i = 0; i != j->watch_count_; ++i) {
            const auto& child = *j->watches_[i].on_;
            if (child.done())
                continue;
            const join* const next = child.as_join();
            if (next == nullptr || (within != nullptr && within->anyone_to_stop()))
                return true;
            within = next;
        }
        j = within;
    }
    return false;
}

void join::cancel_running_and_theirs() noexcept {
    if (times_to_cancel_++ == 0)
        next_to_cancel_ = std::exchange(loop_->joins_to_cancel_, this);
    if (loop_->cancelling_joins_)
        return;
    loop_->cancelling_joins_ = true;
    const auto wave = ++loop_->cancel_waves_;
    while (join* j = loop_->joins_to_cancel_) {
        loop_->joins_to_cancel_ = j->next_to_cancel_;
        auto times = std::exchange(j->times_to_cancel_, 0);
        // Tasks that gather each other's handles form a circle: once round is enough.
        if (std::exchange(j->cancelled_in_wave_, wave) == wave)
            continue;
        for (; times != 0; --times)
            j->cancel_running();
    }
    loop_->cancelling_joins_ = false;
}

void join::cancel_running() noexcept {
    children_cancelled_ = true;
    const auto request = stop_request_;
    for (std::size_t i = 0; i != slots_.size(); ++i) {
        auto& s = slots_[i];
        if (s.out_ == nullptr)
            continue;
        if (auto* clock = clock_of(s); clock != nullptr && clock->backing_off_) {
            // It waits to be tried again: there will be no other attempt, and its last failure stands.
            clock->backing_off_ = false;
            loop_->disarm(*clock);
            clock->attempts_ = unlimited;
            slot_ended(s);
        } else if (!s.ended()) {
            s.cancel(request);
        }
    }
    for (std::size_t i = 0; i != watch_count_; ++i)
        if (!watches_[i].counted_)
            watches_[i].on_->cancel(request);
}

void join::drop_unstarted() noexcept {
    if (lazy_)
        return;
    join_slot s(*loop_, *this);
    for (; next_ != to_pull_; ++next_) {
        s.index_ = next_;
        static_cast<void>(pull_(*this, s));
        if (s.has_frame())
            s.destroy_unbegun();
        if (!s.out_->failed())
            detail_outcome_access::set_cancelled(
                *s.out_, outcome_state::cancelled, stop_request_.reason, stop_request_.text);
        count(*s.out_, s.index_);
    }
    exhausted_ = true;
}

void join::list(const suspension& s, wait_lister& lister) {
    const auto& j = static_cast<const join&>(s);
    for (std::size_t i = 0; i != j.slots_.size(); ++i) {
        const auto& slot = j.slots_[i];
        if (slot.out_ != nullptr && !slot.ended())
            lister.child(j.child_name(slot.index_), j.options_.site, &slot, nullptr, true);
    }
    for (std::size_t i = 0; i != j.watch_count_; ++i)
        if (!j.watches_[i].counted_)
            list_completable(*j.watches_[i].on_, lister);
}

std::source_location join::slot_site(const fiber_owner& o) noexcept {
    return static_cast<const join&>(o).options_.site;
}

fiber* join::last_child(suspension& s) noexcept {
    auto& j = static_cast<join&>(s);
    j.destroy_from_ = std::min(j.destroy_from_, j.slots_.size());
    while (j.destroy_from_ != 0) {
        auto& slot = j.slots_[j.destroy_from_ - 1];
        if (slot.has_frame())
            return &slot;
        --j.destroy_from_;
    }
    return nullptr;
}

// ---- after the wait ----

void join::throw_own_cancellation(const outcome_base* decided) {
    if (parent_ == nullptr) {
        // As in asyncio, with what the last child to end was told, if it ended so.
        const auto* last = cancelled_by_parent_ ? outcome_at_(*this, last_ended_) : nullptr;
        if (last != nullptr)
            throw cancelled_error(
                parent_request_.reason, last->was_cancelled() ? detail_outcome_access::text(*last) : cancel_text_ptr());
        return;
    }
    if (cancelled_by_parent_) {
        cancelled_by_parent_ = false;
        if (parent_->cancellation_due())
            static_cast<void>(parent_->take_cancellation());
        // As in asyncio, whose gather ends with the cancellation of the first child that was cancelled.
        if (options_.policy == on_failure::leave_siblings && decided != nullptr)
            throw cancelled_error(parent_request_.reason, detail_outcome_access::text(*decided));
        throw cancelled_error(parent_request_.reason, parent_request_.text);
    }
    parent_->throw_if_cancelled();
}

void join::keep_own_cancellation() noexcept {
    if (cancelled_by_parent_ && parent_ != nullptr)
        parent_->put_back(parent_request_);
    cancelled_by_parent_ = false;
}

void join::suppress_failures(std::size_t except) const noexcept {
    for (std::size_t i = 0; i != watch_count_; ++i)
        if (watches_[i].index_ != except)
            watches_[i].on_->mark_suppressed();
    if (counts_.failed == 0)
        return;
    const auto report_one = [&](std::size_t index, const outcome_base* o) {
        if (index == except || o == nullptr || !o->failed())
            return;
        report_suppressed(index, o->error());
    };
    if (to_pull_ == 0)
        return;
    for (std::size_t i = 0; i != total_; ++i)
        if (!watches(i))
            report_one(i, outcome_at_(*this, i));
}

bool join::watches(std::size_t index) const noexcept {
    return std::any_of(watches_, watches_ + watch_count_, [index](const join_watch& w) { return w.index_ == index; });
}

void join::throw_group() {
    std::optional<exception_group> group;
    try {
        std::vector<std::exception_ptr> failures;
        failures.reserve(counts_.failed);
        const std::size_t all = lazy_ ? next_ : total_;
        for (std::size_t i = 0; i != all; ++i)
            if (const auto* o = outcome_at_(*this, i); o != nullptr && o->failed())
                failures.push_back(o->error());
        // A statement of its own: among the arguments the failures might be moved before they are counted.
        std::string message =
            std::to_string(failures.size()) + " of " + std::to_string(total_) + " failed in " + name();
        group.emplace(std::move(message), std::move(failures));
    } catch (const std::bad_alloc&) {
        suppress_failures(unlimited); // that there was no memory for the group is thrown instead
        throw;
    }
    for (std::size_t i = 0; i != watch_count_; ++i)
        watches_[i].on_->mark_retrieved();
    throw exception_group(*group);
}

void join::report_undelivered() const noexcept {
    if (!begun_ || concluded_ || to_pull_ == 0)
        return;
    suppress_failures(unlimited);
    if (edge_error_)
        report_suppressed(std::nullopt, edge_error_);
    for (std::size_t i = 0; i != slots_.size(); ++i) {
        const auto& s = slots_[i];
        if (const auto* clock = clock_of(s); s.out_ != nullptr && clock != nullptr && clock->backing_off_)
            report_suppressed(s.index_, s.out_->error()); // it was to be tried again
    }
}

void join::report_suppressed(std::optional<std::size_t> index, const std::exception_ptr& error) const noexcept {
    report r(report_kind::suppressed);
    r.site = options_.site;
    r.index = index;
    r.error = error;
    send_report(r, [&] {
        r.name = name();
        r.detail = concluded_ ? "another result of the same combinator was delivered"
                              : "the combinator was destroyed before it could be delivered";
    });
}

void join::conclude() {
    concluded_ = true;
    if (edge_error_) {
        suppress_failures(unlimited);
        keep_own_cancellation();
        std::rethrow_exception(edge_error_);
    }
    const bool quorum_missed = options_.quorum != 0 && counts_.succeeded < options_.quorum;
    const bool all_wanted = options_.quorum == 0 && options_.policy == on_failure::finish_siblings;
    if (counts_.failed != 0 && (all_wanted || quorum_missed)) {
        keep_own_cancellation();
        throw_group();
    }
    const outcome_base* decided = decisive_ == unlimited ? nullptr : outcome_at_(*this, decisive_);
    suppress_failures(decided != nullptr && decided->failed() ? decisive_ : unlimited);
    // Where no fiber waits there is no cancellation of its own that would go before that of a child.
    if (decided != nullptr && (decided->failed() || parent_ == nullptr)) {
        for (std::size_t i = 0; i != watch_count_; ++i)
            if (watches_[i].index_ == decisive_)
                watches_[i].on_->mark_retrieved();
        keep_own_cancellation();
        decided->rethrow();
    }
    throw_own_cancellation(decided);
    if (decided != nullptr)
        decided->rethrow();
    if (deadline_struck_)
        throw timeout_error(name() + ": the deadline struck with " + std::to_string(counts_.succeeded) + " of " +
                            std::to_string(total_) + " done");
    const bool short_of_all = options_.quorum == 0 ? counts_.succeeded < total_ : quorum_missed;
    if (short_of_all)
        for (std::size_t i = 0; i != total_; ++i)
            if (const auto* o = outcome_at_(*this, i); o != nullptr && o->was_cancelled())
                o->rethrow();
    if (quorum_missed)
        throw_bad_option("quorum(" + std::to_string(options_.quorum) + "): the input had only " +
                         std::to_string(total_) + " elements");
}

void join::conclude_settled() {
    concluded_ = true;
    if (edge_error_ || cancelled_by_parent_ || (parent_ != nullptr && parent_->cancellation_due())) {
        suppress_failures(unlimited);
        if (edge_error_) {
            keep_own_cancellation();
            std::rethrow_exception(edge_error_);
        }
        throw_own_cancellation();
    }
    for (std::size_t i = 0; i != watch_count_; ++i)
        watches_[i].on_->mark_retrieved();
}

} // namespace muster::detail
