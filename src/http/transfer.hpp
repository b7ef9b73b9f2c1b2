// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One request on its way: an easy handle, what it is told about the request, and what comes back. Transfers are used
/// again; the connections belong to the engine. Private to muster::http.
///
///     transfer.prepare(request, options, delivery::whole);
///     ...                                  // the engine runs it, then calls ended(code)
///     if (!transfer.ended(code)) transfer.begin_again();     // a redirect, or a connection that was not fit for use
///     auto answer = transfer.take_answer();

#include "admission.hpp"
#include "body_decoder.hpp"
#include "curl_handles.hpp"
#include "framing.hpp"
#include "known_connections.hpp"
#include "phase_clock.hpp"
#include "redirect.hpp"
#include "upload.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/http.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::http {

class body_wait;
class exchange;

/// Where the body of an answer goes.
enum class delivery {
    whole, ///< it is collected, or goes to the request's sink
    stream ///< it waits to be taken, piece by piece
};

/// The event for which an exchange waits.
enum class until {
    ended, ///< the answer is complete, or can't become so
    head,  ///< its headers are there; or it has ended
    data   ///< some of its body is there; or it has ended
};

/// Where a transfer is on its way; the picture is at the head of transfer.cpp.
enum class transfer_phase {
    idle,     ///< it waits in the engine for a request
    prepared, ///< it has a request, and was not started
    waiting,  ///< it waits until the limits on connections allow it to be handed to libcurl
    running,  ///< libcurl works on it
    leaving,  ///< libcurl has it, and must give it back as soon as libcurl is not on the stack
    left,     ///< as leaving; and the request that had it is gone
    done      ///< libcurl does not have it any more, and the request has it still
};

class curl_loop;
class transfer;
struct is_noted;

/// The lists and handles that all transfers of an engine share.
struct shared_by_transfers {
    /// Called when a transfer's time may be over.
    void (*on_time)(transfer&, void* engine) noexcept = nullptr;
    void* engine = nullptr;
    muster::detail::scheduler* loop = nullptr; ///< while something is under way
    curl_loop* sockets = nullptr;              ///< polls and closes them
    /// Transfers that the engine must look at once libcurl has returned: see transfer::is_answered.
    muster::detail::intrusive_list<transfer, is_noted> noted;
    known_connections connections;
    CURLSH* cookies = nullptr; ///< null if none are kept
    /// How many bytes the transfers may unpack until libcurl is called the next time. Each piece of a body costs
    /// something, also if it is as it was sent.
    static constexpr std::size_t work_of_a_turn = std::size_t{1} << 20;
    std::size_t work_left = work_of_a_turn;
};

/// Each transfer is in one of the engine's lists by its phase; and beside that perhaps in the list of the noted ones.
/// *Returns* how long the server asks to be left alone; nothing if it does not, or says what is no number and no date.
[[nodiscard]] std::optional<std::chrono::seconds> retry_after_of(const header_list& headers);

class transfer : public muster::detail::list_hook<transfer>, public muster::detail::list_hook<transfer, is_noted> {
public:
    explicit transfer(shared_by_transfers& shared);
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    // ---- its way ----
    [[nodiscard]] transfer_phase phase() const noexcept { return phase_; }
    [[nodiscard]] bool is_in_curl() const noexcept {
        return phase_ == transfer_phase::running || phase_ == transfer_phase::leaving || phase_ == transfer_phase::left;
    }
    /// *Returns* whether it was started and the request still wants what becomes of it.
    [[nodiscard]] bool is_wanted() const noexcept {
        return phase_ == transfer_phase::waiting || phase_ == transfer_phase::running;
    }
    /// *Returns* whether it was started and nothing more becomes of it.
    [[nodiscard]] bool is_over() const noexcept { return phase_ > transfer_phase::running; }
    /// The one place in which the phase changes.
    void enter(transfer_phase next) noexcept;

    // ---- its turn, and its time ----
    [[nodiscard]] admission::ticket& ticket() noexcept { return ticket_; }
    [[nodiscard]] static transfer& of(admission::ticket& t) noexcept { return *static_cast<engine_ticket&>(t).of; }
    /// *Returns* whether the client's own resolver must look up the host's addresses before it goes on.
    [[nodiscard]] bool asks() const noexcept { return naming_ == naming::wanted && !is_over(); }
    [[nodiscard]] const std::string& asks_for() const noexcept { return host_; }
    /// *Returns* how long it is until one of its time limits is reached; nothing if it has none.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> time_left() const noexcept;
    /// Gives those addresses. *Errors*: resolve_error, std::bad_alloc.
    void take_addresses(const std::vector<std::string>& all);

    /// *Returns* the server that the request at hand goes to.
    [[nodiscard]] const std::string& server() const noexcept { return hop_.origin; }
    /// The transfer is started: its limits count from now on.
    void start_clock() noexcept;
    void stop_clock() noexcept;
    /// It waits for something else from now on.
    void wait_for(waits_for what) noexcept;
    /// *Returns* the error if its time is over; else sees to it that it is asked again.
    [[nodiscard]] std::exception_ptr look_at_clock() noexcept;

