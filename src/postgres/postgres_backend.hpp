// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The backend on PostgreSQL: each function is one statement, a call of a function of schema.cpp. Private to
/// muster::postgres.
///
///     auto queue = co_await postgres_backend::connect(postgres_backend::place(address, "muster", 30s));

#include "postgres/backend.hpp"
#include "postgres/database.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace muster::postgres {

class postgres_backend final : public backend {
public:
    /// Where the queue is, and how long an answer may take.
    struct place {
        place(std::string a, std::string s, std::chrono::nanoseconds l)
            : address(std::move(a)),
              schema(std::move(s)),
              answer_limit(l) {}
        std::string address;
        std::string schema;
        std::chrono::nanoseconds answer_limit;
    };

    /// `listener` names the client whose calls' ends are to be heard of; it is empty for a worker, which hears of work
    /// instead. *Errors*: connection_failure; database_error; unreachable_error for tables of another version.
    [[nodiscard]] static task<std::unique_ptr<backend>> connect(place where, std::string listener);

    [[nodiscard]] task<std::vector<verdict>> submit(std::vector<const call_record*> calls) override;
    [[nodiscard]] task<std::vector<ended_call>> fetch(std::vector<call_key> keys) override;
    [[nodiscard]] task<> cancel(std::vector<call_key> keys) override;
    [[nodiscard]] task<std::vector<function_name>> unserved(std::vector<function_name> functions) override;
    [[nodiscard]] task<worker_session> announce(worker_record worker) override;
    [[nodiscard]] task<bool> resume(worker_session me) override;
    [[nodiscard]] task<std::vector<start_of_call>> held(worker_session me) override;
    [[nodiscard]] task<worker_step> exchange(
        worker_session me, std::vector<answered_call> answers, std::size_t want) override;
    [[nodiscard]] task<> release(worker_session me, std::vector<start_of_call> calls) override;
    [[nodiscard]] task<> drain(worker_session me) override;
    [[nodiscard]] task<> leave(worker_session me) override;
    [[nodiscard]] task<bool> reap() override;
    [[nodiscard]] task<bool> expire() override;
    [[nodiscard]] task<> watch(event& wake, std::chrono::nanoseconds limit) override;
    [[nodiscard]] std::vector<call_key> told() override;
    [[nodiscard]] std::size_t payload_limit() const noexcept override { return payload_limit_; }

private:
    postgres_backend(place where, std::string listener) : where_(std::move(where)), listener_(std::move(listener)) {}
    [[nodiscard]] task<> open();
    [[nodiscard]] std::string listen_to(const std::string& channel) const;
    [[nodiscard]] task<rows> call(const char* statement, parameters with);
    [[nodiscard]] task<> listen_as(std::int32_t epoch);

    place where_;
    std::string listener_;
    std::unique_ptr<database> db_;
    std::size_t payload_limit_ = 0;
};

} // namespace muster::postgres
