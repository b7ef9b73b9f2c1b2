// SPDX-License-Identifier: MIT
// compute_only() installs two filters. Landlock, where the kernel has it, takes all rights to files of any path.
// seccomp then refuses every system call but those that computing takes: memory without code, the clock, locks, and
// reads and writes of descriptors that are open. The filter is a program of the kernel's packet filter, which looks up
// the number of a call in a list, and for three calls at an argument as well.
#include <muster/process_pool/compute_only.hpp>

#include "posix/owned_fd.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace muster::sandbox {

namespace {

[[noreturn]] void fail(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

#if defined(__x86_64__)
constexpr std::uint32_t this_processor = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t this_processor = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t this_processor = 0;
#endif

// The calls of computing. Neither processor has all of them.
constexpr std::array allowed = {
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_lseek,
    SYS_ppoll,
#if defined(SYS_poll)
    SYS_poll,
#endif
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_madvise,
    SYS_membarrier,
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getrusage,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_exit,
    SYS_exit_group,
};

class filter {
public:
    filter() {
        load(offsetof(seccomp_data, arch));
        unless_equal(this_processor, SECCOMP_RET_KILL_PROCESS);
        load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
        // The calls of the x32 form have other numbers.
        constexpr std::uint32_t x32 = 0x40000000;
        add(BPF_JMP | BPF_JGE | BPF_K, x32, 0, 1);
        give(SECCOMP_RET_ERRNO | EPERM);
#endif
        for (const auto number : allowed) {
            add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1);
            give(SECCOMP_RET_ALLOW);
        }
        allow_without_code(SYS_mmap);
        allow_without_code(SYS_mprotect);
        allow_signals_to_itself();
        give(SECCOMP_RET_ERRNO | EPERM);
    }
    void install() {
        sock_fprog program{static_cast<unsigned short>(steps_.size()), steps_.data()};
        if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
            fail(errno, "the system has no seccomp filters");
    }

private:
    // The low half of an argument, on processors that are little endian.
    static constexpr std::size_t low_half(std::size_t argument) {
        return offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t);
    }

    void add(unsigned code, std::uint32_t k, unsigned char if_true, unsigned char if_false) {
        steps_.push_back({static_cast<unsigned short>(code), if_true, if_false, k});
    }
    void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset), 0, 0); }
    void give(std::uint32_t answer) { add(BPF_RET | BPF_K, answer, 0, 0); }
    void unless_equal(std::uint32_t value, std::uint32_t answer) {
        add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
        give(answer);
    }

    /// The third argument is the protection: memory whose bytes can be executed is refused.
    void allow_without_code(long number) {
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 4);
        load(low_half(2));
        add(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
        give(SECCOMP_RET_ERRNO | EPERM);
        give(SECCOMP_RET_ALLOW);
    }
    /// abort() needs it.
    void allow_signals_to_itself() {
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(SYS_tgkill), 0, 4);
        load(low_half(0));
        unless_equal(static_cast<std::uint32_t>(::getpid()), SECCOMP_RET_ERRNO | EPERM);
        give(SECCOMP_RET_ALLOW);
    }

    std::vector<sock_filter> steps_;
};

/// *Returns* without having done anything where the kernel has no Landlock: seccomp refuses to open files as well.
void give_up_files() {
    landlock_ruleset_attr rules{};
    // Every right to files that the first version knows.
    rules.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1U) - 1U;
    const detail::owned_fd set(
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, std::uint32_t{0})));
    if (!set.is_open())
        return;
    if (::syscall(SYS_landlock_restrict_self, set.get(), std::uint32_t{0}) != 0)
        fail(errno, "landlock_restrict_self");
}

} // namespace

void no_new_privileges() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        fail(errno, "the system can't refuse new privileges");
}

void compute_only() {
    if (this_processor == 0)
        fail(ENOSYS, "sandbox::compute_only does not know the system calls of this processor");
    filter calls;
    no_new_privileges();
    give_up_files();
    calls.install();
}

} // namespace muster::sandbox
