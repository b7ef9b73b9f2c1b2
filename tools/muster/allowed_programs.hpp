// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// --allow of muster worker: which programs a worker runs. A pattern without a slash is of names, which are looked for
/// in the worker's PATH; one with slashes is of absolute paths. Only what a pattern matches as it is written is run.
///
///     const allowed_programs allowed({"gzip", "/opt/tools/*"}, path);
///     const auto found = allowed.look_up("gzip");

#include <cstdint>
#include <string>
#include <vector>

namespace tool {

class allowed_programs {
public:
    /// `path` is a PATH; of its folders only those count that are absolute. *Errors*: usage_error for a pattern that
    /// could match nothing, such as a relative path.
    allowed_programs(std::vector<std::string> patterns, const std::string& path);

    struct answer {
        enum class kind : std::uint8_t { allowed, not_allowed, not_found };
        answer() {}
        kind is = kind::not_allowed;
        std::string file;    ///< what is to be executed, an absolute path
        std::string problem; ///< why not
    };
    /// `program` is the first word of a command.
    [[nodiscard]] answer look_up(const std::string& program) const;

    /// *Returns* those that are allowed and run whatever they are told, shells for example.
    [[nodiscard]] std::vector<std::string> that_run_anything() const;
    /// *Returns* the patterns as they were given, for a message.
    [[nodiscard]] std::string text() const;

private:
    [[nodiscard]] std::string find(const std::string& name) const;

    std::vector<std::string> patterns_;
    std::vector<std::string> folders_;
};

} // namespace tool
