// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one guard for what one task at a time may do: read from a connection, accept, wait for a process. A second
/// task gets an error at once, instead of taking the wake-ups of the first one. Private to the library.
///
///     one_at_a_time reading_;
///     const one_at_a_time::use mine(reading_, "reading");

#include <muster/detail/assert.hpp>
#include <muster/error.hpp>

#include <string>

namespace muster::detail {

/// *Lifetime*: outlives its uses. *Thread safety*: one thread.
class one_at_a_time {
public:
    class use;

    one_at_a_time() = default;
    one_at_a_time(const one_at_a_time&) = delete;
    one_at_a_time& operator=(const one_at_a_time&) = delete;
    ~one_at_a_time() { MUSTER_ASSERT(!in_use_); }

    [[nodiscard]] bool in_use() const noexcept { return in_use_; }

private:
    bool in_use_ = false;
};

/// One task's use, for as long as it lives. *Errors*: invalid_state_error, which begins with `what`, if there is
/// another.
class one_at_a_time::use {
public:
    use(one_at_a_time& of, const char* what) : of_(&of) {
        if (of.in_use_)
            throw invalid_state_error(std::string(what) + ": another task is doing that; one at a time can");
        of.in_use_ = true;
    }
    ~use() {
        MUSTER_ASSERT(of_->in_use_);
        of_->in_use_ = false;
    }
    use(const use&) = delete;
    use& operator=(const use&) = delete;

private:
    one_at_a_time* of_;
};

} // namespace muster::detail
