// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One request on its way: an easy handle, what it is told about the request, and what comes back. Transfers are used
/// again; the connections belong to the engine. Private to muster::http.
///
///     transfer.prepare(request, options, delivery::whole);
///     ...                                  // the engine runs it, then calls ended(code)
///     auto answer = transfer.take_answer();

#include "curl_handles.hpp"
#include "upload.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/http.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::http {

class body_wait;
class exchange;

/// What becomes of the body of an answer.
enum class delivery {
    whole, ///< it is collected, or goes to the request's sink
    stream ///< it waits to be taken, piece by piece
};

/// What an exchange waits for.
enum class until {
    ended, ///< the answer is complete, or can't become so
    head,  ///< its headers are there; or it has ended
    data   ///< some of its body is there; or it has ended
};

/// Where a transfer is on its way; the picture is at the head of transfer.cpp.
enum class transfer_phase {
    idle,     ///< it waits in the engine for a request
    prepared, ///< it has a request, and was not started
    running,  ///< libcurl has it
    leaving,  ///< libcurl has it, and must give it back as soon as libcurl is not on the stack
    left,     ///< as leaving; and the request that had it is gone
    done      ///< libcurl does not have it any more, and the request has it still
};

/// Each transfer is in one of the engine's lists by its phase; and beside that perhaps in the list of those that go on
/// sending once libcurl has returned.
struct sends_on;

class transfer : public muster::detail::list_hook<transfer>, public muster::detail::list_hook<transfer, sends_on> {
public:
    using send_on_list = muster::detail::intrusive_list<transfer, sends_on>;

    /// `sending_on` is the engine's list of transfers that it lets go on sending, once libcurl has returned.
    transfer(CURLSH* shared, send_on_list& sending_on);
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    // ---- its way ----
    [[nodiscard]] transfer_phase phase() const noexcept { return phase_; }
    [[nodiscard]] bool is_in_curl() const noexcept {
        return phase_ == transfer_phase::running || phase_ == transfer_phase::leaving || phase_ == transfer_phase::left;
    }
    /// *Returns* whether it was started and the request still wants what becomes of it.
    [[nodiscard]] bool is_wanted() const noexcept { return phase_ == transfer_phase::running; }
    /// *Returns* whether it was started and nothing more becomes of it.
    [[nodiscard]] bool is_over() const noexcept { return phase_ > transfer_phase::running; }
    /// The one place in which the phase changes.
    void enter(transfer_phase next) noexcept;

    /// *Errors*: url_error, body_error, std::bad_alloc. *Lifetime*: refers to the request while it runs.
    void prepare(const request& what, const client_options& options, delivery how);
    /// Refers to nothing of the request any more.
    void forget() noexcept;
    /// Keeps the request until libcurl has let go of it, where nothing else does.
    void keep(std::shared_ptr<const request> what) noexcept { kept_ = std::move(what); }
    /// Notes what became of it; called once, with the handle still in its multi handle or just out of it.
    void ended(CURLcode code);
    /// Notes why it can't go on, for a reason of ours.
    void ended_with(std::exception_ptr error) noexcept { failure_ = std::move(error); }
    /// The transfer has left libcurl.
    void stop_receiving_pause() noexcept { receiving_is_paused_ = false; }
    /// *Returns* what libcurl is to pause (CURLPAUSE_) now that there is more to send, or room for what comes; nothing
    /// if neither is so.
    [[nodiscard]] std::optional<int> take_pause_change() noexcept;
    /// *Returns* what libcurl is to pause so that it asks on_send again.
    [[nodiscard]] int pause_for_sending_on() const noexcept {
        return receiving_is_paused_ ? CURLPAUSE_RECV : CURLPAUSE_CONT;
    }

    // ---- the tasks that wait for it ----
    void set_waiter(exchange* w) noexcept {
        MUSTER_ASSERT(w == nullptr || waiter_ == nullptr);
        waiter_ = w;
    }
    [[nodiscard]] bool is_waiter(const exchange* w) const noexcept { return waiter_ == w; }
    void set_feeder(body_wait* f) noexcept {
        MUSTER_ASSERT(f == nullptr || feeder_ == nullptr);
        feeder_ = f;
    }
    [[nodiscard]] bool is_feeder(const body_wait* f) const noexcept { return feeder_ == f; }
    void wake_waiter() noexcept;
    void wake_feeder() noexcept;

