// SPDX-License-Identifier: MIT
// This file moves text from memory to the temporary file and back. append() collects text in memory and puts it into
// the file as an extent when the piece is large enough, or when all spools together hold too much. clear() gives the
// extents back: the file system frees the room of each, and the file is emptied after the last.
#include "spool.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace tool {

namespace {

using muster::detail::owned_fd;

[[noreturn]] void fail(const char* what) {
    const int error = errno;
    const char* folder = ::secure_getenv("TMPDIR");
    throw std::system_error(error, std::generic_category(),
        fmt::format("the output of commands can't be {} a file in {} (set TMPDIR to a larger place)", what,
            folder != nullptr ? folder : "/tmp"));
}

owned_fd make_file() {
    const char* set = ::secure_getenv("TMPDIR");
    const std::string folder = set != nullptr && *set != '\0' ? set : "/tmp";
    owned_fd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (file.is_open())
        return file;
    // Not every file system has such files.
    std::string name = folder + "/muster-XXXXXX";
    file = owned_fd(::mkostemp(name.data(), O_CLOEXEC));
    if (!file.is_open())
        fail("kept in");
    ::unlink(name.c_str());
    return file;
}

} // namespace

void spool_file::leave_room(std::size_t size) {
    if (size <= until_check_) {
        until_check_ -= size;
        return;
    }
    struct statvfs about {};
    if (::fstatvfs(file_.get(), &about) != 0)
        return;
    const auto total = static_cast<std::uint64_t>(about.f_blocks) * about.f_frsize;
    const auto left = static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize;
    const auto stays_free = std::min(room_left, total / 10);
    if (left < stays_free + size) {
        until_check_ = 0;
        errno = ENOSPC;
        fail("kept in");
    }
    // Asking costs a system call: it is done once for so much, and more often when there is little room, which others
    // use up as well.
    constexpr std::uint64_t most_unchecked = std::uint64_t{16} << 20;
    until_check_ = std::min(most_unchecked, (left - stays_free - size) / 2);
}

spool_file::extent spool_file::put(std::string_view text) {
    const std::lock_guard mine(lock_);
    if (!file_.is_open())
        file_ = make_file();
    leave_room(text.size());
    const extent e(end_, text.size());
    while (!text.empty()) {
        const auto count = ::pwrite(file_.get(), text.data(), text.size(), static_cast<off_t>(end_));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            fail("kept in");
        end_ += static_cast<std::uint64_t>(count);
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    in_file_ += e.size;
    return e;
}

std::string spool_file::get(const extent& e, std::size_t from, std::size_t most) const {
    // The descriptor does not change any more once there is an extent.
    std::string text(std::min(most, e.size - from), '\0');
    for (std::size_t done = 0; done != text.size();) {
        const auto count =
            ::pread(file_.get(), text.data() + done, text.size() - done, static_cast<off_t>(e.at + from + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            fail("read back from");
        done += static_cast<std::size_t>(count);
    }
    return text;
}

void spool_file::release(const extent& e) noexcept {
    const std::lock_guard mine(lock_);
    in_file_ -= e.size;
    if (in_file_ == 0) {
        end_ = 0;
        static_cast<void>(!::ftruncate(file_.get(), 0));
        return;
    }
    // Give back the room of this extent while others are still needed. A file system that can't punch holes gives all
    // of it back with the last extent.
    static_cast<void>(::fallocate(
        file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(e.at), static_cast<off_t>(e.size)));
}

void spool::append(std::string_view piece) {
    text_.append(piece);
    size_ += piece.size();
    file_->add_in_memory(piece.size());
    if (text_.size() < piece_size && file_->in_memory() < spool_file::most_in_memory)
        return;
    extents_.push_back(file_->put(text_));
    file_->take_from_memory(text_.size());
    text_ = {};
}

void spool::clear() noexcept {
    for (const auto& e : extents_)
        file_->release(e);
    extents_.clear();
    file_->take_from_memory(text_.size());
    text_.clear();
    size_ = 0;
}

std::string spool::read(std::uint64_t at, std::size_t most) const {
    for (const auto& e : extents_) {
        if (at < e.size)
            return file_->get(e, static_cast<std::size_t>(at), most);
        at -= e.size;
    }
    return text_.substr(static_cast<std::size_t>(at), most);
}

} // namespace tool
