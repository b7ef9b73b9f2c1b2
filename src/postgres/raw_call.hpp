// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A call as it stands in a queue, for a process_pool: its arguments and its result are passed on as they are. Private
/// to muster::postgres.
///
///     auto value = co_await run_in_executor(pool, raw_call(entry, std::move(payload)));

#include <muster/process_pool.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace muster::postgres {

class raw_call {
public:
    raw_call(const detail::remote_entry& entry, std::vector<std::uint8_t> message) : request_(entry) {
        request_.message = std::move(message);
    }
    [[nodiscard]] const detail::remote_request& request() const noexcept { return request_; }

private:
    detail::remote_request request_;
};

} // namespace muster::postgres

namespace muster {

template <>
class process_pool::call<postgres::raw_call> final : public process_pool::job {
public:
    using result_type = nlohmann::json;

    explicit call(postgres::raw_call c) : job(result_, &keep), call_(std::move(c)) { send(call_.request()); }

    [[nodiscard]] outcome<nlohmann::json>& result() noexcept { return result_; }
    [[nodiscard]] postgres::raw_call callable() && { return std::move(call_); }
    void request_stop() noexcept { kill_if_running(); }

private:
    static void keep(job& j, nlohmann::json&& value) { static_cast<call&>(j).result_.emplace(std::move(value)); }

    outcome<nlohmann::json> result_;
    postgres::raw_call call_;
};

} // namespace muster
