// SPDX-License-Identifier: MIT
#include "spool.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace tool {

namespace {

[[noreturn]] void fail(const char* what) {
    const int error = errno;
    const char* folder = std::getenv("TMPDIR");
    throw std::system_error(error, std::generic_category(),
        fmt::format("the output of commands can't be {} a file in {} (set TMPDIR to a larger place)", what,
            folder != nullptr ? folder : "/tmp"));
}

descriptor make_file() {
    const char* set = std::getenv("TMPDIR");
    const std::string folder = set != nullptr && *set != '\0' ? set : "/tmp";
    descriptor file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (file.open())
        return file;
    // Not every file system has such files.
    std::string name = folder + "/muster-XXXXXX";
    file = descriptor(::mkostemp(name.data(), O_CLOEXEC));
    if (!file.open())
        fail("kept in");
    ::unlink(name.c_str());
    return file;
}

} // namespace

spool_file::extent spool_file::put(std::string_view text) {
    if (!file_.open())
        file_ = make_file();
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
    held_ += e.size;
    return e;
}

std::string spool_file::get(const extent& e) const {
    std::string text(e.size, '\0');
    for (std::size_t done = 0; done != text.size();) {
        const auto count =
            ::pread(file_.get(), text.data() + done, text.size() - done, static_cast<off_t>(e.at + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            fail("read back from");
        done += static_cast<std::size_t>(count);
    }
    return text;
}

void spool_file::release(const extent& e) noexcept {
    held_ -= e.size;
    if (held_ == 0) {
        end_ = 0;
        static_cast<void>(!::ftruncate(file_.get(), 0));
        return;
    }
    // Its room is given back while others are still needed; where that is not possible it is at the end.
    static_cast<void>(::fallocate(
        file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(e.at), static_cast<off_t>(e.size)));
}

void spool::append(std::string_view piece) {
    text_.append(piece);
    file_->in_memory += piece.size();
    if (text_.size() < piece_size && file_->in_memory < spool_file::most_in_memory)
        return;
    extents_.push_back(file_->put(text_));
    file_->in_memory -= text_.size();
    text_ = {};
}

void spool::clear() noexcept {
    for (const auto& e : extents_)
        file_->release(e);
    extents_.clear();
    file_->in_memory -= text_.size();
    text_.clear();
}

std::optional<std::error_code> spool::write_to(int fd) const {
    for (const auto& e : extents_) {
        if (const auto failed = write_stream(fd, file_->get(e)))
            return failed;
    }
    return write_stream(fd, text_);
}

} // namespace tool
