// SPDX-License-Identifier: MIT
// libcurl asks for bytes of a request's body (take), from a file, which answers at once, or from a source, which is a
// task: then libcurl is paused, the feeding task awaits the source, gives the piece, and libcurl goes on.
//
//                begin_source              take, and the piece is used up
//          none ---------------> giving ----------------------------------> waiting
//           |                      ^                                         | |  ^
//           | begin_file           +-------------- give a piece -------------+ |  | give an empty piece
//           v                                                                  +--+
//          file                               give the end:  giving, waiting -> over
#include "upload.hpp"

#include <muster/detail/assert.hpp>
#include <muster/http/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::http {

namespace {

[[noreturn]] void fail(const request& of, int error) {
    const std::error_code code(error, std::generic_category());
    throw body_error(of.url(), "the body can't be read: " + of.body_file() + ": " + code.message(), code);
}

} // namespace

std::uint64_t upload::begin_file(const request& what) {
    close();
    of_ = &what;
    // Without O_NONBLOCK a named pipe without a writer would hold up the loop.
    file_ = ::open(what.body_file().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0)
        fail(what, errno);
    struct stat about {};
    if (::fstat(file_, &about) != 0)
        fail(what, errno);
    if (S_ISDIR(about.st_mode))
        fail(what, EISDIR);
    if (!S_ISREG(about.st_mode))
        throw body_error(what.url(),
            "the body can't be read: " + what.body_file() + " is no file on disk: give its bytes with body_from",
            std::make_error_code(std::errc::invalid_argument));
    size_ = static_cast<std::uint64_t>(about.st_size);
    state_ = state::file;
    return size_;
}

void upload::begin_source() noexcept {
    close();
    state_ = state::giving;
}

void upload::close() noexcept {
    if (file_ >= 0)
        ::close(std::exchange(file_, -1));
    of_ = nullptr;
    at_ = size_ = 0;
    std::string().swap(piece_);
    given_ = 0;
    state_ = state::none;
    was_asked_ = false;
}

std::size_t upload::take_from_file(char* place, std::size_t room) {
    // Bytes that are appended meanwhile were not announced.
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(room, size_ - at_));
    ssize_t count = 0;
    do
        count = ::pread(file_, place, most, static_cast<off_t>(at_));
    while (count < 0 && errno == EINTR);
    if (count < 0)
        fail(*of_, errno);
    if (count == 0 && most != 0)
        throw body_error(
            of_->url(), "the body can't be read: " + of_->body_file() + " was shortened while it was sent");
    at_ += static_cast<std::uint64_t>(count);
    return static_cast<std::size_t>(count);
}

std::size_t upload::take(char* place, std::size_t room) {
    MUSTER_ASSERT(state_ != state::none);
    if (state_ == state::file)
        return take_from_file(place, room);
    if (given_ == piece_.size() && state_ != state::over) {
        state_ = state::waiting;
        was_asked_ = true;
        return paused;
    }
    const auto count = std::min(room, piece_.size() - given_);
    std::memcpy(place, piece_.data() + given_, count);
    given_ += count;
    at_ += count;
    return count;
}

bool upload::seek(std::uint64_t offset) noexcept {
    if (state_ != state::file)
        return offset == at_;
    if (offset > size_)
        return false;
    at_ = offset;
    return true;
}

void upload::give(std::optional<std::string> piece) noexcept {
    MUSTER_ASSERT(state_ == state::waiting);
    given_ = 0;
    if (piece)
        piece_ = std::move(*piece);
    else
        std::string().swap(piece_);
    // An empty piece is no end: libcurl goes on waiting for the next one.
    state_ = !piece ? state::over : piece_.empty() ? state::waiting : state::giving;
}

} // namespace muster::http
