// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands and their ends in frames, and the names of frames/frames.hpp as muster::hosts uses them. Private to
/// muster::hosts.
///
///     link.send(frame_type::part, description_of(what));

#include "frames/frames.hpp"

#include <muster/subprocess.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace muster::hosts {

using frames::frame;
using frames::frame_error;
using frames::frame_parser;
using frames::frame_type;
using frames::greeting_scanner;
using frames::largest_frame;
using frames::largest_piece;
using frames::longest_preamble;
using frames::magic;
using frames::output_window;
using frames::payload_reader;
using frames::payload_writer;
using frames::protocol_version;
using frames::to_bytes;

/// A command as its agent gets it; standard input comes behind it as bytes.
[[nodiscard]] std::string description_of(const command& what);
/// *Returns* the command, whose outputs are captured, merged or discarded as described. *Errors*: frame_error for what
/// is no description.
[[nodiscard]] command command_of(std::string_view description);

/// How a command ended at its agent.
struct remote_end {
    remote_end() {}
    enum class kind : std::uint8_t { ended, not_found, not_spawned, failed };
    kind how = kind::ended;
    completed_process process;
    std::int32_t error = 0; ///< the system's error number (errno), if the command could not be started
    std::string problem;    ///< what went wrong, if it did not just end
};
[[nodiscard]] std::string payload_of(std::uint64_t id, const remote_end& end);
/// Reads what stands behind the id. *Errors*: frame_error.
[[nodiscard]] remote_end read_end(payload_reader& from);

} // namespace muster::hosts
