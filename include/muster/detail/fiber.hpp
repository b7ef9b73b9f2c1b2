// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A fiber is one thread of control: a root coroutine and whatever it awaits inline, run one step at a time by a
/// scheduler. It is the unit of cancellation. A task handle refers to one, and a gather runs each task child that
/// is alive in one.
///
/// Coroutines never resume each other. To start a child or to go on with a parent, a coroutine names it as the
/// fiber's leaf and suspends; step() resumes leaves until the fiber waits, yields or ends. So nesting and sequences
/// of any length use no native stack, in every build.
///
///     fiber.start();          // from the loop
///     fiber.cancel({reason}); // from the loop's thread

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/cancel_text.hpp>
#include <muster/detail/fiber_loop.hpp>
#include <muster/detail/run_queue.hpp>
#include <muster/detail/task_locals.hpp>
#include <muster/detail/unawaited.hpp>
#include <muster/error.hpp>
#include <muster/outcome.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <utility>

namespace muster::detail {

class cancel_target;
class fiber;
struct suspension;

struct cancel_request {
    explicit cancel_request(cancel_reason why, cancel_text_ptr said = {}) noexcept
        : reason(why),
          text(std::move(said)) {}

    cancel_reason reason;
    cancel_text_ptr text;
};

/// A stretch of a fiber's code in which cancellation is held back: the requests from outside wait here for its end.
/// Scopes that are inside it (a time limit, a group) still reach their own body.
struct cancel_hold {
    cancel_hold* outer_ = nullptr;
    cancel_request request_{cancel_reason::none};
    std::uint32_t count_ = 0; ///< how many requests came while it lasted
    bool pending_ = false;
};

/// How a wait answers when the fiber that waits is cancelled.
enum class cancel_effect : std::uint8_t {
    interrupted, ///< it is off all lists; the fiber goes on with a cancelled_error
    passed_on,   ///< it asked others to stop, and ends when they have
    held,        ///< it can't stop now; the fiber hears of it when the wait has ended
};

/// Receives the tasks, futures and children that a wait waits for, for reports of stuck tasks.
class wait_lister {
public:
    /// One task, future or child. `runs` is its fiber. A future has none, but may be that of a combinator that was
    /// started: `waits` is what the combinator waits for. `go_into` says whether what it waits for is listed, too:
    /// false for a task, which has a place of its own in the report.
    virtual void child(
        std::string name, std::source_location site, const fiber* runs, const suspension* waits, bool go_into) = 0;

protected:
    ~wait_lister() = default;
};

/// The functions and properties of one kind of wait. Written with designated initialisers: `{.what = "sleep", .cancel =
/// &interrupt}`.
struct suspension_kind {
    const char* what; ///< for messages: "sleep", "mutex::lock"
    /// May name another fiber that the same request goes on to. If the request returns to this wait in a circle, the
    /// function is called again with `goes_on_to` set to the waiting fiber: it then takes the wait off all lists and
    /// answers `interrupted`.
    cancel_effect (*cancel)(suspension&, const cancel_request&, fiber*& goes_on_to) noexcept;
    /// Children that live inside the wait and must be destroyed before the frame that holds it; may be null.
    fiber* (*last_child)(suspension&) noexcept = nullptr;
    bool can_fail = false; ///< it is one operation of the library, whose end throws if it was interrupted
    /// An interrupted wait needs nothing but its destructor: a coroutine that allows it ends there (droppable_task).
    bool can_be_dropped = false;
    /// Lists what has not ended of all that the wait waits for; null if it waits for no task, future or child.
    void (*list)(const suspension&, wait_lister&) = nullptr;
    /// For waits that pass a cancellation on: the task, or the combinator, that this one waits for. *Returns* true if
    /// the wait can be ended by itself to cut a circle; the children of a combinator are cut off one by one instead.
    bool (*waits_on)(suspension&, fiber*& task, cancel_target*& combinator) noexcept = nullptr;
};

/// Marks what may be awaited in a task as it is: an awaiter that knows fibers.
struct library_awaitable {};

/// One wait of a fiber. Part of an awaiter, so it lives in the waiting coroutine's frame.
struct suspension {
    explicit suspension(const suspension_kind& kind) noexcept : kind_(&kind) {}
    suspension(const suspension&) = delete;
    suspension& operator=(const suspension&) = delete;

