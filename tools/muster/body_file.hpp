// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// -o DIR: each body in a file of its own, named after its place in the input and its URL. A file has its name only
/// once it is complete; what is not complete is removed.
///
///     output_folder folder("pages");
///     body_file file(folder, safe_name(job.line.index, url), false);
///     file.write(piece);
///     file.finish();

#include "posix/owned_fd.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>

namespace tool {

/// Writing a body failed. The text names the file.
class output_error : public std::system_error {
public:
    output_error(const std::string& path, std::error_code why) : std::system_error(why, path) {}
};

/// The folder of -o DIR. It is opened once and files are made relative to it, so a folder that is put in its place
/// later does not get them. Immovable. It must outlive its files.
class output_folder {
public:
    /// Makes the folder if there is none; it may be a link to one. An empty path is no folder: what is written goes
    /// nowhere. *Errors*: usage_error if files can't be made there.
    explicit output_folder(const std::string& path);
    output_folder(const output_folder&) = delete;
    output_folder& operator=(const output_folder&) = delete;

    [[nodiscard]] bool is_open() const noexcept { return folder_.is_open(); }
    /// *Returns* whether there is a file of that name, which is no link.
    [[nodiscard]] bool has_file(const std::string& name) const noexcept;

private:
    friend class body_file;
    std::string path_;
    muster::detail::owned_fd folder_;
    std::unordered_set<std::string> names_; ///< of this run's files, where two may have the same
};

/// *Returns* the text with all but letters, digits, dots and dashes as underscores.
[[nodiscard]] std::string safe_text(std::string_view text);

/// "000017-example.org_a_b.html": letters, digits, dots, dashes and underscores, never a path.
[[nodiscard]] std::string safe_name(std::uint64_t index, std::string_view url);

/// The file of one body, or of one output. It is always a new file: links and pipes that were planted in the folder are
/// neither followed nor written to.
class body_file {
public:
    /// In a folder that is not open what is written goes nowhere. `may_clash` says that another input of this run may
    /// have the same name: it is then the failure of the one that comes second.
    body_file(output_folder& folder, std::string name, bool may_clash);
    ~body_file();
    body_file(const body_file&) = delete;
    body_file& operator=(const body_file&) = delete;

    /// *Errors*: output_error.
    void write(std::string_view piece);
    void finish();

private:
    void require_open();
    [[nodiscard]] std::string path_of(const std::string& name) const;

    output_folder& folder_;
    std::string name_;
    std::string partial_;
    muster::detail::owned_fd file_;
    bool may_clash_;
    enum class phase { unmade, partial, complete } phase_ = phase::unmade;
};

} // namespace tool
