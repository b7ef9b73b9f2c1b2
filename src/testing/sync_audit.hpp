// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Sees how one run of a body uses mutexes, semaphores and queues, and says what is wrong about that. Private to the
/// fault drivers.
///
///     sync_audit undisturbed;
///     { const sync_watch_scope scope(undisturbed); run(); undisturbed.stop(); }
///     for (const auto& mistake : disturbed.mistakes(&undisturbed)) ...

#include <muster/detail/sync_watch.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace muster::testing {

class sync_audit final : public muster::detail::sync_watch {
public:
    void about_to(muster::detail::sync_act act, const void* primitive, reader read) noexcept override;
    /// The run is over: reads how those are that outlive it. Nothing is written down any more.
    void stop();
    /// *Returns* a line for each mistake. `undisturbed` is the run without a disturbance, which shows how the body uses
    /// its semaphores and queues; null for that run itself.
    [[nodiscard]] std::vector<std::string> mistakes(const sync_audit* undisturbed) const;
    /// *Returns* a line for each primitive that outlives the runs and is not as it was at the end of `first`, which
    /// went the same way.
    [[nodiscard]] std::vector<std::string> differences(const sync_audit& first) const;
    /// Whether a semaphore that is a signal and outlives the runs began otherwise than in `first`: how many permits of
    /// such a one are left is no mistake, but may change the way that a body goes.
    [[nodiscard]] bool has_other_signals(const sync_audit& first) const;

private:
    enum class fate { alive, destroyed, outlived_the_run };

    /// One primitive, from the first act that was seen.
    struct record {
        const void* address = nullptr;
        reader read = nullptr;
        muster::detail::sync_state first{};
        muster::detail::sync_state last{};
        fate end = fate::alive;
        std::ptrdiff_t tries = 0; ///< permits that a try_acquire() gave
        std::size_t task_dones = 0;
        /// How much each fiber has taken and not given back. A fiber that gives what it has not taken makes a semaphore
        /// a signal between tasks: of such a one nothing has to be given back. It may unlock a mutex that was handed to
        /// it, which the undisturbed run shows.
        std::map<const void*, std::ptrdiff_t> balance{};
        bool is_signal = false;
    };

    [[nodiscard]] record& record_of(const void* primitive, reader read);
    /// *Returns* whether `same` holds for the counterparts that the record has in the undisturbed run, of which there
    /// is at least one: itself if it outlives the runs, else all of its kind that began alike.
    template <class Same>
    [[nodiscard]] bool counterparts(const record& r, Same same) const;
    [[nodiscard]] std::string mistake_in(const record& r, const sync_audit* undisturbed) const;
    [[nodiscard]] static std::string mistake_in_semaphore(const record& r, const sync_audit* undisturbed);
    [[nodiscard]] static std::string mistake_in_queue(const record& r, const sync_audit* undisturbed);
    [[nodiscard]] static std::string mistake_in_event(const record& r, const sync_audit* undisturbed);
    /// Calls `visit(mine, first's)` for each primitive that outlived both runs.
    template <class Visit>
    void for_each_pair(const sync_audit& first, Visit visit) const;

    std::vector<record> records_;
    std::map<const void*, std::size_t> alive_; ///< by address
    bool stopped_ = false;
};

} // namespace muster::testing
