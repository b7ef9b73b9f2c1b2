// SPDX-License-Identifier: MIT
// This file opens the folder for bodies, makes file names of any text, and brings an output into its file: the first
// write(), or finish() for an empty one, makes NAME.part, and finish() renames it.
#include "body_file.hpp"

#include "units.hpp"

#include <muster/detail/assert.hpp>
#include <muster/http.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

} // namespace

output_folder::output_folder(const std::string& path, const char* option) : option_(option) {
    if (!path.empty())
        open(path);
}

void output_folder::open(const std::string& path) {
    MUSTER_ASSERT(!is_open());
    path_ = path;
    const auto refuse = [&](const std::error_code& why) {
        throw usage_error(fmt::format("{}: files can't be made in {}: {}", option_, path, why.message()));
    };
    std::error_code why;
    std::filesystem::create_directories(path, why);
    if (why)
        refuse(why);
    folder_ = muster::detail::owned_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_.is_open())
        refuse(last_error());
    // Permissions do not tell the whole story (a read-only file system, root): a file is tried. One without a name
    // leaves nothing behind if a signal ends this process just now; not every file system has such files.
    if (muster::detail::owned_fd(::openat(folder_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)).is_open())
        return;
    try {
        muster::detail::part_file trial(folder_.get(), fmt::format(".muster-{}", ::getpid()));
        trial.make();
    } catch (const std::system_error& e) {
        refuse(e.code());
    }
}

bool output_folder::has_file(const std::string& name) const noexcept {
    struct stat about {};
    return ::fstatat(folder_.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(about.st_mode);
}

std::string safe_text(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        const bool as_it_is =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        safe += as_it_is ? c : '_';
    }
    return safe;
}

bool is_name_of_part(std::string_view name) noexcept { return name.ends_with(".part") || name.ends_with(".part.from"); }

std::string safe_name(std::uint64_t index, std::string_view url) {
    constexpr std::size_t longest = 100;
    // Names and passwords of a URL are no part of a file's name.
    const auto shown = muster::http::without_password(std::string(url));
    url = shown;
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos)
        url.remove_prefix(scheme + 3);
    const auto name = fmt::format("{:06}-", index) + safe_text(url.substr(0, longest));
    return is_name_of_part(name) ? name + '_' : name;
}

std::string require_file_name(std::string name) {
    // The longest that most file systems have, less the endings of partial files.
    constexpr std::size_t longest = 255 - 10;
    if (name.size() > longest)
        throw output_error(
            fmt::format("the name {}... has {} bytes, and may have {}", name.substr(0, 40), name.size(), longest),
            std::errc::filename_too_long);
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
        std::ranges::any_of(name, is_control))
        throw output_error("'" + name + "': a name has no slash, no control character, and no dot at its beginning",
            std::errc::invalid_argument);
    if (is_name_of_part(name))
        throw output_error(
            "'" + name + "': a name with that ending is one of a body that is not complete: choose another",
            std::errc::invalid_argument);
    return name;
}

output_folder::claim::claim(output_folder& folder, std::string name) : name_(std::move(name)) {
    if (!folder.names_.insert(name_).second)
        throw output_error(
            folder.path_of(name_) + " is the file of another input of this run already", std::errc::file_exists);
    folder_ = &folder;
}

output_folder::claim::~claim() {
    if (folder_ != nullptr)
        folder_->names_.erase(name_);
}

body_file::body_file(output_folder& folder, std::string name)
    : folder_(folder),
      name_(std::move(name)),
      file_(folder.descriptor(), name_) {}

void body_file::write(std::string_view piece) {
    try {
        if (!file_.is_made())
            file_.make();
        file_.append(piece);
    } catch (const std::system_error& e) {
        throw output_error(folder_.path_of(file_.partial_name()), e.code());
    }
}

void body_file::finish() {
    write({});
    try {
        file_.finish(name_, muster::detail::part_file::existing::replaced);
    } catch (const std::system_error& e) {
        throw output_error(folder_.path_of(name_), e.code());
    }
}

} // namespace tool
