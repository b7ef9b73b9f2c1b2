// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a cancellation spreads from a combinator to its children, to the combinators that those wait for, and so on. A
/// loop has one wave: a list of the targets whose children the cancellation has still to reach, so that no depth of
/// nesting takes native stack.
///
///     loop.wave_.reach(target);     // calls target.cancel_children(), now or as part of the wave that is under way

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>

#include <cstdint>

namespace muster::detail {

class cancel_wave;

/// Something that waits for children, which a cancellation of it reaches too.
class cancel_target : public list_hook<cancel_target> {
public:
    cancel_target() = default;

    /// Asks each child that has not ended to stop. It may lead to cancel_wave::reach for other targets.
    virtual void cancel_children() noexcept = 0;
    /// *Returns* whether one of the children can be asked to stop and none of them is itself a target. `also` is then
    /// left alone; otherwise it is set to the last child that is a target, whose children have yet to be looked at.
    [[nodiscard]] virtual bool has_child_to_stop(const cancel_target*& also) const noexcept = 0;

protected:
    ~cancel_target() { MUSTER_ASSERT(times_ == 0); }

private:
    friend class cancel_wave;
    std::uint64_t reached_in_ = 0; ///< the number of the last wave that reached it
    std::uint32_t times_ = 0;      ///< how often it is to be reached: a child that is given twice is cancelled twice
};

class cancel_wave {
public:
    /// Cancels the target's children, and what that leads to, before it returns; during a wave the target becomes part
    /// of that one. Tasks that wait for each other form a circle: each is reached by a wave only once.
    void reach(cancel_target& target) noexcept;

    /// *Returns* false if everything that a cancellation of the target would reach has ended already.
    [[nodiscard]] static bool would_stop_something(const cancel_target& target) noexcept;

private:
    intrusive_list<cancel_target> to_reach_;
    std::uint64_t number_ = 0;
    bool under_way_ = false;
};

} // namespace muster::detail
