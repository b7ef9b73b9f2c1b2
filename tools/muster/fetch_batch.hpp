// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The jobs of muster fetch: each asks for one URL and brings the body to where it goes.
///
///     fetch_batch b(options, client, source, ledger, out, folder, &log);
///     run_batch(b, signals);

#include "batch.hpp"
#include "body_file.hpp"
#include "byte_pace.hpp"
#include "fetch.hpp"
#include "host_gate.hpp"
#include "in_order.hpp"
#include "job_log.hpp"
#include "request_maker.hpp"

#include <muster/http.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace tool {

/// *Returns* the client that the options ask for. `together` is how many requests there may be at once.
[[nodiscard]] muster::http::client_options client_options_for(const fetch_options& o, std::size_t together);

/// Immovable. Everything that it is made of must outlive it; `log` may be null. A folder that is not open is opened in
/// the current one if a line of the list names its file.
class fetch_batch final : public batch {
public:
    /// `together` requests run at once; with limits for each server there may be more jobs, which wait for theirs.
    fetch_batch(const fetch_options& options, std::size_t together, muster::http::client& client, line_source& source,
        printed_ledger& ledger, writer& out, output_folder& folder, job_log* log);

    /// Says that a line is not asked for: with --keep-order the bodies behind it need not wait for it.
    void pass_over(std::uint64_t index);
    /// *Returns* why standard output could not be written; empty if it could.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    /// *Returns* whether bodies came that went nowhere.
    [[nodiscard]] bool dropped_bodies() const noexcept { return dropped_ != 0; }

private:
    class stall_guard;
    class receiver;
    struct details;
    struct parcel;

    muster::task<> attempt(job& j) override;
    [[nodiscard]] bool worth_a_retry(const job& j, const std::exception_ptr& error) const override;
    [[nodiscard]] std::chrono::nanoseconds least_pause(const std::exception_ptr& error) const override;
    void job_over(job&& j, job_end&& v) override;
    [[nodiscard]] std::optional<std::uint64_t> bytes_so_far() const override { return received_; }

    muster::task<> to_file(job& j, details& d, const planned_request& what, stall_guard& guard);
    void require_whole(int status, const std::string& url) const;
    muster::task<> to_reader(job& j, details& d, const planned_request& what, stall_guard& guard);
    muster::task<> to_slow_reader(job& j, details& d, const planned_request& what, stall_guard& guard);
    void count_bytes(job& j, std::size_t bytes) noexcept;
    muster::task<> take_piece(job& j, std::size_t bytes, stall_guard& guard);
    muster::task<> look_up_again(details& d, const std::string& url);
    void print(job&& j, job_end&& v);
    void printed(job& j, job_end& v, const std::string& problem);

    static constexpr std::chrono::seconds longest_retry_after = std::chrono::minutes(2);

    const fetch_options& options_;
    request_maker maker_;
    bool safe_to_repeat_;
    bool to_standard_output_;
    std::string failure_;
    std::uint64_t received_ = 0; ///< of all bodies, also of those that failed
    std::uint64_t dropped_ = 0;
    output_folder& folder_;
    job_log* log_;
    muster::http::client& client_;
    host_gate gate_;
    byte_pace pace_;
    in_order<std::pair<job, job_end>> held_; ///< with --keep-order: ended while an earlier input's job runs
};

} // namespace tool