    const suspension_kind* kind_;
    fiber* fiber_ = nullptr;
};

struct fiber_owner;

/// The functions of one kind of fiber_owner. Written with designated initialisers, as suspension_kind.
struct fiber_owner_kind {
    void (*ended)(fiber_owner&, fiber&) noexcept;
    std::string (*name)(const fiber_owner&, const fiber&);
    std::source_location (*site)(const fiber_owner&) noexcept = nullptr; ///< null if it is not known
};

/// The object that holds a fiber: it is called when the fiber has ended, and knows its name and where it was created.
struct fiber_owner {
    explicit fiber_owner(const fiber_owner_kind& kind) noexcept : owner_kind_(&kind) {}

    const fiber_owner_kind* owner_kind_;
};

/// Between an awaiting coroutine and the coroutine that it awaits inline. Part of the awaiter.
struct inline_link {
    [[nodiscard]] std::coroutine_handle<> parent() const noexcept {
        return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(parent_ & ~std::uintptr_t{1}));
    }
    /// True if a cancellation that ends the child is to end the parent too, without a throw.
    [[nodiscard]] bool drops_parent() const noexcept { return (parent_ & 1) != 0; }
    void set_parent(std::coroutine_handle<> h, bool drops_it = false) noexcept {
        parent_ = reinterpret_cast<std::uintptr_t>(h.address()) | std::uintptr_t{drops_it};
    }

    std::coroutine_handle<> child_; ///< owned

private:
    std::uintptr_t parent_ = 0; // frames are aligned, so the lowest bit is free
};

/// The part of a task's promise that does not depend on its type. All promises of tasks start with it and add no
/// stricter alignment, so it can be found from a bare coroutine handle.
struct promise_links {
    promise_links() noexcept : function_() {}

    union {
        fiber* fiber_ = nullptr;
        void* next_dropped_; ///< the next frame in the list of those to destroy that were never started
    };
    outcome_base* out_ = nullptr; ///< where the result goes; null until it is started
    union {
        std::source_location function_; ///< before it is started: the coroutine function
        inline_link* link_;             ///< after: null for a fiber's root
    };

    static promise_links& of(std::coroutine_handle<> h) noexcept {
        return std::coroutine_handle<promise_links>::from_address(h.address()).promise();
    }
};

/// A fiber's life. A slot of a combinator that has no coroutine at the moment has ended too.
///
///     unstarted --step--> running --wait--> waiting
///         ^                ^   |               |
///         |           step |   | yield         | wake
///       adopt              |   v               |
///         |               queued <-------------+
///         |
///       ended     <- from each of the others: the last coroutine ended, or it was destroyed with its loop
enum class fiber_state : std::uint8_t { unstarted, queued, running, waiting, ended };

/// How far a cancellation has come. Several requests are delivered as one.
enum class cancel_stage : std::uint8_t {
    none,
    due,         ///< not delivered yet: a fiber that was woken throws it when it runs, another one at its next wait
    interrupted, ///< it ended a wait, and the coroutine has not seen that yet
    interrupted_and_due, ///< it ended a wait, and another request came before the coroutine saw that
};

/// Whether a cancellation may end the coroutine that waits without a throw: see droppable_task.
enum class drop_stage : std::uint8_t { not_allowed, allowed, dropped };

class fiber : public runnable {
public:
    fiber() noexcept : runnable(kind::fiber) {}
    fiber(fiber_loop& loop, fiber_owner& owner) noexcept : runnable(kind::fiber), loop_(&loop), owner_(&owner) {}
    ~fiber() { static_cast<void>(cancel_text_ptr::adopt(text_)); }

    /// Makes `root`, a coroutine that has not begun, what this fiber runs; its result goes to `out`.
    void adopt(std::coroutine_handle<> root, outcome_base& out) noexcept {
        auto& links = promise_links::of(root);
        links.fiber_ = this;
        links.out_ = &out;
        links.link_ = nullptr;
        leaf_ = root;
        run_ = loop_->run_number();
        go_to(fiber_state::unstarted);
    }
    /// Queues a fiber that has not begun.
    void start() noexcept {
        MUSTER_ASSERT(state_ == fiber_state::unstarted);
        loop_->ready_.push(*this);
    }

    /// Runs until it waits, yields or has ended; then tells its owner. Called by the loop, and by a join for the
    /// first step of a child; never within the step of another fiber.
    void step() noexcept;

    /// As asyncio's Task.cancel: interrupts what it waits for, or else what it will wait for next; counted.
    /// *Returns* false if it had ended. `inside` is the innermost hold around the code that sends the
    /// request: holds outside of it do not keep the request back.
    bool cancel(const cancel_request& request, const cancel_hold* inside = nullptr) noexcept;

    // ---- for awaiters, on the running fiber ----

