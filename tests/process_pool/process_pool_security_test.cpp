// SPDX-License-Identifier: MIT
// Processes with other rights than this program: one that runs as another user, and a program that is set-uid. The
// tests need root and are skipped without.
#include "process_pool/wire.hpp"

#include <muster/process_pool.hpp>
#include <muster/report.hpp>
#include <muster/run.hpp>
#include <muster/timeout.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using muster::process_pool;
using muster::process_pool_options;

constexpr uid_t nobody = 65534;
constexpr int is_secure = 9;
constexpr int is_not_secure = 10;

/// Becomes another user, and ends when the pool has closed its end of the socket.
const muster::remote_function becomes_another("becomes_another", [] {
    if (::setresuid(nobody, nobody, nobody) != 0)
        throw std::runtime_error("setresuid");
    pollfd end{muster::workers::wire::worker_descriptor, 0, 0};
    while ((end.revents & POLLHUP) == 0)
        ::poll(&end, 1, -1);
    std::_Exit(0);
});

/// The capability is the thread's, and of the threads that it starts.
void give_up_killing() {
    __user_cap_header_struct head{};
    head.version = _LINUX_CAPABILITY_VERSION_3;
    __user_cap_data_struct sets[2]{};
    ASSERT_EQ(::syscall(SYS_capget, &head, sets), 0);
    sets[0].effective &= ~(1U << CAP_KILL);
    ASSERT_EQ(::syscall(SYS_capset, &head, sets), 0);
}

template <class Body>
void on_thread_that_can_not_kill(Body body) {
    std::thread([&body] {
        give_up_killing();
        body();
    }).join();
}

muster::task<> call_in_time(process_pool& pool, std::chrono::nanoseconds limit) {
    auto call = muster::wait_for(muster::run_in_executor(pool, becomes_another()), limit);
    co_await std::move(call);
}

TEST(process_pool_security, the_time_limit_of_a_process_that_can_not_be_killed_is_an_error_and_no_endless_wait) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can start what becomes another user";
    on_thread_that_can_not_kill([] {
        process_pool pool(process_pool_options().processes(1).call_timeout(200ms).name("others"));
        try {
            muster::run(muster::run_in_executor(pool, becomes_another()).as_task());
            ADD_FAILURE() << "no error";
        } catch (const muster::worker_out_of_reach_error& e) {
            EXPECT_NE(
                std::string(e.what()).find("of the pool 'others' had to be killed and can't be"), std::string::npos)
                << e.what();
            EXPECT_GT(e.process(), 0);
        }
        EXPECT_EQ(pool.processes(), 0u);
    });
}

TEST(process_pool_security, a_time_out_around_a_process_that_can_not_be_killed_ends_and_its_error_is_reported) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can start what becomes another user";
    on_thread_that_can_not_kill([] {
        process_pool pool(process_pool_options().processes(1));
        std::string reported;
        const auto before =
            muster::set_report_handler([&](const muster::report& r) { reported += muster::to_string(r) + '\n'; });
        EXPECT_THROW(muster::run(call_in_time(pool, 500ms)), muster::timeout_error);
        muster::set_report_handler(before);
        EXPECT_NE(reported.find("muster::worker_out_of_reach_error"), std::string::npos) << reported;
    });
}

/// *Returns* the exit status of this program as a set-uid one that is told to be a worker.
int status_of_set_uid_worker(const std::filesystem::path& program) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], muster::workers::wire::worker_descriptor);
        ::fcntl(muster::workers::wire::worker_descriptor, F_SETFD, 0);
        ::setenv(muster::workers::wire::variable, "1", 1);
        ::execl(program.c_str(), program.c_str(), "--secure", nullptr);
        ::_exit(127);
    }
    ::close(ends[0]);
    ::close(ends[1]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(process_pool_security, a_set_uid_program_serves_nobody_who_sets_its_environment) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can make a set-uid program of another user";
    std::string folder = (std::filesystem::temp_directory_path() / "muster-suid-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const auto program = std::filesystem::path(folder) / "program";
    std::filesystem::copy_file("/proc/self/exe", program);
    EXPECT_EQ(::chown(program.c_str(), nobody, nobody), 0);
    EXPECT_EQ(::chmod(program.c_str(), 04755), 0);
    EXPECT_EQ(::chmod(folder.c_str(), 0755), 0);
    const int status = status_of_set_uid_worker(program);
    std::filesystem::remove_all(folder);
    if (status == is_not_secure)
        GTEST_SKIP() << "programs in " << folder << " can't be set-uid";
    EXPECT_EQ(status, is_secure);
}

} // namespace

int main(int argc, char** argv) {
    const bool secure = argc > 1 && std::string_view(argv[1]) == "--secure";
    if (secure && ::getauxval(AT_SECURE) == 0)
        return is_not_secure;
    // A worker whose pool has hung up ends here with status 0.
    process_pool::serve_if_worker();
    if (secure)
        return is_secure;
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
