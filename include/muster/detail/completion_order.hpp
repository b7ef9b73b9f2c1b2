// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The untyped half of as_completed: the order in which tasks and futures end, and the calls of next() that ask for it.
///
///     completion_order order(handles.size(), timeout);
///     order.watch(0, handles[0].required_state());
///     completion_order::next_wait wait(order);   // in the frame of the task that waits

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/loop_link.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/detail/watcher.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace muster {

namespace detail {

/// Which tasks have ended and were not given out, and which calls of next() wait.
class completion_order {
public:
    completion_order(std::size_t count, std::optional<nanoseconds> timeout);
    ~completion_order();
    completion_order(const completion_order&) = delete;
    completion_order& operator=(const completion_order&) = delete;

    void watch(std::size_t i, completable& c);

    /// One call of next(). It asks when it is made:
    ///
    ///     no_more                             nothing is left to ask for
    ///     waiting -> given | timed_out        at once, or when one ends or the time is up
    ///     waiting -> cancelled
    ///     waiting or given -> lost            the order is destroyed before the caller has gone on
    class next_wait : public suspension, public list_hook<next_wait> {
    public:
        explicit next_wait(completion_order& order) noexcept;
        ~next_wait();
        [[nodiscard]] bool ready() const noexcept { return state_ != state::waiting; }
        void begin(fiber& f, std::coroutine_handle<> h) noexcept;
        /// *Returns* the index of one that has ended; nothing at the end. *Errors*: timeout_error, cancelled_error,
        /// invalid_state_error if the order was destroyed.
        std::optional<std::size_t> finish();

    private:
        friend class completion_order;
        enum class state : std::uint8_t { no_more, waiting, given, timed_out, cancelled, lost };
        static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept;
        static const suspension_kind kind_of;
        void leave_list() noexcept;

        completion_order* order_; ///< null if it is lost
        std::size_t index_ = 0;   ///< of what was given
        state state_ = state::waiting;
        bool listed_ = false; ///< among those that wait, or that were answered and have yet to go on
    };

private:
    class watched : public watcher {
    public:
        watched() noexcept;

    private:
        friend class completion_order;
        completion_order* order_ = nullptr;
        std::size_t index_ = 0;
        std::size_t ended_as_ = 0; ///< how many had ended before it
        counted<completable> on_;
    };
    class limit_timer : public timer {
    public:
        explicit limit_timer(completion_order& o) noexcept;

    private:
        completion_order* order_;
    };

    void list(wait_lister& lister) const;
    void one_ended(std::size_t index) noexcept;
    void time_is_up() noexcept;
    void serve() noexcept;
    void settle(next_wait& w) noexcept;
    void take_back(std::size_t index) noexcept;
    [[nodiscard]] bool has_answer() const noexcept { return given_ != ended_.size() || timed_out_; }

    loop_link* link_; ///< shared: the order may outlive its loop
    std::unique_ptr<watched[]> watched_;
    std::size_t count_;
    std::size_t asked_ = 0;          ///< how many calls of next() were answered or wait
    std::size_t pending_;            ///< how many have not ended
    std::vector<std::size_t> ended_; ///< in order; room for all from the start
    std::size_t given_ = 0;
    intrusive_list<next_wait> waiting_;
    intrusive_list<next_wait> settled_; ///< answered, but the caller has yet to go on
    bool timed_out_ = false;
    limit_timer limit_;
};

/// *Returns* the indices of those that did not occur before, in order. *Complexity*: O(n log n).
[[nodiscard]] std::vector<std::size_t> first_occurrences(const std::vector<const void*>& ids);

} // namespace detail

} // namespace muster
