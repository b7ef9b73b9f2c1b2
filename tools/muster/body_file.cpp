// SPDX-License-Identifier: MIT
// This file brings a body into its file. A body_file begins as unmade; the first write(), or finish() for an empty
// body, makes NAME.part and enters partial; finish() closes and renames the file and enters complete. The destructor of
// a partial one removes the file. safe_text() and safe_name() make file names of any text, and no link is followed.
#include "body_file.hpp"

#include "streams.hpp"
#include "units.hpp"

#include <muster/http.hpp>

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

} // namespace

output_folder::output_folder(const std::string& path) : path_(path) {
    if (path.empty())
        return;
    const auto refuse = [&](const std::error_code& why) {
        throw usage_error(fmt::format("-o: files can't be made in {}: {}", path, why.message()));
    };
    std::error_code why;
    std::filesystem::create_directories(path, why);
    if (why)
        refuse(why);
    folder_ = muster::detail::owned_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_.is_open())
        refuse(last_error());
    // Permissions do not tell the whole story (a read-only file system, root): a file is tried.
    const auto trial = fmt::format(".muster-{}", ::getpid());
    const muster::detail::owned_fd file(
        ::openat(folder_.get(), trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.is_open())
        refuse(last_error());
    ::unlinkat(folder_.get(), trial.c_str(), 0);
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

std::string safe_name(std::uint64_t index, std::string_view url) {
    constexpr std::size_t longest = 100;
    // Names and passwords of a URL are no part of a file's name.
    const auto shown = muster::http::without_password(std::string(url));
    url = shown;
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos)
        url.remove_prefix(scheme + 3);
    return fmt::format("{:06}-", index) + safe_text(url.substr(0, longest));
}

body_file::body_file(output_folder& folder, std::string name, bool may_clash)
    : folder_(folder),
      name_(std::move(name)),
      partial_(name_ + ".part"),
      may_clash_(may_clash) {}

body_file::~body_file() {
    if (phase_ != phase::partial)
        return;
    static_cast<void>(file_.close());
    ::unlinkat(folder_.folder_.get(), partial_.c_str(), 0);
    if (may_clash_)
        folder_.names_.erase(name_);
}

std::string body_file::path_of(const std::string& name) const { return folder_.path_ + '/' + name; }

void body_file::require_open() {
    if (phase_ != phase::unmade)
        return;
    if (may_clash_ && folder_.names_.contains(name_))
        throw output_error(path_of(name_) + " is the file of another input of this run already",
            std::make_error_code(std::errc::file_exists));
    const auto make = [&] {
        file_ = muster::detail::owned_fd(::openat(
            folder_.folder_.get(), partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
        return file_.is_open();
    };
    // A file of that name is left over from a run that was killed, or was planted: it is removed and not written to.
    if (!make() && (errno != EEXIST || ::unlinkat(folder_.folder_.get(), partial_.c_str(), 0) != 0 || !make()))
        throw output_error(path_of(partial_), last_error());
    phase_ = phase::partial;
    if (may_clash_)
        folder_.names_.insert(name_);
}

void body_file::write(std::string_view piece) {
    if (!folder_.is_open())
        return;
    require_open();
    if (const auto failed = write_all(file_.get(), piece))
        throw output_error(path_of(partial_), *failed);
}

void body_file::finish() {
    if (!folder_.is_open())
        return;
    require_open();
    if (const auto failed = file_.close())
        throw output_error(path_of(partial_), failed);
    const int folder = folder_.folder_.get();
    if (::renameat(folder, partial_.c_str(), folder, name_.c_str()) != 0)
        throw output_error(path_of(name_), last_error());
    phase_ = phase::complete;
}

} // namespace tool
