// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A stage for one synchronisation primitive: a loop on a virtual clock, and the lines that tasks say, each with the
/// millisecond and the task's name. A test derives its own from it, with the tasks that it needs.
///
///     struct event_stage : play::stage<event_stage, muster::event> { ... };
///     event_stage s;
///     s.run([](event_stage& st) -> muster::task<> { st.say("begins"); co_return; });
///     EXPECT_EQ(s.said, (lines{"0 task 1 begins"}));

#include <muster/task.hpp>
#include <muster/task_handle.hpp>
#include <muster/testing/manual_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace play {

/// When it is destroyed, the loop goes first, then the primitive; every coroutine frame must be free then.
template <class Derived, class Primitive>
struct stage {
    template <class... Args>
    explicit stage(Args&&... args) : subject(std::forward<Args>(args)...) {}
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;
    ~stage() {
        loop.reset();
        EXPECT_EQ(muster::testing::live_frames(), frames);
    }

    void say(const std::string& what) {
        said.push_back(std::to_string(loop->elapsed() / std::chrono::milliseconds(1)) + " " +
                       muster::this_task::name() + " " + what);
    }
    /// Runs `body(stage)` to its end.
    template <class Body>
    void run(Body body) {
        loop->run(body(static_cast<Derived&>(*this)));
    }

    std::int64_t frames = muster::testing::live_frames();
    std::vector<std::string> said;
    Primitive subject;
    std::optional<muster::testing::manual_loop> loop{std::in_place};
};

} // namespace play
