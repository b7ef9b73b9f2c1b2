// SPDX-License-Identifier: MIT
/// What the tests of muster::postgres share: a server for each test program, a queue of its own for each test, workers
/// in this process and in others. Every start of a call is counted at its worker.
#pragma once

#include <muster/map.hpp>
#include <muster/postgres.hpp>
#include <muster/postgres/init.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include "postgres/private_server.hpp"
#include "support/soak.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <libpq-fe.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <numeric>

using namespace std::chrono_literals;
using muster::task;
namespace postgres = muster::postgres;
using postgres::call_key;
using postgres::submission;

namespace queue_tests {

// What workers of these tests serve on their loops: `note` answers with twice its argument, `hang` only ends by being
// cancelled.
const muster::remote_function note(
    "note", +[](int n) { return 2 * n; });
const muster::remote_function hang(
    "hang", +[](int n) { return n; });
const muster::remote_function measure(
    "measure", +[](const std::string& text) { return text.size(); });

const muster::remote_function give_back(
    "give_back", +[](const std::string& text) { return text; });

inline std::unique_ptr<postgres::private_server> server;
/// The arguments with which calls were started by workers in this process, in their order.
inline std::vector<int> started;

/// The workers of other processes write a line for each start.
inline void write_line(const std::string& file, int n) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const auto line = std::to_string(n) + "\n";
    if (fd < 0 || ::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        std::abort();
    ::close(fd);
}

/// A worker that has this variable writes what its clock says into the file of that name at each start of `note`, and a
/// client does so for each outcome.
inline constexpr const char* file_of_clocks = "MUSTER_TEST_CLOCKS";

inline void write_clock() {
    if (const char* const file = std::getenv(file_of_clocks); file != nullptr)
        write_line(file, static_cast<int>(std::time(nullptr)));
}

inline void count_start(const std::string& file, int n) {
    if (file.empty())
        started.push_back(n);
    else
        write_line(file, n);
    write_clock();
}

inline std::map<std::string, postgres::handler> handlers(const std::string& file = {}) {
    std::map<std::string, postgres::handler> all;
    all["note"] = [file](nlohmann::json arguments) -> task<nlohmann::json> {
        const int n = arguments.at(0).get<int>();
        count_start(file, n);
        co_await muster::sleep_for(1ms);
        co_return 2 * n;
    };
    all["hang"] = [file](nlohmann::json arguments) -> task<nlohmann::json> {
        count_start(file, arguments.at(0).get<int>());
        co_await muster::sleep_for(1h);
        co_return 0;
    };
    all["measure"] = [](nlohmann::json arguments) -> task<nlohmann::json> {
        co_return arguments.at(0).get<std::string>().size();
    };
    all["give_back"] = [](nlohmann::json arguments) -> task<nlohmann::json> { co_return std::move(arguments.at(0)); };
    return all;
}

inline task<> until(std::function<bool()> reached) {
    for (int i = 0; i != 6000 && !reached(); ++i)
        co_await muster::sleep_for(5ms);
    EXPECT_TRUE(reached()) << "the condition is not reached in 30 s";
}

inline task<> end_of(muster::task_handle<void> handle) { co_await handle; }

inline task<> stop(muster::task_handle<void> worker) {
    worker.cancel();
    auto ending = end_of(worker);
    auto ended = co_await muster::as_outcome(std::move(ending));
    EXPECT_TRUE(ended.was_cancelled());
}

/// This program once more, as a worker or as a client.
class own_process {
public:
    explicit own_process(std::vector<std::string> words) {
        std::vector<char*> pointers;
        for (auto& w : words)
            pointers.push_back(w.data());
        pointers.push_back(nullptr);
        EXPECT_EQ(::posix_spawn(&process_, "/proc/self/exe", nullptr, nullptr, pointers.data(), environ), 0);
    }
    ~own_process() {
        if (process_ > 0)
            end(SIGKILL);
    }
    own_process(const own_process&) = delete;
    own_process& operator=(const own_process&) = delete;
    void signal(int number) const {
        if (process_ > 0)
            ::kill(process_, number);
    }
    int end(int number) {
        signal(number);
        return wait();
    }
    /// *Returns* how it ended.
    int wait() {
        int status = 0;
        ::waitpid(process_, &status, 0);
        process_ = -1;
        return status;
    }
    [[nodiscard]] bool has_ended() const {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid != 0;
    }
    [[nodiscard]] int process() const { return process_; }

private:
    pid_t process_ = -1;
};

/// Serves `note` and `hang`, and writes a line with the argument for each start.
class worker_process : public own_process {
public:
    worker_process(const std::string& schema, const std::string& file, int slots = 4,
        std::chrono::milliseconds lease = 5s, const std::string& address = server->address())
        : own_process({"worker of a test", "--worker", address, schema, file, std::to_string(slots),
              std::to_string(lease.count())}) {}
};

/// Submits `calls` calls of `note` under the keys of `run`, and writes a line for each outcome: the argument for a
/// value, a number below zero for the death of a worker. Nothing else may happen.
class client_process : public own_process {
public:
    client_process(const std::string& schema, const std::string& file, std::size_t calls, const call_key& run)
        : own_process(
              {"client of a test", "--client", server->address(), schema, file, std::to_string(calls), run.text()}) {}
};

template <class T>
task<T> value_of(muster::task_handle<T> handle) {
    if constexpr (std::is_void_v<T>) {
        co_await handle;
    } else {
        auto value = co_await handle;
        co_return value;
    }
}

/// A connection of a test's own, to play a worker or a client by hand.
class connection {
public:
    explicit connection(const std::string& role = "postgres")
        : connection_(::PQconnectdb(server->address(role).c_str())) {}
    ~connection() { ::PQfinish(connection_); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    /// SIGKILL to the server's process of this connection. *Returns* false if there is none.
    [[nodiscard]] bool kill_server_process() const {
        const int process = ::PQbackendPID(connection_);
        return process > 0 && ::kill(process, SIGKILL) == 0;
    }
    /// The first value of an answer; the error's SQLSTATE if there is one.
    [[nodiscard]] std::string value(const std::string& text) const {
        PGresult* const result = ::PQexec(connection_, text.c_str());
        const char* const state = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
        std::string answer;
        if (state != nullptr)
            answer = state;
        else if (::PQntuples(result) != 0)
            answer = ::PQgetvalue(result, 0, 0);
        ::PQclear(result);
        return answer;
    }

private:
    PGconn* connection_;
};

class a_queue : public ::testing::Test {
protected:
    void SetUp() override {
        if (const auto problem = postgres::private_server::why_not(); !problem.empty())
            GTEST_SKIP() << problem;
        if (!server)
            server = std::make_unique<postgres::private_server>();
        static int made = 0;
        schema_ = "q" + std::to_string(++made);
        started.clear();
        postgres::queue_settings settings;
        settings.session_grace = 200ms;
        settings.restart_grace = 2s;
        muster::run(postgres::init(server->address(), schema_, settings));
    }
    void TearDown() override {
        for (const auto& file : files_)
            std::filesystem::remove(file);
    }

