// SPDX-License-Identifier: MIT
// This file makes the system calls behind part_file.
//
//                 make(), reopen()           finish()
//      unmade ----------------------> partial --------> complete
//        ^                               |
//        '------- keep(), discard() -----'
//
// make() insists on a new file (O_EXCL). One that has the name is removed, unless somebody who writes it holds its
// lock: a file that lost its name would be finished under the name of another's, which may be half written. reopen()
// opens without following a link and then asks the descriptor what it is, not the name: another program could replace
// the file behind the name between a look at the name and the opening.
#include "posix/part_file.hpp"

#include <muster/detail/assert.hpp>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::detail {

namespace {

constexpr int attempts_to_make = 100;

} // namespace

part_file::~part_file() {
    if (phase_ == phase::partial)
        discard();
}

void part_file::fail(const std::string& name) const { throw std::system_error(errno, std::generic_category(), name); }

void part_file::make() {
    MUSTER_ASSERT(phase_ == phase::unmade);
    for (int attempt = 0; !make_new(); ++attempt) {
        if (attempt == attempts_to_make)
            fail_in_use();
    }
    size_ = 0;
    phase_ = phase::partial;
}

/// *Returns* false if another process was just about to make or to remove it, too. *Errors*: std::system_error.
bool part_file::make_new() {
    owned_fd file(::openat(folder_, partial_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (file.is_open()) {
        // Whoever saw it before it was locked may have taken it for one that is left over. A file system without locks
        // has no such protection.
        struct stat about {};
        const bool is_locked = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
        if (!is_locked || ::fstat(file.get(), &about) != 0 || about.st_nlink == 0)
            return false;
        file_ = std::move(file);
        return true;
    }
    if (errno != EEXIST)
        fail(partial_);
    const owned_fd other(
        ::openat(folder_, partial_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!other.is_open() && errno == ENOENT)
        return false;
    if (other.is_open() && ::flock(other.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        fail_in_use();
    // It may have been finished between the two calls, and the name be that of the next file. With the lock of the file
    // that has the name nobody else changes that.
    struct stat locked {};
    struct stat named {};
    if (other.is_open() &&
        (::fstat(other.get(), &locked) != 0 || ::fstatat(folder_, partial_.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 ||
            locked.st_ino != named.st_ino || locked.st_dev != named.st_dev))
        return false;
    if (::unlinkat(folder_, partial_.c_str(), 0) != 0 && errno != ENOENT)
        fail(partial_);
    return false;
}

void part_file::fail_in_use() const {
    throw std::system_error(EBUSY, std::generic_category(), partial_ + " is being written by another at this moment");
}

bool part_file::reopen() {
    MUSTER_ASSERT(phase_ == phase::unmade);
    // Opening a pipe must not wait for its other end.
    owned_fd file(::openat(folder_, partial_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat about {};
    if (!file.is_open() || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_nlink != 1 ||
        about.st_uid != ::geteuid())
        return false;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        fail_in_use();
    if (::lseek(file.get(), 0, SEEK_END) < 0)
        return false;
    file_ = std::move(file);
    size_ = static_cast<std::uint64_t>(about.st_size);
    phase_ = phase::partial;
    return true;
}

void part_file::append(std::string_view piece) {
    MUSTER_ASSERT(phase_ == phase::partial);
    while (!piece.empty()) {
        const auto count = ::write(file_.get(), piece.data(), piece.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            fail(partial_);
        size_ += static_cast<std::uint64_t>(count);
        piece.remove_prefix(static_cast<std::size_t>(count));
    }
}

void part_file::cut() {
    MUSTER_ASSERT(phase_ == phase::partial);
    if (size_ == 0)
        return;
    if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) < 0)
        fail(partial_);
    size_ = 0;
}

std::string part_file::read(std::uint64_t at, std::size_t most) const {
    MUSTER_ASSERT(phase_ == phase::partial);
    std::string piece(most, '\0');
    for (;;) {
        const auto count = ::pread(file_.get(), piece.data(), most, static_cast<off_t>(at));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            fail(partial_);
        piece.resize(static_cast<std::size_t>(count));
        return piece;
    }
}

void part_file::finish(const std::string& name, existing other) {
    MUSTER_ASSERT(phase_ == phase::partial);
    // The lock is held until the name is changed: it is that of both descriptors.
    const owned_fd locked(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3));
    if (const auto failed = file_.close()) {
        errno = failed.value();
        fail(partial_);
    }
    int status = 0;
    if (other == existing::replaced) {
        status = ::renameat(folder_, partial_.c_str(), folder_, name.c_str());
    } else {
        status = ::renameat2(folder_, partial_.c_str(), folder_, name.c_str(), RENAME_NOREPLACE);
        // Some file systems do not know that: there a second link, which is never made over another file, does it.
        if (status != 0 && errno == EINVAL)
            status = ::linkat(folder_, partial_.c_str(), folder_, name.c_str(), 0) == 0
                         ? ::unlinkat(folder_, partial_.c_str(), 0)
                         : -1;
    }
    if (status != 0)
        fail(name);
    phase_ = phase::complete;
}

void part_file::keep() noexcept {
    MUSTER_ASSERT(phase_ == phase::partial);
    static_cast<void>(file_.close());
    phase_ = phase::unmade;
}

void part_file::discard() noexcept {
    MUSTER_ASSERT(phase_ == phase::partial);
    ::unlinkat(folder_, partial_.c_str(), 0);
    static_cast<void>(file_.close());
    phase_ = phase::unmade;
}

} // namespace muster::detail
