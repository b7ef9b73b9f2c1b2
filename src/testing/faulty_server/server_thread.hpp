// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The thread of a faulty_server: loop.cpp waits for events, connections.cpp moves bytes, requests.cpp reads what is
/// asked, answers.cpp has the faults.
///
///     server_thread server(options);
///     server.stop();

#include "testing/faulty_server/connection.hpp"
#include "testing/faulty_server/request.hpp"
#include "testing/faulty_server/sockets.hpp"

#include <muster/testing/faulty_server.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/epoll.h>

namespace muster::testing::faulty {

// The bytes that a connection may move before the others may.
constexpr std::size_t io_budget = std::size_t{256} << 10;
constexpr std::size_t max_flaky_keys = 100'000;
constexpr std::uint64_t max_body_bytes = std::uint64_t{1} << 40;
constexpr std::uint64_t max_milliseconds = 3'600'000;
constexpr std::uint64_t max_times = 1'000'000;
constexpr milliseconds linger_time{500};
constexpr milliseconds accept_pause{10};

/// The thread, its sockets and its timers.
class server_thread {
public:
    explicit server_thread(const faulty_server_options& chosen);
    ~server_thread() { stop(); }

    void stop();
    std::size_t send_unasked(std::string_view bytes);
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] bool ipv6() const noexcept { return chosen_.ipv6; }
    [[nodiscard]] faulty_server_stats stats() const {
        const std::lock_guard lock(stats_mutex_);
        return stats_;
    }

private:
    using arguments = std::span<const std::string_view>;
    struct route {
        std::string_view name;
        std::size_t arguments;
        void (server_thread::*answer)(connection&, const request&, server_thread::arguments);
    };
    static const std::array<route, 20> routes;

    static constexpr std::uint64_t wake_id = 0;
    static constexpr std::uint64_t listener_id = 1;

    /// Bytes that another thread waits to have sent.
    struct unasked {
        std::string_view bytes;
        std::size_t connections = 0;
    };
    enum class unasked_state { taken, refused };

    // the loop
    void wake() noexcept;
    void send_what_is_unasked();
    void refuse_unasked();
    void have_reported(int fd, std::uint64_t id, std::uint32_t events);
    void run();
    bool look_at_events(int timeout);
    [[nodiscard]] int milliseconds_to_wait() const;
    void on_event(const epoll_event& event);
    void on_timers();
    template <class Step>
    void guarded(connection& c, Step step);
    void settle(connection& c);
    void set_timer(connection& c, clock::time_point due);
    void clear_timer(connection& c) noexcept;

    // connections
    [[nodiscard]] std::size_t accept_some();
    void pause_accepting(bool paused) noexcept;
    void admit(owned_fd socket);
    void refuse_connection(const owned_fd& socket);
    void drop(connection& c) noexcept;
    void read_some(connection& c);
    [[nodiscard]] bool flush(connection& c);
    void advance(connection& c);
    void finish_answer(connection& c);
    void on_timer(connection& c);

    // requests
    [[nodiscard]] bool take_request(connection& c);
    [[nodiscard]] bool take_body(connection& c);
    [[nodiscard]] bool take_chunks(connection& c);
    void refuse(connection& c, refusal why);
    void respond(connection& c);
    [[nodiscard]] bool respond_by_script(connection& c, const request& asked);

    // answers
    void head(connection& c, const request& asked, unsigned status, std::string_view fields,
        std::optional<std::uint64_t> length);
    void text(
        connection& c, const request& asked, unsigned status, std::string_view body, std::string_view fields = {});
    void answer_ok(connection& c, const request& asked, arguments given);
    void answer_bytes(connection& c, const request& asked, arguments given);
    void answer_chunked(connection& c, const request& asked, arguments given);
    void answer_slow(connection& c, const request& asked, arguments given);
    void answer_drip(connection& c, const request& asked, arguments given);
    void answer_status(connection& c, const request& asked, arguments given);
    void answer_flaky(connection& c, const request& asked, arguments given);
    void answer_redirect(connection& c, const request& asked, arguments given);
    void answer_redirect_loop(connection& c, const request& asked, arguments given);
    void answer_echo(connection& c, const request& asked, arguments given);
    void answer_headers(connection& c, const request& asked, arguments given);
    void answer_close_early(connection& c, const request& asked, arguments given);
    void answer_reset(connection& c, const request& asked, arguments given);
    void answer_reset_after_headers(connection& c, const request& asked, arguments given);
    void answer_truncated(connection& c, const request& asked, arguments given);
    void answer_garbage(connection& c, const request& asked, arguments given);
    void answer_never(connection& c, const request& asked, arguments given);
    void answer_endless_headers(connection& c, const request& asked, arguments given);
    void answer_bad_chunk(connection& c, const request& asked, arguments given);
    void answer_gzip_bomb(connection& c, const request& asked, arguments given);
    [[nodiscard]] std::optional<std::uint64_t> wanted(
        connection& c, const request& asked, std::string_view text, std::uint64_t low, std::uint64_t high);

    template <class Change>
    void count(Change change) {
        const std::lock_guard lock(stats_mutex_);
        change(stats_);
    }

    const faulty_server_options chosen_;
    owned_fd listener_;
    std::uint16_t port_ = 0;
    owned_fd epoll_;
    owned_fd wake_;
    std::atomic<bool> stopping_{false};

    // Only the server's thread uses these.
    std::unordered_map<std::uint64_t, std::unique_ptr<connection>> connections_;
    std::set<std::pair<clock::time_point, std::uint64_t>> timers_;
    std::map<std::string, std::uint64_t, std::less<>> flaky_;
    std::uint64_t next_id_ = listener_id + 1;
    std::uint64_t scripted_ = 0; // requests that the script was asked about
    std::optional<clock::time_point> accept_again_;
    bool clients_wait_ = false;         ///< to be accepted
    std::array<owned_fd, 64> accepted_; ///< and not admitted yet
    clock::time_point now_{};           // when this round of the loop began
    std::array<char, 65536> buffer_{};

    mutable std::mutex stats_mutex_;
    faulty_server_stats stats_;

    std::mutex unasked_mutex_; // of the three below
    std::condition_variable unasked_sent_;
    unasked_state unasked_state_ = unasked_state::taken;
    std::vector<unasked*> unasked_;

    std::atomic<std::thread::id> own_thread_{};
    std::mutex stop_mutex_;
    std::thread thread_; // last: it uses all of the above
};

} // namespace muster::testing::faulty
