// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The thread of an executor: it has the connection, and knows every call that is in the queue. Private to
/// muster::postgres.
///
///     client c(options);
///     c.start();
///     c.submit(job);   // any thread

#include "postgres/backend.hpp"

#include <muster/detail/intrusive_list.hpp>
#include <muster/event.hpp>
#include <muster/event_loop.hpp>
#include <muster/loop_handle.hpp>
#include <muster/postgres.hpp>
#include <muster/task.hpp>
#include <muster/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace muster::postgres {

class client {
public:
    using job = executor::job;

    /// *Errors*: std::system_error without a descriptor for the loop.
    explicit client(executor_options options);
    /// *Errors*: std::system_error without a thread to be had.
    static void start(const std::shared_ptr<client>& self);

    // ---- any thread ----
    /// *Errors*: invalid_state_error unless it is open; wire_error for what can't be sent anywhere; std::bad_alloc.
    void submit(const std::shared_ptr<client>& self, job& j);
    [[nodiscard]] bool withdraw(job& j) noexcept;
    void ask_to_stop(job& j) noexcept;
    /// `open` takes calls. `draining` takes none and waits for those that it has. `stopping` waits for none.
    enum class intake : std::uint8_t { open, draining, stopping };
    /// Goes on to a later intake, and waits for the thread to end.
    void close(intake next);
    [[nodiscard]] bool is_own_thread() const noexcept;
    /// For the end of the program on the client's own thread, which can't wait for itself.
    void leave_thread_behind(const std::shared_ptr<client>& self) noexcept;
    [[nodiscard]] std::size_t waiting() const noexcept;
    [[nodiscard]] std::size_t submitted() const noexcept;

private:
    /// A call that is to be in the queue, or is.
    struct entry {
        explicit entry(call_key k) : record(k) {}
        enum class step : std::uint8_t { fresh, to_submit, submitted, cancelled };
        call_record record;
        std::vector<job*> jobs; ///< those that wait for its outcome; none once all were cancelled
        step at = step::fresh;
    };
    [[nodiscard]] static bool is_in_queue(const entry& e) noexcept {
        return e.at == entry::step::submitted || e.at == entry::step::cancelled;
    }
    using held = std::lock_guard<std::mutex>;

    class stay_in_scope;

    task<> work();
    task<> connect_and_talk(timeout_scope& limit);
    task<> let_go_in_silence();
    task<> until_closing();
    void begin_anew();
    task<> talk(backend& queue);
    [[nodiscard]] task<bool> submit_some(backend& queue);
    [[nodiscard]] task<bool> cancel_some(backend& queue);
    [[nodiscard]] task<bool> fetch_some(backend& queue);
    task<> look_around(backend& queue);
    task<> tell_unserved(backend& queue);

    void wake(const held& own) noexcept;
    void end_connection();
    void heard() { silent_since_ = loop_clock::now(); }
    void begin_to_ask() {
        if (!silent_since_)
            heard();
    }
    void take_new();
    void take_stops();
    void let_go(const char* why);
    [[nodiscard]] bool has_stops() const noexcept;
    [[nodiscard]] bool is_wanted(const entry& e) const noexcept;
    void put_back(const std::vector<call_key>& keys, std::deque<call_key>& to);
    [[nodiscard]] std::size_t most_at_once() const noexcept;
    void add(job& j);
    void judge(entry& e, verdict v);
    void refuse_key(entry& e);
    void conclude(const ended_call& ended);
    void finish(entry& e, const std::function<void(job&)>& set_outcome);
    void fail(const call_key& key, std::exception_ptr error);
    void fail_if_there(const call_key& key, std::exception_ptr error);
    void fail_all(std::exception_ptr error);
    void end_all();
    [[nodiscard]] bool is_closing(intake at_least) const noexcept;
    [[nodiscard]] bool is_at_its_end() const noexcept;
    [[nodiscard]] bool has_nothing_to_do() const noexcept;

    const executor_options options_;
    std::string name_; ///< by which the queue knows this client
    event_loop loop_;
    std::thread thread_;
    std::mutex joining_;
    std::shared_ptr<client> kept_; ///< itself, once its thread was left behind

    mutable std::mutex lock_;
    detail::intrusive_list<job> new_; ///< the rest of this block is guarded by lock_
    std::size_t waiting_ = 0;
    std::size_t submitted_ = 0;
    intake intake_ = intake::open;
    enum class sleep : std::uint8_t { not_begun, asleep, woken, ended };
    sleep sleep_ = sleep::not_begun;
    std::optional<loop_handle> handle_;
    bool has_stops_ = false;

    // Used on the thread only.
    event news_;
    std::map<call_key, entry> entries_;
    std::deque<call_key> to_submit_;
    std::deque<call_key> to_cancel_;
    std::set<call_key> to_fetch_;
    std::size_t alone_ = 0; ///< so many calls go one by one, as the database has refused something of them together
    bool has_to_expire_ = false;
    event stops_;                                        ///< a task was cancelled
    std::optional<loop_clock::time_point> silent_since_; ///< unless nothing is asked
    timeout_scope* limit_ = nullptr;   ///< ends the connection at hand once its time is over; null without a connection
    std::set<function_name> unserved_; ///< those that were told, and for which reason
    enum class history : std::uint8_t { never_connected, connected, of_use };
    history history_ = history::never_connected; ///< `of_use` once a round over this connection has succeeded
};

} // namespace muster::postgres
