// SPDX-License-Identifier: MIT
// The rules of --allow, as a table.
#include "allowed_programs.hpp"

#include "units.hpp"

#include <gtest/gtest.h>

namespace {

using tool::allowed_programs;
using kind = allowed_programs::answer::kind;

constexpr const char* path = "relative::/usr/bin:/bin";

kind look_up(const std::vector<std::string>& patterns, const std::string& program) {
    return allowed_programs(patterns, path).look_up(program).is;
}

} // namespace

TEST(allowed_programs, are_matched_as_they_are_written) {
    struct row {
        const char* pattern;
        std::string program;
        kind is;
    };
    const row all[] = {
        {"true", "true", kind::allowed},
        {"true", "/bin/true", kind::not_allowed},
        {"true", "./true", kind::not_allowed},
        {"true", "true ", kind::not_allowed},
        {"true", "", kind::not_allowed},
        {"t*e", "true", kind::allowed},
        {"*", "true", kind::allowed},
        {"*", "/bin/true", kind::not_allowed},
        {"*", "no-such-program", kind::not_found},
        {"*", ".hidden", kind::not_allowed},
        {"tru[ex]", "true", kind::allowed},
        {"/bin/true", "/bin/true", kind::allowed},
        {"/bin/true", "true", kind::not_allowed},
        {"/bin/*", "/bin/true", kind::allowed},
        {"/bin/*", "/bin/../bin/true", kind::not_allowed},
        {"/bin/*", "/bin/./true", kind::not_allowed},
        {"/bin/*", "/bin//true", kind::not_allowed},
        {"/bin/*", "//bin/true", kind::not_allowed},
        {"/bin/*", "/bin/", kind::not_allowed},
        {"/bin/*", "bin/true", kind::not_allowed},
        {"/usr/*", "/usr/bin/true", kind::not_allowed},
        {"/usr/*/true", "/usr/bin/true", kind::allowed},
        {"/bin/*", "/bin/no-such-program", kind::not_found},
        {"/*/true", "/../true", kind::not_allowed},
        {"sh", "/bin/sh", kind::allowed}, // the shell that reads a template
        {"sh", "/usr/bin/sh", kind::not_allowed},
        {"true", "/bin/sh", kind::not_allowed},
    };
    for (const auto& r : all)
        EXPECT_EQ(look_up({r.pattern}, r.program), r.is) << r.pattern << ' ' << r.program;
    EXPECT_EQ(look_up({}, "true"), kind::not_allowed);
}

TEST(allowed_programs, are_executed_by_an_absolute_path) {
    const allowed_programs allowed({"true", "no-such-program"}, path);
    EXPECT_EQ(allowed.look_up("true").file, "/usr/bin/true");
    EXPECT_EQ(allowed.look_up("no-such-program").problem, "there is no such command in PATH");
    EXPECT_EQ(allowed.look_up("sh").problem, "it needs a shell, and the worker does not allow sh; it allows true, "
                                             "no-such-program");
}

TEST(allowed_programs, that_run_whatever_they_are_told_are_known) {
    EXPECT_EQ(allowed_programs({"gzip", "sh"}, path).that_run_anything(), std::vector<std::string>{"sh"});
    EXPECT_TRUE(allowed_programs({"gzip", "/opt/*"}, path).that_run_anything().empty());
    EXPECT_GT(allowed_programs({"*"}, path).that_run_anything().size(), 10u);
}

TEST(allowed_programs, of_patterns_that_could_match_nothing_are_refused) {
    for (const char* pattern : {"", "./tool", "tools/x", "/usr/../bin/x", "/usr//bin/x", "/"})
        EXPECT_THROW(allowed_programs({pattern}, path), tool::usage_error) << pattern;
}
