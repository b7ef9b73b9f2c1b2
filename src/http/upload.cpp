// SPDX-License-Identifier: MIT
#include "upload.hpp"

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
    return size_;
}

void upload::begin_source() noexcept { close(); }

void upload::close() noexcept {
    if (file_ >= 0)
        ::close(std::exchange(file_, -1));
    of_ = nullptr;
    at_ = size_ = 0;
    std::string().swap(piece_);
    given_ = 0;
    over_ = waits_ = touched_ = false;
}

std::size_t upload::take_from_file(char* place, std::size_t room) {
    // What is appended meanwhile was not announced.
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
    if (file_ >= 0)
        return take_from_file(place, room);
    if (given_ == piece_.size() && !over_) {
        waits_ = touched_ = true;
        return paused;
    }
    const auto count = std::min(room, piece_.size() - given_);
    std::memcpy(place, piece_.data() + given_, count);
    given_ += count;
    at_ += count;
    return count;
}

bool upload::seek(std::uint64_t offset) noexcept {
    if (file_ < 0)
        return offset == at_;
    if (offset > size_)
        return false;
    at_ = offset;
    return true;
}

void upload::give(std::optional<std::string> piece) noexcept {
    given_ = 0;
    if (piece)
        piece_ = std::move(*piece);
    else
        std::string().swap(piece_);
    over_ = !piece;
    // An empty piece is no end: more is wanted at once.
    waits_ = piece && piece_.empty();
}

} // namespace muster::http
