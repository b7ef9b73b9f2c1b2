// SPDX-License-Identifier: MIT
// This file words every way in which a worker process can end, and makes the exceptions that its call fails with.
// Building a text may need memory that is not there, so each function that makes an exception returns std::bad_alloc
// in that case instead of throwing.
#include "process_pool/end_texts.hpp"

#include <muster/detail/exception_type.hpp>
#include <muster/error.hpp>
#include <muster/process_pool/error.hpp>

#include <csignal>
#include <cstring>
#include <new>

namespace muster::workers {

std::string thread_name(std::string_view pool, const char* suffix) noexcept {
    try {
        return std::string(pool.substr(0, 11)) + suffix;
    } catch (const std::bad_alloc&) {
        return suffix; // so short that it needs no memory
    }
}

namespace ends {

namespace {

constexpr const char* ask_for_serve = "does its main call muster::process_pool::serve_if_worker() first of all?";

/// The error that `make` returns, or that there was no memory for it.
template <class Make>
std::exception_ptr error_of(Make make) noexcept {
    try {
        return std::make_exception_ptr(make());
    } catch (...) {
        return std::current_exception();
    }
}

std::string name_of_signal(int number) {
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
    if (const char* name = ::sigabbrev_np(number))
        return std::to_string(number) + " (SIG" + name + ')';
#endif
#endif
    return std::to_string(number);
}

std::string text_of(const process_end& how) {
    if (!how.known)
        return "ended (how is not known: something else in this program waits for any child, or ignores SIGCHLD)";
    if (how.signal == 0)
        return "exited with status " + std::to_string(how.exit_status);
    return "was killed by signal " + name_of_signal(how.signal);
}

std::string describe(const ended_worker& w) {
    if (w.how.host.empty())
        return "process " + std::to_string(w.process) + " of the pool '" + w.pool.name + '\'';
    return "process " + std::to_string(w.how.process) + " on " + w.how.host + " of the pool '" + w.pool.name + '\'';
}

std::string seconds(std::chrono::nanoseconds t) {
    auto text = std::to_string(std::chrono::duration<double>(t).count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.')
        text.pop_back();
    return text + " s";
}

} // namespace

std::exception_ptr death_during_call(const ended_worker& w, const std::string& function) noexcept {
    if (w.how.how == process_end::kind::host_lost)
        return error_of([&] {
            return hosts::host_lost_error(w.how.host, w.how.begun, w.how.why, "the call of '" + function + '\'');
        });
    return error_of([&] {
        std::string text = describe(w) + ' ' + text_of(w.how) + " while it called '" + function + '\'';
        if (w.how.signal == SIGKILL)
            text += ": somebody did that, or the system, for want of memory";
        return worker_died_error(
            text, static_cast<int>(w.how.host.empty() ? w.process : w.how.process), w.how.signal, w.how.exit_status);
    });
}

std::exception_ptr call_timeout(const ended_worker& w, const std::string& function) noexcept {
    return error_of([&] {
        return timeout_error("'" + function + "' took longer than " + seconds(w.pool.call_timeout) + ", so " +
                             describe(w) + " was killed");
    });
}

std::exception_ptr damaged_answer(
    const ended_worker& w, const std::string& function, const std::exception_ptr& damage) noexcept {
    return error_of([&] {
        return wire_error(describe(w) + " was killed, because what it sent while it called '" + function +
                          "' can't be read: " + detail::describe(damage));
    });
}

std::exception_ptr unreadable_result(const std::string& function, const std::exception_ptr& problem) noexcept {
    return error_of(
        [&] { return wire_error("the result of '" + function + "' can't be read: " + detail::describe(problem)); });
}

std::exception_ptr out_of_reach_during_call(
    pid_t process, const pool_settings& pool, const std::string& function) noexcept {
    return error_of([&] {
        return worker_out_of_reach_error(
            "while it called '" + function + "', " + out_of_reach(process, pool), static_cast<int>(process));
    });
}

std::exception_ptr no_process_started(
    const pool_settings& pool, const std::string& function, const std::string& reason) noexcept {
    return error_of([&] {
        return worker_start_error("no process of the pool '" + pool.name + "' could be started to make the call of '" +
                                  function + "': " + reason);
    });
}

std::exception_ptr sent_unasked(const ended_worker& w, const std::exception_ptr& damage) noexcept {
    return error_of([&] {
        return wire_error(
            describe(w) + " was killed, because it sent something while it made no call: " + detail::describe(damage));
    });
}

std::string out_of_reach(pid_t process, const pool_settings& pool) {
    return "process " + std::to_string(process) + " of the pool '" + pool.name +
           "' had to be killed and can't be, because it runs as another user: it was left alone. Keep the user that "
           "started it (confine it with limits instead), or give this program the capability to kill (CAP_KILL), or a "
           "cgroup for its workers that it may kill";
}

std::string not_ready_in_time(const ended_worker& w) {
    return describe(w) + " was not ready within " + seconds(w.pool.start_timeout) +
           ", and was killed: " + ask_for_serve;
}

std::string damaged_start(const ended_worker& w, const std::exception_ptr& damage) {
    return describe(w) + " was killed: " + detail::describe(damage);
}

std::string death_before_ready(const ended_worker& w) {
    return describe(w) + ' ' + text_of(w.how) + " before it was ready: " + ask_for_serve;
}

std::string death_before_first_call(const ended_worker& w) {
    return describe(w) + ' ' + text_of(w.how) + " before its first call";
}

} // namespace ends
} // namespace muster::workers
