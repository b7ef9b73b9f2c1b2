// SPDX-License-Identifier: MIT
// This file puts an input into the templates of a request, or takes a line of a list apart. An input is data: in the
// URL it is encoded, in a file's name it is made safe, and it must not become a path's "." or "..", which servers and
// proxies resolve however it is written.
#include "request_maker.hpp"

#include "body_file.hpp"
#include "http/digest.hpp"
#include "server_name.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include <strings.h>

namespace tool {

namespace {

std::string as_it_is(std::string_view input) { return std::string(input); }

/// *Returns* whether a segment of a path is "." or "..", each dot perhaps as %2e.
bool is_dots(std::string_view segment) noexcept {
    int dots = 0;
    while (!segment.empty()) {
        const bool encoded =
            segment.size() >= 3 && segment.starts_with("%2") && (segment[2] == 'e' || segment[2] == 'E');
        if (!encoded && segment.front() != '.')
            return false;
        segment.remove_prefix(encoded ? 3 : 1);
        ++dots;
    }
    return dots == 1 || dots == 2;
}

bool has_dots(std::string_view url) noexcept {
    const auto scheme = url.find("://");
    if (scheme != std::string_view::npos)
        url.remove_prefix(std::min(url.size(), url.find_first_of("/?#", scheme + 3)));
    url = url.substr(0, url.find_first_of("?#"));
    while (!url.empty()) {
        const auto end = std::min(url.find_first_of("/\\"), url.size());
        if (is_dots(url.substr(0, end)))
            return true;
        url.remove_prefix(std::min(url.size(), end + 1));
    }
    return false;
}

/// The setters of a request speak of themselves; whoever types knows the options.
std::string in_words_of_options(std::string text) {
    constexpr std::pair<std::string_view, std::string_view> names[] = {{"request::method", "--method"},
        {"request::header", "--header"}, {"request::basic_auth", "--user"}, {"request::body_file", "--data-file"}};
    for (const auto& [from, to] : names) {
        if (text.starts_with(from))
            text.replace(0, from.size(), to);
    }
    return text;
}

} // namespace

request_maker::request_maker(const fetch_options& o) : options_(o) {
    if (is_template(o)) {
        url_.emplace(o.urls.front());
        if (has_dots(o.urls.front()))
            throw usage_error(fmt::format("{}: write the path of a template without . and .. in it",
                muster::http::without_password(o.urls.front())));
    }
    if (!o.name.empty())
        name_.emplace(o.name);
    for (const auto& [name, value] : o.headers)
        headers_.emplace_back(name, url_template(value));
    if (o.data)
        data_.emplace(*o.data);
    // The key in the log is a hash of these options and the URL, so --resume skips a line only if both are the same.
    common_ = o.method + '\n' + o.data.value_or("") + '\n' + o.data_file;
    for (const auto& [name, value] : o.headers)
        common_ += '\n' + name + ':' + value;
    if (o.user)
        common_ += '\n' + o.user->first + ':' + o.user->second;
    try {
        static_cast<void>(make(input_line(), "http://localhost/"));
    } catch (const std::invalid_argument& e) {
        throw usage_error(in_words_of_options(e.what()));
    }
}

bool request_maker::has_places(const fetch_options& o) {
    const auto has = [](const std::string& text) { return url_template(text).has_places(); };
    return std::ranges::any_of(o.urls, has) || (o.data && has(*o.data)) ||
           std::ranges::any_of(o.headers, [&](const auto& h) { return has(h.second); });
}

bool request_maker::is_template(const fetch_options& o) {
    return o.urls.size() == 1 && (o.inputs || (!o.file.empty() && has_places(o)));
}

std::string request_maker::fill_in(const url_template& text, const input_line& line) const {
    return text.make(line.text, line.index + 1, &as_it_is);
}

planned_request request_maker::plan(const input_line& line) const {
    planned_request what;
    if (url_) {
        what.url = url_->make(line.text, line.index + 1, options_.encode ? &percent_encode : &as_it_is);
        return what;
    }
    const auto first = line.text.find('\t');
    what.url = line.text.substr(0, first);
    if (first == std::string::npos)
        return what;
    const auto second = line.text.find('\t', first + 1);
    what.name = line.text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
    if (second != std::string::npos)
        what.digest = line.text.substr(second + 1);
    return what;
}

void request_maker::require_sound(const input_line& line, const planned_request& what) const {
    if (line.too_long)
        throw line_error(fmt::format("the line is longer than {} bytes", line_source::longest_line));
    if (what.digest.find('\t') != std::string::npos)
        throw line_error("a line is a URL, or URL, NAME and DIGEST with one tabulator between");
    try {
        if (!what.digest.empty())
            static_cast<void>(muster::http::digest(what.digest));
    } catch (const std::invalid_argument& e) {
        throw line_error(e.what());
    }
    if (url_ && has_dots(what.url))
        throw line_error("the input would be . or .. in the path, which is another place: it is not asked for");
}

muster::http::request request_maker::make(const input_line& line, const std::string& url) const {
    muster::http::request ask(url);
    if (!options_.method.empty())
        ask.method(options_.method);
    for (const auto& [name, value] : headers_)
        ask.header(name, url_ ? fill_in(value, line) : value.text());
    if (options_.user)
        ask.basic_auth(options_.user->first, options_.user->second);
    if (data_)
        ask.body(url_ ? fill_in(*data_, line) : data_->text());
    if (!options_.data_file.empty())
        ask.body_file(options_.data_file);
    ask.body_limit(options_.max_size.value_or(muster::http::no_limit));
    return ask;
}

bool request_maker::asks_for_part(const fetch_options& o) noexcept {
    return std::ranges::any_of(o.headers, [](const auto& h) { return ::strcasecmp(h.first.c_str(), "Range") == 0; });
}

content_key request_maker::key(const input_line& line, const std::string& url) const {
    // Where the input goes into headers or data, it makes requests of one URL different ones.
    return content_key(common_ + '\n' + url + (url_ && !url_->has_input() ? '\n' + line.text : std::string()));
}

std::string request_maker::file_name(const input_line& line, const planned_request& what) const {
    if (!what.name.empty())
        return what.name;
    return name_ ? name_->make(url_ ? line.text : what.url, line.index + 1, &safe_text)
                 : safe_name(line.index, what.url);
}

} // namespace tool
