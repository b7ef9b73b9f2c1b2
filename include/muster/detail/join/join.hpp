// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one piece behind gather, settle, map, races and quorums: it starts children, counts how each ended, decides
/// what a failure does to the others, and wakes the one who waits when all have ended. It knows no value type: a
/// child writes its outcome where its promise was told to, and what concerns values is done at the edges.
///
/// A child is a slot (a fiber, for a task) or a watch (for a handle or future). Decisions are carried out in a
/// turn's entry of the join's own, so that children started together all run their first step, as in asyncio.

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/outcome.hpp>
#include <muster/report.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace muster::detail {

inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// What the first failure does.
enum class on_failure : std::uint8_t {
    cancel_siblings, ///< the others are cancelled and waited for; it is thrown as itself
    leave_siblings,  ///< it is thrown at once; the others go on
    finish_siblings, ///< all run to the end; a group of all failures is thrown
    settle,          ///< nothing is thrown: the outcomes are the result
};

/// With leave_siblings: which end lets the caller go on.
enum class leave_at : std::uint8_t { never, error, no_value, any_end };

/// How to try again. Made by retry_policy.
struct retry_rule {
    std::size_t times = 0; ///< further attempts after the first
    nanoseconds first_delay{0};
    nanoseconds longest_delay{std::chrono::seconds(30)};
    double factor = 2.0;
    double jitter = 0.0;                                    ///< 0..1: how much of the delay is random
    std::function<bool(const std::exception_ptr&)> retries; ///< empty: every error
};

struct join_options {
    explicit join_options(std::source_location where) noexcept : site(where) {}

    on_failure policy = on_failure::cancel_siblings;
    leave_at leave = leave_at::no_value;
    bool owns_children = true;     ///< false: a cancellation or deadline ends the wait and leaves the children alone
    std::size_t limit = unlimited; ///< how many run at once
    std::size_t max_failures = unlimited;   ///< stop once so many have failed
    std::size_t quorum = 0;                 ///< stop once so many have succeeded; 0: never
    std::optional<nanoseconds> each_within; ///< one child's time, all its attempts each
    std::optional<nanoseconds> within;      ///< everybody's time
    std::size_t rate = 0;                   ///< starts in rate_window; 0: any
    nanoseconds rate_window{std::chrono::seconds(1)};
    std::unique_ptr<retry_rule> retry;
    std::string name;
    std::source_location site;
};

struct ledger {
    std::size_t succeeded = 0;
    std::size_t failed = 0;
    std::size_t cancelled = 0;
    std::size_t not_started = 0;
    std::size_t retries = 0;
};

class join;
struct child_clock;

/// Where a child that is a task runs; it is used again when the child has ended. `out_` is where its outcome goes; null
/// while the slot is free.
struct join_slot : fiber {
    join_slot(scheduler& loop, fiber_owner& owner) noexcept : fiber(loop, owner) {}

    outcome_base* out_ = nullptr;
    std::uint64_t index_ = 0;
    nanoseconds began_{0};
    std::uint32_t place_ = 0; ///< its own number
};

/// What a child with a time limit or retries has beside its fiber. The timer is for the pause before another attempt:
/// time limits come in the order in which they began, so a list and one timer serve all of a join's.
struct child_clock : timer {
    child_clock(join& j, join_slot& slot) noexcept : timer(&fired), join_(&j), slot_(&slot) {}
    static void fired(timer& t) noexcept;

    join* join_;
    join_slot* slot_;
    std::size_t attempts_ = 0;
    child_clock* before_ = nullptr;
    child_clock* after_ = nullptr;
    nanoseconds limit_{0};    ///< when its time is up
    std::uint64_t order_ = 0; ///< its place among timers of that time
    bool limited_ = false;    ///< it is in the list
    bool expired_ = false;    ///< its time was up, and its cancellation is ours
    bool backing_off_ = false;
};

/// A child that is a handle or a future.
struct join_watch : watcher {
    join_watch() noexcept : watcher(&told, &ended) {}
    static void told(watcher& w) noexcept;
    static void ended(call_entry& c, bool run) noexcept;

    counted<completable> on_;
    join* join_ = nullptr;
    std::uint64_t index_ = 0;
    bool counted_ = false;
};

/// A join's slots and, where there is a time limit or a retry, their clocks: made one by one, in chunks that stay where
/// they are. A child that ends at once leaves its slot to the next, so there are as many as are alive at once.
class slot_store {
public:
    slot_store() noexcept = default;
    ~slot_store();
    slot_store(const slot_store&) = delete;
    slot_store& operator=(const slot_store&) = delete;

    /// The room for the first chunk is somebody else's: for `count` slots, which are all there will be.
    void lend(join_slot* room, std::size_t count) noexcept {
        first_.slots = room;
        first_.room = count;
        lent_ = true;
    }
    void make_clocks() noexcept { with_clocks_ = true; }