    [[nodiscard]] postgres::executor_options client() const {
        auto options = postgres::executor_options(server->address()).schema(schema_).look_every(50ms);
        return options.on_unserved([](const std::string&, const std::string&) {});
    }
    [[nodiscard]] static std::string socket() { return server->folder() + "/.s.PGSQL.5432"; }
    /// What the queue has, by a condition.
    [[nodiscard]] std::string count_calls(const std::string& condition) const {
        return sql("SELECT count(*) FROM " + schema_ + ".call WHERE " + condition);
    }
    [[nodiscard]] postgres::worker_options worker(std::size_t slots = 4) const {
        return postgres::worker_options(server->address()).schema(schema_).slots(slots).look_every(50ms).lease(5s);
    }
    muster::task_handle<void> start_worker(std::size_t slots = 4) {
        return muster::create_task(postgres::serve(worker(slots), handlers()), "worker");
    }
    std::string new_file() {
        files_.push_back(server->folder() + "/starts." + schema_ + "." + std::to_string(files_.size()));
        return files_.back();
    }
    static std::vector<int> lines_of(const std::string& file) {
        std::vector<int> all;
        std::ifstream in(file);
        for (int n = 0; in >> n;)
            all.push_back(n);
        return all;
    }
    /// As connection::value.
    static std::string sql(const std::string& text, const std::string& role = "postgres") {
        const connection own(role);
        return own.value(text);
    }
    [[nodiscard]] std::string in_schema(std::string text) const {
        for (auto at = text.find('@'); at != std::string::npos; at = text.find('@'))
            text.replace(at, 1, schema_);
        return text;
    }

