// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A client's transfers: those that wait for a request, and those that libcurl has. How libcurl is driven is
/// curl_loop's. Private to muster::http.
///
/// While nothing is under way it holds nothing of the loop: a client may outlive its loop, and serve the next one.
///
///     transfer& t = engine.acquire(request, delivery::whole);
///     if (engine.start(t)) ...                            // its waiter is woken when it has ended
///     engine.release(t);

#include "curl_handles.hpp"
#include "curl_loop.hpp"
#include "transfer.hpp"

#include <muster/http.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace muster::http {

class engine final : public std::enable_shared_from_this<engine>, private curl_loop::user {
public:
    explicit engine(const client_options& options);
    ~engine();

    /// *Returns* a transfer for that request. *Errors*: url_error, body_error, transfer_error if the client is gone,
    /// bad_alloc.
    [[nodiscard]] transfer& acquire(const request& what, delivery how);
    /// Takes the transfer back; ends it if it runs.
    void release(transfer& t) noexcept;

    /// Has libcurl run it; its waiter is woken when it has ended. *Returns* false if it could not be begun; its failure
    /// says why: invalid_state_error if the running loop does no I/O, or another loop's requests are under way.
    [[nodiscard]] bool start(transfer& t) noexcept;
    /// Asks the client's resolver.
    [[nodiscard]] task<std::vector<std::string>> look_up(std::string host) const {
        return options_.resolver_(std::move(host));
    }
    /// Gives the transfer the addresses that it asks for, and lets it go on; does nothing if it has ended meanwhile.
    /// *Errors*: as transfer::take_addresses.
    void go_on_to(transfer& t, const std::vector<std::string>& addresses);
    /// Ends the transfer without waking its waiter.
    void abandon(transfer& t) noexcept;
    /// Lets libcurl go on with what was paused, now that some of what came was taken or more to send was given.
    void go_on(transfer& t) noexcept;
    /// Ends the transfer with that error, unless it has ended.
    void fail(transfer& t, std::exception_ptr error) noexcept;
    [[nodiscard]] const client_options& options() const noexcept { return options_; }
    [[nodiscard]] client_statistics statistics() const noexcept {
        return {.waiting = admission_.waiting(), .under_way = admission_.admitted()};
    }
    [[nodiscard]] std::vector<std::string> cookies() const;
    void add_cookie(const std::string& line);
    /// Fails whatever is under way, and closes the connections.
    void close() noexcept;

private:
    void curl_is_due() noexcept override;
    void loop_has_gone() noexcept override;

    void after_call() noexcept;
    void take_ended() noexcept;
    void look_at_noted() noexcept;
    void end_or_send_again(transfer& t, CURLcode code) noexcept;
    void take_out(transfer& t) noexcept;
    void put_away(transfer& t) noexcept;
    void finish(transfer& t) noexcept;
    void fail_all(const char* why) noexcept;
    [[nodiscard]] bool queue_up(transfer& t);
    void hand_over(transfer& t);
    void admit_waiting() noexcept;
    void settle() noexcept;
    void detach() noexcept;

    client_options options_;
    share_handle cookies_;       ///< the cookies; null if none are kept. It must outlive the transfers
    shared_by_transfers shared_; ///< must outlive the transfers
    std::vector<std::unique_ptr<transfer>> transfers_; ///< all, whatever their phase
    muster::detail::intrusive_list<transfer> idle_;
    muster::detail::intrusive_list<transfer> under_way_; ///< waiting or running
    muster::detail::intrusive_list<transfer> leaving_;
    admission admission_;
    bool closed_ = false;
    curl_loop loop_; // last: closing it calls back into what is above
};

} // namespace muster::http