    // ---- what is known ----
    [[nodiscard]] bool ready(until what) const noexcept {
        return is_over() || (what == until::head && has_head()) || (what == until::data && !arrived_.empty());
    }
    /// *Returns* what it failed with, or null. Stays, so that it can be asked for again.
    [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }
    [[nodiscard]] response take_answer() noexcept { return std::move(answer_); }
    [[nodiscard]] bool has_head() const noexcept { return progress_ != answer_progress::head; }
    /// *Returns* the answer without its body, which may still be on its way.
    [[nodiscard]] response head();
    /// *Returns* what came of the body since the last call. The engine must be told: see engine::go_on.
    [[nodiscard]] std::string take_arrived() noexcept { return std::exchange(arrived_, std::string()); }
    /// *Returns* whether no byte of a request was sent.
    [[nodiscard]] bool nothing_was_sent() const noexcept;
    /// *Returns* whether the request's sink was given something.
    [[nodiscard]] bool sink_was_used() const noexcept { return sink_was_used_; }

    [[nodiscard]] CURL* easy() const noexcept { return easy_.get(); }
    [[nodiscard]] const std::string& url() const noexcept { return answer_.url; }
    [[nodiscard]] upload& sends() noexcept { return upload_; }

private:
    enum class taken { all, none_now, never };
    enum class answer_progress {
        head,    ///< no header has come, or they are a redirect's or a 1xx's
        body,    ///< the headers are complete
        complete ///< the body is there, though the request's was not all sent: libcurl is told to stop
    };
    /// What the easy handle has been told.
    enum class settings {
        none,
        client, ///< all that does not depend on the request, and nothing else
        request ///< also what holds for one request, so that the handle must be set up anew for another
    };

    static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_send(char* place, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_seek(void* self, curl_off_t offset, int origin) noexcept;
    static int on_begin(void* self, char*, char*, int, int) noexcept;
    void before_redirect() noexcept;
    void look_for_end() noexcept;
    void send_on() noexcept;
    bool take_header(std::string_view line);
    void end_of_headers();
    taken take_body(std::string_view piece);
    void tell_waiter() noexcept;

    template <class Value>
    void set(CURLoption option, Value value);
    void set_client(const client_options& options);
    void set_tls(const tls_options& options);
    void set_request(const request& what);
    void set_body(const request& what);
    [[nodiscard]] std::exception_ptr error_for(CURLcode code) const;
    [[nodiscard]] std::string problem(CURLcode code) const;
    void read_head();
    void read_answer();

    send_on_list& sending_on_;
    transfer_phase phase_ = transfer_phase::idle;
    answer_progress progress_ = answer_progress::head;
    settings settings_ = settings::none;
    delivery delivery_ = delivery::whole;
    bool receiving_is_paused_ = false; ///< libcurl takes nothing from the connection
    bool sink_was_used_ = false;

    exchange* waiter_ = nullptr;  ///< waits for the answer, or for more of it; null if no task does
    body_wait* feeder_ = nullptr; ///< waits until more of the request's body is wanted; null if no task does
    std::shared_ptr<const request> kept_;
    const request* request_ = nullptr;
    string_list lines_; ///< the request's headers
    upload upload_;

    response answer_;
    std::string arrived_; ///< of a streamed body
    std::exception_ptr failure_;
    std::size_t times_sent_ = 0;
    std::uint64_t header_bytes_ = 0;
    std::uint64_t header_bytes_when_sent_ = 0; ///< as they were when the request was last sent
    std::uint64_t header_limit_ = no_limit;
    std::uint64_t body_limit_ = no_limit;
    std::size_t redirects_ = 0; ///< how many are followed

    char text_[CURL_ERROR_SIZE] = {}; ///< libcurl's words about a failure
    easy_handle easy_;                // last: its clean-up may call back
};

} // namespace muster::http
