// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// -o DIR: each body in a file of its own, named after its place in the input and its URL. A file has its name only
/// once it is complete; what is not complete is removed.
///
///     output_folder folder("pages");
///     body_file file(folder, safe_name(job.line.index, url));
///     file.write(piece);
///     file.finish();

#include "posix/owned_fd.hpp"
#include "posix/part_file.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

namespace tool {

/// Writing a body failed. The text names the file.
class output_error : public std::system_error {
public:
    output_error(const std::string& path, std::error_code why) : std::system_error(why, path) {}
    output_error(const std::string& path, std::errc why) : output_error(path, std::make_error_code(why)) {}
};

/// The folder of -o DIR. It is opened once and files are made relative to it, so a folder that is put in its place
/// later does not get them. Immovable. It must outlive its files.
class output_folder {
public:
    /// Makes the folder if there is none; it may be a link to one. An empty path is no folder: what is written goes
    /// nowhere. *Errors*: usage_error, which names the option, if files can't be made there.
    explicit output_folder(const std::string& path, const char* option = "-o");
    /// The same later, for one that is not open.
    void open(const std::string& path);
    output_folder(const output_folder&) = delete;
    output_folder& operator=(const output_folder&) = delete;

    [[nodiscard]] bool is_open() const noexcept { return folder_.is_open(); }
    [[nodiscard]] int descriptor() const noexcept { return folder_.get(); }
    /// *Returns* whether there is a file of that name, which is no link.
    [[nodiscard]] bool has_file(const std::string& name) const noexcept;
    [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + '/' + name; }

    /// The right of one input of this run to a name: no other input of the run gets it, even later, if it is kept.
    class claim {
    public:
        claim() noexcept = default;
        /// *Errors*: output_error if another input of this run has it.
        claim(output_folder& folder, std::string name);
        claim(claim&& other) noexcept : folder_(std::exchange(other.folder_, nullptr)), name_(std::move(other.name_)) {}
        claim& operator=(claim&& other) noexcept {
            std::swap(folder_, other.folder_);
            std::swap(name_, other.name_);
            return *this;
        }
        ~claim();
        void keep() noexcept { folder_ = nullptr; }

    private:
        output_folder* folder_ = nullptr;
        std::string name_;
    };

private:
    const char* option_;
    std::string path_;
    muster::detail::owned_fd folder_;
    std::unordered_set<std::string> names_; ///< of this run's files, where two may have the same
};

/// *Returns* the text with all but letters, digits, dots and dashes as underscores.
[[nodiscard]] std::string safe_text(std::string_view text);

/// *Returns* whether a name is that of a body on its way, or of the note beside it: a body that has such a name would
/// be taken for a part of another one, and be removed.
[[nodiscard]] bool is_name_of_part(std::string_view name) noexcept;

/// "000017-example.org_a_b.html": letters, digits, dots, dashes and underscores, never a path.
[[nodiscard]] std::string safe_name(std::uint64_t index, std::string_view url);

/// *Returns* the name. *Errors*: output_error unless it can be the name of a file in a folder and nothing else: no
/// slash, no control character, no dot at its beginning, no ending of a partial file, and short enough.
[[nodiscard]] std::string require_file_name(std::string name);

/// The file of one output. It is always a new file: links and pipes that were planted in the folder are neither
/// followed nor written to.
class body_file {
public:
    body_file(output_folder& folder, std::string name);

    /// *Errors*: output_error.
    void write(std::string_view piece);
    void finish();

private:
    output_folder& folder_;
    std::string name_;
    muster::detail::part_file file_;
};

} // namespace tool
