// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one piece behind gather, settle, map, races and quorums: it starts children, counts how each ended, carries out
/// what its policy decides, and wakes its caller when all have ended. It knows no value type: a child writes its
/// outcome where its source put it, and the source and the classes in result.hpp make the result.
///
/// A child is a slot (a fiber, for a task) or a watch (for a handle or future). If the policy decides to stop, the join
/// cancels the other children in its next entry of the loop, so that children that are started together all run their
/// first step, as in asyncio. A race or quorum that is decided stops them at once, and a caller that is let go is woken
/// at once.

#include <muster/config.hpp>
#include <muster/detail/cancel_wave.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/join/child_source.hpp>
#include <muster/detail/join/losses.hpp>
#include <muster/detail/join/policy.hpp>
#include <muster/detail/join/retry_rule.hpp>
#include <muster/detail/join/slots.hpp>
#include <muster/detail/join/start_gate.hpp>
#include <muster/detail/rate_window.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/outcome.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::detail {

/// Whether a cancellation of the caller, or the deadline, reaches the children.
enum class children_are : std::uint8_t { owned, left_alone };

/// Where a join's own entries, and its caller once the join has ended, stand in the ready queue: behind all others, or
/// in front of them.
enum class start_order : std::uint8_t { in_turn, depth_first };

/// The options that few combinators have.
struct rare_options {
    rare_options() noexcept;
    ~rare_options(); // not inlined, so that the code of a gather does not hold it

    std::optional<nanoseconds> each_within; ///< how long each attempt of a child may take
    std::optional<nanoseconds> within;      ///< how long all of it may take
    rate_window rate;                       ///< how many attempts may begin in a stretch of time
    std::unique_ptr<retry_rule> retry;
    std::unique_ptr<std::string> name; ///< null if it was given none
};

/// The options of a combinator. They are moved with every word of a chain and once more into the join, so those that
/// few combinators have stand behind one pointer.
struct join_options {
    join_options(std::source_location where, const char* called) noexcept : kind(called), site(where) {}
    [[nodiscard]] std::string_view called() const noexcept {
        return rare && rare->name ? std::string_view(*rare->name) : kind;
    }
    [[nodiscard]] std::string shown_name() const { return std::string(called()); }

    /// The rare ones, to be changed. *Errors*: std::bad_alloc.
    [[nodiscard]] rare_options& rarely();
    [[nodiscard]] std::optional<nanoseconds> each_within() const noexcept {
        return rare ? rare->each_within : std::nullopt;
    }
    [[nodiscard]] std::optional<nanoseconds> within() const noexcept { return rare ? rare->within : std::nullopt; }
    /// Null if children are not tried again. *Lifetime* of this and of rate(): that of `rare`.
    [[nodiscard]] const retry_rule* retry() const noexcept { return rare ? rare->retry.get() : nullptr; }
    /// Null if any number of attempts may begin.
    [[nodiscard]] rate_window* rate() const noexcept { return rare && rare->rate.bounds() ? &rare->rate : nullptr; }

    policy_rules rules;
    children_are children = children_are::owned;
    start_order order = start_order::in_turn;
    std::size_t limit = unlimited; ///< how many run at once
    const char* kind;              ///< its name, if it was given none
    std::source_location site;
    std::unique_ptr<rare_options> rare; ///< null if it has none of them
};

class attempts;
class join;

/// A child that is a handle or a future.
class join_watch : public watcher {
public:
    join_watch() noexcept : watcher(&watched_ended, &entry) {}

    /// `index` is the child's among all children. Called before the join begins.
    void refer_to(std::size_t index, completable& child) noexcept {
        index_ = index;
        on_ = counted<completable>(&child);
    }
    [[nodiscard]] completable& child() const noexcept { return *on_; }
    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    /// How it ended; null if it has not.
    [[nodiscard]] const outcome_base* outcome() const noexcept {
        return on_->done() && !was_cut() ? &on_->ended_as() : nullptr;
    }
    /// True if the handle's task waits for this join itself: a cancellation has counted it as cancelled although it has
    /// not ended.
    [[nodiscard]] bool was_cut() const noexcept { return state_ == state::cut; }

private:
    friend class join;
    static void watched_ended(watcher& w) noexcept;
    static void entry(call_entry& c, bool run) noexcept;

