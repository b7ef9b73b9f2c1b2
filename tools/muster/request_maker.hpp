// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A line of the input as a request: its URL, the name of its body's file, and the digest that the body must have.
///
///     const request_maker maker(options);
///     const auto what = maker.plan(line);          // what.url, what.name, what.digest
///     auto ask = maker.make(line, what.url);

#include "content_key.hpp"
#include "fetch.hpp"
#include "url_template.hpp"

#include <muster/http.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tool {

/// The line can't become a request.
class line_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct planned_request {
    planned_request() {}
    std::string url;
    std::string name;   ///< of its file; empty if the line gives none
    std::string digest; ///< "sha256:..."; empty if the line gives none
};

class request_maker {
public:
    /// *Errors*: usage_error if the options say what is no request.
    explicit request_maker(const fetch_options& o);

    /// *Returns* whether the URL, a header or the data has a place for inputs.
    [[nodiscard]] static bool has_places(const fetch_options& o);
    /// *Returns* whether the URL that was given is a template for the inputs.
    [[nodiscard]] static bool is_template(const fetch_options& o);

    /// *Returns* the parts of a line: an input for the template; or a URL, or URL, NAME and DIGEST with tabulators
    /// between. They are not checked.
    [[nodiscard]] planned_request plan(const input_line& line) const;
    /// *Errors*: line_error if an input has changed the path's folders, or there is more in the line than three parts.
    void require_sound(const input_line& line, const planned_request& what) const;
    [[nodiscard]] muster::http::request make(const input_line& line, const std::string& url) const;
    /// *Returns* what tells requests apart in the log: another run must have the same in common, beside the URL.
    [[nodiscard]] content_key key(const input_line& line, const std::string& url) const;
    /// *Returns* the name of the body's file before the server is asked.
    [[nodiscard]] std::string file_name(const input_line& line, const planned_request& what) const;
    /// *Returns* whether a header of the user's asks for a part of what the URL names.
    [[nodiscard]] static bool asks_for_part(const fetch_options& o) noexcept;
    /// *Returns* whether two inputs may have one name.
    [[nodiscard]] bool names_may_clash(const planned_request& what) const noexcept {
        return name_.has_value() || !what.name.empty();
    }

private:
    /// A text that is the same for every line, or has places for inputs.
    [[nodiscard]] std::string fill_in(const url_template& text, const input_line& line) const;

    const fetch_options& options_;
    std::optional<url_template> url_;
    std::optional<url_template> name_;
    std::vector<std::pair<std::string, url_template>> headers_;
    std::optional<url_template> data_;
    std::string common_;
};

} // namespace tool
