// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Calls a function every now and then on the loop that a client was last used on, while nothing of the client's is
/// under way: its idle connections, which servers close and which grow old, are looked after by nobody else then.
/// Private to muster::http.
///
///     idle_sweep sweep(this, [](void* self) noexcept { ... });
///     sweep.begin(loop);              // nothing is under way
///     sweep.pause();                  // something is

#include <muster/event_loop.hpp>

#include <memory>

namespace muster::http {

/// A client may serve another loop, on another thread, while the first one still runs: begin and destruction leave what
/// belongs to the first loop to that loop. Holds no loop open.
class idle_sweep {
public:
    using function = void (*)(void* of) noexcept;

    /// *Errors*: std::bad_alloc.
    idle_sweep(void* of, function call);
    ~idle_sweep();
    idle_sweep(const idle_sweep&) = delete;
    idle_sweep& operator=(const idle_sweep&) = delete;

    /// Nothing is under way from now on. *Thread safety*: the loop's thread. Without memory it does nothing.
    void begin(event_loop& loop) noexcept;
    /// The function is not called again before the next begin, nor is a call under way when this returns.
    void pause() noexcept;

private:
    class timer;
    struct state;
    std::shared_ptr<state> state_;
};

} // namespace muster::http
