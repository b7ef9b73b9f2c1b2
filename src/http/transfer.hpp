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

#include <muster/http.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

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

class transfer {
public:
    /// `nudged` is the engine's list of those that it is to let go on sending, once, when libcurl has returned.
    transfer(CURLSH* shared, transfer*& nudged);
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    /// *Errors*: url_error, body_error, std::bad_alloc. *Lifetime*: refers to the request while it runs.
    void prepare(const request& what, const client_options& options, delivery how);
    /// Nothing of the request is referred to any more.
    void forget() noexcept;

    /// What became of it; called once, with the handle still in its multi handle or just out of it.
    void ended(CURLcode code);
    /// It can't go on, for a reason of ours.
    void ended_with(std::exception_ptr error) noexcept { failure_ = std::move(error); }

    [[nodiscard]] bool ready(until what) const noexcept {
        return done_ || (what == until::head && head_complete_) || (what == until::data && !arrived_.empty());
    }
    /// *Returns* what it failed with, or null. Stays, so that it can be asked for again.
    [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }
    [[nodiscard]] response take_answer() noexcept { return std::move(answer_); }
    [[nodiscard]] bool has_head() const noexcept { return head_complete_; }
    /// *Returns* the answer without its body, which may still be on its way.
    [[nodiscard]] response head();
    /// *Returns* what came of the body since the last call. The engine must be told: see engine::go_on.
    [[nodiscard]] std::string take_arrived() noexcept { return std::exchange(arrived_, std::string()); }
    /// *Returns* whether no byte of a request was sent.
    [[nodiscard]] bool nothing_was_sent() const noexcept;
    /// *Returns* whether the request's sink was given something.
    [[nodiscard]] bool sink_was_used() const noexcept { return sink_used_; }

    [[nodiscard]] CURL* easy() const noexcept { return easy_.get(); }
    [[nodiscard]] const std::string& url() const noexcept { return answer_.url; }
    [[nodiscard]] upload& sends() noexcept { return upload_; }

    // ---- the engine's ----
    /// The request, where nothing else keeps it until libcurl has let go of it.
    std::shared_ptr<const request> kept_;
    exchange* waiter_ = nullptr;   ///< who waits for it; null once nobody does
    body_wait* feeder_ = nullptr;  ///< who waits until more of the request's body is wanted
    bool started_ = false;         ///< somebody asked for it to be run
    bool wanted_ = false;          ///< and still wants what becomes of it
    bool done_ = false;            ///< it has ended
    bool running_ = false;         ///< libcurl has it
    bool leased_ = false;          ///< a request has it
    bool abandoned_ = false;       ///< it is to be taken out as soon as libcurl is not on the stack
    bool receives_paused_ = false; ///< libcurl takes nothing from the connection
    transfer* next_ = nullptr;     ///< of the abandoned, or of the idle ones
    transfer* next_nudged_ = nullptr;
    transfer* before_ = nullptr; ///< of those that run
    transfer* after_ = nullptr;

private:
    enum class taken { all, none_now, never };

    static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_send(char* place, std::size_t size, std::size_t count, void* self) noexcept;
    static int on_seek(void* self, curl_off_t offset, int origin) noexcept;
    static int on_begin(void* self, char*, char*, int, int) noexcept;
    void before_redirect() noexcept;
    void look_for_end() noexcept;
    void nudge() noexcept;
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

    transfer*& nudged_;
    string_list lines_;
    upload upload_;
    const request* request_ = nullptr;
    response answer_;
    std::string arrived_; ///< of a streamed body
    std::exception_ptr failure_;
    std::uint64_t header_bytes_ = 0;
    std::uint64_t answered_ = 0; ///< of them, when the request was last sent
    bool begun_ = false;
    bool complete_ = false; ///< the answer's body is there, though the request's was not all sent
    std::uint64_t header_limit_ = no_limit;
    std::uint64_t body_limit_ = no_limit;
    bool follows_ = true; ///< redirects
    bool streams_ = false;
    bool head_complete_ = false; ///< no redirect, and no 1xx
    bool sink_used_ = false;
    bool set_up_ = false; ///< the easy handle has all that does not depend on the request, and nothing else
    char text_[CURL_ERROR_SIZE] = {};
    easy_handle easy_; // last: its clean-up may call back
};

} // namespace muster::http
