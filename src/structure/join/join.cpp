// SPDX-License-Identifier: MIT
//
// The phases of a join, and what leads from one to the next:
//
//    built --begin()--> running --stop()--> stop_decided --ask_children()--> children_asked --act()--> accounted
//                          |                                                                             |
//                          | all have ended, or the caller is let go                  all have ended     |
//                          +-------------------------------------> over <--------------------------------+
//                                                                    | conclude(), conclude_settled()
//                                                                delivered
//
// running:       children are started as the gate allows, and counted as they end.
// stop_decided:  no more are started (children that are given all at once still are); the join's next entry cancels
//                those that run.
// children_asked: those that run were cancelled; the join's next entry accounts for those that never began.
// accounted:     the join waits for those that still run.
//
// While the join runs, in any of its phases, the caller may be let go: its policy leaves the siblings alone, or the
// caller only watches them.
//
// All of it runs on the loop's thread. The policy decides in count() only, and says in conclude() what is thrown; the
// source is asked for children in fill() and account_for_unbegun() only; the caller's fiber is woken in end_wait(),
// or, if it only watches the children and is cancelled, by fiber::deliver_here.
#include <muster/detail/join/join.hpp>

#include <muster/detail/assert.hpp>
#include <muster/detail/join/attempts.hpp>
#include <muster/detail/join/options.hpp>
#include <muster/detail/loop_watch.hpp>
#include <muster/exception_group.hpp>
#include <muster/task.hpp>

#include <algorithm>
#include <new>
#include <utility>

