// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Shared by the soak tests: how large a process is, and whether it stays so. It is compared after a warm-up, in which
/// caches grow to their size; what comes after may not grow.
///
///     flatness memory;
///     for (...) memory.sample(part_done, resident_kilobytes());
///     EXPECT_LE(memory.growth(), 2000) << memory;

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <ostream>
#include <string>

#include <sys/types.h>
#include <unistd.h>

namespace soak {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool memory_can_be_measured = false;
#elif defined(__has_feature)
constexpr bool memory_can_be_measured = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool memory_can_be_measured = true;
#endif

/// *Returns* what of a process is in memory; 0 if it is gone.
inline long resident_kilobytes(pid_t pid = ::getpid()) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/statm");
    long size = 0;
    long resident = 0;
    in >> size >> resident;
    return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

/// *Returns* the environment's number, or the one that suits a test among others.
inline double from_environment(const char* name, double otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtod(text, nullptr) : otherwise;
}

/// How long tests of real I/O go on: MUSTER_SOAK_MINUTES, or two seconds.
inline std::chrono::duration<double> real_time() {
    return std::chrono::duration<double>(from_environment("MUSTER_SOAK_MINUTES", 2.0 / 60) * 60);
}

/// The least and the most of a figure in the second fifth of the time, and in the last.
class flatness {
public:
    /// `done` goes from 0 to 1.
    void sample(double done, long value) {
        if (value == 0)
            return;
        if (done >= 0.2 && done < 0.4)
            early_.take(value);
        if (done >= 0.8)
            late_.take(value);
        all_.take(value);
    }
    /// Of the most; negative if it shrank, 0 if there was too little to compare.
    [[nodiscard]] long growth() const noexcept { return measured() ? late_.most - early_.most : 0; }
    [[nodiscard]] bool measured() const noexcept { return early_.most != 0 && late_.most != 0; }

    friend std::ostream& operator<<(std::ostream& to, const flatness& f) {
        if (!f.measured())
            return to << "too few to compare";
        return to << f.early_.least << " to " << f.early_.most << " early, " << f.late_.least << " to " << f.late_.most
                  << " late, " << f.all_.most << " at most";
    }

private:
    struct range {
        void take(long value) {
            least = std::min(least, value);
            most = std::max(most, value);
        }
        long least = std::numeric_limits<long>::max();
        long most = 0;
    };
    range early_;
    range late_;
    range all_;
};

} // namespace soak
