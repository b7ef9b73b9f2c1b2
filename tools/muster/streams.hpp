// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Descriptors that are written to, with errors that are neither dropped nor fatal.
///
///     if (const auto failed = write_all(1, text)) complain(failed->message());

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace tool {

/// A descriptor that is closed when this goes.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor();

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool open() const noexcept { return fd_ >= 0; }
    /// Closes it and says whether that went well, which for a file means: whether it was written.
    [[nodiscard]] std::error_code close() noexcept;

private:
    int fd_ = -1;
};

/// *Returns* the error that kept it from writing all of the text. `written` counts what was.
[[nodiscard]] std::optional<std::error_code> write_all(
    int fd, std::string_view text, std::size_t* written = nullptr) noexcept;

/// The same for standard output and error, which may be a pipe or a terminal whose reader does not read. The wait for
/// it holds up everything else, so a signal that the program catches ends it: that is the error EINTR.
[[nodiscard]] std::optional<std::error_code> write_stream(
    int fd, std::string_view text, std::size_t* written = nullptr) noexcept;

/// Puts something in the place of standard descriptors that are closed, so that no file or socket gets their number;
/// reading or writing them still fails. Ignores the signals that stand for errors which are seen anyway.
void prepare_process() noexcept;

/// Raises the limit of open descriptors to at least so many, if that is allowed. What is started afterwards inherits
/// it, and not every program likes a high one, so it is only raised when it must be.
void require_descriptors(std::size_t count) noexcept;
/// How many descriptors may be open at a time.
[[nodiscard]] std::size_t most_open_files() noexcept;

} // namespace tool