    /// The fiber waits for `op` and goes on with `h` when woken. If a cancellation is due the wait is interrupted
    /// at once. The caller must have put `op` where it will be found.
    void wait(suspension& op, std::coroutine_handle<> h) noexcept;
    /// The fiber goes on with `h` after what is ready now.
    void yield(std::coroutine_handle<> h) noexcept {
        leaf_ = h;
        go_to(fiber_state::queued);
        loop_->ready_.push(*this);
    }
    /// The fiber goes on with `h` at once.
    void transfer(std::coroutine_handle<> h) noexcept { leaf_ = h; }
    /// A root coroutine has come to its last suspension, or there is no coroutine to run.
    void set_ended() noexcept { go_to(fiber_state::ended); }

    /// Ends a wait: the fiber is queued.
    void wake() noexcept {
        MUSTER_ASSERT(state_ == fiber_state::waiting);
        go_to(fiber_state::queued);
        loop_->ready_.push(*this);
    }
    /// The same, but the fiber goes on before anything else that is ready.
    void wake_first() noexcept {
        MUSTER_ASSERT(state_ == fiber_state::waiting);
        go_to(fiber_state::queued);
        loop_->ready_.push_first(*this);
    }

    /// True if a cancellation is to be delivered now; the awaiter then undoes what it was given and calls
    /// throw_cancelled().
    [[nodiscard]] bool cancellation_due() const noexcept { return stage_ != cancel_stage::none; }
    /// True if a cancellation ended the wait. If not, a cancellation that is due came after the wait had ended by
    /// itself.
    [[nodiscard]] bool wait_was_interrupted() const noexcept {
        return stage_ == cancel_stage::interrupted || stage_ == cancel_stage::interrupted_and_due;
    }
    /// True if a request has not been delivered yet.
    [[nodiscard]] bool next_wait_is_cancelled() const noexcept {
        return stage_ == cancel_stage::due || stage_ == cancel_stage::interrupted_and_due;
    }
    /// Inlined into the coroutine: each frame between a throw and its handler adds a third to what the throw costs.
    [[noreturn, gnu::always_inline]] void throw_cancelled() {
        auto request = take_for_throw();
        throw cancelled_error(request.reason, std::move(request.text));
    }
    [[gnu::always_inline]] void throw_if_cancelled() {
        if (cancellation_due()) [[unlikely]]
            throw_cancelled();
    }
    /// For tests: ends the wait as a cancellation does, but is none; the watch's interrupted() says what is thrown.
    /// *Returns* false if it does not wait, or for something that only others can end.
    bool interrupt_wait() noexcept;
    /// Takes the cancellation that is due, without a throw.
    [[nodiscard]] cancel_request take_cancellation() noexcept;
    /// The same; where a test watches the loop it may throw something else instead.
    [[nodiscard]] cancel_request take_for_throw();
    /// Ends the wait of a fiber that waits for itself by way of other tasks: the wait had only passed the cancellation
    /// on, and is now interrupted by it.
    void cut_circle(const cancel_request& request) noexcept;
    /// A delivered cancellation is put back: it comes again at the next wait.
    void put_back(const cancel_request& request) noexcept;
    /// The fiber is used again for another coroutine: nobody has asked that one to stop.
    void forget_cancellation() noexcept {
        if (cancels_ == 0 && stage_ == cancel_stage::none && text_ == nullptr) [[likely]]
            return;
        cancels_ = 0;
        stage_ = cancel_stage::none;
        set_request(cancel_request(cancel_reason::none));
    }
    /// The coroutine that waits allows, or no longer allows, that a cancellation ends it there.
    void allow_drop(bool allowed) noexcept { drop_ = allowed ? drop_stage::allowed : drop_stage::not_allowed; }

    /// A child of a race: a value that it returned is not dropped for a cancellation that it has not seen.
    void keep_value() noexcept { keeps_value_ = true; }
    [[nodiscard]] bool keeps_value() const noexcept { return keeps_value_; }

    /// asyncio's cancelling().
    [[nodiscard]] std::uint32_t cancels() const noexcept { return cancels_; }
    int uncancel() noexcept;
    /// asyncio's cancelling(), less what is held back.
    [[nodiscard]] std::uint32_t cancels_here() const noexcept;
    void begin_hold(cancel_hold& h) noexcept;
    void end_hold(cancel_hold& h) noexcept;
    /// The innermost stretch of its code in which cancellation is held back; null if there is none.
    [[nodiscard]] cancel_hold* hold() const noexcept { return hold_; }

    // ---- what it is doing ----

