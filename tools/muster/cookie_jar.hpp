// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --cookie-jar FILE: the cookies of earlier runs, and at the end those of this one.
///
///     cookie_jar jar("cookies.txt");
///     jar.load(client);
///     ...
///     const std::string problem = jar.save(client);

#include <muster/http.hpp>

#include <string>

namespace tool {

class cookie_jar {
public:
    /// An empty name is no jar. A file that is not there is made, for its user alone.
    /// *Errors*: usage_error if it can't be read and written, or is no file of cookies.
    explicit cookie_jar(std::string file);

    void load(muster::http::client& into) const;
    /// *Returns* why the cookies could not be written; empty if they were.
    [[nodiscard]] std::string save(const muster::http::client& from) const;

private:
    std::string file_;
    std::string text_; ///< as it was read
};

} // namespace tool