    [[nodiscard]] std::size_t size() const noexcept { return made_; }
    [[nodiscard]] join_slot& operator[](std::size_t i) const noexcept { return chunk_of(i).slots[i % chunk_size]; }
    [[nodiscard]] bool has_clocks() const noexcept { return with_clocks_; }
    [[nodiscard]] child_clock& clock_of(const join_slot& s) const noexcept {
        return chunk_of(s.place_).clocks[s.place_ % chunk_size];
    }
    /// *Returns* null if there is no memory for more; `most` is how many may be wanted.
    [[nodiscard]] join_slot* make(join& j, std::size_t most) noexcept;

private:
    static constexpr std::size_t chunk_size = 1024; // below the size for which malloc asks the kernel
    struct chunk {
        join_slot* slots = nullptr;
        child_clock* clocks = nullptr;
        std::size_t room = 0;
    };
    [[nodiscard]] const chunk& chunk_of(std::size_t i) const noexcept {
        return i < chunk_size ? first_ : more_[i / chunk_size - 1];
    }
    void fill(chunk& c, std::size_t room);
    void free(chunk& c) noexcept;

    chunk first_;
    std::vector<chunk> more_;
    std::size_t made_ = 0;
    bool lent_ = false;
    bool with_clocks_ = false;
};

class join : public suspension, public call_entry, public fiber_owner {
public:
    explicit join(join_options options) noexcept;
    ~join();

    /// Everything is in place: the children start after `h`'s fiber has suspended.
    void begin(fiber& parent, std::coroutine_handle<> h) noexcept;
    /// The same where no fiber waits and all children are watches: looks at once at those that have ended. `over` is
    /// called with `whom`, once, as the last thing; it may destroy the join.
    using over_function = void (*)(void* whom) noexcept;
    void begin(scheduler& loop, over_function over, void* whom) noexcept;

    /// Asks the children to stop on behalf of whoever waits, which ends with a cancellation then.
    void ask_to_stop(const cancel_request& request) noexcept;
    /// False if all that could be asked to stop have ended, even if this has not been told yet.
    [[nodiscard]] bool anyone_to_stop() const noexcept;
    /// Whoever waits got something else: no child's failure is delivered.
    void deliver_nothing() const noexcept { suppress_failures(unlimited); }
    /// Before it is destroyed: if it was destroyed while it waited, the failures of its tasks were delivered to nobody.
    void report_undelivered() const noexcept;

    // ---- set by the edges before begin() ----
    slot_store slots_;
    std::size_t most_at_once_ = 0; ///< how many children that are tasks may run at once
    std::size_t to_pull_ = 0;      ///< how many children are tasks; `unlimited` if that is not known
    bool lazy_ = false;            ///< what was not pulled when it stops is not started
    join_watch* watches_ = nullptr;
    std::size_t watch_count_ = 0;
    std::size_t total_ = 0; ///< how many were submitted; for an unsized input, how many were pulled
    bool sized_ = true;     ///< total_ was known from the start
    /// Puts the next child, the slot's index_-th task, into a slot: adopts it, sets out_, and index_ if handles are
    /// counted too. *Returns* false when the input has ended. What it throws ends the join with that error.
    bool (*pull_)(join&, join_slot&) = nullptr;
    /// Whether pull_ would give another child; for an input of unknown length. What it throws ends the join.
    bool (*has_next_)(join&) = nullptr;
    /// Makes a slot's task anew for another attempt.
    void (*again_)(join&, join_slot&) = nullptr;
    /// Called with each ended child, before its slot is used again; may be null. What it throws ends the join.
    void (*harvest_)(join&, join_slot&) = nullptr;
    void* edge_ = nullptr; ///< theirs

    // ---- read by the edges after the wait ----
    /// How child i ended; null if it never began. Set by the edges.
    const outcome_base* (*outcome_at_)(const join&, std::size_t i) = nullptr;
    /// Throws what the policy says is to be thrown, and reports the failures that are not. Returns if there is none.
    void conclude();
    /// The same for the forms that give outcomes: only the waiter's own cancellation and a broken input are thrown.
    void conclude_settled();
    [[nodiscard]] bool deadline_struck() const noexcept { return deadline_struck_; }
    [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }
    [[nodiscard]] cancel_reason stop_reason() const noexcept { return stop_request_.reason; }
    [[nodiscard]] cancel_text_ptr stop_text() const noexcept { return stop_request_.text; }
    [[nodiscard]] std::size_t begun_children() const noexcept { return next_; }
    [[nodiscard]] std::size_t unended_children() const noexcept { return running_ + watching_; }

    [[nodiscard]] std::string child_name(std::size_t index) const;
    [[nodiscard]] std::string name() const;
    [[nodiscard]] bool begun() const noexcept { return begun_; }

    join_options options_;
    ledger counts_;
    scheduler* loop_ = nullptr;
    nanoseconds began_{0};
    std::vector<nanoseconds> durations_; ///< by index, where wanted
    std::vector<std::size_t> winners_;   ///< with a quorum: those that made it, in order of completion
    bool wants_durations_ = false;

private:
    friend struct join_watch;
    friend struct child_clock;

