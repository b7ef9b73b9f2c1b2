// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Several hosts as one: a command asks for a place, gets one on the host that has the most to spare, and runs there.
///
///     muster::hosts::host_set hosts({host_options("host1"), host_options("host2").slots(4)});
///     co_await hosts.connect([](const connect_error& e) { log(e.what()); });
///     auto place = co_await hosts.acquire();
///     auto done = co_await place.host().run(std::move(what));

#include <muster/config.hpp>
#include <muster/event.hpp>
#include <muster/hosts.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace muster::hosts {

/// None of the hosts is connected any more. The text says why each of them is not.
class no_host_error final : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Immovable: places refer to it. *Thread safety*: its loop's thread.
class host_set {
private:
    struct member;

public:
    /// A place for one command on one host, given back when it is destroyed. Movable. *Lifetime*: the set must outlive
    /// it.
    class [[nodiscard("the place is given back at once if this is dropped")]] place {
    public:
        place(place && other) noexcept
            : of_(std::exchange(other.of_, nullptr)),
              member_(std::exchange(other.member_, nullptr)) {}
        place& operator=(place&& other) noexcept;
        ~place();
        /// *Lifetime*: as long as the set.
        [[nodiscard]] connection& host() const;

    private:
        friend class host_set;
        place(host_set & of, member & m) noexcept;
        void give_back() noexcept;
        host_set* of_;
        member* member_;
    };

    /// *Errors*: std::invalid_argument for no hosts.
    explicit host_set(std::vector<host_options> hosts);
    ~host_set();
    host_set(const host_set&) = delete;
    host_set& operator=(const host_set&) = delete;

    /// Connects all of them, some at the same time. `left_out` is called for each that can't be, with the reason.
    /// *Errors*: no_host_error if none can be; what `left_out` throws.
    [[nodiscard]] task<> connect(std::function<void(const std::string& host, const std::string& why)> left_out = {});
    /// Waits for a place: on the host of which the smallest part is in use, the first of them in the order in which
    /// they were given. *Errors*: no_host_error. *Cancellation*: ends the wait.
    [[nodiscard]] task<place> acquire();

    /// The places on all hosts that are connected.
    [[nodiscard]] std::size_t slots() const noexcept;
    /// How many hosts are connected.
    [[nodiscard]] std::size_t connected() const noexcept;
    /// SIGKILL to everything that runs.
    void kill_all();
    /// SIGTERM to every launcher: for a program that is about to end.
    void end_launchers();
    /// Closes all connections, at the same time.
    [[nodiscard]] task<> close();

private:
    task<> connect_one(std::size_t index, const std::function<void(const std::string&, const std::string&)>& left_out);
    [[nodiscard]] member* best() noexcept;
    [[noreturn]] void throw_no_host() const;

    std::vector<std::unique_ptr<member>> members_;
    event changed_; ///< set when a place was given back
};

} // namespace muster::hosts
