// SPDX-License-Identifier: MIT
/// muster::postgres while its parts are killed, stopped, cut off, filled up and set to another time: every call has one
/// outcome, and none is started twice, counted at the workers and at the clients. Thousands of calls, and as many more
/// disasters: MUSTER_QUEUE_CALLS=5000 build/release/bin/queue_chaos_test.
#include <muster/postgres.hpp>

#include "support/faulty_relay.hpp"
#include "support/queue_fixture.hpp"

#include <sys/mount.h>
#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace {

std::size_t calls_of_test(double otherwise) {
    return static_cast<std::size_t>(soak::from_environment("MUSTER_QUEUE_CALLS", otherwise));
}

/// The processes of a server.
std::vector<pid_t> processes_of(const postgres::private_server& of) {
    std::vector<pid_t> all{of.process()};
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream in(entry.path() / "stat");
        std::string line;
        std::getline(in, line);
        const auto name_end = line.rfind(')');
        if (name_end == std::string::npos || name_end + 4 >= line.size())
            continue;
        if (std::atoi(line.c_str() + name_end + 4) == of.process())
            all.push_back(static_cast<pid_t>(std::atoi(entry.path().filename().c_str())));
    }
    return all;
}

void signal_all(const std::vector<pid_t>& processes, int number) {
    for (const auto p : processes)
        if (p > 0)
            ::kill(p, number);
}

/// Puts a server of this test's own in place of the one that the tests share.
class other_server {
public:
    other_server() { server.swap(shared_); }
    ~other_server() { server.swap(shared_); }
    other_server(const other_server&) = delete;
    other_server& operator=(const other_server&) = delete;

private:
    std::unique_ptr<postgres::private_server> shared_;
};

class environment_variable {
public:
    environment_variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
    ~environment_variable() { ::unsetenv(name_); }
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

private:
    const char* name_;
};

