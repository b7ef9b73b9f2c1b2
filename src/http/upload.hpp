// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The body of a request that libcurl asks for piece by piece: a file, or what a body_source gave. Private to
/// muster::http.
///
///     upload.begin_source();
///     auto count = upload.take(place, room);   // or upload::paused: give() more, then let libcurl go on

#include <muster/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace muster::http {

class upload {
public:
    static constexpr std::size_t paused = static_cast<std::size_t>(-1);

    upload() = default;
    ~upload() { close(); }
    upload(const upload&) = delete;
    upload& operator=(const upload&) = delete;

    /// *Returns* the file's size. *Errors*: body_error.
    std::uint64_t begin_file(const request& what);
    void begin_source() noexcept;
    void close() noexcept;

    /// *Returns* how many bytes were put there; 0 at the end; paused, if there are none yet. *Errors*: body_error.
    [[nodiscard]] std::size_t take(char* place, std::size_t room);
    /// *Returns* false if it can't go back there.
    [[nodiscard]] bool seek(std::uint64_t offset) noexcept;

    /// *Returns* whether libcurl has asked for more of the source and waits for it.
    [[nodiscard]] bool waits() const noexcept { return state_ == state::waiting; }
    /// *Returns* whether anything was asked of the source, so that the body can't be sent a second time.
    [[nodiscard]] bool was_asked() const noexcept { return was_asked_; }
    /// *Returns* whether all of the body was taken.
    [[nodiscard]] bool is_at_end() const noexcept {
        return state_ == state::file ? at_ == size_ : state_ == state::over && given_ == piece_.size();
    }
    /// *Returns* how much of the body was taken.
    [[nodiscard]] std::uint64_t taken() const noexcept { return at_; }
    /// Gives what the source returned: its next piece, or nothing at its end.
    void give(std::optional<std::string> piece) noexcept;

private:
    /// The picture is at the head of upload.cpp.
    enum class state { none, file, giving, waiting, over };

    [[nodiscard]] std::size_t take_from_file(char* place, std::size_t room);

    state state_ = state::none;
    bool was_asked_ = false;
    const request* of_ = nullptr;
    int file_ = -1;
    std::uint64_t at_ = 0;
    std::uint64_t size_ = 0;
    std::string piece_;     ///< of the source
    std::size_t given_ = 0; ///< how much of the piece libcurl has taken
};

} // namespace muster::http
