// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A random program: a tree of nodes over the whole interface, cancellations from outside, and the seed of the order in
/// which what is ready runs. It is made from a seed, can be printed, and shrinks.
///
///     auto p = random_programs::generate(42);
///     std::string text = random_programs::to_string(p);

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace random_programs {

enum class op : std::uint8_t {
    // leaves
    value,
    fail,
    fail_quietly,
    stubborn,
    tidy,
    raise_cancel,
    cancel_self,
    cancel_task,
    deaf,
    event_set,
    event_wait,
    put,
    get,
    notify,
    condition_wait,
    barrier_wait,
    future_wait,
    // around one
    attempt,
    wait_for,
    timeout,
    shield,
    started_shield,
    hold,
    spawn_await,
    spawn_drop,
    mutex,
    semaphore,
    // around some
    sequence,
    cleanup,
    gather,
    finish,
    leave,
    settle,
    settle_two,
    race,
    quorum,
    map,
    map_settle,
    stream,
    summarize,
    group,
    wait,
    as_completed,
    started,
    generator,
    count
};

[[nodiscard]] const char* name_of(op o);

struct node {
    node() = default;
    explicit node(op o) : what(o) {}

    op what = op::value;
    int a = 0; ///< mostly a time in ms
    int b = 0; ///< mostly options, bit by bit
    int c = 0; ///< mostly which variant
    std::vector<node> kids;
};

/// At `at` ms a task is cancelled: 0 is main, the others in order of their creation.
struct cancellation {
    cancellation(int when, int whom) : at(when), target(whom) {}
    int at;
    int target;
};

struct program {
    program() = default;

    node root;
    std::vector<cancellation> cancels;
    std::uint64_t shuffle = 0; ///< 0: in the order in which it became ready
};

[[nodiscard]] program generate(std::uint64_t seed);
[[nodiscard]] std::size_t size_of(const node& n);
[[nodiscard]] std::string to_string(const program& p);

/// Smaller programs, one step away: larger steps first.
[[nodiscard]] std::vector<program> smaller(const program& p);

} // namespace random_programs
