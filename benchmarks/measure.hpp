// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How the benchmarks measure. A row is a workload beside its floor: first the floor, in a heap that holds nothing
/// else, then the workload; the row prints the ratio of the two medians.
///
///     add_row(row("gather, ready", {1'000, 100'000}).floor_of([] { return ready(1); }).goal({1.5, 2}), gather_ready);

#include <muster/task.hpp>

#include <coroutine>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace bench {

/// Nanoseconds of CPU time that the process has used; of wall time where threads work side by side.
[[nodiscard]] double cpu_now() noexcept;
[[nodiscard]] double wall_now() noexcept;

/// Bytes that the program holds from malloc, blocks of their own included.
[[nodiscard]] std::size_t heap_bytes() noexcept;
/// Bytes of the process that are in memory.
[[nodiscard]] std::size_t resident_bytes() noexcept;

/// Gives memory that is kept for later back to the system: each row starts with an empty heap.
void empty_heap() noexcept;

/// The compiler must believe that `x` is read and written here.
template <class T>
inline void keep(T& x) noexcept {
    asm volatile("" : : "g"(&x) : "memory");
}

/// F: a bare coroutine is created, resumed and destroyed, `alive` at a time, `count` in all, with frames of
/// `frame_bytes` from the default operator new. *Returns* ns for one.
[[nodiscard]] double bare_coroutines(std::size_t count, std::size_t alive, std::size_t frame_bytes);
/// T: an exception is thrown into an exception_ptr, without a rethrow; `alive` are kept at a time. *Returns* ns for
/// one.
[[nodiscard]] double throws(std::size_t count, std::size_t alive);

/// The smallest size that this task's frame can have: its block's size, less what rounding up may have added.
template <class T>
[[nodiscard]] std::size_t frame_bytes_of(muster::task<T> t) {
    std::size_t block_bytes(const void* frame);
    const auto frame = std::move(t).release();
    const std::size_t bytes = block_bytes(frame.address());
    frame.destroy();
    return bytes;
}

/// One row of the table: a workload at several sizes.
struct row {
    explicit row(std::string what, std::vector<std::size_t> how_many)
        : name(std::move(what)),
          sizes(std::move(how_many)) {}

    /// In multiples of the floor, one for each size; 0: there is no goal for it.
    row& goal(std::vector<double> multiples) {
        goals = std::move(multiples);
        return *this;
    }
    /// The floor is F with frames like that of the task that `child` makes, and as many alive as there are children, or
    /// `alive` of them.
    template <class Child>
    row& floor_of(Child child, std::size_t alive_at_once = 0) {
        frame_bytes = [child] { return frame_bytes_of(child()); };
        alive = alive_at_once;
        return *this;
    }
    /// The floor is T, with as many errors kept as children fail, or `alive` of them.
    row& floor_is_a_throw(std::size_t alive_at_once = 0) {
        frame_bytes = nullptr;
        alive = alive_at_once;
        return *this;
    }
    /// The floor is what `each(n)` measures, ns for one of n, in the same heap and on the same processors.
    row& floor_is(std::function<double(std::size_t)> each) {
        own_floor = std::move(each);
        return *this;
    }
    /// `part` of the workload's children throw: what they add to the time of `base`, for each of them, counts.
    row& above(std::function<double(std::size_t)> without, double part) {
        base = std::move(without);
        part_of = part;
        return *this;
    }

    std::string name;
    std::vector<std::size_t> sizes;
    std::vector<double> goals;
    std::function<std::size_t()> frame_bytes;
    std::size_t alive = 0;
    std::function<double(std::size_t)> own_floor;
    std::function<double(std::size_t)> base;
    double part_of = 1;
};

/// `run(n)` does the work for n children and gives the ns that all of it took.
void add_row(const row& what, const std::function<double(std::size_t)>& run);

/// A row whose figure is not a time, but bytes for one child. `measure()` is called once.
void add_figure(const std::string& name, double goal, const std::function<double()>& measure);

/// Runs a task that measures something on a loop of its own. *Returns* the task's value.
[[nodiscard]] double on_loop(muster::task<double> t);

} // namespace bench
