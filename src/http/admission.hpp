// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The queue in front of libcurl: so many requests to one server at a time, and so many in all. libcurl has such limits
/// too, but lets requests overtake each other and wait for ever. First come, first served for each server; a request
/// that can go is not held up by those to another server. Knows no libcurl and no loop. Private to muster::http.
///
///     if (queue.enter(ticket, "https://example.org:443")) go(ticket);
///     ...
///     queue.leave(ticket);
///     while (auto* next = queue.admit_next()) go(*next);

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace muster::http {

class admission {
    struct host;

public:
    /// A request's place. It leaves the queue before it is destroyed.
    class ticket : public muster::detail::list_hook<ticket> {
    public:
        ticket() = default;
        ~ticket() { MUSTER_ASSERT(phase_ == phase::outside); }
        ticket(const ticket&) = delete;
        ticket& operator=(const ticket&) = delete;
        [[nodiscard]] bool is_outside() const noexcept { return phase_ == phase::outside; }

    private:
        friend class admission;
        //                enter, there is room
        //     outside ------------------------> admitted
        //      ^    \                            ^   |
        //      |     \ enter   admit_next        |   | leave
        //      |      +------> waiting ----------+   |
        //      |                  | leave            |
        //      +------------------+------------------+
        enum class phase { outside, waiting, admitted };
        phase phase_ = phase::outside;
        host* at_ = nullptr; ///< null where there is no limit
        std::uint64_t arrived_ = 0;
    };

    /// 0 means any number.
    admission(std::size_t per_host, std::size_t in_all) noexcept : per_host_(per_host), in_all_(in_all) {}

    [[nodiscard]] bool has_limits() const noexcept { return per_host_ != 0 || in_all_ != 0; }
    /// *Returns* whether it may go at once. Without limits `server` does not matter. *Errors*: std::bad_alloc.
    [[nodiscard]] bool enter(ticket& t, const std::string& server);
    /// Gives the place up, whether it waited or was admitted.
    void leave(ticket& t) noexcept;
    /// *Returns* the next one that may go, which is admitted by that; null if none may.
    [[nodiscard]] ticket* admit_next() noexcept;

    [[nodiscard]] std::size_t admitted() const noexcept { return admitted_; }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

private:
    struct host : muster::detail::list_hook<host> {
        muster::detail::intrusive_list<ticket> queue;
        std::size_t admitted = 0;
        const std::string* name = nullptr; ///< the key in hosts_
    };

    [[nodiscard]] bool has_room(const host& h) const noexcept { return per_host_ == 0 || h.admitted < per_host_; }
    [[nodiscard]] bool has_room() const noexcept { return in_all_ == 0 || admitted_ < in_all_; }
    void admit(ticket& t) noexcept;
    void sort_in(host& h) noexcept;
    void sort_out(host& h) noexcept;

    std::size_t per_host_;
    std::size_t in_all_;
    std::size_t admitted_ = 0;
    std::size_t waiting_ = 0;
    std::uint64_t arrivals_ = 0;
    std::map<std::string, host> hosts_; ///< those with a ticket
    /// Hosts that have room and a queue, by the arrival of the first in it.
    muster::detail::intrusive_list<host> open_;
};

} // namespace muster::http