    static const suspension_kind kind_of;
    static cancel_effect cancel(suspension& s, const cancel_request& r, fiber*& goes_on_to) noexcept;
    static fiber* last_child(suspension& s) noexcept;
    static void list(const suspension& s, wait_lister& lister);
    static void act(call_entry& c, bool run) noexcept;
    void act() noexcept;
    static void child_ended(fiber_owner& o, fiber& f) noexcept;
    static std::string slot_name(const fiber_owner& o, const fiber& f);
    static std::source_location slot_site(const fiber_owner& o) noexcept;

    /// The waiter's own cancellation, if one is due: thrown, or kept for its next wait where an error goes first.
    void throw_own_cancellation(const outcome_base* decided = nullptr);
    void keep_own_cancellation() noexcept;
    void suppress_failures(std::size_t except) const noexcept;
    void report_suppressed(std::optional<std::size_t> index, const std::exception_ptr& error) const noexcept;
    [[noreturn]] void throw_group();

    void arm_deadline() noexcept;
    [[nodiscard]] join_slot* take_slot() noexcept;
    [[nodiscard]] child_clock* clock_of(const join_slot& s) const noexcept {
        return slots_.has_clocks() ? &slots_.clock_of(s) : nullptr;
    }
    [[nodiscard]] bool begin_limit(child_clock& c) noexcept;
    void end_limit(child_clock& c) noexcept;
    void strike_limit() noexcept;
    [[nodiscard]] bool watches(std::size_t index) const noexcept;
    void end_wait() noexcept;
    void tell_if_over() noexcept;
    void fill() noexcept;
    bool start_next() noexcept;
    void run_slot(join_slot& s) noexcept;
    [[nodiscard]] bool try_again(join_slot& s) noexcept;
    void watch_ended(join_watch& w) noexcept;
    void count(const outcome_base& o, std::size_t index) noexcept;
    void note_winner(std::size_t index) noexcept;
    [[nodiscard]] cancel_text_ptr asked_by(std::size_t index) const noexcept;
    void free_slot(join_slot& s) noexcept;
    void stop(cancel_reason reason, cancel_text_ptr text = {}) noexcept;
    void cancel_running() noexcept;
    void drop_unstarted() noexcept;
    void settle_if_done() noexcept;
    [[nodiscard]] bool rate_allows() noexcept;
    [[nodiscard]] bool input_goes_on() noexcept;
    void make_attempt(join_slot& s) noexcept;
    void slot_ended(join_slot& s) noexcept;
    void strike_deadline() noexcept;
    void cancel_running_and_theirs() noexcept;
    void fail_edge(std::exception_ptr error) noexcept;

    struct owned_timer : timer {
        owned_timer(timer::fire_function f, join& j) noexcept : timer(f), join_(&j) {}
        join* join_;
    };

    /// The time limit that is up next, of those that are running.
    struct limit_timer : timer {
        explicit limit_timer(join& j) noexcept
            : timer([](timer& t) noexcept { static_cast<limit_timer&>(t).join_->strike_limit(); }),
              join_(&j) {}
        join* join_;
    };

    fiber* parent_ = nullptr; ///< null where no fiber waits
    over_function over_ = nullptr;
    void* whom_ = nullptr;
    std::size_t next_ = 0;     ///< tasks begun
    std::size_t running_ = 0;  ///< slots begun and not ended
    std::size_t watching_ = 0; ///< watches not ended
    std::size_t ended_ = 0;
    std::size_t decisive_ = unlimited;
    std::size_t last_ended_ = unlimited; ///< of the watches
    std::size_t destroy_from_ = unlimited;
    join_slot* free_ = nullptr; ///< linked by next_
    child_clock* first_limit_ = nullptr;
    child_clock* last_limit_ = nullptr;
    limit_timer each_limit_{*this};
    std::exception_ptr edge_error_;
    cancel_request stop_request_{cancel_reason::none};
    join* next_to_cancel_ = nullptr;
    std::uint64_t cancelled_in_wave_ = 0;
    std::uint32_t times_to_cancel_ = 0; ///< while it is in the loop's list; a child given twice is cancelled twice
    std::unique_ptr<owned_timer> deadline_;
    std::unique_ptr<owned_timer> pace_;
    std::vector<nanoseconds> recent_starts_; ///< a ring of the last `rate` starts
    cancel_request parent_request_{cancel_reason::none};
    bool begun_ = false;
    bool filling_ = false;
    bool stopping_ = false;           ///< no more are started; those that run have been asked to stop, or will be
    bool children_cancelled_ = false; ///< those that run have been asked
    bool stop_carried_out_ = false;   ///< and those that had not begun are accounted for
    bool exhausted_ = false;
    bool looked_ahead_ = false; ///< the next child was seen, and waits for its start
    bool done_ = false;
    bool cancelled_by_parent_ = false;
    bool deadline_struck_ = false;
    bool concluded_ = false;
};

} // namespace muster::detail
