// SPDX-License-Identifier: MIT
// This file moves files. tar runs here and there, so that folders, modes and times go along; a link is sent as the file
// that it leads to. A returned file is the output of cat, which goes into a .part file and has its name once it is all
// there. Folders of its name are made here one below the other, and none of them may be a link.
#include "host_files.hpp"

#include "posix/owned_fd.hpp"
#include "posix/part_file.hpp"
#include "vocabulary/printable.hpp"

#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace tool {

namespace {

/// Run there with the archive as standard input. Commands that need the same file may run at the same time, and each
/// sends it: so it is unpacked beside, and takes the place of an earlier one whole. Folders are made and files moved by
/// names that find passes on as arguments; the shell reads none of them.
constexpr const char* unpack_beside =
    "d=$(mktemp -d \"$PWD/.muster-XXXXXX\") || exit; trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM; "
    "tar -xof - -C \"$d\" && cd \"$d\" && "
    "find . -type d -exec sh -c 'for f; do test -d \"../$f\" || mkdir -p \"../$f\" && "
    "chmod \"$(stat -c %a \"$f\")\" \"../$f\" || exit; done' sh {} + && "
    "find . ! -type d -exec sh -c 'for f; do mv -f \"$f\" \"../$f\" || exit; done' sh {} +";

/// An archive is held in memory, as any standard input for another host is.
constexpr std::uint64_t longest_archive = std::uint64_t{1} << 30;

using muster::detail::owned_fd;
using muster::detail::part_file;

std::runtime_error failed(const std::string& what, const muster::completed_process& done) {
    auto said = std::string_view(done.err);
    while (!said.empty() && said.back() == '\n')
        said.remove_suffix(1);
    return std::runtime_error(
        what + ": " + (said.empty() ? done.command + " failed" : muster::detail::printable(said, 500)));
}

/// *Returns* the folder of a name, which is made if need be. *Errors*: std::system_error.
owned_fd folder_of(const file_place& file) {
    const auto open = [&](int in, const std::string& name, int flags) {
        owned_fd folder(::openat(in, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
        if (!folder.is_open())
            throw std::system_error(errno, std::generic_category(), "the folder of " + file.name);
        return folder;
    };
    auto folder = open(AT_FDCWD, file.folder.empty() ? "." : file.folder, 0);
    std::string_view left = file.name;
    for (auto slash = left.find('/'); slash != std::string_view::npos; slash = left.find('/')) {
        const std::string part(left.substr(0, slash));
        if (::mkdirat(folder.get(), part.c_str(), 0777) != 0 && errno != EEXIST)
            throw std::system_error(errno, std::generic_category(), "the folder of " + file.name);
        folder = open(folder.get(), part, O_NOFOLLOW);
        left.remove_prefix(slash + 1);
    }
    return folder;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

} // namespace

file_place place_of(const std::string& text) {
    file_place place;
    const auto mark = text.find("/./");
    if (mark != std::string::npos)
        place.folder = mark == 0 ? "/" : text.substr(0, mark);
    const std::filesystem::path name(mark == std::string::npos ? text : text.substr(mark + 3));
    place.name = name.lexically_normal().string();
    while (place.name.ends_with('/'))
        place.name.pop_back();
    if (name.is_absolute())
        throw std::invalid_argument(fmt::format("{} is outside of the folder in which commands run: write "
                                                "FOLDER/./NAME for the file that is to be NAME there",
            muster::detail::printable(text, 500)));
    if (place.name.empty() || place.name == "." || place.name == ".." || place.name.starts_with("../"))
        throw std::invalid_argument(fmt::format(
            "'{}' is no file within the folder in which commands run", muster::detail::printable(text, 500)));
    return place;
}

host_files::host_files(
    const std::vector<std::string>& sent, const std::vector<std::string>& returned, std::string directory)
    : directory_(std::move(directory)) {
    std::ranges::transform(sent, std::back_inserter(sent_), place_of);
    std::ranges::transform(returned, std::back_inserter(returned_), place_of);
}

std::vector<std::string> host_files::returned_paths() const {
    std::vector<std::string> paths;
    for (const auto& file : returned_)
        paths.push_back((std::filesystem::path(file.folder) / file.name).lexically_normal().string());
    return paths;
}

muster::command host_files::there(std::vector<std::string> words) const {
    muster::command what(std::move(words));
    if (!directory_.empty())
        what.directory(directory_);
    return what;
}

muster::task<> host_files::send(muster::hosts::connection& host) const {
    if (sent_.empty())
        co_return;
    std::vector<std::string> words{"tar", "-chf", "-"};
    for (const auto& file : sent_) {
        words.emplace_back("-C");
        words.push_back(std::filesystem::absolute(file.folder.empty() ? "." : file.folder).string());
        // No name is an option.
        words.push_back("./" + file.name);
    }
    auto packing = muster::run_command(muster::command(std::move(words)).output_limit(longest_archive));
    auto packed = co_await std::move(packing);
    if (!packed.succeeded())
        throw failed("the files could not be read", packed);
    auto unpacking = host.run(there({"sh", "-c", unpack_beside}).stdin_bytes(std::move(packed.out)));
    auto unpacked = co_await muster::as_outcome(std::move(unpacking));
    if (const auto* lost = unpacked.error_as<muster::hosts::host_lost_error>())
        throw muster::hosts::host_lost_error(lost->host(), muster::hosts::begun::no, host.why_lost());
    const auto done = std::move(unpacked).value();
    if (!done.succeeded())
        throw failed("the files could not be sent to " + host.host(), done);
}

muster::task<> host_files::fetch(muster::hosts::connection& host) const {
    for (const auto& file : returned_) {
        auto fetching = fetch_one(host, file);
        auto fetched = co_await muster::as_outcome(std::move(fetching));
        // The command has run, whatever is known of the reading of its file.
        if (const auto* lost = fetched.error_as<muster::hosts::host_lost_error>())
            throw muster::hosts::host_lost_error(lost->host(), muster::hosts::begun::yes, host.why_lost());
        std::move(fetched).value();
    }
}

muster::task<> host_files::fetch_one(muster::hosts::connection& host, const file_place& file) const {
    const auto folder = folder_of(file);
    part_file part(folder.get(), last_part(file.name));
    part.make();
    auto what = there({"cat", "./" + file.name});
    what.stdout_to([&part](std::string_view piece) { part.append(piece); });
    auto reading = host.run(std::move(what));
    auto done = co_await std::move(reading);
    if (!done.succeeded())
        throw failed("a file could not be returned from " + host.host(), done);
    part.finish(last_part(file.name), part_file::existing::replaced);
}

muster::task<> host_files::clean(muster::hosts::connection& host, folder_names& folders) const {
    std::vector<std::string> remove{"rm", "-rf"};
    for (const auto* files : {&sent_, &returned_}) {
        for (const auto& file : *files) {
            remove.push_back("./" + file.name);
            for (auto at = file.name.rfind('/'); at != std::string::npos && at != 0; at = file.name.rfind('/', at - 1))
                folders.insert(file.name.substr(0, at));
        }
    }
    if (remove.size() < 3 || !host.is_open())
        co_return;
    auto removing = host.run(there(std::move(remove)));
    static_cast<void>(co_await muster::as_outcome(std::move(removing)));
}

muster::task<> remove_empty_folders(
    muster::hosts::connection& host, const folder_names& folders, const std::string& directory) {
    // The names of all may be longer than a command line can be.
    std::string names;
    for (const auto& folder : folders)
        names += "./" + folder + '\0';
    muster::command what({"xargs", "-0", "rmdir"});
    what.stdin_bytes(std::move(names));
    if (!directory.empty())
        what.directory(directory);
    auto removing = host.run(std::move(what));
    static_cast<void>(co_await muster::as_outcome(std::move(removing)));
}

} // namespace tool
