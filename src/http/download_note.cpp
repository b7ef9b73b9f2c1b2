// SPDX-License-Identifier: MIT
// A note is four lines and a first one that says what it is. It is read without following a link, and only if it is an
// ordinary, small file of this user's: somebody else's could make a stranger's beginning pass for ours.
#include "download_note.hpp"

#include "posix/owned_fd.hpp"

#include <muster/http/error.hpp>

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::http {

namespace {

constexpr std::string_view first_line = "muster download 1";
constexpr std::size_t largest = std::size_t{64} << 10;

std::string field(const response& head, std::string_view name) {
    const auto* value = head.headers.find(name);
    return value != nullptr ? *value : std::string();
}

/// Takes a line off the text.
std::string_view take_line(std::string_view& text) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

} // namespace

download_note download_note::of(const response& head, const std::string& url) {
    download_note note;
    note.url = without_password(url);
    // An encoded body is unpacked: its bytes are not those that a server counts.
    if (head.status != 200 || head.headers.find("Content-Encoding") != nullptr)
        return note;
    if (const auto etag = field(head, "ETag"); etag.starts_with('"'))
        note.etag = etag;
    // A resource that changed twice within a second has one date for both.
    const auto modified = field(head, "Last-Modified");
    const auto then = curl_getdate(modified.c_str(), nullptr);
    const auto now = curl_getdate(field(head, "Date").c_str(), nullptr);
    if (then >= 0 && now > then)
        note.modified = modified;
    const auto length = field(head, "Content-Length");
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), size);
    if (!length.empty() && error == std::errc() && end == length.data() + length.size())
        note.size = size;
    return note;
}

bool download_note::agrees_with(const response& head) const {
    const auto tag = field(head, "ETag");
    const auto date = field(head, "Last-Modified");
    if (!etag.empty() && !tag.empty())
        return tag == etag;
    return modified.empty() || date.empty() || date == modified;
}

std::optional<download_note> download_note::read(int folder, const std::string& name) {
    const muster::detail::owned_fd file(
        ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat about {};
    if (!file.is_open() || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_nlink != 1 ||
        about.st_uid != ::geteuid())
        return std::nullopt;
    std::string all(largest, '\0');
    const auto count = ::read(file.get(), all.data(), all.size());
    if (count <= 0)
        return std::nullopt;
    all.resize(static_cast<std::size_t>(count));
    std::string_view text = all;
    // Only a note that was written to its end counts.
    if (!text.ends_with('\n') || take_line(text) != first_line)
        return std::nullopt;
    download_note note;
    note.url = take_line(text);
    note.etag = take_line(text);
    note.modified = take_line(text);
    const auto length = take_line(text);
    std::uint64_t size = 0;
    if (!length.empty() && std::from_chars(length.data(), length.data() + length.size(), size).ec == std::errc())
        note.size = size;
    return note;
}

void download_note::write(int folder, const std::string& name) const {
    std::string text(first_line);
    for (const std::string& line : {url, etag, modified, size ? std::to_string(*size) : std::string()})
        text.append("\n").append(line);
    text += '\n';
    ::unlinkat(folder, name.c_str(), 0);
    muster::detail::owned_fd file(
        ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    const auto written = file.is_open() ? ::write(file.get(), text.data(), text.size()) : -1;
    if (written != static_cast<ssize_t>(text.size()))
        throw std::system_error(written < 0 ? errno : ENOSPC, std::generic_category(), name);
    if (const auto failed = file.close())
        throw std::system_error(failed, name);
}

} // namespace muster::http
