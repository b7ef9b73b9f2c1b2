// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --per-host and --per-host-rate: at most so many requests to one server at once, and so many begun in a time. Those
/// of a server that has no room wait here, first come, first served, while other servers' go.
///
///     host_gate gate(4, rate(10, 1s), 32);
///     auto entering = gate.enter("example.org");
///     const auto pass = co_await std::move(entering);      // gives its places back at its end

#include "units.hpp"

#include <muster/detail/rate_window.hpp>
#include <muster/semaphore.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace tool {

/// *Returns* the server of a URL in lower case, with its port unless that is the one of its scheme.
[[nodiscard]] std::string server_of(const std::string& url);

/// Immovable. It must outlive its passes. *Thread safety*: the loop's thread.
class host_gate {
public:
    /// For each limit 0 is none; `together` limits the requests of all servers.
    host_gate(std::size_t per_host, rate per_host_rate, std::size_t together);
    host_gate(const host_gate&) = delete;
    host_gate& operator=(const host_gate&) = delete;

    [[nodiscard]] bool bounds() const noexcept { return per_host_ != 0 || rate_.count != 0; }

private:
    struct server {
        explicit server(const host_gate& of)
            : places(static_cast<std::ptrdiff_t>(of.per_host_)),
              window(of.rate_.count, of.rate_.window) {}
        muster::semaphore places;
        muster::detail::rate_window window;
        std::size_t users = 0; ///< passes that wait or hold
    };
    using servers = std::map<std::string, server>;

public:
    /// The right to ask. Movable.
    class pass {
    public:
        pass() noexcept = default;
        pass(pass&& other) noexcept
            : gate_(std::exchange(other.gate_, nullptr)),
              at_(other.at_),
              held_(std::exchange(other.held_, holds::nothing)) {}
        pass& operator=(pass&&) = delete;
        ~pass();

    private:
        friend class host_gate;
        enum class holds { nothing, place_of_server, both };
        pass(host_gate& gate, servers::iterator at) noexcept : gate_(&gate), at_(at) {}
        host_gate* gate_ = nullptr;
        servers::iterator at_;
        holds held_ = holds::nothing;
    };

    /// *Cancellation*: gives back what was taken already.
    [[nodiscard]] muster::task<pass> enter(std::string server_name);

private:
    std::size_t per_host_;
    rate rate_;
    muster::semaphore together_;
    servers servers_;
};

} // namespace tool
