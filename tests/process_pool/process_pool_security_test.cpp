// SPDX-License-Identifier: MIT
// Processes with other rights than this program: one that runs as another user, and a program that is set-uid. The
// tests need root and are skipped without.
#include "process_pool/wire.hpp"

#include <muster/process_pool.hpp>
#include <muster/report.hpp>
#include <muster/run.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

int error_of(long result) { return result < 0 ? errno : 0; }

/// *Returns* the error of something that a hostile worker may try; 0 if it may.
const muster::remote_function attempts("attempts", [](std::string what) -> int {
    if (what == "open a file")
        return error_of(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    if (what == "make a file")
        return error_of(::open("/tmp/muster-never", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (what == "unlink")
        return error_of(::unlink("/tmp/muster-never"));
    if (what == "make a folder")
        return error_of(::mkdir("/tmp/muster-never", 0700));
    if (what == "change the folder")
        return error_of(::chdir("/"));
    if (what == "socket")
        return error_of(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (what == "unix socket")
        return error_of(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (what == "pair of sockets") {
        int ends[2];
        return error_of(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    }
    if (what == "fork") {
        const pid_t child = ::fork();
        if (child == 0)
            ::_exit(0);
        return error_of(child);
    }
    if (what == "execute")
        return error_of(::execl("/bin/true", "true", nullptr));
    if (what == "kill the program")
        return error_of(::kill(::getppid(), SIGTERM));
    if (what == "trace the program")
        return error_of(::syscall(SYS_ptrace, 16, ::getppid(), 0, 0));
    if (what == "read the program's memory") {
        char byte = 0;
        iovec here{&byte, 1};
        return error_of(::process_vm_readv(::getppid(), &here, 1, &here, 1, 0));
    }
    if (what == "map code")
        return error_of(
            ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    if (what == "make memory code") {
        void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return error_of(::mprotect(page, 4096, PROT_READ | PROT_EXEC));
    }
    if (what == "memory file")
        return error_of(::memfd_create("x", MFD_CLOEXEC));
    if (what == "raise a limit") {
        const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
        return error_of(::setrlimit(RLIMIT_CPU, &all));
    }
    if (what == "mount")
        return error_of(::mount("none", "/mnt", "tmpfs", 0, nullptr));
    if (what == "become another")
        return error_of(::setresuid(nobody, nobody, nobody));
    if (what == "an old form of a call")
        return error_of(::syscall(0x40000000 + SYS_getpid));
    if (what == "a system call of tomorrow")
        return error_of(::syscall(100'000));
    if (what == "thread") {
        try {
            std::thread([] {}).join();
        } catch (const std::system_error& e) {
            return e.code().value();
        }
        return 0;
    }
    return -1;
});

/// What a function may do all the same.
const muster::remote_function computes("computes", [](int n) {
    std::vector<std::string> all;
    for (int i = 0; i != n; ++i)
        all.push_back(std::to_string(i));
    const auto until = std::chrono::steady_clock::now() + 1ms;
    std::this_thread::sleep_until(until);
    try {
        throw std::runtime_error(all.back());
    } catch (const std::exception& e) {
        std::printf("computed\n");
        return std::string(e.what());
    }
});

const muster::remote_function aborts("aborts", [] { std::abort(); });

const muster::remote_function looks("looks", [](std::string what) -> std::string {
    if (what == "folder")
        return std::filesystem::current_path().string();
    if (what == "limit") {
        rlimit limit{};
        ::getrlimit(RLIMIT_FSIZE, &limit);
        return std::to_string(limit.rlim_cur) + '/' + std::to_string(limit.rlim_max);
    }
    if (what == "user")
        return std::to_string(::getuid()) + '/' + std::to_string(::getgid());
    if (what == "privileges")
        return std::to_string(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    if (what == "environment") {
        std::string names;
        for (char** entry = environ; *entry != nullptr; ++entry)
            names += std::string(*entry) + ';';
        return names;
    }
    std::printf("said\n");
    std::fprintf(stderr, "complained\n");
    return "";
});

#if defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

template <class Call>
auto value_of(process_pool& pool, Call call) {
    return muster::run(muster::run_in_executor(pool, std::move(call)).as_task());
}

TEST(process_pool_security, a_worker_that_may_only_compute_can_do_nothing_else) {
    if (sanitized)
        GTEST_SKIP() << "a sanitizer's runtime makes system calls of its own";
    process_pool pool(process_pool_options().processes(1).compute_only());
    for (const char* what : {"open a file", "make a file", "unlink", "make a folder", "change the folder", "socket",
             "unix socket", "pair of sockets", "fork", "execute", "kill the program", "trace the program",
             "read the program's memory", "map code", "make memory code", "memory file", "raise a limit", "mount",
             "become another", "an old form of a call", "a system call of tomorrow", "thread"})
        EXPECT_EQ(value_of(pool, attempts(what)), EPERM) << what;
    EXPECT_EQ(value_of(pool, computes(10'000)), "9999");
    EXPECT_FALSE(std::filesystem::exists("/tmp/muster-never"));
    EXPECT_THROW(value_of(pool, aborts()), muster::worker_died_error);
    EXPECT_EQ(value_of(pool, attempts("socket")), EPERM) << "the process that replaced it";
}

TEST(process_pool_security, a_worker_has_the_environment_folder_and_limits_that_it_is_given) {
    std::string folder = (std::filesystem::temp_directory_path() / "muster-worker-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    ::setenv("MUSTER_TEST_KEPT", "1", 1);
    ::setenv("MUSTER_TEST_SECRET", "sesame", 1);
    {
        process_pool pool(process_pool_options()
                              .processes(1)
                              .environment({"MUSTER_TEST_KEPT", "MUSTER_TEST_MISSING"})
                              .folder(folder)
                              .output(folder + "/output")
                              .resource_limit(RLIMIT_FSIZE, 100'000)
                              .no_new_privileges());
        EXPECT_EQ(value_of(pool, looks("folder")), folder);
        EXPECT_EQ(value_of(pool, looks("limit")), "100000/100000");
        EXPECT_EQ(value_of(pool, looks("privileges")), "1");
        EXPECT_EQ(value_of(pool, looks("environment")), "MUSTER_TEST_KEPT=1;");
        EXPECT_EQ(value_of(pool, looks("output")), "");
    }
    std::ifstream in(folder + "/output");
    const std::string said((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    EXPECT_NE(said.find("said\n"), std::string::npos) << said;
    EXPECT_NE(said.find("complained\n"), std::string::npos) << said;
    EXPECT_EQ(std::filesystem::status(folder + "/output").permissions() & std::filesystem::perms::others_all,
        std::filesystem::perms::none);
    std::filesystem::remove_all(folder);
    process_pool pool(process_pool_options().processes(1));
    EXPECT_NE(value_of(pool, looks("environment")).find("sesame"), std::string::npos) << "as it was by default";
    EXPECT_EQ(value_of(pool, looks("privileges")), "0");
}

const muster::remote_function never_returns("never_returns", [] {
    for (;;)
        ::pause();
});

TEST(process_pool_security, a_worker_is_started_through_the_command_that_prepares_it) {
    ::setenv("MUSTER_TEST_SECRET", "sesame", 1);
    process_pool pool(process_pool_options().processes(1).through({"env", "MUSTER_TEST_SECRET=blank"}));
    EXPECT_NE(value_of(pool, looks("environment")).find("MUSTER_TEST_SECRET=blank;"), std::string::npos);
    EXPECT_EQ(value_of(pool, looks("privileges")), "0");
    EXPECT_THROW(process_pool_options().through({}), std::invalid_argument);
    EXPECT_THROW(process_pool_options().through({""}), std::invalid_argument);
    process_pool none(process_pool_options().processes(1).through({"muster-no-such-program"}));
    EXPECT_THROW(value_of(none, looks("user")), muster::worker_start_error);
    process_pool ends(process_pool_options().processes(1).through({"false"}));
    EXPECT_THROW(value_of(ends, looks("user")), muster::worker_start_error);
}

/// A copy of this program that other users may execute, too.
class copied_program {
public:
    copied_program() : folder_((std::filesystem::temp_directory_path() / "muster-user-XXXXXX").string()) {
        if (::mkdtemp(folder_.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
        std::filesystem::copy_file("/proc/self/exe", path());
        ::chmod(path().c_str(), 0755);
        ::chmod(folder_.c_str(), 0755);
    }
    ~copied_program() { std::filesystem::remove_all(folder_); }
    copied_program(const copied_program&) = delete;
    copied_program& operator=(const copied_program&) = delete;
    [[nodiscard]] std::string path() const { return folder_ + "/program"; }

private:
    std::string folder_;
};

TEST(process_pool_security, a_worker_that_runs_as_another_user_is_killed_by_who_may) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can start what becomes another user";
    if (::access("/usr/bin/setpriv", X_OK) != 0)
        GTEST_SKIP() << "there is no setpriv here: apt-get install util-linux";
    const copied_program program;
    process_pool pool(process_pool_options()
                          .processes(1)
                          .program(program.path())
                          .folder("/")
                          .call_timeout(5s)
                          .through({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"}));
    EXPECT_EQ(value_of(pool, looks("user")), "65534/65534");
    EXPECT_EQ(value_of(pool, looks("privileges")), "1");
    EXPECT_EQ(value_of(pool, looks("folder")), "/");
    EXPECT_THROW(value_of(pool, never_returns()), muster::timeout_error);
    EXPECT_EQ(value_of(pool, looks("user")), "65534/65534");
}

TEST(process_pool_security, surroundings_that_are_not_there_are_errors_that_name_them) {
    const process_pool_options rows[] = {process_pool_options().processes(1).folder("/nonexistent/folder"),
        process_pool_options().processes(1).output("/nonexistent/output")};
    for (const auto& row : rows) {
        process_pool pool(row);
        try {
            static_cast<void>(value_of(pool, looks("folder")));
            ADD_FAILURE() << "no error";
        } catch (const muster::worker_start_error& e) {
            EXPECT_NE(std::string(e.what()).find("its folder or output not opened"), std::string::npos) << e.what();
        }
    }
    EXPECT_THROW(process_pool_options().environment({"A=b"}), std::invalid_argument);
    EXPECT_THROW(process_pool_options().folder(""), std::invalid_argument);
    EXPECT_THROW(process_pool_options().output(""), std::invalid_argument);
    EXPECT_THROW(process_pool_options().resource_limit(-1, 1), std::invalid_argument);
    EXPECT_THROW(process_pool_options().resource_limit(1000, 1), std::invalid_argument);
}

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

/// Becomes another user, and leaves a process behind that has left the group of processes, too.
const muster::remote_function leaves_a_daemon("leaves_a_daemon", [] {
    if (::fork() == 0) {
        ::setsid();
        for (;;)
            ::pause();
    }
    if (::setresuid(nobody, nobody, nobody) != 0)
        throw std::runtime_error("setresuid");
    for (;;)
        ::pause();
});

/// A group of control groups, version 2, made for a test below the one that it is in; removed with the object.
class cgroup_folder {
public:
    cgroup_folder() {
        std::ifstream mounts("/proc/mounts");
        for (std::string line; std::getline(mounts, line);) {
            std::istringstream words(line);
            std::string device, folder, kind;
            if (!(words >> device >> folder >> kind) || kind != "cgroup2")
                continue;
            const auto wanted = folder + "/muster-test-" + std::to_string(::getpid());
            if (::mkdir(wanted.c_str(), 0755) != 0)
                continue;
            path_ = wanted;
            if (::access((path_ + "/cgroup.kill").c_str(), W_OK) == 0)
                return;
            remove();
        }
    }
    ~cgroup_folder() { remove(); }
    cgroup_folder(const cgroup_folder&) = delete;
    cgroup_folder& operator=(const cgroup_folder&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::size_t groups() const {
        return static_cast<std::size_t>(std::count_if(std::filesystem::directory_iterator(path_),
            std::filesystem::directory_iterator(), [](const auto& e) { return e.is_directory(); }));
    }
    [[nodiscard]] bool has_processes() const {
        std::ifstream events(path_ + "/cgroup.events");
        const std::string text((std::istreambuf_iterator<char>(events)), {});
        return text.find("populated 1") != std::string::npos;
    }

private:
    void remove() noexcept {
        if (!path_.empty())
            ::rmdir(path_.c_str());
        path_.clear();
    }
    std::string path_;
};

constexpr const char* no_cgroup = "no cgroup of version 2 can be made here, or the system is older than Linux 5.14";

TEST(process_pool_security, a_worker_in_a_cgroup_is_killed_with_all_that_it_started_whatever_user_it_has_become) {
    const cgroup_folder cgroup;
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can start what becomes another user";
    if (cgroup.path().empty())
        GTEST_SKIP() << no_cgroup;
    on_thread_that_can_not_kill([&] {
        process_pool pool(process_pool_options().processes(1).call_timeout(500ms).cgroup(cgroup.path()));
        EXPECT_EQ(value_of(pool, looks("user")), "0/0");
        EXPECT_EQ(cgroup.groups(), 1u);
        EXPECT_TRUE(cgroup.has_processes());
        EXPECT_THROW(muster::run(muster::run_in_executor(pool, leaves_a_daemon()).as_task()), muster::timeout_error);
        EXPECT_EQ(value_of(pool, looks("user")), "0/0"); // of the next worker
        EXPECT_EQ(cgroup.groups(), 1u);
    });
    EXPECT_EQ(cgroup.groups(), 0u);
    EXPECT_FALSE(cgroup.has_processes());
}

TEST(process_pool_security, a_cgroup_that_is_none_is_an_error_that_names_it) {
    const auto folder = std::filesystem::temp_directory_path() / ("muster-no-cgroup-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    for (const auto& path : {folder, std::filesystem::path("/nonexistent")}) {
        process_pool pool(process_pool_options().processes(1).cgroup(path));
        try {
            static_cast<void>(value_of(pool, looks("folder")));
            ADD_FAILURE() << "no error";
        } catch (const muster::worker_start_error& e) {
            EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
        }
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::filesystem::remove_all(folder);
    EXPECT_THROW(process_pool_options().cgroup(""), std::invalid_argument);
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
    // No destructor runs: the leak checker of a sanitizer can't look at the memory of a set-uid program, and would end
    // it with a status of its own.
    if (secure)
        ::_exit(is_secure);
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
