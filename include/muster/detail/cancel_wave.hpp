// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a cancellation spreads from a combinator to its children, to the combinators that those wait for, and so on. A
/// loop has one wave: a list of the targets whose children the cancellation has still to reach, so that no depth of
/// nesting takes native stack.
///
///     loop.wave().reach(target);    // target.cancel_children(), now or in the wave that is under way

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>

#include <cstdint>

namespace muster::detail {

class cancel_wave;
class fiber;
struct cancel_request;

/// Something that waits for children, which a cancellation of it reaches too.
class cancel_target : public list_hook<cancel_target> {
public:
    /// A child that has not ended: a task, or a combinator that was started. Both are null for one that has ended, and
    /// for a future.
    struct child {
        fiber* task = nullptr;
        cancel_target* combinator = nullptr;
        bool can_be_cut = false; ///< it goes on by itself if it is no longer waited for
    };

    cancel_target() = default;

    /// Asks each child that has not ended to stop. It may lead to cancel_wave::reach for other targets.
    virtual void cancel_children() noexcept = 0;
    /// The request with which the children were asked to stop.
    [[nodiscard]] virtual const cancel_request& request() const noexcept = 0;
    /// *Returns* whether one of the children can be asked to stop and is not itself a target. `also` is set to the last
    /// child that is a target, whose own children the caller has yet to look at.
    [[nodiscard]] virtual bool has_child_to_stop(cancel_target*& also) noexcept = 0;
    /// *Returns* false once `i` is past the last child, and for all children that were not asked to stop.
    [[nodiscard]] virtual bool child_at(std::uint32_t i, child& found) noexcept = 0;
    /// The child waits, in a circle, for this target: it counts as cancelled and is no longer waited for.
    virtual void cut(std::uint32_t i) noexcept = 0;

protected:
    ~cancel_target() { MUSTER_ASSERT(times_ == 0); }

private:
    friend class cancel_wave;
    enum class path_state : std::uint8_t { off_path, on_path };

    std::uint64_t seen_in_ = 0;    ///< the number of the last wave, or search for circles, that came here
    cancel_target* up_ = nullptr;  ///< during a search: the target before it on the path
    std::uint32_t next_child_ = 0; ///< during a search: where it goes on
    std::uint32_t times_ =
        0; ///< how often cancel_children() is still to be called: more than once if a handle was given twice
    path_state path_ = path_state::off_path;
};

class cancel_wave {
public:
    /// Cancels the target's children, and what that leads to, before it returns; during a wave the target becomes part
    /// of that one. Tasks that wait for each other form a circle, which would never end: a wave comes to each
    /// target once, cancels its children as often as it was asked to before it came, and afterwards every circle is cut
    /// at one of its waits.
    void reach(cancel_target& target) noexcept;

    /// The same search for circles where no wave has found one: the target has asked its children by itself.
    void cut_circles(cancel_target& through) noexcept {
        MUSTER_ASSERT(state_ == state::idle);
        while (cut_a_circle(through)) {}
    }

    /// *Returns* false if everything that a cancellation of the target would reach has ended already.
    [[nodiscard]] static bool would_stop_something(cancel_target& target) noexcept;

private:
    enum class state : std::uint8_t { idle, under_way, met_one_again };

    [[nodiscard]] bool cut_a_circle(cancel_target& from) noexcept;
    /// The path of the search leads from `first` to `last`, and a child of that back to `first`.
    [[nodiscard]] static bool cut_path(cancel_target& last, cancel_target& first) noexcept;

    intrusive_list<cancel_target> to_reach_;
    std::uint64_t number_ = 0; ///< of waves and searches
    state state_ = state::idle;
};

} // namespace muster::detail
