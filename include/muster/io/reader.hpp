// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reading in the units that a protocol has: lines, so many bytes, up to a mark, all there is; each with a limit, so
/// that the other side does not decide how much memory it takes.
///
///     muster::io::reader in(peer);
///     for (;;) {
///         auto line = co_await in.read_line();
///         if (!line)
///             break;
///         use(*line);
///     }

#include <muster/config.hpp>
#include <muster/io/error.hpp>
#include <muster/io/stream.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace muster::io {

/// It reads ahead: read from the stream only through it. Copies share what has come. One task reads at a time.
/// *Errors*, of every operation: those of stream::read_some; invalid_state_error for one that was moved from, or if
/// another task reads. *Cancellation*, of every operation: ends the wait; what
/// has come stays here and is read next. *Lifetime*: stream and reader may go in any order, also while a read is in
/// flight. *Complexity*: it has a buffer only while it keeps something. *Thread safety*: one thread. *Source*:
/// asyncio.StreamReader.
class reader {
public:
    explicit reader(const stream& from);

    /// *Returns* the next line without its line feed, also a last one that has none; nothing at the end.
    /// *Errors*: limit_error for a line of more than `limit` bytes.
    [[nodiscard]] task<std::optional<std::string>> read_line(std::size_t limit = std::size_t{1} << 20);
    /// *Returns* `count` bytes. *Errors*: incomplete_read_error if the end comes before. *Complexity*: takes memory for
    /// what has come, not for what was asked for.
    [[nodiscard]] task<std::string> read_exactly(std::size_t count);
    /// *Returns* everything up to and with `delimiter`. *Errors*: incomplete_read_error if the end comes before;
    /// limit_error if that would be more than `limit` bytes; std::invalid_argument for an empty delimiter.
    [[nodiscard]] task<std::string> read_until(std::string delimiter, std::size_t limit = std::size_t{1} << 20);
    /// *Returns* all that is left. *Errors*: limit_error for more than `limit` bytes.
    [[nodiscard]] task<std::string> read_all(std::size_t limit = std::size_t{64} << 20);
    /// *Returns* what there is, waiting if there is nothing; at most `most` bytes; empty at the end only.
    [[nodiscard]] task<std::string> read_some(std::size_t most = std::size_t{64} << 10);

    /// How much has come and was not read yet.
    [[nodiscard]] std::size_t buffered() const noexcept;

    /// For the library.
    struct state;

private:
    std::shared_ptr<state> state_;
};

} // namespace muster::io
