// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A transfer for as long as one request needs it, and what a streamed exchange consists of beside it: the request, and
/// the task that feeds its body. Private to muster::http.
///
///     const lease borrowed(engine, request, delivery::whole);
///     auto state = std::make_shared<exchange_state>(engine, request, delivery::stream);

#include "engine.hpp"
#include "exchange.hpp"
#include "vocabulary/one_at_a_time.hpp"

#include <muster/http.hpp>
#include <muster/task_handle.hpp>

#include <memory>
#include <utility>

namespace muster::http {

class lease {
public:
    lease(engine& e, const request& what, delivery how) : engine_(&e), transfer_(&e.acquire(what, how)) {}
    ~lease() { engine_->release(*transfer_); }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;

    [[nodiscard]] transfer& operator*() const noexcept { return *transfer_; }
    [[nodiscard]] transfer* operator->() const noexcept { return transfer_; }

private:
    engine* engine_;
    transfer* transfer_;
};

/// Shared by the stream, whoever reads from it, and the feeding task.
class exchange_state : public std::enable_shared_from_this<exchange_state> {
public:
    /// *Errors*: as engine::acquire.
    exchange_state(std::shared_ptr<engine> by, std::shared_ptr<const request> what, delivery how)
        : by_(std::move(by)),
          what_(std::move(what)),
          borrowed_(*by_, *what_, how) {
        // The stream may be dropped by a sink, while libcurl is at work.
        borrowed_->keep(what_);
    }
    exchange_state(const exchange_state&) = delete;
    exchange_state& operator=(const exchange_state&) = delete;

    [[nodiscard]] engine& by() const noexcept { return *by_; }
    [[nodiscard]] transfer& carrier() const noexcept { return *borrowed_; }
    [[nodiscard]] const request& what() const noexcept { return *what_; }
    [[nodiscard]] response_stream stream() { return response_stream(shared_from_this()); }
    static void set_attempts(response_stream& s, std::size_t n) noexcept { s.head_.attempts = n; }

    /// Starts the task that feeds the request's body, if that comes from a source.
    void begin_feeding();
    /// Cancels the feeding task: no more of the body is wanted.
    void stop_feeding() noexcept;
    /// Ends the transfer where it is; a task that still reads gets a transfer_error that says why.
    void give_up(const char* why) noexcept;
    /// Gives up, and waits until the feeding task has ended.
    [[nodiscard]] task<> end(const char* why);

    [[nodiscard]] muster::detail::one_at_a_time& reading() noexcept { return reading_; }
    void mark_closed() noexcept { is_closed_ = true; }
    [[nodiscard]] bool is_closed() const noexcept { return is_closed_; }

private:
    std::shared_ptr<engine> by_;
    std::shared_ptr<const request> what_;
    lease borrowed_;
    task_handle<void> feeding_;
    muster::detail::one_at_a_time reading_;
    bool is_closed_ = false;
};

} // namespace muster::http