    counted<completable> on_;
    join* join_ = nullptr;
    std::size_t index_ = 0;
    enum class state : std::uint8_t { watched, counted, cut };
    state state_ = state::watched;
};

class join final : public suspension, public call_entry, public fiber_owner, public cancel_target {
public:
    /// See the picture at the head of join.cpp.
    enum class phase : std::uint8_t { built, running, stop_decided, children_asked, accounted, over, delivered };

    explicit join(join_options&& options) noexcept;
    ~join();
    join(const join&) = delete;
    join& operator=(const join&) = delete;

    // ---- while it is built ----
    /// Both live longer than the join. Without a source all children are watches. *Errors*: std::bad_alloc.
    void take_children(child_source* source, std::span<join_watch> watches);
    void lend_slots(join_slot* room, std::size_t count) noexcept { slots_.lend(room, count); }
    void record_durations();

    // ---- beginning ----
    /// *Errors*: invalid_state_error if the task that runs is a child: it would wait for itself.
    void refuse_own_task() const {
        if (!watches_.empty()) [[unlikely]]
            look_for_own_task();
    }
    /// The children start after `h`'s fiber has suspended.
    void begin(fiber& parent, std::coroutine_handle<> h) noexcept;
    /// Begins the join for a future instead of a fiber; all children are watches, and those that have ended are looked
    /// at before it returns. When the join has ended it calls `over(whom)` once, as its last act, because that function
    /// may destroy the join.
    using over_function = void (*)(void* whom) noexcept;
    void begin(scheduler& loop, over_function over, void* whom) noexcept;

    /// The source calls this when the input for which it was waiting has come, or has ended. The join may start
    /// children before it returns.
    void input_came() noexcept;
    /// The input or the sink has failed, which ends the join.
    void input_failed(std::exception_ptr error) noexcept;

    /// Asks the children to stop on behalf of the caller, which ends with a cancellation then.
    void ask_to_stop(const cancel_request& request) noexcept;
    /// Other code has set the future, so the failures of this join's children are reported as suppressed.
    void deliver_nothing() const noexcept { suppress_failures(unlimited, losses::why::another_delivered); }
    /// Before it is destroyed: if it was destroyed while it waited, the failures of its tasks are reported.
    void report_undelivered() const noexcept;

    // ---- after the wait ----
    /// Throws what the policy says is to be thrown, and reports the failures that are not. Returns if there is none.
    void conclude();
    /// The same for the forms that give outcomes: only the caller's own cancellation and a broken input are thrown.
    void conclude_settled();

    [[nodiscard]] phase now_in() const noexcept { return phase_; }
    [[nodiscard]] bool stopping() const noexcept { return phase_ >= phase::stop_decided; }
    [[nodiscard]] scheduler& loop() const noexcept { return *loop_; }
    /// A fiber that works for this join shares its caller's task-locals, and ends with its caller's run.
    void share_context(fiber& f) const noexcept {
        if (parent_->locals() != nullptr)
            f.share_locals(parent_->locals());
        f.belongs_to_run_of(*parent_);
    }
    [[nodiscard]] bool begun() const noexcept { return phase_ != phase::built; }
    [[nodiscard]] const join_options& options() const noexcept { return options_; }
    [[nodiscard]] const ledger& counts() const noexcept { return policy_.counts(); }
    [[nodiscard]] const join_policy& policy() const noexcept { return policy_; }
    /// How many were submitted; of an input of unknown length, how many were pulled.
    [[nodiscard]] std::size_t total() const noexcept { return counts().submitted(); }
    /// True if nothing of the input is left.
    [[nodiscard]] bool exhausted() const noexcept { return is_sized() || input_ == input::ended; }
    [[nodiscard]] bool is_sized() const noexcept { return source_ == nullptr || source_->is_sized(); }
    /// Why the outcomes of its handles were given to nobody, in words; null if they were given, or if it has none.
    [[nodiscard]] const char* handles_lost() const noexcept {
        if (watches_.empty() || handles_ == handles::delivered)
            return nullptr;
        return losses::in_words(handles_ == handles::cancelled ? losses::why::cancelled : losses::why::input_failed);
    }
    [[nodiscard]] const cancel_request& stop_request() const noexcept { return stop_request_; }
    [[nodiscard]] std::size_t begun_children() const noexcept { return next_; }
    [[nodiscard]] std::size_t unended_children() const noexcept;
    [[nodiscard]] const child_source* source() const noexcept { return source_; }
    /// How many slots there may be.
    [[nodiscard]] std::size_t most_slots() const noexcept { return most_slots_; }

