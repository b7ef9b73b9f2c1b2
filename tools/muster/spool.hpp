// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Text that is kept until its turn to be printed comes: the little there mostly is in memory, the rest in one
/// temporary file for all of them, so that memory does not grow with what commands write.
///
///     spool_file file;
///     spool output(file);
///     output.append(piece);
///     output.write_to(1);

#include "streams.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tool {

/// The file behind spools. It has no name, so nothing is left of it whatever happens. Made when it is needed.
class spool_file {
public:
    /// All spools together hold no more than this in memory, about.
    static constexpr std::size_t most_in_memory = std::size_t{32} << 20;

    struct extent {
        extent(std::uint64_t a, std::size_t s) : at(a), size(s) {}
        std::uint64_t at;
        std::size_t size;
    };

    /// *Errors*: std::system_error, with TMPDIR in its text.
    [[nodiscard]] extent put(std::string_view text);
    [[nodiscard]] std::string get(const extent& e) const;
    void release(const extent& e) noexcept;

    std::size_t in_memory = 0; ///< what the spools hold

private:
    descriptor file_;
    std::uint64_t end_ = 0;
    std::uint64_t held_ = 0; ///< bytes of extents that were not released
};

/// Movable. The file must outlive it.
class spool {
public:
    explicit spool(spool_file& file) noexcept : file_(&file) {}
    spool(spool&& other) noexcept
        : file_(other.file_),
          extents_(std::move(other.extents_)),
          text_(std::exchange(other.text_, {})) {
        other.extents_.clear();
    }
    spool& operator=(spool&&) = delete;
    ~spool() { clear(); }

    /// *Errors*: std::system_error if it does not fit in memory, and the file can't be written.
    void append(std::string_view piece);
    void clear() noexcept;
    [[nodiscard]] bool empty() const noexcept { return text_.empty() && extents_.empty(); }
    /// *Returns* why it could not be written. *Errors*: std::system_error if it can't be read back.
    [[nodiscard]] std::optional<std::error_code> write_to(int fd) const;

private:
    static constexpr std::size_t piece_size = std::size_t{256} << 10;

    spool_file* file_;
    std::vector<spool_file::extent> extents_;
    std::string text_;
};

} // namespace tool
