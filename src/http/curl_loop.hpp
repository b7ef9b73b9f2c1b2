// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// libcurl's multi handle on muster's loop: libuv says which sockets are ready, the loop's timers say when libcurl
/// asked to be called, and libcurl is called from the loop's queue, never from libuv's callbacks. Private to
/// muster::http.
///
///     loop.attach();                                    // before a request is handed to libcurl
///     { const curl_loop::call on_stack(loop); loop.run_due(); }
///     loop.rest();                                      // nothing is under way any more

#include "curl_handles.hpp"
#include "idle_sweep.hpp"
#include "posix/sigpipe_guard.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/scheduler.hpp>

#include <cstddef>
#include <vector>

namespace muster::http {

class curl_socket;
class loop_end_check;

class curl_loop {
public:
    /// The list of transfers, which this loop drives.
    class user {
    public:
        /// Something is due: call run_due within a `call`.
        virtual void curl_is_due() noexcept = 0;
        /// The loop is being closed while this is attached to it; it runs none of our calls any more.
        virtual void loop_has_gone() noexcept = 0;

    protected:
        ~user() = default;
    };

    /// While one lives, libcurl is on the stack: its callbacks run, and it must not be called again from them.
    class call {
    public:
        explicit call(curl_loop& of) noexcept : of_(&of) {
            MUSTER_ASSERT(of.phase_ == phase::attached);
            of.phase_ = phase::calling;
        }
        ~call() {
            MUSTER_ASSERT(of_->phase_ == phase::calling);
            of_->phase_ = phase::attached;
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;

    private:
        curl_loop* of_;
        muster::detail::sigpipe_guard no_sigpipe_;
    };

    /// *Errors*: std::bad_alloc.
    explicit curl_loop(user& by);
    ~curl_loop();
    curl_loop(const curl_loop&) = delete;
    curl_loop& operator=(const curl_loop&) = delete;

    /// libcurl closes idle connections to keep to these; 0 means any number.
    void limit_connections(std::size_t per_host, std::size_t in_all) noexcept;
    /// Null once it was closed.
    [[nodiscard]] CURLM* multi() const noexcept { return multi_.get(); }
    [[nodiscard]] muster::detail::scheduler& loop() const noexcept {
        MUSTER_ASSERT(loop_ != nullptr);
        return *loop_;
    }
    [[nodiscard]] bool is_attached() const noexcept { return phase_ != phase::detached; }
    [[nodiscard]] bool in_call() const noexcept { return phase_ == phase::calling; }

    /// Uses the loop that runs on this thread from now on; nothing changes if it does so already.
    /// *Errors*: invalid_state_error if that loop does no I/O, or is another than the one that is used.
    void attach();
    /// Holds nothing of the loop any more; nothing changes if it does not.
    void detach() noexcept;
    /// The same, and idle connections that their servers close, or that are old, are closed while it rests. The loop
    /// runs.
    void rest() noexcept;
    /// Calls run_due's caller again in the loop's next iteration.
    void call_soon() noexcept { loop().post(due_call_); }
    /// Tells libcurl about sockets that are ready and time that has passed.
    void run_due() noexcept;
    /// *Returns* whether libcurl gave up since the last time that this was asked.
    [[nodiscard]] bool take_broken() noexcept { return std::exchange(broken_, false); }
    /// Closes all connections. Not within a call.
    void close() noexcept;

    /// This is the socket of a connection that a request was sent on. libcurl closes it with close_socket, so that its
    /// polling can be kept until then. A socket whose connection was never made libcurl 7.88 closes without a word
    /// (cf_socket_close in lib/cf-socket.c).
    void is_connected(curl_socket_t s) noexcept;
    /// libcurl's CURLOPT_CLOSESOCKETFUNCTION; `self` is the curl_loop.
    static int close_socket(void* self, curl_socket_t s) noexcept;

private:
    friend class curl_socket;
    friend class loop_end_check;

    enum class phase { detached, attached, calling };

    struct due_call : muster::detail::call_entry {
        explicit due_call(curl_loop& c) noexcept;
        curl_loop* of;
    };
    struct curl_timer : muster::detail::timer {
        explicit curl_timer(curl_loop& c) noexcept;
        curl_loop* of;
    };

    static int on_socket(CURL*, curl_socket_t s, int what, void* self, void*) noexcept;
    static int on_timer(CURLM*, long milliseconds, void* self) noexcept;

    bool poll(curl_socket_t s, int what) noexcept;
    void stop_polling(curl_socket_t s) noexcept;
    [[nodiscard]] bool will_hear_of_its_end(curl_socket_t s) const noexcept {
        const auto place = static_cast<std::size_t>(s);
        return place < connected_.size() && connected_[place];
    }
    void socket_is_ready(curl_socket& s) noexcept;
    void call_curl(curl_socket_t s, int events) noexcept;
    void sweep_connections() noexcept;

    user* user_;
    phase phase_ = phase::detached;
    muster::detail::scheduler* loop_ = nullptr; ///< null while detached
    event_loop* events_ = nullptr;              ///< the same as loop_
    idle_sweep sweep_;
    long most_connections_ = 0;           ///< in all; 0 means any number
    loop_end_check* end_check_ = nullptr; ///< null while detached
    std::vector<curl_socket*> sockets_;   ///< by descriptor; empty while detached
    std::vector<bool> connected_;         ///< by descriptor: whether is_connected() said so, and it was not closed yet
    muster::detail::intrusive_list<curl_socket> ready_;
    due_call due_call_;
    curl_timer timer_;
    bool timeout_is_due_ = false;
    bool broken_ = false; ///< libcurl failed as a whole, by lack of memory or of descriptors to poll

    easy_handle sweeper_; ///< a request that can't connect: see sweep_connections; null until it is needed
    multi_handle multi_;  // last: its clean-up calls back into what is above
};

} // namespace muster::http
