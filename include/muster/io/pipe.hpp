// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Pipes, and the three streams that a program is started with.
///
///     auto ends = muster::io::make_pipe();
///     co_await ends.writer.write("hello");
///
///     auto input = muster::io::standard_input();
///     auto line = co_await muster::io::reader(input).read_line();

#include <muster/config.hpp>
#include <muster/io/stream.hpp>

namespace muster::io {

struct pipe_ends {
    pipe_ends(stream r, stream w) noexcept : reader(std::move(r)), writer(std::move(w)) {}
    stream reader;
    stream writer;
};

/// *Errors*: std::system_error.
[[nodiscard]] pipe_ends make_pipe();

/// Streams of their own for what descriptors 0, 1 and 2 refer to; closing one does not close the descriptor. Terminals
/// and pipes are opened again, so that who shares them does not find them non-blocking; where that is not allowed, and
/// for sockets, they are non-blocking for all until the stream is closed. A file's reads and writes keep the loop busy.
/// *Errors*: std::system_error.
[[nodiscard]] stream standard_input();
[[nodiscard]] stream standard_output();
[[nodiscard]] stream standard_error();

} // namespace muster::io
