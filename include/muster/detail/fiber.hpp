// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A fiber is one thread of control: a root coroutine and whatever it awaits inline, run one step at a time by a
/// scheduler. It is the unit of cancellation, what a gather has one of per child and a task handle refers to.
///
/// Coroutines never resume each other. To start a child or to go on with a parent, a coroutine names it as the
/// fiber's leaf and suspends; step() resumes leaves until the fiber waits, yields or ends. So nesting and sequences
/// of any length use no native stack, in every build.
///
///     fiber.start();          // from the loop
///     fiber.cancel({reason}); // from the loop's thread

#include <muster/config.hpp>
#include <muster/detail/cancel_text.hpp>
#include <muster/error.hpp>
#include <muster/outcome.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <utility>

namespace muster::detail {

class fiber;
class scheduler;
struct suspension;
struct task_locals;

/// What the ready queue holds: a fiber to go on with, or a call to make.
struct runnable {
    enum class kind : std::uint8_t { fiber, call };
    explicit runnable(kind k) noexcept : kind_(k) {}
    runnable(const runnable&) = delete;
    runnable& operator=(const runnable&) = delete;

    runnable* next_ = nullptr;
    union {
        runnable* before_ = nullptr; ///< in the ready queue; stale in one that is first
        suspension* op_;             ///< of a fiber that waits: what it waits for
    };
    kind kind_;
};

/// An entry of the ready queue that is not a fiber. It is held by address while queued: see scheduler::unpost.
struct call_entry : runnable {
    /// Called with run = true when its turn has come; with false if the loop ends first, only to free itself.
    using function = void (*)(call_entry&, bool run) noexcept;
    explicit call_entry(function f) noexcept : runnable(kind::call), call_(f) {}

    function call_;
    bool queued_ = false;
};

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
    std::uint32_t count_ = 0; ///< how many requests came meanwhile
    bool pending_ = false;
};

/// What a wait does when the fiber that waits is cancelled.
enum class cancel_effect : std::uint8_t {
    interrupted, ///< it is off all lists; the fiber goes on with a cancelled_error
    passed_on,   ///< it asked others to stop, and ends when they have
    held,        ///< it can't stop now; the fiber hears of it when the wait has ended
};

struct suspension_kind {
    const char* what; ///< for messages: "sleep", "mutex::lock"
    /// May name another fiber that the same request goes on to. Such a wait is called again, with its own fiber named,
    /// if the request came back to it in a circle: it then is off all lists, and is interrupted.
    cancel_effect (*cancel)(suspension&, const cancel_request&, fiber*& goes_on_to) noexcept;
    /// Children that live inside the wait and must be destroyed before the frame that holds it; may be null.
    fiber* (*last_child)(suspension&) noexcept = nullptr;
    bool can_fail = false; ///< it is one operation of the library, whose end throws if it was interrupted
    /// An interrupted wait needs nothing but its destructor: a coroutine that allows it ends there (droppable_task).
    bool can_be_dropped = false;
};

/// Marks what may be awaited in a task as it is: an awaiter that knows fibers.
struct library_awaitable {};

/// What a waiting fiber waits for. Part of an awaiter, so it lives in the waiting coroutine's frame.
struct suspension {
    explicit suspension(const suspension_kind& kind) noexcept : kind_(&kind) {}
    suspension(const suspension&) = delete;
    suspension& operator=(const suspension&) = delete;

    const suspension_kind* kind_;
    fiber* fiber_ = nullptr;
};

/// Who is told when a fiber has ended; and who holds it, for names and places in messages.
struct fiber_owner {
    using ended_function = void (*)(fiber_owner&, fiber&) noexcept;
    using name_function = std::string (*)(const fiber_owner&, const fiber&);
    fiber_owner(ended_function ended, name_function name) noexcept : ended_(ended), name_(name) {}