/// A file system of its own of a few megabytes.
class small_disk {
public:
    small_disk() {
        auto name = (std::filesystem::temp_directory_path() / "muster-disk-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("mkdtemp");
        folder_ = name;
        is_there_ = ::mount("muster-test", folder_.c_str(), "tmpfs", 0, "size=120m,mode=0777") == 0;
    }
    ~small_disk() {
        if (is_there_)
            ::umount2(folder_.c_str(), MNT_DETACH);
        std::filesystem::remove(folder_);
    }
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;
    [[nodiscard]] bool is_there() const { return is_there_; }
    [[nodiscard]] const std::string& folder() const { return folder_; }
    void fill() const {
        const int fd = ::open((folder_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const std::string block(1 << 16, 'x');
        std::size_t size = block.size();
        while (size != 0)
            if (::write(fd, block.data(), size) < static_cast<ssize_t>(size))
                size /= 2;
        ::close(fd);
    }
    void empty() const { std::filesystem::remove(folder_ + "/filler"); }

private:
    std::string folder_;
    bool is_there_ = false;
};

const char* library_of_false_time() {
    for (const char* path :
        {"/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"})
        if (std::filesystem::exists(path))
            return path;
    return nullptr;
}

class a_queue_in_chaos : public a_queue {
protected:
    /// Makes calls of `note` with 0, 1, 2 ..., while `disaster(i)` happens `disasters` times, spread over the calls.
    /// Their starts are counted in `file`, or in this process.
    task<tally> make_calls(postgres::executor& queue, std::size_t calls, std::string file, int disasters,
        std::function<task<>(int)> disaster) {
        std::vector<int> numbers(calls);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto call = [&](int n) { return muster::run_in_executor(queue, note(n)).as_task(); };
        tally all;
        const auto settling = [&]() -> task<> {
            auto outcomes = co_await muster::map(numbers, call).settle();
            all = count(outcomes);
        };
        auto settled = muster::create_task(settling(), "calls");
        const auto starts = [&] { return file.empty() ? started.size() : lines_of(file).size(); };
        for (int i = 0; i != disasters; ++i) {
            const auto begun = calls * (static_cast<std::size_t>(i) + 1) / (static_cast<std::size_t>(disasters) + 2);
            co_await until([&] { return starts() > begun || settled.done(); });
            auto striking = disaster(i);
            co_await std::move(striking);
        }
        auto ending = end_of(settled);
        co_await std::move(ending);
        EXPECT_EQ(all.values + all.died, calls);
        EXPECT_GE(starts(), all.values);
        expect_no_second_start(file.empty() ? started : lines_of(file));
        EXPECT_EQ(count_calls("state <> 2"), "0");
        RecordProperty("died", static_cast<int>(all.died));
        co_return all;
    }

    /// Makes calls from a client and at a worker that reach the server through relays with such faults. *Returns* how
    /// often the relays have cut a connection.
    std::size_t make_calls_through(
        std::size_t calls, const faulty_relay::faults& for_client, const faulty_relay::faults& for_worker) {
        const faulty_relay of_client(socket(), for_client);
        const faulty_relay of_worker(socket(), for_worker);
        const auto body = [&]() -> task<> {
            auto served =
                postgres::worker_options(of_worker.address()).schema(schema_).slots(8).look_every(50ms).lease(5s);
            auto serving = muster::create_task(postgres::serve(served, handlers()), "worker");
            auto options = postgres::executor_options(of_client.address()).schema(schema_).look_every(50ms).window(40);
            postgres::executor queue(options.on_unserved([](const std::string&, const std::string&) {}));
            auto making = make_calls(queue, calls, {}, 0, {});
            static_cast<void>(co_await std::move(making));
            auto stopping = stop(serving);
            co_await std::move(stopping);
        };
        muster::run(body());
        return of_client.cuts() + of_worker.cuts();
    }

    [[nodiscard]] static int disasters_of(std::size_t calls) { return std::max(2, static_cast<int>(calls / 200)); }
};

} // namespace

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_workers_and_the_server_are_killed) {
    const auto file = new_file();
    const auto calls = calls_of_test(400);
    const auto body = [&]() -> task<> {
        auto first = std::make_unique<worker_process>(schema_, file, 8);
        worker_process second(schema_, file, 8);
        postgres::executor queue(client().window(60));
        const auto strike = [&](int i) -> task<> {
            if (i % 2 == 0) {
                first->end(SIGKILL);
                first = std::make_unique<worker_process>(schema_, file, 8);
            } else {
                server->kill();
                server->start();
            }
            co_return;
        };
        auto making = make_calls(queue, calls, file, disasters_of(calls), strike);
        static_cast<void>(co_await std::move(making));
    };
    muster::run(body());
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_processes_of_the_server_are_killed) {
    const auto file = new_file();
    const auto calls = calls_of_test(200);
    const auto body = [&]() -> task<> {
        worker_process first(schema_, file, 8);
        worker_process second(schema_, file, 8);
        postgres::executor queue(client().window(60));
        const auto strike = [&](int) -> task<> {
            // While the server comes back from the last time, there is none to be had.
            bool is_done = false;
            co_await until([&] { return is_done = is_done || connection().kill_server_process(); });
        };
        auto making = make_calls(queue, calls, file, disasters_of(calls), strike);
        static_cast<void>(co_await std::move(making));
    };
    muster::run(body());
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_workers_and_the_server_are_stopped_past_the_lease) {
    const auto file = new_file();
    const auto calls = calls_of_test(300);
    const auto body = [&]() -> task<> {
        worker_process first(schema_, file, 8, 800ms);
        worker_process second(schema_, file, 8, 800ms);
        postgres::executor queue(client().window(60));
        const auto strike = [&](int i) -> task<> {
            const auto stopped = i % 2 == 0 ? std::vector<pid_t>{first.process()} : processes_of(*server);
            signal_all(stopped, SIGSTOP);
            if (i % 2 == 0)
                co_await until(
                    [&] { return sql(in_schema("SELECT count(*) > 0 FROM @.worker WHERE why = 'lease'")) == "t"; });
            else
                co_await muster::sleep_for(1200ms);
            signal_all(stopped, SIGCONT);
        };
        auto making = make_calls(queue, calls, file, disasters_of(calls), strike);
        static_cast<void>(co_await std::move(making));
    };
    muster::run(body());
}

TEST_F(a_queue_in_chaos, gives_each_call_one_outcome_when_its_client_is_stopped_and_killed) {
    const auto starts = new_file();
    const auto outcomes = new_file();
    const auto calls = calls_of_test(300);
    const auto run = call_key::make();
    const auto body = [&]() -> task<> {
        worker_process first(schema_, starts, 8);
        auto submitting = std::make_unique<client_process>(schema_, outcomes, calls, run);
        const int disasters = disasters_of(calls);
        for (int i = 0; i != disasters; ++i) {
            const auto begun = calls * (static_cast<std::size_t>(i) + 1) / (static_cast<std::size_t>(disasters) + 2);
            co_await until([&] { return lines_of(starts).size() > begun; });
            if (i % 2 == 0) {
                submitting->end(SIGKILL);
                submitting = std::make_unique<client_process>(schema_, outcomes, calls, run);
            } else {
                submitting->signal(SIGSTOP);
                co_await muster::sleep_for(1s);
                submitting->signal(SIGCONT);
            }
        }
        co_await until([&] { return submitting->has_ended(); });
        const int status = submitting->wait();
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
        const auto all = lines_of(outcomes);
        const std::set<int> different(all.begin(), all.end());
        EXPECT_EQ(different.size(), calls) << "a call has no outcome, or two";
        EXPECT_EQ(lines_of(starts).size(), calls);
        expect_no_second_start(lines_of(starts));
    };
    muster::run(body());
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_connections_are_cut_at_any_byte) {
    const auto calls = calls_of_test(300);
    faulty_relay::faults of_client;
    of_client.cut_after = 3000;
    of_client.factor = calls > 1000 ? 1.1 : 1.6;
    auto of_worker = of_client;
    of_worker.cut_after = 4000;
    EXPECT_GT(make_calls_through(calls, of_client, of_worker), 3u);
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_connections_are_slow_and_doubled_and_cut) {
    faulty_relay::faults many;
    many.delay = 3ms;
    many.duplicates = true;
    many.cut_after = 20'000;
    many.factor = 1.5;
    EXPECT_GT(make_calls_through(calls_of_test(200), many, many), 0u);
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_the_disk_is_full) {
    const small_disk disk;
    if (!disk.is_there())
        GTEST_SKIP() << "a small file system can only be made by a user who may mount one";
    const other_server in_its_place;
    {
        const environment_variable there("TMPDIR", disk.folder());
        server = std::make_unique<postgres::private_server>();
    }
    muster::run(postgres::init(server->address(), schema_));
    // The starts are counted where there is room for them.
    const auto calls = calls_of_test(300);
    const auto body = [&]() -> task<> {
        auto serving = start_worker(8);
        postgres::executor queue(client().window(60));
        const auto strike = [&](int) -> task<> {
            disk.fill();
            const auto grow = "CREATE TEMP TABLE grown AS SELECT repeat('x', 8000) FROM generate_series(1, 2000)";
            // It has no room, or is gone.
            co_await until([&] { return sql(grow) != "" || sql("SELECT 1") != "1"; });
            co_await muster::sleep_for(300ms);
            disk.empty();
            server->start();
        };
        auto making = make_calls(queue, calls, {}, disasters_of(calls), strike);
        static_cast<void>(co_await std::move(making));
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    server.reset();
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_the_clock_of_the_server_is_set) {
    const auto* const library = library_of_false_time();
    if (library == nullptr)
        GTEST_SKIP() << "there is no library that sets a process's clock (Debian: libfaketime)";
    const auto clock = new_file();
    const auto set = [&](const char* offset) { std::ofstream(clock) << offset << "\n"; };
    set("+0s");
    const other_server in_its_place;
    server = std::make_unique<postgres::private_server>(std::vector<std::string>{},
        std::vector<std::string>{"env", std::string("LD_PRELOAD=") + library, "FAKETIME_TIMESTAMP_FILE=" + clock,
            "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"});
    muster::run(postgres::init(server->address(), schema_));
    const auto calls = calls_of_test(300);
    const auto body = [&]() -> task<> {
        auto serving = start_worker(8);
        postgres::executor queue(client().window(60));
        const auto strike = [&](int i) -> task<> {
            static constexpr std::array<const char*, 6> offsets{
                "+3600s", "-3600s", "-3593s", "-3600s", "+36000s", "-40s"};
            const auto before = sql("SELECT extract(epoch FROM clock_timestamp())::bigint");
            set(offsets[static_cast<std::size_t>(i) % offsets.size()]);
            co_await until([&] {
                const auto now = sql("SELECT extract(epoch FROM clock_timestamp())::bigint");
                return std::abs(std::atol(now.c_str()) - std::atol(before.c_str())) > 3;
            });
        };
        auto making = make_calls(queue, calls, {}, std::max(6, disasters_of(calls)), strike);
        const auto all = co_await std::move(making);
        EXPECT_EQ(all.died, 0u) << "a worker was taken for dead because of the clock";
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
    server.reset();
}

TEST_F(a_queue_in_chaos, accounts_for_every_call_when_the_clocks_of_clients_and_workers_are_set) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
    GTEST_SKIP() << "a sanitizer's runtime has functions of its own for the clock";
#endif
    const std::array<std::string, 2> clocks{new_file(), new_file()};
    const std::array<std::string, 2> seen{new_file(), new_file()};
    const auto set = [&](std::size_t whose, const char* offset) { std::ofstream(clocks[whose]) << offset << "\n"; };
    const auto with_clock = [&](std::size_t whose, auto make) {
        set(whose, "0");
        const environment_variable file("MUSTER_TEST_CLOCK", clocks[whose]);
        const environment_variable noted(file_of_clocks, seen[whose]);
        return make();
    };
    const auto starts = new_file();
    const auto outcomes = new_file();
    const auto calls = calls_of_test(300);
    const auto body = [&]() -> task<> {
        const auto first = with_clock(0, [&] { return std::make_unique<worker_process>(schema_, starts, 8); });
        const auto second = with_clock(0, [&] { return std::make_unique<worker_process>(schema_, starts, 8); });
        const auto submitting =
            with_clock(1, [&] { return std::make_unique<client_process>(schema_, outcomes, calls, call_key::make()); });
        static constexpr std::array<const char*, 6> offsets{"3600", "-3600", "-3593", "-3600", "36000", "-40"};
        const int disasters = std::max(8, disasters_of(calls));
        for (int i = 0; i != disasters; ++i) {
            const auto begun = calls * (static_cast<std::size_t>(i) + 1) / (static_cast<std::size_t>(disasters) + 2);
            co_await until([&] { return lines_of(starts).size() > begun; });
            set(static_cast<std::size_t>(i) % 2, offsets[static_cast<std::size_t>(i) / 2 % offsets.size()]);
        }
        co_await until([&] { return submitting->has_ended(); });
        const int status = submitting->wait();
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
        const auto all = lines_of(outcomes);
        const std::set<int> different(all.begin(), all.end());
        EXPECT_EQ(different.size(), calls) << "a call has no outcome, or two";
        EXPECT_GE(*different.begin(), 0) << "a worker was taken for dead because of a clock";
        EXPECT_EQ(lines_of(starts).size(), calls);
        expect_no_second_start(lines_of(starts));
        for (const auto& file : seen) {
            const auto times = lines_of(file);
            EXPECT_FALSE(times.empty());
            if (times.empty())
                continue;
            const auto [least, most] = std::ranges::minmax(times);
            EXPECT_GT(most - least, 3600) << "this clock was not set";
        }
    };
    muster::run(body());
}

int main(int argc, char** argv) { return queue_test_main(argc, argv); }