    std::string schema_;
    std::vector<std::string> files_;
};

struct tally {
    std::size_t values = 0;
    std::size_t died = 0;
    std::size_t other = 0;
};

inline tally count(const muster::outcomes<int>& outcomes) {
    tally t;
    for (std::size_t i = 0; i != outcomes.size(); ++i) {
        if (outcomes[i].succeeded()) {
            EXPECT_EQ(outcomes[i].value(), 2 * static_cast<int>(i));
            ++t.values;
        } else if (outcomes[i].failed_with<postgres::worker_died_error>()) {
            ++t.died;
        } else {
            ++t.other;
            ADD_FAILURE() << i << ": " << (outcomes[i].failed() ? muster::describe(outcomes[i].error()) : "cancelled");
        }
    }
    return t;
}

inline void expect_no_second_start(std::vector<int> starts) {
    std::sort(starts.begin(), starts.end());
    EXPECT_EQ(std::adjacent_find(starts.begin(), starts.end()), starts.end()) << "a call was started twice";
}

inline int worker_main(char** words) {
    auto options = postgres::worker_options(words[2]).schema(words[3]).look_every(50ms);
    options.slots(static_cast<std::size_t>(std::atoi(words[5]))).lease(std::chrono::milliseconds(std::atoi(words[6])));
    try {
        muster::run(
            postgres::serve(options, handlers(words[4])), muster::run_options().interrupt_signals({SIGINT, SIGTERM}));
    } catch (const muster::cancelled_error&) {
        return 0;
    }
    return 1;
}

inline task<> submit_and_write(postgres::executor& queue, int n, call_key key, std::string file) {
    auto call = muster::run_in_executor(queue, submission(note(n)).key(key)).as_task();
    auto outcome = co_await muster::as_outcome(std::move(call));
    write_clock();
    if (outcome.succeeded() && outcome.value() == 2 * n)
        write_line(file, n);
    else if (outcome.failed_with<postgres::worker_died_error>())
        write_line(file, -1 - n);
    else
        std::abort();
}

inline int client_main(char** words) {
    const auto body = [&]() -> task<> {
        auto options = postgres::executor_options(words[2]).schema(words[3]).look_every(50ms).window(40);
        postgres::executor queue(options.on_unserved([](const std::string&, const std::string&) {}));
        std::vector<int> numbers(static_cast<std::size_t>(std::atoi(words[5])));
        std::iota(numbers.begin(), numbers.end(), 0);
        const call_key run(words[6]);
        const auto call = [&](int n) {
            return submit_and_write(queue, n, run.numbered(static_cast<std::uint64_t>(n)), words[4]);
        };
        auto all = muster::map(numbers, call);
        co_await std::move(all);
    };
    muster::run(body());
    return 0;
}

/// The main of these test programs, which are their own workers and clients as well.
inline int queue_test_main(int argc, char** argv) {
    muster::process_pool::serve_if_worker();
    if (argc == 7 && std::strcmp(argv[1], "--worker") == 0)
        return worker_main(argv);
    if (argc == 7 && std::strcmp(argv[1], "--client") == 0)
        return client_main(argv);
    ::testing::InitGoogleTest(&argc, argv);
    const int result = RUN_ALL_TESTS();
    server.reset();
    return result;
}

} // namespace queue_tests

using namespace queue_tests;
