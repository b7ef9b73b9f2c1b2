// SPDX-License-Identifier: MIT
#include "posix/part_file.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;
using muster::detail::owned_fd;
using muster::detail::part_file;

class part_files : public ::testing::Test {
protected:
    void SetUp() override {
        path_ = (fs::temp_directory_path() / "muster-part-XXXXXX").string();
        ASSERT_NE(::mkdtemp(path_.data()), nullptr);
        folder_ = owned_fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override { fs::remove_all(path_); }
    [[nodiscard]] int folder() const { return folder_.get(); }
    [[nodiscard]] std::string path(const std::string& name) const { return path_ + '/' + name; }
    [[nodiscard]] std::string content(const std::string& name) const {
        std::ifstream in(path(name));
        return {std::istreambuf_iterator<char>(in), {}};
    }

private:
    std::string path_;
    owned_fd folder_;
};

TEST_F(part_files, that_are_left_over_are_replaced) {
    std::ofstream(path("a.part")) << "of an earlier run";
    part_file file(folder(), "a");
    file.make();
    file.append("new");
    file.finish("a", part_file::existing::replaced);
    EXPECT_EQ(content("a"), "new");
    EXPECT_FALSE(fs::exists(path("a.part")));
}

TEST_F(part_files, that_are_being_written_are_left_to_whoever_writes_them) {
    part_file first(folder(), "a");
    first.make();
    first.append("half of ");
    part_file second(folder(), "a");
    EXPECT_THROW(second.make(), std::system_error);
    first.append("the first");
    first.finish("a", part_file::existing::replaced);
    EXPECT_EQ(content("a"), "half of the first");
    second.make();
    second.append("the second");
    second.finish("a", part_file::existing::replaced);
    EXPECT_EQ(content("a"), "the second");
}

TEST_F(part_files, that_many_write_at_once_are_whole_whoever_is_the_last) {
    const auto write_often = [&](char letter) {
        for (int i = 0; i != 300; ++i) {
            part_file file(folder(), "a");
            try {
                file.make();
            } catch (const std::system_error&) {
                continue;
            }
            file.append(std::string(1000, letter));
            file.append(std::string(1000, letter));
            file.finish("a", part_file::existing::replaced);
            const auto all = content("a");
            EXPECT_EQ(all.size(), 2000u);
            EXPECT_EQ(all.find_first_not_of(all.front()), std::string::npos);
        }
    };
    std::vector<std::thread> all;
    for (const char letter : {'a', 'b', 'c'})
        all.emplace_back(write_often, letter);
    for (auto& t : all)
        t.join();
}

} // namespace
