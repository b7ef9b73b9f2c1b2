// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Files, whose reads and writes block whatever one does: they are made on threads of the default pool, and the loop
/// goes on meanwhile.
///
///     auto text = co_await muster::io::read_file("notes.txt");
///     co_await muster::io::append_file("log.txt", "done\n");
///
///     auto data = co_await muster::io::file::open("data.bin", muster::io::file_mode::update);
///     auto head = co_await data.read_at(0, 512);

#include <muster/config.hpp>
#include <muster/io/error.hpp>
#include <muster/task.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace muster::io {

/// A file could not be opened, read or written: code() is the system's. Copying never throws.
class file_error final : public std::system_error {
public:
    file_error(const std::string& path, std::error_code code, const std::string& what)
        : std::system_error(code, what + ' ' + path),
          path_(std::make_shared<const std::string>(path)) {}
    /// *Lifetime*: as long as any copy of this.
    [[nodiscard]] const std::string& path() const noexcept { return *path_; }

private:
    std::shared_ptr<const std::string> path_;
};

// *Errors*, of everything here: file_error. *Cancellation*: one that waits for a thread is taken back; one that runs is
// waited for, and what it did stays done. They work on every loop.

/// *Returns* what is in it. *Errors*: limit_error for more than `limit` bytes.
[[nodiscard]] task<std::string> read_file(std::string path, std::size_t limit = std::size_t{1} << 30);
/// Makes the file if there is none, and replaces what is in it.
[[nodiscard]] task<> write_file(std::string path, std::string data);
/// Makes the file if there is none, and adds to it.
[[nodiscard]] task<> append_file(std::string path, std::string data);

enum class file_mode : std::uint8_t {
    read,   ///< for reading: the file must exist
    write,  ///< for writing: made, or emptied
    update, ///< for reading and writing: made, or left as it is
    create, ///< for reading and writing: the file must not exist
};

/// An open file. Movable. It is closed when it is destroyed and the operations in flight have ended. Several may be in
/// flight; they run in any order. *Thread safety*: one thread.
class [[nodiscard("the file is closed at once if this is dropped")]] file {
public:
    /// A closed one, whose operations fail with std::errc::bad_file_descriptor.
    file() noexcept = default;
    [[nodiscard]] static task<file> open(std::string path, file_mode mode);

    /// *Returns* `count` bytes from there; less at the end only.
    [[nodiscard]] task<std::string> read_at(std::uint64_t offset, std::size_t count) const;
    /// Writes all of it there. *Errors*: a part may have been written.
    [[nodiscard]] task<> write_at(std::uint64_t offset, std::string data) const;
    [[nodiscard]] task<std::uint64_t> size() const;
    /// Cuts it off, or fills it up with zeros.
    [[nodiscard]] task<> resize(std::uint64_t size) const;
    /// Has the system write to the disk what was written.
    [[nodiscard]] task<> sync() const;

    [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr; }
    /// Closes it once the operations in flight have ended.
    void close() noexcept { state_ = nullptr; }

    /// For the library.
    struct state;
    explicit file(std::shared_ptr<const state> s) noexcept : state_(std::move(s)) {}

private:
    std::shared_ptr<const state> state_;
};

} // namespace muster::io
