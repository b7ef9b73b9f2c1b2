// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Keeps what run_command reads from one output of a process: all of it up to a limit, its tail, or nothing because a
/// sink takes it. Private to the library.
///
///     output_collector out(what.parts().out, what);
///     out.take(piece);
///     done.out = std::move(out).finish();

#include <muster/subprocess/command.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace muster::detail {

class output_collector {
public:
    /// Throws away whatever it is given.
    output_collector() = default;
    /// *Lifetime*: the command must outlive it.
    output_collector(const output_plan& plan, const command& what) noexcept : plan_(&plan), what_(&what) {}

    /// *Errors*: output_limit_error, or what the sink throws.
    void take(std::string_view piece);
    /// From now on what comes is counted and thrown away.
    void discard() noexcept { plan_ = nullptr; }
    /// *Returns* what it kept.
    [[nodiscard]] std::string finish() &&;
    /// How many bytes came, kept or not.
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

private:
    const output_plan* plan_ = nullptr; ///< null once all is thrown away
    const command* what_ = nullptr;
    std::string kept_;
    std::uint64_t total_ = 0;
};

} // namespace muster::detail
