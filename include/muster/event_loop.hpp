// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loop of the real world: steady time, and libuv underneath for wake-ups, signals and I/O. Most programs never
/// name it: muster::run makes one. Make one yourself to run several tasks one after the other on the same loop.
///
///     muster::event_loop loop;
///     int answer = loop.run(compute());

#include <muster/config.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/run_options.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>

namespace muster {

/// *Lifetime*: when it is destroyed, tasks that have not ended are destroyed with it, innermost frame first, and
/// reported. *Thread safety*: one thread, the one that runs it; other threads use a loop_handle.
class event_loop final : public detail::scheduler {
public:
    /// *Errors*: std::system_error if the system has no descriptors left for it.
    event_loop();
    ~event_loop() override;

    /// Runs the task as muster::run does. *Errors*: as muster::run.
    template <class T>
    T run(task<T> main, const run_options& options = {}, std::source_location site = std::source_location::current()) {
        return detail::run_on(*this, std::move(main), options, site);
    }

    /// Does not compile: says what to write instead.
    template <detail::no_task A>
    void run(A&&, const run_options& = {}) {
        detail::refuse<A>();
    }

    /// For the library's own I/O: the uv_loop_t underneath.
    [[nodiscard]] void* native() noexcept;

    /// For the library's own I/O, where it may outlive the loop: called when the loop ends and its tasks are gone.
    /// Held by address until it is called or removed.
    class end_hook : public detail::list_hook<end_hook> {
    public:
        using function = void (*)(end_hook&) noexcept;
        explicit end_hook(function f) noexcept : ended_(f) {}

    private:
        friend class event_loop;
        function ended_;
    };
    void add(end_hook& h) noexcept { end_hooks_.push_front(h); }
    void remove(end_hook& h) noexcept { end_hooks_.remove(h); }

private:
    struct backend;
    explicit event_loop(std::unique_ptr<backend> b);

    detail::nanoseconds read_clock() noexcept override;
    bool poll(bool may_wait, std::optional<detail::nanoseconds> until) override;
    bool watch_interrupt(std::uint64_t signals, interrupt_function interrupted, void* context) override;
    void unwatch_interrupt() noexcept override;

    std::unique_ptr<backend> backend_;
    detail::intrusive_list<end_hook> end_hooks_;
};

} // namespace muster
