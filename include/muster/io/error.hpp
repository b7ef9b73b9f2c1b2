// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of I/O: the system's are std::system_errors with the system's code, and what the library adds
/// is derived from that. An operation that was in flight when its stream was closed fails with
/// std::errc::operation_canceled; one that begins later with std::errc::bad_file_descriptor.
///
///     try { co_await speak(peer); }
///     catch (const muster::io::incomplete_read_error& e) { log(e.partial()); }
///     catch (const std::system_error& e) { log(e.code().message()); }

#include <muster/config.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::io {

/// The library's own codes.
enum class io_errc {
    incomplete_read = 1, ///< the stream ended before the bytes that were asked for had come
    limit_exceeded,      ///< more came than the limit allows
    interrupted_write,   ///< an earlier write ended within its bytes
};

/// *Returns* the category of io_errc: its name is "muster.io".
[[nodiscard]] const std::error_category& io_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(io_errc e) noexcept {
    return {static_cast<int>(e), io_category()};
}

/// The stream ended before what was asked for had come. Copying never throws. *Source*: asyncio.IncompleteReadError.
class incomplete_read_error final : public std::system_error {
public:
    incomplete_read_error(std::string partial, const std::string& what)
        : std::system_error(make_error_code(io_errc::incomplete_read), what),
          partial_(std::make_shared<const std::string>(std::move(partial))) {}
    /// The bytes that did come; they have been taken out of the reader. *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& partial() const noexcept { return *partial_; }

private:
    std::shared_ptr<const std::string> partial_;
};

/// More came than the limit allows; it stays in the reader. *Source*: asyncio.LimitOverrunError.
class limit_error final : public std::system_error {
public:
    limit_error(std::size_t limit, const std::string& what)
        : std::system_error(make_error_code(io_errc::limit_exceeded), what),
          limit_(limit) {}
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

private:
    std::size_t limit_;
};

/// A write was refused because an earlier one was cancelled, or failed, after a part of its bytes had been written:
/// more bytes behind that part would make no sense to the other side.
class interrupted_write_error final : public std::system_error {
public:
    interrupted_write_error(std::uint64_t written, const std::string& what)
        : std::system_error(make_error_code(io_errc::interrupted_write), what),
          written_(written) {}
    /// How much of the earlier write was written.
    [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

private:
    std::uint64_t written_;
};

/// *Returns* the category of getaddrinfo's codes: its name is "getaddrinfo".
[[nodiscard]] const std::error_category& resolve_category() noexcept;

/// A name could not be looked up: code() is getaddrinfo's, or the system's. Copying never throws.
class resolve_error final : public std::system_error {
public:
    resolve_error(std::string host, std::error_code code, const std::string& what)
        : std::system_error(code, what),
          host_(std::make_shared<const std::string>(std::move(host))) {}
    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& host() const noexcept { return *host_; }

private:
    std::shared_ptr<const std::string> host_;
};

/// One address that could not be connected to.
struct failed_attempt {
    failed_attempt(std::string to, std::error_code why) : address(std::move(to)), code(why) {}
    std::string address;
    std::error_code code;
};

/// None of the addresses could be connected to: code() is the last one's, what() lists all. Copying never throws.
class connect_error final : public std::system_error {
public:
    connect_error(const std::string& target, std::vector<failed_attempt> attempts);
    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::vector<failed_attempt>& attempts() const noexcept { return *attempts_; }

private:
    std::shared_ptr<const std::vector<failed_attempt>> attempts_;
};

} // namespace muster::io

template <>
struct std::is_error_code_enum<muster::io::io_errc> : std::true_type {};
