// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The programs muster-fetch, which is what `muster fetch` and `muster demo` are, and muster-queue, which is `muster
/// queue`. They are programs of their own because loading what HTTP and libpq need would take muster run longer than
/// all else that it does to start.
///
///     throw usage_error(become_fetch(argv));

#include <string>

namespace tool {

/// The places of a program that is a part of muster: beside muster, which is where a build has it, and where an
/// installation puts it, both seen from muster's own file.
struct part_places {
    std::string beside;
    std::string installed;
};
[[nodiscard]] part_places places_of_part(const std::string& name);

/// Executes muster-fetch in this process, with these arguments: `argv` as of main. It is looked for beside muster,
/// which is where a build has it, and where an installation puts it, both seen from muster's own file. *Returns* why
/// that was not possible, if it was not.
[[nodiscard]] std::string become_fetch(char* const* argv);
/// The same with muster-queue.
[[nodiscard]] std::string become_queue(char* const* argv);

} // namespace tool
