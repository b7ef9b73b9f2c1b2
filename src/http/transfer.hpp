// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One request on its way: an easy handle, what it is told about the request, and what comes back. Transfers are used
/// again; the connections belong to the engine. Private to muster::http.
///
///     transfer.prepare(request, options);
///     ...                                  // the engine runs it, then calls ended(code)
///     auto answer = transfer.take_answer();

#include "curl_handles.hpp"

#include <muster/http.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace muster::http {

class exchange;

class transfer {
public:
    transfer() : easy_(make_easy()) {}
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    /// *Errors*: url_error, std::bad_alloc. *Lifetime*: refers to the request while it runs.
    void prepare(const request& what, const client_options& options);
    /// Nothing of the request is referred to any more.
    void forget() noexcept;

    /// What became of it; called once, with the handle still in its multi handle or just out of it.
    void ended(CURLcode code);
    /// It can't go on, for a reason of ours.
    void ended_with(std::exception_ptr error) noexcept { failure_ = std::move(error); }

    [[nodiscard]] std::exception_ptr take_failure() noexcept { return std::exchange(failure_, nullptr); }
    [[nodiscard]] response take_answer() noexcept { return std::move(answer_); }

    [[nodiscard]] CURL* easy() const noexcept { return easy_.get(); }
    [[nodiscard]] const std::string& url() const noexcept { return answer_.url; }

    // ---- the engine's ----
    exchange* waiter_ = nullptr; ///< who waits for it; null once nobody does
    bool running_ = false;       ///< libcurl has it
    bool leased_ = false;        ///< a request has it
    bool abandoned_ = false;     ///< it is to be taken out as soon as libcurl is not on the stack
    transfer* next_ = nullptr;   ///< of the abandoned, or of the idle ones
    transfer* before_ = nullptr; ///< of those that run
    transfer* after_ = nullptr;

private:
    static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
    bool take_header(std::string_view line);
    bool take_body(std::string_view piece);

    template <class Value>
    void set(CURLoption option, Value value);
    void set_request(const request& what);
    [[nodiscard]] std::exception_ptr error_for(CURLcode code) const;
    [[nodiscard]] std::string problem(CURLcode code) const;
    void read_answer();

    easy_handle easy_;
    string_list lines_;
    const request* request_ = nullptr;
    response answer_;
    std::exception_ptr failure_;
    std::uint64_t header_bytes_ = 0;
    std::uint64_t header_limit_ = no_limit;
    std::uint64_t body_limit_ = no_limit;
    char text_[CURL_ERROR_SIZE] = {};
};

} // namespace muster::http
