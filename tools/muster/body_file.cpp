// SPDX-License-Identifier: MIT
#include "body_file.hpp"

#include "streams.hpp"
#include "units.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

namespace tool {

namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

} // namespace

void require_folder(const std::string& folder) {
    const auto refuse = [&](const std::error_code& why) {
        throw usage_error(fmt::format("-o: files can't be made in {}: {}", folder, why.message()));
    };
    std::error_code why;
    std::filesystem::create_directories(folder, why);
    if (why)
        refuse(why);
    if (!std::filesystem::is_directory(folder, why))
        refuse(why ? why : std::make_error_code(std::errc::not_a_directory));
    // Permissions do not tell the whole story (a read-only file system, root): a file is tried.
    const auto trial = fmt::format("{}/.muster-{}", folder, ::getpid());
    const int fd = ::open(trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        refuse(last_error());
    ::close(fd);
    ::unlink(trial.c_str());
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
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos)
        url.remove_prefix(scheme + 3);
    // Names and passwords of a URL are no part of a file's name.
    const auto host_end = url.find_first_of("/?#");
    if (const auto at = url.substr(0, host_end).rfind('@'); at != std::string_view::npos)
        url.remove_prefix(at + 1);
    return fmt::format("{:06}-", index) + safe_text(url.substr(0, longest));
}

body_file::body_file(const std::string& folder, const std::string& name) {
    if (folder.empty())
        return;
    path_ = folder + '/' + name;
    partial_ = path_ + ".part";
}

body_file::~body_file() {
    if (!made_)
        return;
    static_cast<void>(file_.close());
    ::unlink(partial_.c_str());
}

void body_file::require_open() {
    if (file_.is_open())
        return;
    file_ = muster::detail::owned_fd(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!file_.is_open())
        throw output_error(partial_, last_error());
    made_ = true;
}

void body_file::write(std::string_view piece) {
    if (path_.empty())
        return;
    require_open();
    if (const auto failed = write_all(file_.get(), piece))
        throw output_error(partial_, *failed);
}

void body_file::finish() {
    if (path_.empty())
        return;
    require_open();
    if (const auto failed = file_.close())
        throw output_error(partial_, failed);
    if (std::rename(partial_.c_str(), path_.c_str()) != 0)
        throw output_error(path_, last_error());
    made_ = false;
}

} // namespace tool
