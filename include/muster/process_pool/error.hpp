// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The errors of a call in another process, apart from what the function itself throws: the process died, it could
/// not be started, what it sent can't be read, or it threw something that only it knows.
///
///     try { auto sum = co_await muster::run_in_executor(pool, hash(path)); }
///     catch (const muster::worker_died_error& e) { log(path, e.signal()); }
///     catch (const muster::remote_error& e) { log(e.type(), e.message(), e.where()); }

#include <muster/config.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace muster {

/// The base of these errors. A call whose time is up fails with a timeout_error, as everywhere. Copying none of
/// them throws.
class process_pool_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The process ended while it made the call: it crashed, aborted, was killed, ran out of memory or called exit(). How
/// much of the call was done is not known, and the pool does not make it again. Other calls know nothing of it.
class worker_died_error : public process_pool_error {
public:
    worker_died_error(const std::string& what, int process, int signal, int exit_status)
        : process_pool_error(what),
          process_(process),
          signal_(signal),
          exit_status_(exit_status) {}

    /// The signal that killed it, SIGKILL say; 0 if it exited.
    [[nodiscard]] int signal() const noexcept { return signal_; }
    /// The status that it exited with; -1 if it did not, or if the system does not tell.
    [[nodiscard]] int exit_status() const noexcept { return exit_status_; }
    /// Its process id, which may be another's by now.
    [[nodiscard]] int process() const noexcept { return process_; }

private:
    int process_;
    int signal_;
    int exit_status_;
};

/// The process of the call had to be killed, for a time limit or a cancellation say, and this program may not: the
/// process runs as another user by now. It was left alone and its socket closed; whether it goes on is not known. Such
/// a process needs a pool with CAP_KILL, or a cgroup that is killed as a whole.
class worker_out_of_reach_error : public process_pool_error {
public:
    worker_out_of_reach_error(const std::string& what, int process) : process_pool_error(what), process_(process) {}
    [[nodiscard]] int process() const noexcept { return process_; }

private:
    int process_;
};

/// No process could be started that makes calls; what() says why and what to do about it.
class worker_start_error : public process_pool_error {
public:
    using process_pool_error::process_pool_error;
};

/// An argument, a result or a message is not what it should be: larger than the limit, no CBOR, of another type than
/// the one who reads it expects, or for a function that the other program does not have.
class wire_error : public process_pool_error {
public:
    using process_pool_error::process_pool_error;
};

/// The function threw something that is not known on this side by a registered name (see remote_exception).
class remote_error : public process_pool_error {
public:
    /// One of the exceptions that a nested one holds.
    struct cause {
        cause(std::string t, std::string m) : type(std::move(t)), message(std::move(m)) {}
        std::string type;
        std::string message;
    };

    remote_error(std::string type, std::string message, std::string where, std::vector<cause> causes = {});

    /// The type as C++ writes it: "shop::price_error".
    [[nodiscard]] const std::string& type() const noexcept { return text_->type; }
    /// Its what(), byte for byte; for what is no std::exception, the value as text.
    [[nodiscard]] const std::string& message() const noexcept { return text_->message; }
    /// The function, where that was registered, and the process: "hash (hash.cpp:12) in process 1234".
    [[nodiscard]] const std::string& where() const noexcept { return text_->where; }
    /// The exceptions that std::throw_with_nested put inside it, the outermost first.
    [[nodiscard]] const std::vector<cause>& causes() const noexcept { return text_->causes; }

private:
    struct text {
        std::string type;
        std::string message;
        std::string where;
        std::vector<cause> causes;
    };
    std::shared_ptr<const text> text_;
};

} // namespace muster
