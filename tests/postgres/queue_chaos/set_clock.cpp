// SPDX-License-Identifier: MIT
// The calendar's clock of this program is off by as many seconds as the file says that MUSTER_TEST_CLOCK names; the
// clock that timers use is not, as when somebody sets a machine's clock. libfaketime would do, but it also changes what
// timers of the kernel are set to, which then never strike. The functions are found before those of the C library.
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

// A sanitizer's runtime has functions of its own for the clock.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)

namespace {

const char* const file = std::getenv("MUSTER_TEST_CLOCK");

/// Also called before `file` is there, and from anywhere: so it calls nothing but the kernel.
long seconds_off() noexcept {
    const int fd = file != nullptr ? ::open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    char text[16] = {};
    const auto size = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    long number = 0;
    const bool is_negative = text[0] == '-';
    for (auto i = is_negative ? 1 : 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i)
        number = 10 * number + (text[i] - '0');
    return is_negative ? -number : number;
}

} // namespace

extern "C" int clock_gettime(clockid_t which, timespec* now) noexcept {
    const auto result = ::syscall(SYS_clock_gettime, which, now);
    if (result == 0 && which == CLOCK_REALTIME)
        now->tv_sec += seconds_off();
    return static_cast<int>(result);
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
    const auto result = ::syscall(SYS_gettimeofday, now, nullptr);
    if (result == 0)
        now->tv_sec += seconds_off();
    return static_cast<int>(result);
}

extern "C" std::time_t time(std::time_t* now) noexcept {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    if (now != nullptr)
        *now = t.tv_sec;
    return t.tv_sec;
}

#endif