    [[nodiscard]] std::string child_name(std::size_t index) const;
    [[nodiscard]] std::string name() const { return options_.shown_name(); }
    /// By index, where they were recorded.
    [[nodiscard]] std::vector<nanoseconds> take_durations() noexcept { return std::move(durations_); }

private:
    friend class join_watch;

    enum class input : std::uint8_t { goes_on, ended };
    enum class durations : std::uint8_t { ignored, recorded };
    enum class handles : std::uint8_t { delivered, cancelled, input_failed }; ///< what became of their outcomes

    struct owned_timer : timer {
        owned_timer(timer::fire_function f, join& j) noexcept : timer(f), join_(&j) {}
        join* join_;
    };
    /// The timers of a join with a deadline or a rate.
    struct timers {
        explicit timers(join& j) noexcept;
        owned_timer deadline;
        owned_timer pace; ///< strikes when the rate lets another attempt begin
    };

    static const suspension_kind kind_of;
    static const fiber_owner_kind owner_kind_of;
    static cancel_effect cancel(suspension& s, const cancel_request& r, fiber*& goes_on_to) noexcept;
    static bool waits_on(suspension& s, fiber*& task, cancel_target*& combinator) noexcept;
    static fiber* last_child(suspension& s) noexcept;
    static void list(const suspension& s, wait_lister& lister);
    static void entry(call_entry& c, bool run) noexcept;
    static void child_ended(fiber_owner& o, fiber& f) noexcept;
    static std::string slot_name(const fiber_owner& o, const fiber& f);
    static std::source_location slot_site(const fiber_owner& o) noexcept;

    void advance(phase to) noexcept;
    /// True if the caller's own cancellation has come, and nothing of it was delivered yet.
    [[nodiscard]] bool was_cancelled() const noexcept { return own_cancellation_.reason != cancel_reason::none; }
    [[nodiscard]] bool is_over() const noexcept { return phase_ >= phase::over; }
    [[nodiscard]] bool has_tasks() const noexcept { return source_ != nullptr && source_->tasks() != 0; }

    void look_for_own_task() const;
    void begin_watches() noexcept;
    /// *Returns* null without memory.
    [[nodiscard]] timers* needed_timers() noexcept;
    void disarm_timers() noexcept {
        if (timers_) [[unlikely]] {
            loop_->disarm(timers_->deadline);
            loop_->disarm(timers_->pace);
        }
    }
    void arm_deadline() noexcept {
        if (options_.rare && options_.rare->within) [[unlikely]]
            arm_deadline_after(*options_.rare->within);
    }
    void arm_deadline_after(nanoseconds within) noexcept;
    void act() noexcept;
    /// Queues the join's entry.
    void post_entry() noexcept {
        if (goes_depth_first()) [[unlikely]]
            loop_->post_first(*this);
        else
            loop_->post(*this);
    }
    [[nodiscard]] bool goes_depth_first() const noexcept { return options_.order == start_order::depth_first; }
    void fill() noexcept;
    [[nodiscard]] bool start_allowed() noexcept;
    /// Zero where the time does not matter: the loop then need not read its clock.
    [[nodiscard]] nanoseconds time_for_gate() const noexcept {
        return gate_.looks_at_clock() ? loop_->now() : nanoseconds(0);
    }
    [[nodiscard]] bool may_start() noexcept;
    [[nodiscard]] bool start_given() noexcept;
    void start_one_given() noexcept;
    void start_one() noexcept;
    void start_next(join_slot& s) noexcept;
    void begin_child(join_slot& s) noexcept;
    [[nodiscard]] join_slot* take_slot() noexcept;
    void begin_attempt(join_slot& s) noexcept;
    void try_again(join_slot& s) noexcept;
    [[nodiscard]] bool input_goes_on() noexcept;
    void wait_for_rate() noexcept;

