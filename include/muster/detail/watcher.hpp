// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Something that is called once when a task or future ends. Held by address while it watches.
///
///     struct printer : watcher {
///         printer() : watcher(&ended, nullptr) {}
///         static void ended(watcher&) noexcept { std::puts("it has ended"); }
///     };
///     p.watch(state);

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/run_queue.hpp>

namespace muster::detail {

class completable;

/// A watcher that only wakes a fiber does that when it is called. One that runs anything else posts itself to the loop,
/// so that it runs in an entry of its own, as asyncio's done callbacks do.
class watcher : public call_entry, public list_hook<watcher> {
public:
    /// Called as soon as the task or future has ended, and no longer watched.
    using ended_function = void (*)(watcher&) noexcept;

    watcher(ended_function ended, call_entry::function call) noexcept : call_entry(call), ended_(ended) {}

    /// If it has ended already, the function is called at once.
    void watch(completable& c) noexcept;
    void unwatch() noexcept;
    [[nodiscard]] bool watching() const noexcept { return on_ != nullptr; }

private:
    friend class completable;
    completable* on_ = nullptr;
    ended_function ended_;
};

} // namespace muster::detail
