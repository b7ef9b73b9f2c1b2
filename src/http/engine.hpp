// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// libcurl's multi handle on muster's loop: libuv says which sockets are ready, the loop's own timers when libcurl
/// wants to be called, and libcurl is called in a turn of the loop, never from libuv's callbacks. Private to
/// muster::http.
///
/// While nothing is under way it holds nothing of the loop: a client may outlive it, and serve the next.

#include "curl_handles.hpp"
#include "transfer.hpp"

#include <muster/detail/fiber.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/http.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace muster::http {

struct socket_watch;
struct turn_watch;

class engine final : public std::enable_shared_from_this<engine> {
public:
    explicit engine(const client_options& options);
    ~engine();

    /// *Returns* a transfer for that request. *Errors*: url_error, body_error, transfer_error if the client is gone,
    /// bad_alloc.
    [[nodiscard]] transfer& acquire(const request& what, delivery how);
    /// Ends it if it runs.
    void release(transfer& t) noexcept;

    /// It runs, and wakes its waiter when it has ended. *Returns* false if it could not be begun; its failure says why:
    /// invalid_state_error if the running loop does no I/O, or another one's requests are under way.
    [[nodiscard]] bool start(transfer& t) noexcept;
    /// Nobody wants what becomes of it any more.
    void abandon(transfer& t) noexcept;
    /// Something of what came was taken, or something to send was given: libcurl goes on if it waited for that.
    void go_on(transfer& t) noexcept;
    /// It ends with that error, unless it has ended.
    void fail(transfer& t, std::exception_ptr error) noexcept;
    [[nodiscard]] const client_options& options() const noexcept { return options_; }
    /// Whatever is under way fails; connections are closed.
    void close() noexcept;

private:
    friend struct socket_watch;
    friend struct turn_watch;

    struct turn_entry : muster::detail::call_entry {
        explicit turn_entry(engine& e) noexcept;
        engine* of;
    };
    struct curl_timer : muster::detail::timer {
        explicit curl_timer(engine& e) noexcept;
        engine* of;
    };

    static int on_socket(CURL*, curl_socket_t s, int what, void* self, void*) noexcept;
    static int on_timer(CURLM*, long milliseconds, void* self) noexcept;

    void make_multi();
    void require_loop();
    void loop_has_gone() noexcept;
    bool watch(curl_socket_t s, int what) noexcept;
    void unwatch(curl_socket_t s) noexcept;
    void socket_ready(socket_watch& w, int events) noexcept;
    void turn() noexcept;
    void check(CURLMcode status) noexcept;
    void take_ended() noexcept;
    void take_out(transfer& t) noexcept;
    void put_away(transfer& t) noexcept;
    void finish(transfer& t) noexcept;
    void fail_all(const char* why) noexcept;
    void after_curl() noexcept;
    void let_go_of_loop() noexcept;

    client_options options_;
    share_handle shared_; ///< the cookies; null if none are kept. It must outlive the transfers
    std::vector<std::unique_ptr<transfer>> transfers_;
    transfer* idle_ = nullptr;
    transfer* first_running_ = nullptr;
    transfer* abandoned_ = nullptr;
    transfer* nudged_ = nullptr;
    std::size_t running_ = 0;

    muster::detail::scheduler* loop_ = nullptr; ///< while something is under way
    void* native_ = nullptr;                    ///< its uv_loop_t
    turn_watch* turns_ = nullptr;               ///< while something is under way
    std::vector<socket_watch*> watches_;        ///< by descriptor; kept while something is under way
    socket_watch* ready_ = nullptr;
    turn_entry turn_;
    curl_timer timer_;
    bool timeout_due_ = false;
    bool in_curl_ = false; ///< libcurl is on the stack: it must not be called again
    bool broken_ = false;  ///< libcurl gave up on the multi handle
    bool closed_ = false;

    multi_handle multi_; // last: its clean-up calls back into what is above
};

} // namespace muster::http
