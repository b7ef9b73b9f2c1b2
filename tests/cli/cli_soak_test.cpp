// SPDX-License-Identifier: MIT
// `muster fetch` for a long time: one process that is fed URLs of nginx for two seconds, or MUSTER_SOAK_MINUTES, and
// after it runs one after the other. Its memory and descriptors must be flat, its lines must parse, its counts must add
// up.
#include "support/cli_program.hpp"

#include "support/nginx_server.hpp"
#include "support/soak.hpp"

#include <atomic>
#include <cstdint>
#include <iostream>
#include <map>
#include <thread>

namespace {

using namespace cli;

class fetch_soak : public muster_command {
protected:
    /// One URL in ten fails, each in another way.
    [[nodiscard]] static std::vector<std::string> urls_of(const nginx_test::nginx_server& nginx) {
        std::vector<std::string> urls(54, nginx.url("/small"));
        for (const auto* path :
            {"/closing", "/gateway/ok", "/status/404", "/nothing", "/gateway/truncated/1000", "/circle/a"})
            urls.push_back(nginx.url(path));
        return urls;
    }
};

TEST_F(fetch_soak, one_fetch_whose_input_goes_on_stays_as_large_as_it_was) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    const nginx_test::nginx_server nginx(server_.port());
    setting s;
    s.input_file.clear();
    program p({"fetch", "--limit", "50", "--jsonl", "-", "-"}, s);
    std::atomic<bool> enough{false};
    std::uint64_t fed = 0;
    // Writing waits for the program, which waits for the reading below.
    std::thread feeder([&] {
        // Should the program end before its input, that is an error of write() here, and the tests below fail.
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
        std::string some;
        const auto urls = urls_of(nginx);
        for (const auto& u : urls)
            some += u + '\n';
        try {
            for (; !enough; fed += urls.size())
                p.write_input(some);
        } catch (const std::system_error&) {}
        p.end_input();
    });
    soak::flatness resident;
    soak::flatness descriptors;
    std::map<std::string, std::uint64_t> ended;
    const auto take_lines = [&] {
        const auto whole = p.out.rfind('\n') + 1;
        for (const auto& line : lines_of(p.out.substr(0, whole)))
            ++ended[line.at("outcome").get<std::string>()];
        p.out.erase(0, whole);
    };
    const auto began = std::chrono::steady_clock::now();
    for (double done = 0; done < 1;) {
        p.read_for(20ms);
        take_lines();
        done = (std::chrono::steady_clock::now() - began) / soak::real_time();
        resident.sample(done, soak::resident_kilobytes(p.pid()));
        descriptors.sample(done, static_cast<long>(p.open_descriptors()));
    }
    enough = true;
    // The feeder may have to be read to its end.
    EXPECT_EQ(p.wait(), 1) << p.err;
    feeder.join();
    take_lines();
    const auto c = ledger_of(p.err);
    EXPECT_EQ(c.submitted, fed);
    EXPECT_EQ(c.succeeded, fed / 60 * 56);
    EXPECT_EQ(ended["ok"], c.succeeded);
    EXPECT_EQ(ended["error"], c.failed);
    EXPECT_EQ(ended["ok"] + ended["error"], fed);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::cout << fed << " requests in " << took.count() << " s; kilobytes resident: " << resident
              << "; descriptors: " << descriptors << '\n';
    EXPECT_LE(descriptors.growth(), 60) << descriptors;
    if (!soak::memory_can_be_measured)
        GTEST_SKIP() << "a sanitizer keeps memory that was freed";
    EXPECT_LE(resident.growth(), 2048) << resident;
}

TEST_F(fetch_soak, fetch_in_a_loop_never_needs_more_than_the_first_times) {
    if (!nginx_test::nginx_server::is_installed())
        GTEST_SKIP() << nginx_test::nginx_server::how_to_get_it;
    const nginx_test::nginx_server nginx(server_.port());
    std::string text;
    for (int i = 0; i != 5; ++i)
        for (const auto& u : urls_of(nginx))
            text += u + '\n';
    const auto file = write("urls", text);
    soak::flatness peak;
    soak::flatness of_nginx;
    std::uint64_t runs = 0;
    const auto began = std::chrono::steady_clock::now();
    for (double done = 0; done < 1; ++runs) {
        program p({"fetch", "--limit", "50", "-f", file, "--jsonl", path("log"), "-o", path("out")});
        EXPECT_EQ(p.wait(), 1) << p.err;
        const auto c = ledger_of(p.out);
        EXPECT_EQ(c.submitted, 300u);
        EXPECT_EQ(c.succeeded, 280u);
        expect_same(lines_of(read(path("log"))), c);
        done = (std::chrono::steady_clock::now() - began) / soak::real_time();
        peak.sample(done, p.peak_kilobytes());
        of_nginx.sample(done, soak::resident_kilobytes(nginx.pid()));
        if (HasFailure())
            break;
    }
    std::cout << runs << " runs of 300 URLs; kilobytes at most: " << peak << "; nginx itself: " << of_nginx << '\n';
    if (!soak::memory_can_be_measured)
        GTEST_SKIP() << "a sanitizer keeps memory that was freed";
    EXPECT_LE(peak.growth(), 2048) << peak;
}

} // namespace
