// SPDX-License-Identifier: MIT
// This file finds the programs that are parts of muster: muster-fetch, muster-queue and muster-agent. The kernel says
// which file this process was started from, links resolved, so neither the name that muster was called by nor PATH
// matters. Without /proc the auxiliary vector has its name.
#include "fetch_program.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <sys/auxv.h>
#include <unistd.h>

namespace tool {

namespace {

std::filesystem::path folder_of_this_program() {
    std::error_code failed;
    auto file = std::filesystem::read_symlink("/proc/self/exe", failed);
    if (failed) {
        const auto* name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
        file = std::filesystem::canonical(name != nullptr ? name : "muster", failed);
    }
    return file.parent_path();
}

} // namespace

part_places places_of_part(const std::string& name) {
    const auto folder = folder_of_this_program();
    return {(folder / name).string(), (folder / MUSTER_LIBEXEC_FROM_BIN / name).lexically_normal().string()};
}

namespace {

std::string become(const char* name, char* const* argv) {
    const auto [beside, installed] = places_of_part(name);
    for (const auto& file : {beside, installed}) {
        ::execv(file.c_str(), argv);
        if (errno != ENOENT && errno != ENOTDIR)
            return fmt::format("{} can't be started: {}", file, std::generic_category().message(errno));
    }
    return fmt::format(
        "a part of muster is missing: {} is neither {} nor {}: install muster as a whole", name, beside, installed);
}

} // namespace

std::string become_fetch(char* const* argv) { return become("muster-fetch", argv); }

std::string become_queue(char* const* argv) {
#if MUSTER_TOOL_QUEUE
    return become("muster-queue", argv);
#else
    static_cast<void>(argv);
    return "this muster was built without libpq, and has no queues (Debian: libpq-dev)";
#endif
}

} // namespace tool
