// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Takes descriptors and threads away from a test program for a while.
///
///     const few_descriptors none(0);
///     const no_threads no_more;      // in programs whose one source includes this

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

// A sanitizer's runtime must see each thread that is started, so nobody can stand in its way.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MUSTER_TEST_CAN_REFUSE_THREADS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MUSTER_TEST_CAN_REFUSE_THREADS 0
#endif
#endif
#ifndef MUSTER_TEST_CAN_REFUSE_THREADS
#define MUSTER_TEST_CAN_REFUSE_THREADS 1
#include <dlfcn.h>
#endif

namespace short_supply {

/// While it lives only `spare` more descriptors can be opened by this program.
class few_descriptors {
public:
    explicit few_descriptors(int spare) {
        getrlimit(RLIMIT_NOFILE, &before_);
        // The limit is a number that all descriptors must be below: those that are free below it are the spare ones.
        rlim_t limit = 0;
        for (int left = spare;; ++limit) {
            if (fcntl(static_cast<int>(limit), F_GETFD) < 0 && left-- == 0)
                break;
        }
        rlimit now = before_;
        now.rlim_cur = limit;
        setrlimit(RLIMIT_NOFILE, &now);
    }
    few_descriptors(const few_descriptors&) = delete;
    few_descriptors& operator=(const few_descriptors&) = delete;
    ~few_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

inline int descriptors_open() {
    int count = 0;
    DIR* all = opendir("/proc/self/fd");
    while (all != nullptr && readdir(all) != nullptr)
        ++count;
    if (all != nullptr)
        closedir(all);
    return count;
}

#if MUSTER_TEST_CAN_REFUSE_THREADS

inline std::atomic<int> refusing{0};

/// While it lives no thread can be started.
class no_threads {
public:
    no_threads() noexcept { ++refusing; }
    no_threads(const no_threads&) = delete;
    no_threads& operator=(const no_threads&) = delete;
    ~no_threads() { --refusing; }
};

#endif

} // namespace short_supply

#if MUSTER_TEST_CAN_REFUSE_THREADS

/// Stands in for the C library's, which it calls: for muster's pools as for the libraries that muster uses.
extern "C" int pthread_create(
    pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    if (short_supply::refusing.load() > 0)
        return EAGAIN;
    using function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "pthread_create"));
    return real != nullptr ? real(thread, attributes, start, argument) : EAGAIN;
}

#endif
