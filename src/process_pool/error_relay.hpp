// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Passes on what another host writes to standard error, without ever waiting for whoever reads this program's: the
/// thread that does it also keeps the connection alive. Private to muster::process_pool.
///
///     relay.take(text);
///     if (relay.has_to_write()) wait_for(STDERR_FILENO, POLLOUT), relay.write_some();

#include <cstddef>
#include <string>
#include <string_view>

namespace muster::workers {

/// *Thread safety*: one thread.
class error_relay {
public:
    /// `host` is named where something had to be left out. *Lifetime*: it must outlive this.
    explicit error_relay(const std::string& host) noexcept : host_(host) {}

    /// Writes the text, and keeps what standard error does not take at once. If too much is kept already, or without
    /// memory, the text is left out, and a line says so later.
    void take(std::string_view text) noexcept;
    [[nodiscard]] bool has_to_write() const noexcept { return at_ != kept_.size(); }
    /// Writes what standard error takes now.
    void write_some() noexcept;

private:
    void keep(std::string_view text) noexcept;
    void say_what_was_left_out() noexcept;

    const std::string& host_;
    std::string kept_;
    std::size_t at_ = 0;       ///< how much of it was written
    std::size_t left_out_ = 0; ///< bytes, since the last line about that
};

} // namespace muster::workers