    ended_function ended_;
    name_function name_;
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
        void* next_dropped_; ///< of a frame that is destroyed before it was started
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

enum class fiber_state : std::uint8_t { unstarted, queued, running, waiting, ended };

class fiber : public runnable {
public:
    fiber() noexcept : runnable(kind::fiber) {}
    fiber(scheduler& loop, fiber_owner& owner) noexcept : runnable(kind::fiber), loop_(&loop), owner_(&owner) {}
    ~fiber() { static_cast<void>(cancel_text_ptr::adopt(text_)); }

    /// Makes `root`, a coroutine that has not begun, what this fiber runs; its result goes to `out`.
    void adopt(std::coroutine_handle<> root, outcome_base& out) noexcept {
        auto& links = promise_links::of(root);
        links.fiber_ = this;
        links.out_ = &out;
        links.link_ = nullptr;
        leaf_ = root;
        state_ = fiber_state::unstarted;
    }

    /// Runs until it waits, yields or has ended; then tells its owner. Called by the loop only.
    void step() noexcept;

    /// As asyncio's Task.cancel: interrupts what it waits for, or else what it will wait for next; counted.
    /// *Returns* false if it had ended. `inside` is the hold in which the one who asks is itself.
    bool cancel(const cancel_request& request, const cancel_hold* inside = nullptr) noexcept;

    // ---- for awaiters, on the running fiber ----

    /// The fiber waits for `op` and goes on with `h` when woken. If a cancellation is due the wait is interrupted
    /// at once. The caller must have put `op` where it will be found.
    void wait(suspension& op, std::coroutine_handle<> h) noexcept;
    /// The fiber goes on with `h` after what is ready now.
    void yield(std::coroutine_handle<> h) noexcept;
    /// The fiber goes on with `h` at once.
    void transfer(std::coroutine_handle<> h) noexcept { leaf_ = h; }
    /// What a root coroutine's last suspension says.
    void set_ended() noexcept { state_ = fiber_state::ended; }

    /// Ends a wait: the fiber is queued.
    void wake() noexcept;

    /// True if a cancellation is to be delivered now; the awaiter then undoes what it was given and calls
    /// throw_cancelled().
    [[nodiscard]] bool cancellation_due() const noexcept { return interrupted_ || must_cancel_; }
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
    /// A delivered cancellation is put back: it comes again at the next wait.
    void put_back(const cancel_request& request) noexcept;

    int uncancel() noexcept;
    /// asyncio's cancelling(), less what is held back.
    [[nodiscard]] std::uint32_t cancels_here() const noexcept;
    void begin_hold(cancel_hold& h) noexcept;
    void end_hold(cancel_hold& h) noexcept;

    [[nodiscard]] bool ended() const noexcept { return state_ == fiber_state::ended; }

    // What is small first: it fits beside what a runnable has that is small. A gather has as many as children.
    fiber_state state_ = fiber_state::unstarted;
    cancel_reason reason_ = cancel_reason::none;
    bool interrupted_ : 1 = false; ///< a wait was ended by a cancellation that the coroutine has not seen yet
    bool must_cancel_ : 1 = false; ///< a cancellation waits for the next wait
    bool droppable_ : 1 = false;   ///< the coroutine that waits allows that it ends there if it is interrupted
    bool dropped_ : 1 = false;     ///< and it does
    std::uint32_t cancels_ = 0;    ///< asyncio's cancelling()
    scheduler* loop_ = nullptr;
    std::coroutine_handle<> leaf_;
    fiber_owner* owner_ = nullptr;
    cancel_text* text_ = nullptr;   ///< owned
    task_locals* locals_ = nullptr; ///< owned by the owner's rules: see task_local.hpp
    cancel_hold* hold_ = nullptr;   ///< the innermost

    void set_request(const cancel_request& request) noexcept {
        reason_ = request.reason;
        static_cast<void>(cancel_text_ptr::adopt(std::exchange(text_, cancel_text_ptr(request.text).detach())));
    }

private:
    bool deliver(const cancel_request& request, const cancel_hold* inside) noexcept;
    fiber* deliver_here(const cancel_request& request, const cancel_hold* inside) noexcept;
    void cut_circle(const cancel_request& request) noexcept;
    void end_cancelled() noexcept;
};

} // namespace muster::detail