    [[nodiscard]] fiber_loop& loop() const noexcept { return *loop_; }
    [[nodiscard]] fiber_state state() const noexcept { return state_; }
    [[nodiscard]] bool ended() const noexcept { return state_ == fiber_state::ended; }
    [[nodiscard]] bool running() const noexcept { return loop_ != nullptr && loop_->running() == this; }
    /// Null if it does not wait.
    [[nodiscard]] suspension* waits_for() const noexcept { return state_ == fiber_state::waiting ? op_ : nullptr; }
    /// The name that its owner gives it.
    [[nodiscard]] std::string owners_name() const;
    /// Where its owner says that it was created; line 0 if that is not known.
    [[nodiscard]] std::source_location owners_site() const noexcept;
    /// True if its run ended before it did, in spite of its cancellation: it is never resumed again.
    [[nodiscard]] bool left_behind() const noexcept { return run_ != loop_->run_number(); }
    /// A child belongs to the run of the one that starts it.
    void belongs_to_run_of(const fiber& parent) noexcept { run_ = parent.run_; }

    // ---- its task-locals ----

    [[nodiscard]] task_locals* locals() const noexcept { return locals_; }
    /// Gets a share of what its creator has. It must have none yet.
    void share_locals(task_locals* list) noexcept {
        MUSTER_ASSERT(locals_ == nullptr);
        locals_ = retain_locals(list);
    }
    /// `longer` holds the fiber's share of locals() from now on, and the fiber a share of `longer`.
    void lengthen_locals(task_locals* longer) noexcept {
        MUSTER_ASSERT(longer->next == locals_);
        locals_ = longer;
    }
    /// Its owner calls this when it has ended and before it is destroyed.
    void release_locals() noexcept {
        if (locals_ != nullptr)
            detail::release_locals(std::exchange(locals_, nullptr));
    }

    // ---- its frames ----

    /// Whether it has a coroutine, begun or not.
    [[nodiscard]] bool has_frame() const noexcept { return static_cast<bool>(leaf_); }
    /// Destroys a root coroutine that has not begun.
    void destroy_unbegun() noexcept {
        MUSTER_ASSERT(state_ == fiber_state::unstarted);
        destroy_quietly(std::exchange(leaf_, nullptr));
        go_to(fiber_state::ended);
    }

private:
    friend void destroy_fiber_tree(fiber& root) noexcept;

    bool deliver(const cancel_request& request, const cancel_hold* inside) noexcept;
    fiber* deliver_here(const cancel_request& request, const cancel_hold* inside) noexcept;
    void end_cancelled() noexcept;
    [[nodiscard]] bool is_dropped() const noexcept { return drop_ == drop_stage::dropped; }
    enum class step_kind : std::uint8_t { plain, checked };
    template <step_kind Kind>
    void step_as() noexcept;

    /// Every change of its state, as the picture above has them.
    void go_to(fiber_state to) noexcept {
        MUSTER_ASSERT(may_go_to(to));
        state_ = to;
    }
    [[nodiscard]] bool may_go_to(fiber_state to) const noexcept;
    /// A cancellation is kept for the next wait.
    void keep_for_next_wait() noexcept {
        stage_ = wait_was_interrupted() ? cancel_stage::interrupted_and_due : cancel_stage::due;
    }
    /// A cancellation has ended the wait.
    void interrupted_wait() noexcept {
        stage_ = next_wait_is_cancelled() ? cancel_stage::interrupted_and_due : cancel_stage::interrupted;
    }
    void set_request(const cancel_request& request) noexcept {
        reason_ = request.reason;
        static_cast<void>(cancel_text_ptr::adopt(std::exchange(text_, cancel_text_ptr(request.text).detach())));
    }

    // The small members come first: they fit into the padding of a runnable. A gather has a fiber
    // for each task child that is alive.
    fiber_state state_ = fiber_state::unstarted;
    cancel_reason reason_ = cancel_reason::none;
    cancel_stage stage_ : 4 = cancel_stage::none;
    drop_stage drop_ : 3 = drop_stage::not_allowed;
    bool keeps_value_ : 1 = false;
    std::uint32_t cancels_ : 24 = 0;
    std::uint32_t run_ : 8 = 0; ///< in which run of its loop it was started: see fiber_loop::leave_fibers_behind
    fiber_loop* loop_ = nullptr;
    std::coroutine_handle<> leaf_; ///< the innermost coroutine, which the next step resumes
    fiber_owner* owner_ = nullptr;
    cancel_text* text_ = nullptr; ///< owned
    task_locals* locals_ = nullptr;
    cancel_hold* hold_ = nullptr;
};

static_assert(sizeof(void*) != 8 || sizeof(fiber) == 72, "a gather has a fiber for each task child that is alive");

/// Destroys a fiber's frames, innermost first, and before them its children's; without recursion.
void destroy_fiber_tree(fiber& root) noexcept;

} // namespace muster::detail
