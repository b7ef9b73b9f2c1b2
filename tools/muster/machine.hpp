// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The load of the machine and its free memory, which --max-load and --min-memory look at.
///
///     if (!limits.allow_one_more()) ...

#include <cstdint>
#include <optional>
#include <string>

namespace tool {

/// *Returns* the load of the last minute, or how many threads run right now if those are more: the load follows late.
/// Zero if the system does not say.
[[nodiscard]] double current_load();
/// *Returns* how much memory can be had without swapping; nothing if the system does not say.
[[nodiscard]] std::optional<std::uint64_t> available_memory();

struct machine_limits {
    machine_limits() noexcept {}
    std::optional<double> load;          ///< no further job starts at this load or above
    std::optional<std::uint64_t> memory; ///< nor with less than this available

    [[nodiscard]] bool allow_one_more() const;
    /// *Returns* which limit is in the way, for a message.
    [[nodiscard]] std::string what_is_missing() const;
};

/// Makes the calling thread, and so the commands that it starts, that much nicer. *Errors*: usage_error.
void be_nicer(int by);

} // namespace tool
