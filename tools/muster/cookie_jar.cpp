// SPDX-License-Identifier: MIT
// The file is that of browsers and curl: seven fields a line, with tabulators between; "#HttpOnly_" before a line is a
// part of it, and any other "#" begins a comment. It is read whole before anything is asked for, and written whole at
// the end.
#include "cookie_jar.hpp"

#include "posix/owned_fd.hpp"
#include "streams.hpp"
#include "units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

constexpr std::size_t largest = std::size_t{64} << 20;

template <class Call>
void for_each_cookie(std::string_view text, Call call) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        auto line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (!line.empty() && (line.front() != '#' || line.starts_with("#HttpOnly_")))
            call(line);
    }
}

} // namespace

cookie_jar::cookie_jar(std::string file) : file_(std::move(file)) {
    if (file_.empty())
        return;
    const auto refuse = [this](const std::string& why) {
        throw usage_error(fmt::format("--cookie-jar: {} can't be used: {}", file_, why));
    };
    const muster::detail::owned_fd in(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
    if (!in.is_open())
        refuse(std::generic_category().message(errno));
    // A pipe would be waited for, and a device might have no end.
    struct stat about {};
    if (::fstat(in.get(), &about) != 0 || !S_ISREG(about.st_mode))
        refuse("it is no file");
    char bytes[65536];
    for (;;) {
        const auto count = ::read(in.get(), bytes, sizeof bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            refuse(std::generic_category().message(errno));
        if (count == 0)
            break;
        text_.append(bytes, static_cast<std::size_t>(count));
        if (text_.size() > largest)
            refuse(fmt::format("it is larger than {}", show_size(largest)));
    }
    for_each_cookie(text_, [&](std::string_view line) {
        constexpr auto tabulators = 6;
        if (std::ranges::count(line, '\t') != tabulators || line.find('\0') != std::string_view::npos)
            refuse("it is no file of cookies, of which each line has seven fields, and stays as it is");
    });
}

void cookie_jar::load(muster::http::client& into) const {
    for_each_cookie(text_, [&](std::string_view line) { into.add_cookie(std::string(line)); });
}

std::string cookie_jar::save(const muster::http::client& from) const {
    if (file_.empty())
        return {};
    std::string text = "# Netscape HTTP Cookie File\n";
    for (const auto& line : from.cookies())
        text += line + '\n';
    muster::detail::owned_fd out(::open(file_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY));
    auto failed = out.is_open() ? write_all(out.get(), text) : std::error_code(errno, std::generic_category());
    if (const auto closing = out.close(); !failed && closing)
        failed = closing;
    return failed ? fmt::format("writing {} failed: {}", file_, failed->message()) : std::string();
}

} // namespace tool