    /// *Errors*: url_error, body_error, std::bad_alloc. *Lifetime*: refers to the request while it runs.
    void prepare(const request& what, const client_options& options, delivery how);
    /// Refers to nothing of the request any more.
    void forget() noexcept;
    /// Keeps the request until libcurl has let go of it, where nothing else does.
    void keep(std::shared_ptr<const request> what) noexcept { kept_ = std::move(what); }
    /// Notes what became of it; called with the handle still in its multi handle or just out of it. *Returns* false if
    /// the request is to be sent once more, to another server or by another connection: see begin_again.
    [[nodiscard]] bool ended(CURLcode code);
    /// Prepares for sending once more. The handle is not in its multi handle. *Errors*: as prepare.
    void begin_again();
    /// *Returns* whether all that matters of the answer has come, whatever libcurl still wants to send or receive.
    [[nodiscard]] bool is_answered() const noexcept { return progress_ == answer_progress::complete; }
    /// Notes why it can't go on, for a reason of ours.
    void ended_with(std::exception_ptr error) noexcept { failure_ = std::move(error); }
    /// The transfer has left libcurl.
    void stop_receiving_pause() noexcept { receiving_ = receiving::flows; }
    /// *Returns* whether it must not go on before others have had their turn, because much was done at once.
    [[nodiscard]] bool has_to_wait_its_turn() const noexcept {
        return receiving_ == receiving::waits_for_turn && shared_.work_left == 0;
    }
    /// It may go on.
    void begin_turn() noexcept {
        if (receiving_ == receiving::waits_for_turn)
            receiving_ = receiving::flows;
    }
    /// *Returns* what libcurl is to pause (CURLPAUSE_) now that there is more to send, or room for what comes; nothing
    /// if neither is so.
    [[nodiscard]] std::optional<int> take_pause_change() noexcept;
    /// *Returns* what libcurl is to pause while it goes on with all else.
    [[nodiscard]] int pause_for_going_on() const noexcept {
        return receiving_ != receiving::flows ? CURLPAUSE_RECV : CURLPAUSE_CONT;
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
        return is_over() || asks() || (what == until::head && has_head()) || (what == until::data && !arrived_.empty());
    }
    /// *Returns* what it failed with, or null. Stays, so that it can be asked for again.
    [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }
    /// *Returns* the answer with its body; or, of a streamed one, without.
    [[nodiscard]] response take_answer() noexcept { return std::move(answer_); }
    [[nodiscard]] const header_list& trailers() const noexcept { return answer_.trailers; }
    [[nodiscard]] bool has_head() const noexcept { return progress_ != answer_progress::head && resend_ == resend::no; }
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
        complete ///< all that matters is there, though libcurl is not done: the engine takes the handle out
    };
    /// Which part of a head the next line is.
    enum class head_line { status, field };
    /// Whether libcurl takes anything from the connection.
    enum class receiving {
        flows,
        waits_for_room, ///< nobody has read what came
        waits_for_turn  ///< a few bytes are unpacked to many, or come one by one: the loop must not be held up by that
    };
    /// Why the request is to be sent once more.
    enum class resend {
        no,
        redirect,
        fresh_connection, ///< bytes that answer nothing had come on the connection, or the server refused the stream
        without_expect    ///< the server does not know "Expect: 100-continue"
    };
    /// An HTTP/2 answer has begun before the request's body was sent. libcurl 7.88 does not notice that the stream is
    /// closed when that is because the last of the body has gone (on_stream_close in lib/http2.c).
    enum class push {
        not_needed,
        due ///< once the body is sent libcurl must look at the stream again
    };
    /// How a body ends that only the end of a TLS connection ends.
    enum class tls_end { no_matter, cut_off, proper };
    /// The addresses of the hop at hand.
    enum class naming {
        by_libcurl, ///< libcurl looks them up, or there is an option for that name
        wanted,     ///< the request must ask the client's resolver
        known       ///< it has
    };
    /// The settings that the easy handle has.
    enum class settings {
        none,
        client, ///< all that does not depend on the request, and nothing else
        request ///< also what holds for one request, so that the handle must be set up anew for another
    };

    static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_send(char* place, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_seek(void* self, curl_off_t offset, int origin) noexcept;
    static int on_begin(void* self, char* remote, char*, int remote_port, int local_port) noexcept;
    static int on_debug(CURL*, curl_infotype type, char* text, std::size_t size, void* self) noexcept;
    static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;
    static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent) noexcept;
    [[nodiscard]] bool makes_connection() const noexcept;
    [[nodiscard]] bool connection_is_fit();
    void learn_protocol();
    void hear(std::string_view text);
    void leave_connection(bool succeeded) noexcept;
    [[nodiscard]] bool may_be_sent_again() const noexcept;
    [[nodiscard]] bool may_speak_http2() const noexcept;
    bool take_header(std::string_view line);
    void take_proxy_header(std::string_view line);
    bool end_of_headers();
    void require_known_protocol() const;
    void begin_redirect(const std::string& location);
    bool begin_body();
    void guard_connection();
    void look_for_end() noexcept;
    void note() noexcept;
    taken take_body(std::string_view piece);
    unpacking decode(std::string_view piece);
    void require_worth_of_encoding() const;
    bool deliver(std::string_view piece);
    void tell_waiter() noexcept;
    void require_complete_body() const;
    [[nodiscard]] bool was_refused(CURLcode code) const noexcept;
    [[nodiscard]] bool stream_ended_well(CURLcode code) const noexcept;
    [[nodiscard]] bool session_was_given_up() const noexcept;
    [[nodiscard]] bool has_body() const noexcept;
    [[nodiscard]] bool can_not_share_connections() const noexcept;
    [[nodiscard]] bool body_was_sent() const noexcept;

    template <class Value>
    void set(CURLoption option, Value value);
    void apply();
    void set_limits(const request& what) noexcept;
    void set_client(const client_options& options);
    void set_tls(const tls_options& options);
    void set_request(const request& what);
    void set_headers(const request& what);
    void set_addresses();
    void use_addresses(const std::vector<std::string>& all);
    void set_body(const request& what);
    [[nodiscard]] std::exception_ptr error_for(CURLcode code) const;
    [[nodiscard]] std::exception_ptr broken_off(const std::string& text, std::error_code system) const;
    [[nodiscard]] std::string problem(CURLcode code) const;
    void read_head();
    void read_answer();

    struct engine_ticket : admission::ticket {
        explicit engine_ticket(transfer& t) noexcept : of(&t) {}
        transfer* of;
    };
    struct deadline_timer : muster::detail::timer {
        explicit deadline_timer(transfer& t) noexcept;
        transfer* of;
    };
    void arm_deadline() noexcept;
    /// *Returns* whether libcurl may have sent some of the body since the clock was last looked at, or may yet.
    [[nodiscard]] bool uploads() const noexcept;

    shared_by_transfers& shared_;
    engine_ticket ticket_{*this};
    phase_limits limits_;
    phase_clock clock_;
    deadline_timer deadline_{*this};
    std::uint64_t uploaded_ = 0; ///< when the clock was last looked at
    transfer_phase phase_ = transfer_phase::idle;
    answer_progress progress_ = answer_progress::head;
    settings settings_ = settings::none;
    delivery delivery_ = delivery::whole;
    head_line next_line_ = head_line::status;
    resend resend_ = resend::no;
    tls_end tls_end_ = tls_end::no_matter;
    naming naming_ = naming::by_libcurl;
    push push_ = push::not_needed;
    receiving receiving_ = receiving::flows;
    bool sink_was_used_ = false;

    // ---- what is sent ----
    const client_options* options_ = nullptr;
    const request* request_ = nullptr;
    std::shared_ptr<const request> kept_;
    hop hop_;                     ///< the request as it goes to the server at hand
    std::optional<hop> next_hop_; ///< with resend::redirect
    string_list lines_;           ///< the request's headers
    upload upload_;
    std::optional<std::chrono::nanoseconds> expects_; ///< how long the server's 100 Continue is waited for
    std::string host_;                                ///< of the hop, where its addresses are not libcurl's to look up
    std::string port_;                                ///< of the hop, likewise
    string_list addresses_;                           ///< of the hop, likewise
    std::string private_address_;                     ///< of this hop: one that was refused
    std::uint64_t upload_said_ = 0;                   ///< to the request's hook, of this hop
    std::size_t redirects_ = 0;                       ///< how many were followed
    std::size_t sent_again_ = 0;                      ///< by ourselves and for other reasons than redirects
    std::size_t times_sent_ = 0;                      ///< of this hop, by libcurl
    std::error_code no_socket_;  ///< of this hop: why the system gave no socket, which libcurl does not pass on
    long connects_ = 0;          ///< made for this hop
    connection_name connection_; ///< on which this hop was last sent
    std::uint32_t stream_ = 0;   ///< of HTTP/2, on which this hop was last sent; 0 if libcurl did not say
    std::uint64_t header_bytes_when_sent_ = 0; ///< as header_bytes_ was when the request was last sent
    std::uint64_t sent_before_ = 0;            ///< bytes of requests, on earlier hops
    std::chrono::microseconds time_before_{0}; ///< spent on earlier hops

    // ---- what comes ----
    exchange* waiter_ = nullptr;  ///< waits for the answer, or for more of it; null if no task does
    body_wait* feeder_ = nullptr; ///< waits until more of the request's body is wanted; null if no task does
    response answer_;
    header_list proxy_headers_; ///< of a proxy's answer to a CONNECT
    body_frame frame_;
    chunk_inspector chunks_;
    body_decoder decoder_;
    std::uint64_t came_ = 0; ///< bytes of the body as they were sent
    std::size_t begun_ = 0;  ///< bytes of the piece at hand that the decoder has, while it pauses
    std::string arrived_;    ///< of a streamed body
    std::exception_ptr failure_;
    std::uint64_t header_bytes_ = 0;
    std::uint64_t body_limit_ = no_limit;

    char text_[CURL_ERROR_SIZE] = {}; ///< libcurl's words about a failure
    easy_handle easy_;                // last: its clean-up may call back
};

} // namespace muster::http
