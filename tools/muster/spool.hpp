// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Text that waits to be written: the little there mostly is stays in memory, the rest goes to one temporary file for
/// all of them, so that memory does not grow with what commands write or with how slowly it is read.
///
///     spool_file file;
///     spool output(file);
///     output.append(piece);
///     const std::string first = output.read(0, 4096);

#include "posix/owned_fd.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tool {

/// The file behind spools. It has no name, so nothing is left of it whatever happens. It is made when it is needed.
/// *Thread safety*: spools of several threads may share it.
class spool_file {
public:
    /// All spools together hold no more than about this much in memory.
    static constexpr std::size_t most_in_memory = std::size_t{32} << 20;
    /// So much of the file system stays free, or a tenth of a small one: others need TMPDIR, too.
    static constexpr std::uint64_t room_left = std::uint64_t{1} << 30;

    struct extent {
        extent(std::uint64_t a, std::size_t s) : at(a), size(s) {}
        std::uint64_t at;
        std::size_t size;
    };

    /// Appends the text to the file. *Errors*: std::system_error, with TMPDIR in its text.
    [[nodiscard]] extent put(std::string_view text);
    /// *Returns* at most `most` bytes of an extent from `from` on. *Errors*: std::system_error.
    [[nodiscard]] std::string get(const extent& e, std::size_t from, std::size_t most) const;
    void release(const extent& e) noexcept;

    /// A spool holds `size` more bytes in memory, or that many fewer.
    void add_in_memory(std::size_t size) noexcept { in_memory_ += size; }
    void take_from_memory(std::size_t size) noexcept { in_memory_ -= size; }
    [[nodiscard]] std::size_t in_memory() const noexcept { return in_memory_; }
    /// How much all spools hold, in memory and in the file.
    [[nodiscard]] std::uint64_t held() const noexcept { return in_memory_ + in_file_; }

private:
    /// *Errors*: std::system_error if too little would stay free.
    void leave_room(std::size_t size);

    mutable std::mutex lock_; ///< guards all but the two counts
    muster::detail::owned_fd file_;
    std::uint64_t end_ = 0;
    std::uint64_t until_check_ = 0;          ///< bytes that may be put before the free room is looked at again
    std::atomic<std::uint64_t> in_file_ = 0; ///< bytes of extents that were not released
    std::atomic<std::size_t> in_memory_ = 0;
};

/// Movable, also to another thread. The file must outlive it.
class spool {
public:
    explicit spool(spool_file& file) noexcept : file_(&file) {}
    spool(spool_file& file, std::string_view text) : file_(&file) { append(text); }
    spool(spool&& other) noexcept
        : file_(other.file_),
          extents_(std::exchange(other.extents_, {})),
          text_(std::exchange(other.text_, {})),
          size_(std::exchange(other.size_, 0)) {}
    spool& operator=(spool&&) = delete;
    ~spool() { clear(); }

    /// *Errors*: std::system_error if it does not fit in memory, and the file can't be written.
    void append(std::string_view piece);
    void clear() noexcept;
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    /// *Returns* a piece of the text from `at` on: at most `most` bytes, and none only at the end.
    /// *Errors*: std::system_error if it can't be read back.
    [[nodiscard]] std::string read(std::uint64_t at, std::size_t most) const;

private:
    static constexpr std::size_t piece_size = std::size_t{256} << 10;

    spool_file* file_;
    std::vector<spool_file::extent> extents_; ///< the beginning of the text
    std::string text_;                        ///< and what follows
    std::uint64_t size_ = 0;
};

} // namespace tool
