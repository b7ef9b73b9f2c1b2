// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// -o DIR: each body in a file of its own, named after its place in the input and its URL. A file has its name only
/// once it is complete; what is not complete is removed.
///
///     body_file file(folder, safe_name(job.line.index, url));
///     file.write(piece);
///     file.finish();

#include "posix/owned_fd.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace tool {

/// Writing a body failed. The text names the file.
class output_error : public std::system_error {
public:
    output_error(const std::string& path, std::error_code why) : std::system_error(why, path) {}
};

/// Makes the folder if there is none. *Errors*: usage_error if files can't be made there.
void require_folder(const std::string& folder);

/// *Returns* the text with all but letters, digits, dots and dashes as underscores.
[[nodiscard]] std::string safe_text(std::string_view text);

/// "000017-example.org_a_b.html": letters, digits, dots, dashes and underscores, never a path.
[[nodiscard]] std::string safe_name(std::uint64_t index, std::string_view url);

class body_file {
public:
    /// Without a folder (an empty text) what is written goes nowhere.
    body_file(const std::string& folder, const std::string& name);
    ~body_file();
    body_file(const body_file&) = delete;
    body_file& operator=(const body_file&) = delete;

    /// *Errors*: output_error.
    void write(std::string_view piece);
    void finish();

private:
    void require_open();

    std::string path_; ///< empty: nowhere
    std::string partial_;
    muster::detail::owned_fd file_;
    bool made_ = false;
};

} // namespace tool
