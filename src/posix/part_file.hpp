// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A file that has its name only once it is complete: until then it is NAME.part beside it. Names are relative to a
/// folder that was opened once, and neither links nor pipes that were planted there are followed or written to.
/// Private to the library and the command.
///
///     part_file file(folder, "page.html");
///     file.make();
///     file.append(piece);
///     file.finish("page.html", part_file::existing::replaced);

#include "posix/owned_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster::detail {

/// Immovable. Everything throws std::system_error, whose text names the file. *Thread safety*: one thread.
class part_file {
public:
    enum class existing { replaced, refused };

    /// `folder` is an open folder that outlives this, or AT_FDCWD.
    part_file(int folder, std::string name) : folder_(folder), partial_(std::move(name) + ".part") {}
    /// Removes what is not complete, unless it is kept.
    ~part_file();
    part_file(const part_file&) = delete;
    part_file& operator=(const part_file&) = delete;

    /// Makes it, empty. A file that has its name is left over from a run that was killed, or was planted: it is
    /// removed. *Errors*: EBUSY if somebody is just writing it.
    void make();
    /// Opens what an earlier part_file kept. *Returns* whether there was one: an ordinary file of this user's, with one
    /// link. It is locked, so that no other process continues it at the same time.
    bool reopen();

    void append(std::string_view piece);
    /// Takes away what is in it.
    void cut();
    /// *Returns* at most `most` bytes from `at` on.
    [[nodiscard]] std::string read(std::uint64_t at, std::size_t most) const;
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_made() const noexcept { return phase_ == phase::partial; }
    [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
    [[nodiscard]] int folder() const noexcept { return folder_; }
    [[nodiscard]] const std::string& partial_name() const noexcept { return partial_; }

    /// Closes it and gives it its name.
    void finish(const std::string& name, existing other);
    /// Closes it and leaves it as NAME.part.
    void keep() noexcept;
    /// Closes and removes it. make() and reopen() may follow.
    void discard() noexcept;

private:
    enum class phase { unmade, partial, complete };

    [[nodiscard]] bool make_new();
    [[noreturn]] void fail(const std::string& name) const;
    [[noreturn]] void fail_in_use() const;

    int folder_;
    std::string partial_;
    owned_fd file_;
    std::uint64_t size_ = 0;
    phase phase_ = phase::unmade;
};

} // namespace muster::detail
