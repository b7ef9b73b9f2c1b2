// SPDX-License-Identifier: MIT
/// Descriptors and children of the test program: counted before and after a test, they must be the same.
///
/// ThreadSanitizer starts a symbolizer, a child with two pipes, when it first compares a report with its suppressions,
/// and keeps it. A test in the middle of which that happened would seem to leave a child and descriptors behind; so the
/// symbolizer is started before the first count.
#pragma once

#include <sys/wait.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#if defined(__SANITIZE_THREAD__)
#define MUSTER_TEST_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MUSTER_TEST_WITH_TSAN 1
#endif
#endif
#ifdef MUSTER_TEST_WITH_TSAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace own_resources {

inline void start_symbolizer() {
#ifdef MUSTER_TEST_WITH_TSAN
    static const bool started = [] {
        char text[256];
        __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", text, sizeof text);
        return true;
    }();
    static_cast<void>(started);
#endif
}

/// The number of descriptors that this process has open; the one that reads the folder is counted each time.
inline std::size_t open_descriptors() {
    start_symbolizer();
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// The number of children of this process, those that have ended and were not waited for included. A kernel that keeps
/// no lists of children can only say whether there are any: 0 or 1.
inline std::size_t children() {
    start_symbolizer();
    if (!std::filesystem::exists("/proc/thread-self/children")) {
        siginfo_t info{};
        return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? 1 : 0;
    }
    std::size_t count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream list(task.path() / "children");
        for (std::string id; list >> id;)
            ++count;
    }
    return count;
}

} // namespace own_resources
