// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A command on its way to an agent and back, as the client sees it. Private to muster::hosts.
///
///     arriving --> ready       all of it is at the agent
///     arriving --> refused     the agent will not begin it
///     ready -----> going       the frame that begins it stands in the queue
///     going -----> gone        that frame is being written: from now on the agent may begin it
///     gone ------> started     the agent has begun it
///     gone ------> ended       it could not be started
///     started ---> ended
///
///     submission s(std::move(what));
///     s.enter(submission::phase::ready);

#include "hosts/frames.hpp"
#include "subprocess/output_collector.hpp"

#include <muster/detail/assert.hpp>
#include <muster/event.hpp>
#include <muster/hosts/error.hpp>
#include <muster/subprocess.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace muster::hosts {

/// Immovable: the collectors refer to the command.
class submission {
public:
    enum class phase : std::uint8_t { arriving, ready, refused, going, gone, started, ended };

    explicit submission(command what)
        : what_(std::move(what)),
          outputs_{
              detail::output_collector(what_.parts().out, what_), detail::output_collector(what_.parts().err, what_)} {}
    submission(const submission&) = delete;
    submission& operator=(const submission&) = delete;

    [[nodiscard]] const command& what() const noexcept { return what_; }
    [[nodiscard]] phase at() const noexcept { return phase_; }
    /// Set at each change of the phase, and when the connection is lost.
    [[nodiscard]] event& changed() noexcept { return changed_; }
    /// *Errors*: frame_error for a step that the agent can't take.
    void enter(phase next) {
        const bool follows = next == phase::refused || next == phase::ready ? phase_ == phase::arriving
                             : next == phase::going                         ? phase_ == phase::ready
                             : next == phase::gone                          ? phase_ == phase::going
                             : next == phase::started                       ? phase_ == phase::gone
                                                      : phase_ == phase::gone || phase_ == phase::started;
        MUSTER_ASSERT(follows || (next != phase::going && next != phase::gone));
        if (!follows)
            throw frame_error("a command has taken a step that it can't take");
        phase_ = next;
        changed_.set();
    }
    /// Whether it has begun, if the connection is lost now.
    [[nodiscard]] hosts::begun begun() const noexcept {
        switch (phase_) {
        case phase::arriving:
        case phase::ready:
        case phase::refused:
        case phase::going:
            return hosts::begun::no;
        case phase::gone:
            return hosts::begun::unknown;
        case phase::started:
        case phase::ended:
            break;
        }
        return hosts::begun::yes;
    }

    /// A piece of an output, 1 or 2. *Returns* how much credit is to be given for it now, or 0.
    [[nodiscard]] std::uint32_t take(std::size_t output, std::string_view piece) {
        outputs_[output - 1].take(piece);
        auto& taken = taken_[output - 1];
        taken += static_cast<std::uint32_t>(piece.size());
        return taken >= output_window / 2 ? std::exchange(taken, 0) : 0;
    }
    /// A sink or a limit has failed: the rest of the output is thrown away, and this is what the command ends with.
    void fail(std::exception_ptr error) noexcept {
        failure_ = std::move(error);
        for (auto& o : outputs_)
            o.discard();
    }
    [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }

    void set_refusal(std::string why) noexcept { end_.problem = std::move(why); }
    void set_end(remote_end end) noexcept { end_ = std::move(end); }
    [[nodiscard]] const remote_end& end() const noexcept { return end_; }
    void set_pid(pid_t pid) noexcept { pid_ = pid; }
    /// *Returns* what run_command would. *Errors*: spawn_error, or what it failed with.
    [[nodiscard]] completed_process result(const std::string& host) &&;

private:
    command what_;
    std::array<detail::output_collector, 2> outputs_;
    std::array<std::uint32_t, 2> taken_{}; ///< bytes without a new credit
    event changed_;
    phase phase_ = phase::arriving;
    pid_t pid_ = 0;
    remote_end end_;
    std::exception_ptr failure_;
};

} // namespace muster::hosts
