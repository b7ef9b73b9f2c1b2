// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Keeps a loop waiting for work from outside, such as a library's callback that the loop can't know of.
///
///     muster::external_work_guard guard;       // on the loop's thread
///     library.begin([guard, promised] { ... }); // the loop waits until the last copy is gone

#include <muster/config.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/error.hpp>

#include <memory>

namespace muster {

/// While one lives, its loop waits with nothing to do instead of reporting a deadlock: something outside will still
/// give it work. *Thread safety*: made on the loop's thread, or as a copy; otherwise any thread.
class external_work_guard {
public:
    /// *Errors*: invalid_state_error if no loop runs on this thread.
    external_work_guard();
    external_work_guard(const external_work_guard& other) noexcept;
    external_work_guard(external_work_guard&& other) noexcept = default;
    external_work_guard& operator=(external_work_guard other) noexcept {
        inbox_.swap(other.inbox_);
        return *this;
    }
    ~external_work_guard();

    /// For the library. *Errors*: invalid_state_error for one that was moved from.
    [[nodiscard]] const std::shared_ptr<detail::mailbox>& inbox() const {
        if (inbox_ == nullptr) [[unlikely]]
            throw invalid_state_error("this loop_handle was moved from: it refers to no loop");
        return inbox_;
    }

private:
    std::shared_ptr<detail::mailbox> inbox_; ///< null once moved from
};

} // namespace muster