    void attempt_ended(join_slot& s) noexcept;
    [[nodiscard]] bool attempt_is_not_the_last(join_slot& s) noexcept;
    [[nodiscard]] bool waits_for_another_attempt(join_slot& s) noexcept;
    void plain_value_came(join_slot& s) noexcept;
    void child_is_over(join_slot& s) noexcept;
    void go_on_after_child() noexcept;
    void watch_ended(join_watch& w) noexcept;
    void note_duration(std::size_t index, nanoseconds began);
    void count(const outcome_base& o, std::size_t index) noexcept;
    void carry_out(join_policy::decision decided, std::size_t index) noexcept;
    [[nodiscard]] cancel_text_ptr name_of_child(std::size_t index) const noexcept;

    void stop(cancel_reason reason, cancel_text_ptr text = {}) noexcept;
    void ask_children() noexcept;
    void cancel_children() noexcept override;
    [[nodiscard]] const cancel_request& request() const noexcept override { return stop_request_; }
    [[nodiscard]] bool child_at(std::uint32_t i, child& found) noexcept override;
    void cut(std::uint32_t i) noexcept override;
    [[nodiscard]] bool has_child_to_stop(cancel_target*& also) noexcept override;
    void account_for_unbegun() noexcept;
    void strike_deadline() noexcept;
    void settle_if_done() noexcept;
    void end_wait_if_done() noexcept;
    void end_wait() noexcept;
    void call_if_over() noexcept;

    [[nodiscard]] bool ended_with_values_only() const noexcept;
    void throw_own_cancellation(const outcome_base* decided = nullptr);
    void keep_own_cancellation() noexcept;
    [[nodiscard]] const outcome_base* outcome_at(std::size_t i) const noexcept {
        return source_ != nullptr ? source_->outcome_at(i) : nullptr;
    }
    void suppress_failures(std::size_t except, losses::why reason) const noexcept;
    void report_lost_values(bool winners_too) const noexcept;
    void mark_retrieved(std::size_t index) noexcept;
    [[nodiscard]] bool watches(std::size_t index) const noexcept;
    [[noreturn]] void throw_group();

    join_options options_;
    join_policy policy_;
    start_gate gate_;
    losses losses_;
    slots slots_;
    child_source* source_ = nullptr;
    std::span<join_watch> watches_;
    scheduler* loop_ = nullptr;
    fiber* parent_ = nullptr; ///< the caller's; null where no fiber waits
    over_function over_ = nullptr;
    void* whom_ = nullptr;
    nanoseconds began_{0};
    std::size_t most_slots_ = 0;
    std::size_t next_ = 0;                 ///< how many tasks have begun
    std::size_t watching_ = 0;             ///< how many watches have not ended
    std::size_t last_watch_ = unlimited;   ///< the watch that ended last
    std::size_t destroy_from_ = unlimited; ///< slots below this one may still have frames
    std::vector<nanoseconds> durations_;   ///< by index
    cancel_request stop_request_{cancel_reason::none};
    cancel_request own_cancellation_{cancel_reason::none}; ///< the caller's, which was passed on to the children
    std::unique_ptr<timers> timers_;                       ///< null until one is needed
    std::unique_ptr<attempts> attempts_;                   ///< null without time limits and retries
    phase phase_ = phase::built;
    input input_ = input::goes_on;
    durations durations_are_ = durations::ignored;
    handles handles_ = handles::delivered;
    /// How children begin, which says how much there is to look at when one begins or ends.
    enum class children_start : std::uint8_t {
        as_allowed, ///< may_start() says when
        freely,     ///< they are given, and neither a limit, a rate nor a retry lets one wait
        plainly,    ///< freely, and a value is only counted: no quorum, no time limits, no durations
    };
    children_start children_start_ = children_start::as_allowed;
    enum class filling : std::uint8_t {
        no,
        yes,         ///< children are being started: what ends meanwhile is looked at afterwards
        interrupted, ///< what a child has put in front of the ready queue goes before the next child
    };
    filling filling_ = filling::no;
};

} // namespace muster::detail