namespace muster::detail {

static_assert(sizeof(join) <= 624, "a frame that awaits a combinator holds a join");

const suspension_kind join::kind_of{.what = "its children",
    .cancel = &join::cancel,
    .last_child = &join::last_child,
    .list = &join::list,
    .waits_on = &join::waits_on};

const fiber_owner_kind join::owner_kind_of{.ended = &child_ended, .name = &slot_name, .site = &slot_site};

rare_options::rare_options() noexcept = default;
rare_options::~rare_options() = default;

rare_options& join_options::rarely() {
    if (!rare)
        rare = std::make_unique<rare_options>();
    return *rare;
}

join::join(join_options&& options) noexcept
    : suspension(kind_of),
      call_entry(&entry),
      fiber_owner(owner_kind_of),
      options_(std::move(options)),
      policy_(options_.rules),
      gate_(options_.limit, options_.rate()) {}

join::~join() {
    if (loop_ == nullptr)
        return;
    loop_->unpost(*this);
    for (join_watch& w : watches_) {
        w.unwatch();
        loop_->unpost(w);
    }
    disarm_timers();
    if (attempts_)
        attempts_->disarm(*loop_);
}

void join::advance(phase to) noexcept {
    switch (to) {
    case phase::running:
        MUSTER_ASSERT(phase_ == phase::built);
        break;
    case phase::stop_decided:
        MUSTER_ASSERT(phase_ == phase::running);
        break;
    case phase::children_asked:
        MUSTER_ASSERT(phase_ == phase::stop_decided);
        break;
    case phase::accounted:
        MUSTER_ASSERT(phase_ == phase::children_asked);
        break;
    case phase::over:
        MUSTER_ASSERT(phase_ == phase::running || phase_ == phase::accounted || policy_.let_go() ||
                      options_.children == children_are::left_alone);
        break;
    case phase::delivered:
        MUSTER_ASSERT(phase_ == phase::over);
        break;
    case phase::built:
        MUSTER_ASSERT(to != phase::built); // a join is built once
        break;
    }
    phase_ = to;
}

std::size_t join::unended_children() const noexcept {
    return gate_.running() + (attempts_ ? attempts_->waiting() : 0) + watching_;
}

std::string join::child_name(std::size_t index) const { return name() + '[' + std::to_string(index) + ']'; }

std::string join::slot_name(const fiber_owner& o, const fiber& f) {
    return static_cast<const join&>(o).child_name(static_cast<const join_slot&>(f).index_);
}

// ---- beginning ----

void join::take_children(child_source* source, std::span<join_watch> watches) {
    MUSTER_ASSERT(phase_ == phase::built);
    source_ = source;
    watches_ = watches;
    if (is_sized())
        policy_.submit(source != nullptr ? source->total() : watches.size());
    else
        policy_.set_length(input_length::unknown);
    if (!has_tasks())
        return;
    most_slots_ = source->tasks();
    if (source->is_pulled() || !gate_.is_open() || options_.retry() != nullptr)
        most_slots_ = gate_.most_alive(source->tasks(), options_.retry() != nullptr);
    else
        children_start_ =
            options_.each_within() || policy_.values_decide() ? children_start::freely : children_start::plainly;
    if (options_.each_within() || options_.retry() != nullptr)
        attempts_ = std::make_unique<attempts>(options_.each_within(), options_.retry(), slots_, *this);
}

void join::record_durations() {
    durations_are_ = durations::recorded;
    if (children_start_ == children_start::plainly)
        children_start_ = children_start::freely;
    durations_.resize(total());
}

inline void join::begin_watches() noexcept {
    if (durations_are_ == durations::recorded)
        began_ = loop_->now();
    advance(phase::running);
    watching_ = watches_.size();
    for (join_watch& w : watches_)
        w.join_ = this;
}

void join::look_for_own_task() const {
    for (const join_watch& w : watches_)
        if (const auto* f = w.child().as_fiber(); f != nullptr && f->running() && !w.child().done())
            throw invalid_state_error("task '" + w.child().name() + "' can't be a child of a " + name() +
                                      " that it awaits: it would wait for itself");
}

void join::begin(fiber& parent, std::coroutine_handle<> h) noexcept {
    if (!has_tasks() && options_.children == children_are::owned) {
        // Only handles and futures. If those that have ended decide, the caller goes on without a wait, as in asyncio,
        // and no cancellation of its own is looked for.
        begin(scheduler::of(parent), nullptr, nullptr);
        if (is_over()) {
            parent.transfer(h);
            return;
        }
        parent_ = &parent;
        parent.wait(*this, h);
        return;
    }
    parent_ = &parent;
    loop_ = &scheduler::of(parent);
    begin_watches();
    for (join_watch& w : watches_)
        w.watch(w.child());
    if (has_tasks())
        post_entry();
    else
        input_ = input::ended;
    arm_deadline();
    parent.wait(*this, h);
}

void join::begin(scheduler& loop, over_function over, void* whom) noexcept {
    MUSTER_ASSERT(!has_tasks());
    over_ = over;
    whom_ = whom;
    loop_ = &loop;
    input_ = input::ended;
    begin_watches();
    for (join_watch& w : watches_)
        if (!w.child().done())
            w.watch(w.child());
    arm_deadline();
    for (join_watch& w : watches_)
        if (w.child().done())
            watch_ended(w);
    call_if_over();
}

join::timers::timers(join& j) noexcept
    : deadline([](timer& t) noexcept { static_cast<owned_timer&>(t).join_->strike_deadline(); }, j),
      pace(
          [](timer& t) noexcept {
              auto& paced = *static_cast<owned_timer&>(t).join_;
              paced.loop_->post(static_cast<call_entry&>(paced));
          },
          j) {}

join::timers* join::needed_timers() noexcept {
    if (!timers_)
        timers_.reset(new (std::nothrow) timers(*this));
    return timers_.get();
}

void join::arm_deadline_after(nanoseconds within) noexcept {
    timers* const t = needed_timers();
    if (t == nullptr || !loop_->arm(t->deadline, loop_->now() + within))
        input_failed(std::make_exception_ptr(std::bad_alloc()));
}

// ---- starting children ----

void join::entry(call_entry& c, bool run) noexcept {
    if (!run)
        return;
    auto& j = static_cast<join&>(c);
    j.act();
    j.call_if_over();
}

namespace {

void report_early_end(const join_options& options, const std::exception_ptr& why) noexcept {
    report r(report_kind::suppressed);
    r.site = options.site;
    r.error = why;
    send_report(r, [&] {
        r.name = options.shown_name();
        r.detail = "the wait has ended before its time, because there was no memory for it";
    });
}

} // namespace

inline void join::act() noexcept {
    if (is_over())
        return;
    if (!stopping()) {
        // A decision that falls while children start is carried out in the next entry.
        fill();
    } else if (options_.children == children_are::left_alone) {
        // Only a lack of memory stops a wait. It leaves the tasks alone all the same, and ends before its time.
        report_early_end(options_, losses_.input_error());
        end_wait();
        return;
    } else if (phase_ < phase::accounted) {
        if (phase_ == phase::stop_decided)
            ask_children();
        account_for_unbegun();
        advance(phase::accounted);
    }
    settle_if_done();
}

void join::input_came() noexcept {
    // If an interrupted filling goes on, the join's entry is queued for that.
    if (phase_ == phase::running && filling_ != filling::interrupted)
        fill();
    settle_if_done();
    call_if_over();
}

void join::fill() noexcept {
    if (filling_ == filling::no)
        gate_.begin_entry();
    filling_ = filling::yes;
    const bool to_the_end = children_start_ == children_start::as_allowed ? start_allowed() : start_given();
    filling_ = to_the_end ? filling::no : filling::interrupted;
}

/// Starts children as long as may_start() allows. If the join goes depth first and a child awaits a combinator that
/// does, too, that child has put entries in front of the ready queue, and those come before the next child. *Returns*
/// false in that case; the join's entry stands behind them then.
bool join::start_allowed() noexcept {
    while (may_start()) {
        start_one();
        if (goes_depth_first() && loop_->anything_posted_first()) {
            loop_->post_first(*this);
            return false;
        }
    }
    return true;
}

/// The same for children that are given, without a limit, a rate and retries: may_start() would say yes to each of
/// them, depth first until the join stops, and otherwise until the children are asked to stop.
bool join::start_given() noexcept {
    const bool depth_first = goes_depth_first();
    const phase last = depth_first ? phase::running : phase::stop_decided;
    while (phase_ <= last && input_ == input::goes_on) {
        start_one_given();
        if (depth_first && input_ == input::goes_on && loop_->anything_posted_first()) {
            loop_->post_first(*this);
            return false;
        }
    }
    return true;
}

/// Starts the next of such children.
[[gnu::always_inline]] inline void join::start_one_given() noexcept {
    join_slot* const s = take_slot();
    if (s == nullptr) [[unlikely]] {
        input_ = input::ended;
        input_failed(std::make_exception_ptr(std::bad_alloc()));
        return;
    }
    s->index_ = next_;
    s->set_ended();
    const auto got = source_->next(*s);
    MUSTER_ASSERT(got == child_source::pulled::child);
    static_cast<void>(got);
    if (children_start_ == children_start::plainly && !s->ended()) [[likely]] {
        ++next_;
        gate_.begin_freely();
        share_context(*s);
        s->step();
    } else {
        begin_child(*s);
    }
    if (next_ == source_->tasks())
        input_ = input::ended;
}

bool join::may_start() noexcept {
    // Without limits all children that are given start in one go, even if the first fails at once, as asyncio's do,
    // unless one of them cancels the caller. Children that are pulled from an input stop at once, and so do those that
    // begin one after the other.
    const bool all_at_once = !source_->is_pulled() && gate_.is_open() && !goes_depth_first();
    if (all_at_once ? phase_ >= phase::children_asked : stopping())
        return false;
    // A child that waits for another attempt goes before one that has not begun.
    const bool due = attempts_ && attempts_->has_due();
    if (!due) {
        if (next_ == source_->tasks())
            input_ = input::ended;
        if (input_ == input::ended || source_->waiting_for_input() != nullptr ||
            (attempts_ && attempts_->waiting() >= gate_.most_waiting()))
            return false;
    }
    switch (gate_.ask(time_for_gate())) {
    case start_gate::answer::now:
        return true;
    case start_gate::answer::when_one_ends:
        return false;
    case start_gate::answer::next_entry:
        // An input may have no end, so that others have their turn then even if the join goes depth first.
        if (source_->is_pulled())
            loop_->post(*this);
        else
            post_entry();
        return false;
    case start_gate::answer::later:
        // At the end of the input the timer is not armed.
        if (due || input_goes_on())
            wait_for_rate();
        return false;
    }
    return false;
}

void join::start_one() noexcept {
    try {
        gate_.make_room();
        if (attempts_ && attempts_->has_due()) {
            try_again(attempts_->next_due());
        } else {
            join_slot* const s = take_slot();
            if (s == nullptr)
                throw std::bad_alloc();
            start_next(*s);
        }
    } catch (const std::bad_alloc&) {
        input_ = input::ended;
        input_failed(std::current_exception());
    }
}

inline join_slot* join::take_slot() noexcept {
    if (join_slot* const s = slots_.take_free()) [[likely]]
        return s;
    join_slot* const s = slots_.make(*loop_, *this, most_slots_);
    // A slot for which there is no clock is never used.
    return s != nullptr && attempts_ && !attempts_->add_clock(*s, most_slots_) ? nullptr : s;
}

inline void join::start_next(join_slot& s) noexcept {
    s.index_ = next_;
    s.set_ended();
    auto got = child_source::pulled::end;
    try {
        got = source_->next(s);
    } catch (...) {
        input_failed(std::current_exception());
    }
    if (got != child_source::pulled::child) {
        if (got == child_source::pulled::end)
            input_ = input::ended;
        slots_.give_back(s);
        return;
    }
    if (!is_sized())
        policy_.submit();
    begin_child(s);
}

[[gnu::always_inline]] inline void join::begin_child(join_slot& s) noexcept {
    ++next_;
    gate_.begin(time_for_gate());
    if (durations_are_ == durations::recorded || source_->is_pulled())
        s.began_ = loop_->now();
    if (attempts_)
        attempts_->begin_child(s);
    begin_attempt(s);
}

void join::try_again(join_slot& s) noexcept {
    policy_.count_retry();
    gate_.begin(time_for_gate());
    s.forget_cancellation();
    s.set_ended();
    try {
        source_->again(s);
    } catch (...) {
        detail_outcome_access::set_thrown(*s.out_, std::current_exception());
    }
    begin_attempt(s);
}

inline void join::begin_attempt(join_slot& s) noexcept {
    if (s.ended()) [[unlikely]] {
        // Its function threw when it was called, or there was no memory for its frame: the child has ended already.
        attempt_ended(s);
        return;
    }
    if (phase_ >= phase::children_asked) [[unlikely]]
        s.cancel(stop_request_); // the function that made it cancelled the caller
    if (policy_.rules().quorum != 0 && source_->has_value_to_lose(s.index_))
        s.keep_value();
    share_context(s);
    if (attempts_ && !attempts_->begin(s)) [[unlikely]] {
        s.destroy_unbegun();
        fail_for_lack_of_memory(s);
        attempt_ended(s);
        return;
    }
    s.step();
}

bool join::input_goes_on() noexcept {
    bool has_next = false;
    try {
        has_next = source_->has_next();
    } catch (...) {
        input_failed(std::current_exception());
    }
    if (!has_next)
        input_ = input::ended;
    return has_next;
}

void join::wait_for_rate() noexcept {
    timers* const t = needed_timers();
    if (t == nullptr || (!t->pace.armed() && !loop_->arm(t->pace, gate_.opens_at(loop_->now()))))
        input_failed(std::make_exception_ptr(std::bad_alloc()));
}

// ---- children that end ----

void join::child_ended(fiber_owner& o, fiber& f) noexcept {
    auto& j = static_cast<join&>(o);
    auto& s = static_cast<join_slot&>(f);
    if (j.children_start_ == children_start::plainly && s.out_->succeeded()) [[likely]]
        j.plain_value_came(s);
    else
        j.attempt_ended(s);
}

/// The short way of attempt_ended() for the most usual end. The function is not inlined, so that child_ended() needs no
/// stack.
[[gnu::noinline]] void join::plain_value_came(join_slot& s) noexcept {
    s.release_locals();
    gate_.end();
    policy_.count_value();
    slots_.give_back(s);
    go_on_after_child();
}

void join::attempt_ended(join_slot& s) noexcept {
    if (s.locals() != parent_->locals() && !s.out_->succeeded() && policy_.rules().policy != on_failure::settle)
        [[unlikely]]
        losses_.keep_context(s.index_, s.locals());
    s.release_locals();
    gate_.end();
    if (attempts_ && attempt_is_not_the_last(s))
        return;
    child_is_over(s);
}

bool join::attempt_is_not_the_last(join_slot& s) noexcept {
    attempts_->end(s);
    if (!waits_for_another_attempt(s))
        return false;
    // While the child waits for its next attempt, another child may run instead.
    if (filling_ != filling::yes)
        post_entry();
    return true;
}

bool join::waits_for_another_attempt(join_slot& s) noexcept {
    if (!attempts_->may_be_tried_again() || stopping())
        return false;
    try {
        // The rule's function is the user's: it may have cancelled the caller.
        return attempts_->worth_another(s) && !stopping() && attempts_->plan_another(s);
    } catch (...) {
        input_failed(std::current_exception());
        return false;
    }
}

[[gnu::always_inline]] inline void join::child_is_over(join_slot& s) noexcept {
    count(*s.out_, s.index_);
    try {
        note_duration(s.index_, s.began_);
    } catch (const std::bad_alloc&) {
        input_failed(std::current_exception());
    }
    try {
        if (source_->is_pulled())
            source_->harvest(s);
    } catch (...) {
        input_failed(std::current_exception());
    }
    slots_.give_back(s);
    go_on_after_child();
}

inline void join::go_on_after_child() noexcept {
    if (filling_ == filling::yes)
        return;
    // The place that is free now is for a child whose next attempt is due, or for one that has not begun.
    const bool more_may_begin = !stopping() && (input_ == input::goes_on || (attempts_ && attempts_->has_due()));
    if (more_may_begin)
        post_entry();
    else
        settle_if_done();
}

void join_watch::watched_ended(watcher& w) noexcept {
    auto& self = static_cast<join_watch&>(w);
    self.join_->loop_->post(static_cast<call_entry&>(self));
}

void join_watch::entry(call_entry& c, bool run) noexcept {
    auto& self = static_cast<join_watch&>(c);
    if (!run)
        return;
    self.join_->watch_ended(self);
    self.join_->call_if_over();
}

void join::watch_ended(join_watch& w) noexcept {
    if (w.state_ != join_watch::state::watched || is_over())
        return;
    w.state_ = join_watch::state::counted;
    last_watch_ = w.index_;
    MUSTER_ASSERT(watching_ != 0);
    --watching_;
    try {
        note_duration(w.index_, began_);
    } catch (const std::bad_alloc&) {
        input_failed(std::current_exception());
    }
    count(w.child().ended_as(), w.index_);
    settle_if_done();
}

inline void join::note_duration(std::size_t index, nanoseconds began) {
    if (durations_are_ == durations::ignored)
        return;
    if (index >= durations_.size())
        durations_.resize(index + 1);
    durations_[index] = loop_->now() - began;
}

inline void join::count(const outcome_base& o, std::size_t index) noexcept {
    join_policy::decision decided;
    try {
        decided = policy_.child_ended(index, o.state());
    } catch (const std::bad_alloc&) {
        input_failed(std::current_exception());
        return;
    }
    if (decided.what != join_policy::verdict::go_on) [[unlikely]]
        carry_out(decided, index);
}

void join::carry_out(join_policy::decision decided, std::size_t index) noexcept {
    switch (decided.what) {
    case join_policy::verdict::go_on:
        break;
    case join_policy::verdict::stop:
        stop(decided.reason, name_of_child(index));
        break;
    case join_policy::verdict::stop_now:
        stop(decided.reason, name_of_child(index));
        if (phase_ == phase::stop_decided)
            ask_children();
        break;
    case join_policy::verdict::let_go:
        settle_if_done();
        break;
    }
}

/// The name of the child that made the join stop. The outcomes of its siblings keep the name, as the one who asked for
/// their cancellation. Without memory for it the name is left out.
cancel_text_ptr join::name_of_child(std::size_t index) const noexcept {
    try {
        for (const join_watch& w : watches_)
            if (w.index_ == index)
                return cancel_text_ptr::make({}, w.child().name());
        return cancel_text_ptr::make({}, child_name(index));
    } catch (const std::bad_alloc&) {
        return {};
    }
}

inline void join::settle_if_done() noexcept {
    // In most cases others still run.
    if (policy_.let_go() || gate_.running() == 0)
        end_wait_if_done();
}

void join::end_wait_if_done() noexcept {
    if (is_over())
        return;
    if (!policy_.let_go()) {
        const bool all_accounted = phase_ == phase::accounted || (phase_ == phase::running && input_ == input::ended);
        if (!all_accounted || unended_children() != 0)
            return;
        if (source_ != nullptr && source_->waiting_for_input() != nullptr)
            return;
    }
    end_wait();
}

void join::end_wait() noexcept {
    disarm_timers();
    advance(phase::over);
    if (!is_sized() && source_->looked_ahead())
        policy_.submit(); // the source has taken an element, and its child is not started
    if (options_.children == children_are::owned && !policy_.let_go()) {
        policy_.close();
        MUSTER_ASSERT(counts().adds_up());
    } else {
        MUSTER_ASSERT(counts().ended() + watching_ == counts().submitted());
    }
    if (loop_->watch() != nullptr) [[unlikely]]
        loop_->watch()->joined(*this);
    if (parent_ == nullptr)
        return;
    if (goes_depth_first()) [[unlikely]]
        parent_->wake_first();
    else
        parent_->wake();
}

/// Calls over_ once the join has ended, if it was begun with one. The callers do so last, because over_ may destroy the
/// join.
void join::call_if_over() noexcept {
    if (is_over() && over_ != nullptr)
        std::exchange(over_, nullptr)(whom_);
}

// ---- stopping ----

void join::stop(cancel_reason reason, cancel_text_ptr text) noexcept {
    if (stopping())
        return;
    advance(phase::stop_decided);
    policy_.stop(reason);
    stop_request_ = cancel_request(reason, std::move(text));
    post_entry();
}

void join::ask_children() noexcept {
    if (phase_ == phase::stop_decided)
        advance(phase::children_asked);
    loop_->wave().reach(*this);
}

void join::strike_deadline() noexcept {
    if (stopping())
        return;
    if (options_.children == children_are::left_alone) {
        policy_.stop(cancel_reason::deadline);
        end_wait();
        return;
    }
    stop(cancel_reason::deadline);
    ask_children();
}

void join::input_failed(std::exception_ptr error) noexcept {
    losses_.input_failed(options_, std::move(error));
    stop(cancel_reason::stopped);
}

cancel_effect join::cancel(suspension& s, const cancel_request& request, fiber*&) noexcept {
    auto& j = static_cast<join&>(s);
    if (j.options_.children == children_are::left_alone) {
        j.advance(phase::over);
        return cancel_effect::interrupted;
    }
    j.ask_to_stop(request);
    return cancel_effect::passed_on;
}

void join::ask_to_stop(const cancel_request& request) noexcept {
    MUSTER_ASSERT(!is_over() && request.reason != cancel_reason::none);
    own_cancellation_ = request;
    if (!stopping())
        stop(cancel_reason::parent_cancelled, request.text);
    else
        stop_request_ = cancel_request(cancel_reason::parent_cancelled, request.text);
    ask_children();
}

void join::cancel_children() noexcept {
    MUSTER_ASSERT(phase_ >= phase::children_asked);
    const auto request = stop_request_;
    for (std::size_t i = 0; i != slots_.size(); ++i) {
        auto& s = slots_[i];
        if (s.out_ == nullptr)
            continue;
        if (attempts_ && attempts_->give_up(s))
            child_is_over(s); // there will be no other attempt, and its last failure stands
        else if (!s.ended())
            s.cancel(request);
    }
    if (fiber* const puller = source_ != nullptr ? source_->waiting_for_input() : nullptr)
        puller->cancel(request);
    for (join_watch& w : watches_)
        if (w.state_ == join_watch::state::watched)
            w.child().cancel(request);
}

bool join::has_child_to_stop(cancel_target*& also) noexcept {
    MUSTER_ASSERT(!has_tasks());
    if (is_over())
        return false; // the caller has been let go, and is about to be told
    for (join_watch& w : watches_) {
        auto& watched = w.child();
        if (watched.done() || w.was_cut())
            continue;
        // The last target is returned in `also`, and cancel_wave::would_stop_something() goes on with it, so that a
        // chain of targets takes no native stack.
        cancel_target* const next = watched.as_target();
        if (next == nullptr || (also != nullptr && cancel_wave::would_stop_something(*also)))
            return true;
        also = next;
    }
    return false;
}

bool join::waits_on(suspension& s, fiber*&, cancel_target*& combinator) noexcept {
    combinator = &static_cast<join&>(s);
    return false;
}

bool join::child_at(std::uint32_t i, child& found) noexcept {
    if (phase_ < phase::children_asked || is_over())
        return false;
    if (i < slots_.size()) {
        if (auto& s = slots_[i]; s.out_ != nullptr && !s.ended())
            found.task = &s;
        return true;
    }
    const std::size_t after_slots = i - slots_.size();
    if (after_slots < watches_.size()) {
        if (const auto& w = watches_[after_slots]; w.state_ == join_watch::state::watched && !w.child().done()) {
            found.task = w.child().as_fiber();
            found.combinator = w.child().as_target();
            found.can_be_cut = true;
        }
        return true;
    }
    if (after_slots != watches_.size())
        return false;
    found.task = source_ != nullptr ? source_->waiting_for_input() : nullptr;
    return true;
}

void join::cut(std::uint32_t i) noexcept {
    MUSTER_ASSERT(phase_ >= phase::children_asked && !is_over() && i >= slots_.size());
    join_watch& w = watches_[i - slots_.size()];
    MUSTER_ASSERT(w.state_ == join_watch::state::watched && watching_ != 0);
    w.unwatch();
    loop_->unpost(w);
    w.state_ = join_watch::state::cut;
    --watching_;
    outcome<void> cancelled;
    detail_outcome_access::set_cancelled(cancelled, outcome_state::cancelled, stop_request_.reason, stop_request_.text);
    if (source_ != nullptr)
        source_->give_up_on(w.index_, stop_request_);
    count(cancelled, w.index_);
    post_entry();
}

/// Gives an outcome to each child that was given and never began: "not started" if a race was decided, otherwise
/// "cancelled", as in asyncio. Elements that were not pulled stay in their input.
void join::account_for_unbegun() noexcept {
    if (!has_tasks() || source_->is_pulled())
        return;
    const auto as =
        stop_request_.reason == cancel_reason::race_lost ? outcome_state::not_started : outcome_state::cancelled;
    join_slot s(*loop_, *this);
    for (; next_ != source_->tasks(); ++next_) {
        s.index_ = next_;
        static_cast<void>(source_->next(s));
        if (s.has_frame())
            s.destroy_unbegun();
        if (!s.out_->failed())
            detail_outcome_access::set_cancelled(*s.out_, as, stop_request_.reason, stop_request_.text);
        count(*s.out_, s.index_);
    }
    input_ = input::ended;
}

fiber* join::last_child(suspension& s) noexcept {
    auto& j = static_cast<join&>(s);
    if (fiber* const puller = j.source_ != nullptr ? j.source_->waiting_for_input() : nullptr)
        if (puller->has_frame())
            return puller;
    j.destroy_from_ = std::min(j.destroy_from_, j.slots_.size());
    while (j.destroy_from_ != 0) {
        auto& slot = j.slots_[j.destroy_from_ - 1];
        if (slot.has_frame())
            return &slot;
        --j.destroy_from_;
    }
    return nullptr;
}

void join::list(const suspension& s, wait_lister& lister) {
    static constexpr suspension_kind next_attempt{.what = "its next attempt", .cancel = nullptr};
    const suspension pause(next_attempt); // stands for the wait of a child that has no coroutine just now
    const auto& j = static_cast<const join&>(s);
    for (std::size_t i = 0; i != j.slots_.size(); ++i) {
        const join_slot& slot = j.slots_[i];
        if (slot.out_ != nullptr && !slot.ended())
            lister.child(j.child_name(slot.index_), j.options_.site, &slot, nullptr, true);
        else if (slot.out_ != nullptr && j.attempts_ && j.attempts_->waits(slot))
            lister.child(j.child_name(slot.index_), j.options_.site, nullptr, &pause, true);
    }
    for (const join_watch& w : j.watches_)
        if (!w.was_cut())
            list_completable(w.child(), lister);
    if (const fiber* const puller = j.source_ != nullptr ? j.source_->waiting_for_input() : nullptr)
        lister.child(puller->owners_name(), j.options_.site, puller, nullptr, true);
}

std::source_location join::slot_site(const fiber_owner& o) noexcept {
    return static_cast<const join&>(o).options_.site;
}

// ---- after the wait ----

void join::throw_own_cancellation(const outcome_base* decided) {
    if (parent_ == nullptr) {
        if (!was_cancelled())
            return;
        if (last_watch_ == unlimited) // every child was cut out of a circle, and none has ended
            throw cancelled_error(own_cancellation_.reason, own_cancellation_.text);
        // As in asyncio, the cancellation has the text of that of the child which ended last, or none if that child was
        // not cancelled.
        if (const auto* last = outcome_at(last_watch_); last != nullptr)
            throw cancelled_error(own_cancellation_.reason,
                last->was_cancelled() ? detail_outcome_access::text(*last) : cancel_text_ptr());
        return;
    }
    if (was_cancelled()) {
        const auto own = std::exchange(own_cancellation_, cancel_request(cancel_reason::none));
        if (parent_->cancellation_due())
            static_cast<void>(parent_->take_cancellation());
        // As in asyncio, whose gather ends with the cancellation of the first child that was cancelled.
        if (policy_.rules().policy == on_failure::leave_siblings && decided != nullptr)
            throw cancelled_error(own.reason, detail_outcome_access::text(*decided));
        throw cancelled_error(own.reason, own.text);
    }
    parent_->throw_if_cancelled();
}

/// Something else is delivered: the caller's cancellation comes at its next wait.
void join::keep_own_cancellation() noexcept {
    if (!was_cancelled())
        return;
    if (parent_ != nullptr)
        parent_->put_back(own_cancellation_);
    own_cancellation_ = cancel_request(cancel_reason::none);
}

void join::suppress_failures(std::size_t except, losses::why reason) const noexcept {
    for (const join_watch& w : watches_)
        if (w.index_ != except)
            w.child().mark_suppressed();
    if (counts().failed() == 0 || !has_tasks())
        return;
    for (std::size_t i = 0; i != total(); ++i)
        if (const auto* o = i == except || watches(i) ? nullptr : outcome_at(i); o != nullptr && o->failed())
            losses_.report_failure(options_, i, o->error(), reason);
}

/// Values that a race or a quorum took and does not deliver.
void join::report_lost_values(bool winners_too) const noexcept {
    if (policy_.rules().quorum == 0 || source_ == nullptr)
        return;
    const auto& winners = policy_.winners();
    if (!winners_too && counts().succeeded() == winners.size())
        return;
    for (std::size_t i = 0; i != total(); ++i) {
        const auto* o = outcome_at(i);
        if (o == nullptr || !o->succeeded() || !source_->has_value_to_lose(i))
            continue;
        if (winners_too || std::find(winners.begin(), winners.end(), i) == winners.end())
            losses::report_value(options_, i);
    }
}

bool join::watches(std::size_t index) const noexcept {
    return std::any_of(watches_.begin(), watches_.end(), [index](const join_watch& w) { return w.index_ == index; });
}

void join::mark_retrieved(std::size_t index) noexcept {
    for (join_watch& w : watches_)
        if (index == unlimited || w.index_ == index)
            w.child().mark_retrieved();
}

void join::throw_group() {
    std::optional<exception_group> group;
    try {
        std::vector<std::exception_ptr> failures;
        failures.reserve(counts().failed());
        for (std::size_t i = 0; i != total(); ++i)
            if (const auto* o = outcome_at(i); o != nullptr && o->failed())
                failures.push_back(o->error());
        // A statement of its own: among the arguments the failures might be moved before they are counted.
        std::string message =
            std::to_string(failures.size()) + " of " + std::to_string(total()) + " failed in " + name();
        group.emplace(std::move(message), std::move(failures));
    } catch (const std::bad_alloc&) {
        // The lack of memory is thrown instead of the group.
        suppress_failures(unlimited, losses::why::another_delivered);
        throw;
    }
    mark_retrieved(unlimited);
    throw exception_group(*group);
}

void join::report_undelivered() const noexcept {
    if (phase_ == phase::built || phase_ == phase::delivered || !has_tasks())
        return;
    suppress_failures(unlimited, losses::why::destroyed);
    if (losses_.input_error())
        losses_.report_failure(options_, std::nullopt, losses_.input_error(), losses::why::destroyed);
    for (std::size_t i = 0; attempts_ && i != slots_.size(); ++i)
        if (const auto& s = slots_[i]; s.out_ != nullptr && attempts_->waits(s))
            losses_.report_failure(options_, s.index_, s.out_->error(), losses::why::destroyed);
}

/// True if each child has ended with a value and nothing else has happened: there is nothing to throw or to report.
bool join::ended_with_values_only() const noexcept {
    return counts().succeeded() == total() && policy_.decided_by() == unlimited && !policy_.stopped() &&
           policy_.rules().quorum == 0 && watches_.empty() && !losses_.input_error() && !was_cancelled() &&
           (parent_ == nullptr || !parent_->cancellation_due());
}

void join::conclude() {
    using conclusion = join_policy::conclusion;
    advance(phase::delivered);
    if (ended_with_values_only()) [[likely]]
        return;
    if (losses_.input_error()) {
        suppress_failures(unlimited, losses::why::another_delivered);
        report_lost_values(true);
        keep_own_cancellation();
        std::rethrow_exception(losses_.input_error());
    }
    const auto what = policy_.conclude();
    if (what == conclusion::group) {
        report_lost_values(true);
        keep_own_cancellation();
        throw_group();
    }
    const std::size_t by = policy_.decided_by();
    const outcome_base* const decided = by == unlimited ? nullptr : outcome_at(by);
    suppress_failures(what == conclusion::decided_failure ? by : unlimited, losses::why::another_delivered);
    // A join that was started has no waiting fiber, so no cancellation of a caller's goes before the child that
    // decided.
    if (decided != nullptr && (what == conclusion::decided_failure || parent_ == nullptr)) {
        mark_retrieved(by);
        keep_own_cancellation();
        decided->rethrow();
    }
    if (policy_.rules().quorum != 0 && what == conclusion::values) {
        // The winners' values are not lost to a cancellation that came as late as this.
        report_lost_values(false);
        keep_own_cancellation();
        return;
    }
    report_lost_values(true);
    throw_own_cancellation(decided);
    switch (what) {
    case conclusion::decided_cancelled:
        decided->rethrow();
    case conclusion::deadline:
        throw timeout_error(name() + ": the deadline struck with " + std::to_string(counts().succeeded()) + " of " +
                            std::to_string(total()) + " done");
    case conclusion::cancelled_child:
        for (std::size_t i = 0; i != total(); ++i)
            if (const auto* o = outcome_at(i); o != nullptr && o->was_cancelled())
                o->rethrow();
        break;
    case conclusion::too_few:
        throw_bad_option("quorum(" + std::to_string(policy_.rules().quorum) + "): the input had only " +
                         std::to_string(total()) + " elements");
    case conclusion::values:
    case conclusion::group:
    case conclusion::decided_failure:
        break;
    }
}

void join::conclude_settled() {
    advance(phase::delivered);
    const bool cancelled = was_cancelled() || (parent_ != nullptr && parent_->cancellation_due());
    if (losses_.input_error() || cancelled) {
        const auto why = losses_.input_error() ? losses::why::input_failed : losses::why::cancelled;
        for (join_watch& w : watches_)
            w.child().mark_suppressed();
        handles_ = losses_.input_error() ? handles::input_failed : handles::cancelled;
        if (has_tasks())
            losses_.report_together(options_, *source_, total(), watches_, why);
        report_lost_values(true);
        if (losses_.input_error()) {
            keep_own_cancellation();
            std::rethrow_exception(losses_.input_error());
        }
        throw_own_cancellation();
    }
    mark_retrieved(unlimited);
}

} // namespace muster::detail
