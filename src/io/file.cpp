// SPDX-License-Identifier: MIT
/// \file
/// File operations, each made by a plain function on a thread of the default pool: `..._now`. They share the state of
/// the file, which closes its descriptor when the last one has ended.
#include <muster/io/file.hpp>

#include "posix/owned_fd.hpp"
#include "posix/system_error.hpp"

#include <muster/to_thread.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::io {

struct file::state {
    explicit state(std::string p) noexcept : path(std::move(p)) {}
    std::string path;
    detail::owned_fd descriptor;
};

namespace {

using state_ptr = std::shared_ptr<const file::state>;

[[noreturn]] void fail(const std::string& path, int error, const char* what) {
    throw file_error(path, detail::system_code(error), what);
}

state_ptr open_now(std::string path, int flags) {
    if (path.find('\0') != std::string::npos)
        fail(path, EINVAL, "opening");
    auto made = std::make_shared<file::state>(std::move(path));
    int fd = -1;
    do
        fd = ::open(made->path.c_str(), flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        fail(made->path, errno, "opening");
    made->descriptor.reset(fd);
    return made;
}

const file::state& opened(const state_ptr& s, const char* what) {
    if (s == nullptr)
        fail("(closed)", EBADF, what);
    return *s;
}

off_t offset_of(const file::state& s, std::uint64_t offset, std::size_t count, const char* what) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
    if (offset > most || count > most - offset)
        fail(s.path, EOVERFLOW, what);
    return static_cast<off_t>(offset);
}

/// Reads until it has `count` bytes. *Returns* how many it has, which are fewer at the end only.
template <class Read>
std::size_t read_on(const file::state& s, char* into, std::size_t count, Read read) {
    std::size_t done = 0;
    while (done != count) {
        const ssize_t n = read(into + done, count - done, done);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail(s.path, errno, "reading");
        done += static_cast<std::size_t>(n);
    }
    return done;
}

template <class Write>
void write_on(const file::state& s, std::string_view data, Write write) {
    std::size_t done = 0;
    while (done != data.size()) {
        const ssize_t n = write(data.data() + done, data.size() - done, done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail(s.path, errno, "writing");
        done += static_cast<std::size_t>(n);
    }
}

/// Reads grow by pieces, so that memory is taken for what there is and not for what was asked for.
constexpr std::size_t piece = std::size_t{1} << 20;

template <class Read>
std::string read_pieces(const file::state& s, std::size_t most, std::size_t expected, Read read) {
    std::string text;
    std::size_t done = 0;
    std::size_t next = std::min(most, std::max(expected, std::size_t{4096}));
    while (done != most) {
        text.resize(done + std::min(next, most - done));
        const std::size_t wanted = text.size() - done;
        const std::size_t n = read_on(s, text.data() + done, wanted,
            [&](char* p, std::size_t c, std::size_t at) { return read(p, c, done + at); });
        done += n;
        if (n < wanted)
            break;
        next = std::max(done, piece);
    }
    text.resize(done);
    return text;
}

std::string read_file_now(std::string path, std::size_t limit) {
    const auto s = open_now(std::move(path), O_RDONLY);
    const int fd = s->descriptor.get();
    struct stat found {};
    std::size_t expected = 0;
    if (::fstat(fd, &found) == 0 && found.st_size > 0)
        expected = static_cast<std::size_t>(found.st_size) + 1;
    const std::size_t most = limit == std::numeric_limits<std::size_t>::max() ? limit : limit + 1;
    auto text = read_pieces(*s, most, expected, [&](char* p, std::size_t c, std::size_t) { return ::read(fd, p, c); });
    if (text.size() > limit)
        throw limit_error(limit, "reading " + s->path + ": it has more than " + std::to_string(limit) + " bytes");
    return text;
}

void write_file_now(std::string path, std::string data, int flags) {
    const auto s = open_now(std::move(path), O_WRONLY | O_CREAT | flags);
    const int fd = s->descriptor.get();
    write_on(*s, data, [&](const char* p, std::size_t c, std::size_t) { return ::write(fd, p, c); });
    // Network file systems and quotas report that it was too much only when a descriptor of the file is closed.
    detail::owned_fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (const auto failed = copy.close())
        throw file_error(s->path, failed, "closing");
}

std::string read_at_now(state_ptr s, std::uint64_t offset, std::size_t count) {
    const auto& f = opened(s, "reading");
    const off_t from = offset_of(f, offset, 0, "reading");
    const int fd = f.descriptor.get();
    return read_pieces(f, count, std::min(count, piece),
        [&](char* p, std::size_t c, std::size_t at) { return ::pread(fd, p, c, from + static_cast<off_t>(at)); });
}

void write_at_now(state_ptr s, std::uint64_t offset, std::string data) {
    const auto& f = opened(s, "writing");
    const off_t from = offset_of(f, offset, data.size(), "writing");
    const int fd = f.descriptor.get();
    write_on(f, data, [&](const char* p, std::size_t c, std::size_t at) {
        return ::pwrite(fd, p, c, from + static_cast<off_t>(at));
    });
}

std::uint64_t size_now(state_ptr s) {
    const auto& f = opened(s, "asking the size of");
    struct stat found {};
    if (::fstat(f.descriptor.get(), &found) != 0)
        fail(f.path, errno, "asking the size of");
    return static_cast<std::uint64_t>(found.st_size);
}

void resize_now(state_ptr s, std::uint64_t size) {
    const auto& f = opened(s, "resizing");
    if (::ftruncate(f.descriptor.get(), offset_of(f, size, 0, "resizing")) != 0)
        fail(f.path, errno, "resizing");
}

void sync_now(state_ptr s) {
    const auto& f = opened(s, "syncing");
    if (::fsync(f.descriptor.get()) != 0)
        fail(f.path, errno, "syncing");
}

int flags_of(file_mode mode) noexcept {
    switch (mode) {
    case file_mode::read:
        return O_RDONLY;
    case file_mode::write:
        return O_WRONLY | O_CREAT | O_TRUNC;
    case file_mode::update:
        return O_RDWR | O_CREAT;
    case file_mode::create:
        return O_RDWR | O_CREAT | O_EXCL;
    }
    return O_RDONLY;
}

task<std::string> read_at_of(state_ptr s, std::uint64_t offset, std::size_t count) {
    auto text = co_await to_thread(&read_at_now, std::move(s), offset, count);
    co_return text;
}

task<> write_at_of(state_ptr s, std::uint64_t offset, std::string data) {
    co_await to_thread(&write_at_now, std::move(s), offset, std::move(data));
}

task<std::uint64_t> size_of(state_ptr s) {
    const auto size = co_await to_thread(&size_now, std::move(s));
    co_return size;
}

task<> resize_of(state_ptr s, std::uint64_t size) { co_await to_thread(&resize_now, std::move(s), size); }

task<> sync_of(state_ptr s) { co_await to_thread(&sync_now, std::move(s)); }

} // namespace

task<std::string> read_file(std::string path, std::size_t limit) {
    auto text = co_await to_thread(&read_file_now, std::move(path), limit);
    co_return text;
}

task<> write_file(std::string path, std::string data) {
    co_await to_thread(&write_file_now, std::move(path), std::move(data), O_TRUNC);
}

task<> append_file(std::string path, std::string data) {
    co_await to_thread(&write_file_now, std::move(path), std::move(data), O_APPEND);
}

task<file> file::open(std::string path, file_mode mode) {
    auto opened_state = co_await to_thread(&open_now, std::move(path), flags_of(mode));
    co_return file(std::move(opened_state));
}

task<std::string> file::read_at(std::uint64_t offset, std::size_t count) const {
    return read_at_of(state_, offset, count);
}

task<> file::write_at(std::uint64_t offset, std::string data) const {
    return write_at_of(state_, offset, std::move(data));
}

task<std::uint64_t> file::size() const { return size_of(state_); }

task<> file::resize(std::uint64_t size) const { return resize_of(state_, size); }

task<> file::sync() const { return sync_of(state_); }

} // namespace muster::io
