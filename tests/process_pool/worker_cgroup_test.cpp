// SPDX-License-Identifier: MIT
#include "process_pool/worker_cgroup.hpp"

#include <muster/process_pool.hpp>

#include <filesystem>
#include <string>
#include <system_error>

#include <unistd.h>

#include <gtest/gtest.h>

namespace {

TEST(worker_cgroups, pass_over_groups_that_an_earlier_process_of_the_same_number_has_left) {
    auto folder = (std::filesystem::temp_directory_path() / "muster-cgroup-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    constexpr int left = 20;
    for (int i = 1; i <= left; ++i)
        std::filesystem::create_directory(folder + "/muster-" + std::to_string(::getpid()) + '-' + std::to_string(i));
    // This is no file system of control groups, which is found out with the folder that was made.
    std::string problem;
    try {
        const muster::workers::worker_cgroup group(folder);
    } catch (const std::system_error& e) {
        problem = e.what();
    }
    EXPECT_NE(problem.find("-" + std::to_string(left + 1) + "/cgroup.kill' can't be opened"), std::string::npos)
        << problem;
    std::filesystem::remove_all(folder);
}

} // namespace
