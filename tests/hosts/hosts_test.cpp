// SPDX-License-Identifier: MIT
/// muster::hosts against agents: one in this process, over a pair of sockets, and this program itself, started by a
/// launcher as `hosts_test --agent`.
#include <muster/gather.hpp>
#include <muster/hosts.hpp>
#include <muster/hosts/host_set.hpp>
#include <muster/io/pipe.hpp>
#include <muster/run.hpp>
#include <muster/shield.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include "hosts/frames.hpp"
#include "hosts/this_host.hpp"
#include "support/own_resources.hpp"
#include "support/stdio_relay.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

using namespace std::chrono_literals;
using muster::command;
using muster::task;
namespace hosts = muster::hosts;
using hosts::begun;
using hosts::frame_type;

namespace {

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

hosts::host_options here(const std::string& name = "here") {
    return hosts::host_options(name).launcher({"env"}).agent({own_path(), "--agent"});
}

/// What a launcher does before it becomes the agent: "$@" is the agent's command.
hosts::host_options by_shell(const std::string& script) {
    return hosts::host_options("shell").launcher({"sh", "-c", script, "sh"}).agent({own_path(), "--agent"});
}

/// The agent's output passes through a relay that ends after so many bytes.
hosts::host_options cut_after(int bytes) {
    return hosts::host_options("relay")
        .launcher(
            {"bash", "-c", "exec \"$@\" > >(exec dd bs=1 count=" + std::to_string(bytes) + " 2>/dev/null)", "bash"})
        .agent({own_path(), "--agent"});
}

/// What the agent and its client say is late by up to so many milliseconds, and cut off after so many bytes, if not 0.
hosts::host_options relayed(int late_by, int cut_at) {
    return hosts::host_options("relay")
        .launcher({own_path(), "--relay", std::to_string(late_by), std::to_string(cut_at)})
        .agent({own_path(), "--agent"});
}

hosts::host_options without_launcher() { return hosts::host_options("x").launcher({"no-such-launcher"}); }

template <class... Options>
std::vector<hosts::host_options> list_of(Options... options) {
    return {std::move(options)...};
}

template <class Body>
void run_it(Body body) {
    // The first loop that starts a process makes what the whole program keeps.
    static const bool warmed_up = (muster::run(muster::run_command(command("true"))), true);
    static_cast<void>(warmed_up);
    const auto descriptors = own_resources::open_descriptors();
    const auto children = own_resources::children();
    muster::run(body());
    EXPECT_EQ(own_resources::open_descriptors(), descriptors);
    EXPECT_EQ(own_resources::children(), children);
}

/// Waits for a condition that another process brings about.
template <class Condition>
task<bool> soon(Condition holds) {
    for (int i = 0; i != 2000; ++i) {
        if (holds())
            co_return true;
        co_await muster::sleep_for(10ms);
    }
    co_return false;
}

bool is_alive(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto end = text.rfind(')');
    return end != std::string::npos && text[end + 2] != 'Z' && text[end + 2] != 'X';
}

/// A process that got SIGKILL is there until the system has come to it.
task<> expect_gone(std::vector<std::string> pids) {
    for (const auto& pid : pids) {
        const auto number = std::stoi(pid);
        auto gone = co_await soon([number] { return !is_alive(number); });
        EXPECT_TRUE(gone) << pid;
    }
}

template <class T>
task<std::string> problem_of(task<T> t) {
    auto ended = co_await muster::as_outcome(std::move(t));
    co_return ended.failed() ? muster::describe(ended.error()) : muster::to_string(ended);
}

class folder {
public:
    folder() {
        std::string name = (std::filesystem::temp_directory_path() / "hosts_test.XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + '/' + name; }

private:
    std::string path_;
};

std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);)
        all.push_back(line);
    return all;
}

/// A pair of sockets, each end as two streams.
struct wire {
    wire() : wire(made()) {}
    muster::io::stream agent_in;
    muster::io::stream agent_out;
    muster::io::stream client_in;
    muster::io::stream client_out;

private:
    static std::array<int, 4> made() {
        std::array<int, 2> up{};
        std::array<int, 2> down{};
        if (::pipe(up.data()) != 0 || ::pipe(down.data()) != 0)
            throw std::runtime_error("no pipe");
        return {up[0], down[1], down[0], up[1]};
    }
    explicit wire(const std::array<int, 4>& fds)
        : agent_in(muster::io::stream::adopt(fds[0])),
          agent_out(muster::io::stream::adopt(fds[1])),
          client_in(muster::io::stream::adopt(fds[2])),
          client_out(muster::io::stream::adopt(fds[3])) {}
};

/// Runs the body with a connection to an agent in this process.
template <class Body>
task<> with_agent_in_process(Body body) {
    wire w;
    auto serving = muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
    auto host = co_await hosts::connect_over(std::move(w.client_in), std::move(w.client_out), here());
    auto running = body(host);
    co_await std::move(running);
    co_await host.close();
    co_await serving;
}

/// An agent that a test plays itself: it has greeted, and writes what the test says.
class played_agent {
public:
    explicit played_agent(wire& w) : in_(w.agent_in), out_(std::move(w.agent_out)) {}
    task<> greet() {
        co_await out_.write(
            "motd\n" + std::string(hosts::magic) + hosts::to_bytes(frame_type::hello, hosts::hello_of_this_host()));
        auto words = co_await in_.read_exactly(hosts::magic.size());
        EXPECT_EQ(words, hosts::magic);
    }
    /// *Returns* the next frame of this type.
    task<std::string> await_frame(frame_type type) {
        for (;;) {
            while (auto f = parser_.next()) {
                if (f->type == type)
                    co_return f->payload;
            }
            auto bytes = co_await in_.read_some();
            if (bytes.empty())
                throw std::runtime_error("the client has gone");
            parser_.take(bytes);
        }
    }
    task<> say(frame_type type, std::string payload) { return out_.write(hosts::to_bytes(type, payload)); }
    task<> say_bytes(std::string bytes) { return out_.write(std::move(bytes)); }
    void hang_up() { out_.close(); }

private:
    muster::io::reader in_;
    muster::io::stream out_;
    hosts::frame_parser parser_;
};

std::string number(std::uint64_t id) { return hosts::payload_writer().number64(id).take(); }

} // namespace

// ---- what a command is and how it ends ----

/// *Returns* a connection over the wire, once the agent that the test plays has greeted.
task<hosts::connection> connect_to(wire& w, played_agent& agent, hosts::host_options options) {
    auto connecting = muster::create_task(
        hosts::connect_over(std::move(w.client_in), std::move(w.client_out), std::move(options)), "connect");
    co_await agent.greet();
    auto host = co_await std::move(connecting);
    co_return host;
}

TEST(hosts, run_a_command_with_all_that_it_describes) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            EXPECT_EQ(host.host(), "here");
            EXPECT_GE(host.facts().processors, 1u);
            pid_t pid = 0;
            auto what = command::shell("pwd; echo \"$A$B\"; cat; echo \"$1\" >&2").arg("to err").env("A", "1");
            what.directory("/usr").stdin_bytes("typed\n").on_start([&pid](pid_t p) { pid = p; });
            auto done = co_await host.run(std::move(what));
            EXPECT_EQ(done.out, "/usr\n1\ntyped\n");
            EXPECT_EQ(done.err, "to err\n");
            EXPECT_EQ(done.status, 0);
            EXPECT_EQ(done.pid, pid);
            EXPECT_GT(pid, 0);
            EXPECT_EQ(done.out_bytes, 13u);
            EXPECT_GT(done.duration.count(), 0);
            EXPECT_EQ(host.running(), 0u);
        });
    });
}

TEST(hosts, give_the_exit_status_of_the_command_and_its_signal) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            constexpr std::array<int, 4> statuses{1, 126, 127, 255};
            for (const int status : statuses) {
                auto done = co_await host.run(command::shell("exit " + std::to_string(status)));
                EXPECT_EQ(done.status, status);
                EXPECT_THROW(done.throw_if_failed(), muster::exit_error);
            }
            auto killed = co_await host.run(command::shell("kill -9 $$"));
            EXPECT_EQ(killed.signal, SIGKILL);
            EXPECT_EQ(killed.status, -1);
        });
    });
}

TEST(hosts, say_that_there_is_no_such_program_as_here) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            const auto here_problem = co_await problem_of(muster::run_command(command("no-such-program", "x")));
            const auto there = co_await problem_of(host.run(command("no-such-program", "x")));
            EXPECT_EQ(there, here_problem);
            const auto folder = co_await problem_of(host.run(command("true").directory("/no/such")));
            const auto here_folder = co_await problem_of(muster::run_command(command("true").directory("/no/such")));
            EXPECT_EQ(folder, here_folder);
        });
    });
}

TEST(hosts, pass_input_and_output_of_many_megabytes) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            std::string input(5'000'000, '\0');
            for (std::size_t i = 0; i != input.size(); ++i)
                input[i] = static_cast<char>(i * 7 % 251);
            auto done = co_await host.run(command("cat").stdin_bytes(input));
            EXPECT_TRUE(done.out == input);
        });
    });
}

TEST(hosts, do_not_let_a_loud_command_keep_the_others_waiting) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            std::uint64_t bytes = 0;
            auto loud = command("yes").stdout_to([&bytes](std::string_view piece) { bytes += piece.size(); });
            auto roaring = muster::create_task(host.run(std::move(loud)), "loud");
            for (int i = 0; i != 20; ++i) {
                auto done = co_await host.run(command("echo", "quiet"));
                EXPECT_EQ(done.out, "quiet\n");
            }
            auto heard = co_await soon([&bytes] { return bytes > 10'000'000; });
            EXPECT_TRUE(heard);
            roaring.cancel();
            const auto end = co_await problem_of([](auto h) -> task<> { co_await h; }(roaring));
            EXPECT_TRUE(roaring.cancelled()) << end;
        });
    });
}

TEST(hosts, hold_limits_of_output_and_failures_of_sinks_as_here) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            const auto much = co_await problem_of(host.run(command("yes").output_limit(100'000)));
            EXPECT_NE(much.find("output_limit_error"), std::string::npos) << much;
            auto full = command("yes").stdout_to([](std::string_view) { throw std::runtime_error("disk full"); });
            const auto sink = co_await problem_of(host.run(std::move(full)));
            EXPECT_EQ(sink, "std::runtime_error: disk full");
            auto tail = co_await host.run(command::shell("seq 100000").keep_tail(7));
            EXPECT_EQ(tail.out, "100000\n");
        });
    });
}

TEST(hosts, refuse_what_can_not_lead_to_another_host) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            auto inherited = command("cat").stdin_inherit();
            auto piped = command("cat").stdin_pipe();
            auto out = command("cat").stdout_to(muster::output::inherit);
            auto open = command("cat").on_open_output([](int, int) {});
            std::vector<command> all;
            for (const auto* what : {&inherited, &piped, &out, &open})
                all.push_back(*what);
            for (const auto& what : all) {
                const auto problem = co_await problem_of(host.run(what));
                EXPECT_NE(problem.find("invalid_argument"), std::string::npos) << problem;
            }
        });
    });
}

TEST(hosts, wait_no_longer_than_the_linger_time_for_what_a_command_left_behind) {
    run_it([]() -> task<> {
        const folder f;
        const auto pid_file = f.file("pid");
        co_await with_agent_in_process([&](hosts::connection& host) -> task<> {
            auto done = co_await host.run(command::shell("sleep 1000 & echo $! > \"$1\"; echo said").arg(pid_file));
            EXPECT_EQ(done.out, "said\n");
            EXPECT_FALSE(done.output_ended);
            auto later = co_await host.run(command::shell("(sleep 0.2; echo late) & echo said").linger(20s));
            EXPECT_EQ(later.out, "said\nlate\n");
            EXPECT_TRUE(later.output_ended);
        });
        ::kill(std::stoi(lines_of(pid_file).at(0)), SIGKILL);
    });
}

// ---- cancellation ----

TEST(hosts, end_a_cancelled_command_and_what_it_has_started_there) {
    run_it([]() -> task<> {
        const folder f;
        const auto pids = f.file("pids");
        co_await with_agent_in_process([&](hosts::connection& host) -> task<> {
            auto what =
                command::shell("trap '' TERM; sleep 1000 & echo $$ > \"$1\"; echo $! >> \"$1\"; wait; wait").arg(pids);
            auto running = muster::create_task(host.run(std::move(what.grace(50ms))), "cancelled");
            auto begun = co_await soon([&] { return lines_of(pids).size() == 2; });
            EXPECT_TRUE(begun);
            running.cancel();
            const auto end = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
            EXPECT_TRUE(running.cancelled()) << end;
            co_await expect_gone(lines_of(pids));
            auto done = co_await host.run(command("true"));
            EXPECT_EQ(done.status, 0);
        });
    });
}

TEST(hosts, never_begin_a_command_that_was_cancelled_before_it_could) {
    run_it([]() -> task<> {
        const folder f;
        const auto file = f.file("begun");
        co_await with_agent_in_process([&](hosts::connection& host) -> task<> {
            for (int i = 0; i != 20; ++i) {
                auto running = muster::create_task(host.run(command("touch", file)), "early");
                co_await muster::yield();
                running.cancel();
                static_cast<void>(co_await problem_of([](auto h) -> task<> { co_await h; }(running)));
                EXPECT_TRUE(running.cancelled());
            }
            // At whatever step of the way a command is cancelled, the connection goes on.
            for (int steps = 1; steps != 30; ++steps) {
                auto running = muster::create_task(host.run(command("true")), "early");
                for (int i = 0; i != steps; ++i)
                    co_await muster::yield();
                running.cancel();
                static_cast<void>(co_await problem_of([](auto h) -> task<> { co_await h; }(running)));
            }
            auto done = co_await host.run(command("echo", "on"));
            EXPECT_EQ(done.out, "on\n");
            EXPECT_EQ(host.running(), 0u);
        });
        EXPECT_FALSE(std::filesystem::exists(file));
    });
}

// ---- the connection ----

TEST(hosts, know_which_command_had_begun_when_the_connection_ends_at_each_step) {
    struct row {
        int steps; ///< of ready, started, output
        begun expected;
    };
    for (const row r : {row{0, begun::no}, row{1, begun::unknown}, row{2, begun::yes}, row{3, begun::yes}}) {
        run_it([r]() -> task<> {
            wire w;
            played_agent agent(w);
            auto connecting = connect_to(w, agent, here());
            auto host = co_await std::move(connecting);
            auto running = muster::create_task(host.run(command("true")), "command");
            static_cast<void>(co_await agent.await_frame(frame_type::part));
            if (r.steps >= 1) {
                co_await agent.say(frame_type::ready, number(1));
                static_cast<void>(co_await agent.await_frame(frame_type::go));
            }
            if (r.steps >= 2)
                co_await agent.say(frame_type::started, hosts::payload_writer().number64(1).number32(99).take());
            if (r.steps >= 3)
                co_await agent.say(frame_type::output, hosts::payload_writer().number64(1).number8(1).rest("x").take());
            agent.hang_up();
            auto ended = co_await muster::as_outcome([](auto h) -> task<> { co_await h; }(running));
            const auto* lost = ended.error_as<hosts::host_lost_error>();
            EXPECT_NE(lost, nullptr) << muster::to_string(ended);
            if (lost != nullptr) {
                EXPECT_EQ(lost->begun(), r.expected) << r.steps;
                EXPECT_EQ(lost->host(), "here");
            }
            EXPECT_FALSE(host.is_open());
            const auto after = co_await problem_of(host.run(command("true")));
            EXPECT_NE(after.find("had not begun"), std::string::npos) << after;
            co_await host.close();
        });
    }
}

TEST(hosts, give_up_an_agent_that_sends_what_it_must_not) {
    const auto output_early = hosts::payload_writer().number64(1).number8(1).rest("x").take();
    // What a command needs until it has begun, as far as the agent says it: the client has sent "go" meanwhile or not.
    const auto ready = hosts::to_bytes(frame_type::ready, number(1));
    const auto started = hosts::to_bytes(frame_type::started, hosts::payload_writer().number64(1).number32(1).take());
    hosts::remote_end fine;
    fine.process.status = 0;
    auto of_another_kind = hosts::payload_of(1, fine);
    of_another_kind[8] = 9;
    const auto hello = hosts::to_bytes(frame_type::hello, hosts::hello_of_this_host());
    const std::vector<std::string> all = {ready + ready + started,
        ready + hosts::to_bytes(frame_type::refused, number(1)),
        ready + hosts::to_bytes(frame_type::ended, hosts::payload_of(1, fine)),
        hosts::to_bytes(frame_type::ended, of_another_kind),
        hosts::to_bytes(frame_type::ended, hosts::payload_of(1, fine) + "more"),
        hosts::to_bytes(frame_type::ended, hosts::payload_of(2, fine)), hosts::to_bytes(frame_type::started, number(1)),
        hosts::to_bytes(frame_type::ready, "short"), hosts::to_bytes(frame_type::refused, ""),
        hosts::to_bytes(frame_type::output, number(1)), hello, std::string(hosts::magic),
        hosts::to_bytes(frame_type::submit, number(1)), hosts::to_bytes(frame_type::pool_hello, ""),
        hosts::to_bytes(frame_type::worker_data, number(1)),
        hosts::to_bytes(frame_type::pong, hosts::payload_writer().number64(1).number32(2).text("9").take()),
        hosts::payload_writer().number8(23).number32(0x7fffffff).take(), std::string(1, '\0'),

        hosts::to_bytes(frame_type::started, hosts::payload_writer().number64(1).number32(1).take()),
        hosts::to_bytes(frame_type::output, output_early), hosts::to_bytes(frame_type::go, number(1)),
        hosts::to_bytes(frame_type::ended, number(1)), hosts::to_bytes(frame_type::ended, number(77)),
        std::string(5, '\xff'),
        hosts::to_bytes(frame_type::ready, number(1)) + hosts::to_bytes(frame_type::ready, number(1)),
        hosts::to_bytes(frame_type::pong, number(1))};
    for (const auto& bytes : all) {
        run_it([&bytes]() -> task<> {
            wire w;
            played_agent agent(w);
            auto connecting = connect_to(w, agent, here());
            auto host = co_await std::move(connecting);
            auto running = muster::create_task(host.run(command("true")), "command");
            static_cast<void>(co_await agent.await_frame(frame_type::part));
            co_await agent.say_bytes(bytes);
            auto ended = co_await muster::as_outcome([](auto h) -> task<> { co_await h; }(running));
            EXPECT_NE(ended.error_as<hosts::host_lost_error>(), nullptr) << muster::to_string(ended);
            EXPECT_NE(host.why_lost().find("it sent"), std::string::npos) << host.why_lost();
            co_await host.close();
        });
    }
}

TEST(hosts, take_a_peer_that_says_nothing_for_lost) {
    run_it([]() -> task<> {
        wire w;
        played_agent agent(w);
        auto connecting = connect_to(w, agent, here().silence_limit(100ms));
        auto host = co_await std::move(connecting);
        const auto problem = co_await problem_of(host.run(command("true")));
        EXPECT_NE(problem.find("it was silent for 0.1 s; the command had not begun"), std::string::npos) << problem;
        co_await host.close();
    });
}

TEST(hosts, that_are_lost_while_standard_input_is_sent_end_the_command) {
    run_it([]() -> task<> {
        wire w;
        played_agent agent(w);
        auto connecting = connect_to(w, agent, here());
        auto host = co_await std::move(connecting);
        auto running = muster::create_task(host.run(command("cat").stdin_bytes(std::string(10 << 20, 'x'))), "command");
        // The agent has read the beginning, and reads no more.
        static_cast<void>(co_await agent.await_frame(frame_type::part));
        for (int i = 0; i != 100; ++i)
            co_await muster::yield();
        agent.hang_up();
        auto ended = co_await muster::as_outcome([](auto h) -> task<> { co_await h; }(running));
        const auto* lost = ended.error_as<hosts::host_lost_error>();
        EXPECT_NE(lost, nullptr) << muster::to_string(ended);
        EXPECT_TRUE(lost == nullptr || lost->begun() == begun::no);
        co_await host.close();
    });
}

TEST(hosts, whose_agent_leaves_are_not_told_to_begin_a_command) {
    run_it([]() -> task<> {
        wire w;
        played_agent agent(w);
        auto connecting = connect_to(w, agent, here());
        auto host = co_await std::move(connecting);
        auto running = muster::create_task(host.run(command("true")), "command");
        static_cast<void>(co_await agent.await_frame(frame_type::part));
        co_await agent.say_bytes(
            hosts::to_bytes(frame_type::leaving, "bye") + hosts::to_bytes(frame_type::ready, number(1)));
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
        EXPECT_NE(problem.find("its agent ended: bye; the command had not begun there"), std::string::npos) << problem;
        co_await host.close();
        const auto end = co_await problem_of(agent.await_frame(frame_type::go));
        EXPECT_NE(end.find("the client has gone"), std::string::npos) << end;
    });
}

TEST(hosts, that_end_one_cancelled_command_late_lose_no_other) {
    run_it([]() -> task<> {
        wire w;
        played_agent agent(w);
        auto connecting = connect_to(w, agent, here().silence_limit(400ms));
        auto host = co_await std::move(connecting);
        auto beating = muster::create_task(
            [](played_agent& a) -> task<> {
                for (;;) {
                    co_await a.say(frame_type::beat, {});
                    co_await muster::sleep_for(20ms);
                }
            }(agent),
            "beats");
        const auto begin = [&](std::uint64_t id) -> task<> {
            static_cast<void>(co_await agent.await_frame(frame_type::part));
            co_await agent.say(frame_type::ready, number(id));
            static_cast<void>(co_await agent.await_frame(frame_type::go));
            co_await agent.say(frame_type::started, hosts::payload_writer().number64(id).number32(99).take());
        };
        auto first = muster::create_task(host.run(command("true").grace(0ns)), "first");
        co_await begin(1);
        auto second = muster::create_task(host.run(command("true")), "second");
        co_await begin(2);
        first.cancel();
        static_cast<void>(co_await agent.await_frame(frame_type::cancel));
        const auto end = co_await problem_of([](auto h) -> task<> { co_await h; }(first));
        EXPECT_TRUE(first.cancelled()) << end;
        EXPECT_TRUE(host.is_open()) << host.why_lost();
        // What the agent still says of the first is passed over.
        hosts::remote_end ended;
        ended.process.status = 0;
        co_await agent.say(frame_type::output, hosts::payload_writer().number64(1).number8(1).rest("late").take());
        co_await agent.say(frame_type::ended, hosts::payload_of(1, ended));
        co_await agent.say(frame_type::ended, hosts::payload_of(2, ended));
        const auto other = co_await problem_of([](auto h) -> task<> { co_await h; }(second));
        EXPECT_FALSE(second.cancelled()) << other;
        EXPECT_TRUE(host.is_open()) << other << host.why_lost();
        beating.cancel();
        static_cast<void>(co_await problem_of([](auto h) -> task<> { co_await h; }(beating)));
        co_await host.close();
    });
}

TEST(hosts, answer_a_ping) {
    run_it([]() -> task<> {
        co_await with_agent_in_process([](hosts::connection& host) -> task<> {
            auto took = co_await host.ping();
            EXPECT_GT(took.count(), 0);
        });
    });
}

// ---- the agent ----

TEST(agents, outlive_a_command_whose_process_was_taken_from_them) {
    run_it([]() -> task<> {
        const folder f;
        const auto file = f.file("pid");
        co_await with_agent_in_process([&](hosts::connection& host) -> task<> {
            pid_t pid = 0;
            // The one that is left behind keeps the output open, and writes to it.
            auto what = command::shell("(while :; do echo on; sleep 0.01; done) & echo $! > \"$1\"; wait").arg(file);
            what.on_start([&pid](pid_t p) { pid = p; });
            auto running = muster::create_task(host.run(std::move(what)), "taken");
            auto begun = co_await soon([&] { return pid != 0 && lines_of(file).size() == 1; });
            EXPECT_TRUE(begun);
            // The loop has not run between the end of the process and this, so the agent finds nothing to wait for.
            ::kill(pid, SIGKILL);
            EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
            const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
            EXPECT_NE(problem.find("could not run it to its end"), std::string::npos) << problem;
            for (int i = 0; i != 5; ++i) {
                auto done = co_await host.run(command("echo", "on"));
                EXPECT_EQ(done.out, "on\n");
            }
        });
        ::kill(std::stoi(lines_of(file).at(0)), SIGKILL);
    });
}

TEST(agents, do_not_linger_for_what_a_cancelled_command_left_behind) {
    run_it([]() -> task<> {
        const folder f;
        const auto file = f.file("pid");
        co_await with_agent_in_process([&](hosts::connection& host) -> task<> {
            auto what = command::shell("setsid sleep 1000 & echo $! > \"$1\"; exec sleep 1000").arg(file);
            auto running = muster::create_task(host.run(std::move(what.linger(1h).grace(50ms))), "cancelled");
            auto begun = co_await soon([&] { return lines_of(file).size() == 1; });
            EXPECT_TRUE(begun);
            running.cancel();
            const auto end = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
            EXPECT_TRUE(running.cancelled()) << end;
            EXPECT_TRUE(host.is_open()) << host.why_lost();
        });
        ::kill(std::stoi(lines_of(file).at(0)), SIGKILL);
    });
}

TEST(agents, end_what_they_have_started_when_the_connection_ends) {
    run_it([]() -> task<> {
        const folder f;
        const auto pids = f.file("pids");
        wire w;
        auto serving = muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
        auto host = co_await hosts::connect_over(std::move(w.client_in), std::move(w.client_out), here());
        pid_t first = 0;
        auto what = command::shell("sleep 1000 & echo $$ > \"$1\"; echo $! >> \"$1\"; wait").arg(pids);
        what.on_start([&first](pid_t p) { first = p; });
        auto running = muster::create_task(host.run(std::move(what)), "long");
        auto begun = co_await soon([&] { return first != 0 && lines_of(pids).size() == 2; });
        EXPECT_TRUE(begun);
        co_await host.close();
        co_await serving;
        co_await expect_gone(lines_of(pids));
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
        EXPECT_NE(problem.find("the connection was closed; the command had begun"), std::string::npos) << problem;
    });
}

TEST(agents, end_what_they_have_started_when_they_are_told_to_end) {
    run_it([]() -> task<> {
        wire w;
        auto serving = muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
        auto host = co_await hosts::connect_over(std::move(w.client_in), std::move(w.client_out), here());
        pid_t pid = 0;
        auto running =
            muster::create_task(host.run(command("sleep", "1000").on_start([&pid](pid_t p) { pid = p; })), "long");
        auto begun = co_await soon([&] { return pid != 0; });
        EXPECT_TRUE(begun);
        serving.cancel();
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
        EXPECT_NE(problem.find("its agent ended: the agent was told to end; the command had begun"), std::string::npos)
            << problem;
        auto gone = co_await soon([&] { return !is_alive(pid); });
        EXPECT_TRUE(gone);
        co_await host.close();
        static_cast<void>(co_await problem_of([](auto h) -> task<> { co_await h; }(serving)));
    });
}

TEST(agents, give_up_a_client_that_sends_what_it_must_not) {
    const auto submit = [](std::uint64_t description, std::uint64_t input) {
        return hosts::to_bytes(
            frame_type::submit, hosts::payload_writer().number64(1).number64(description).number64(input).take());
    };
    const auto part = [](std::string_view bytes) {
        return hosts::to_bytes(frame_type::part, hosts::payload_writer().number64(1).rest(bytes).take());
    };
    const auto true_there = hosts::description_of(command("true"));
    const std::vector<std::string> all = {std::string(9, '\xff'), hosts::to_bytes(frame_type::go, number(1)),
        hosts::to_bytes(frame_type::ready, number(1)), submit(4, 0) + part("12345"), submit(4, 0) + part("1234"),
        submit(true_there.size(), 0) + submit(true_there.size(), 0),
        submit(true_there.size(), 1) + part(true_there) + hosts::to_bytes(frame_type::go, number(1)),
        submit(true_there.size(), 0) + part(true_there) + part("x"),
        submit(true_there.size(), 0) +
            hosts::to_bytes(frame_type::credit, hosts::payload_writer().number64(1).number8(1).number32(1).take()),
        hosts::to_bytes(frame_type::credit, hosts::payload_writer().number64(1).number8(3).number32(1).take()),
        hosts::to_bytes(frame_type::cancel, "short")};
    for (const auto& bytes : all) {
        run_it([&bytes]() -> task<> {
            wire w;
            auto serving =
                muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
            co_await w.client_out.write(
                std::string(hosts::magic) + hosts::to_bytes(frame_type::hello, hosts::hello_of_client(10s)) + bytes);
            const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(serving));
            EXPECT_NE(problem.find("frame_error"), std::string::npos) << problem;
        });
    }
}

TEST(agents, refuse_a_client_of_another_version_and_one_that_ends_at_any_byte) {
    const std::string other = std::string(hosts::magic) + hosts::to_bytes(frame_type::hello,
                                                              hosts::payload_writer().number32(2).text("9.9.9").take());
    run_it([&other]() -> task<> {
        wire w;
        auto serving = muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
        co_await w.client_out.write(other);
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(serving));
        EXPECT_NE(
            problem.find("the client speaks version 2 (muster 9.9.9), and this agent version 1"), std::string::npos)
            << problem;
    });
    const std::string whole = std::string(hosts::magic) +
                              hosts::to_bytes(frame_type::hello, hosts::hello_of_client(10s)) +
                              hosts::to_bytes(frame_type::ping, number(1));
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        run_it([&whole, cut]() -> task<> {
            wire w;
            auto serving =
                muster::create_task(hosts::serve_agent(std::move(w.agent_in), std::move(w.agent_out)), "agent");
            co_await w.client_out.write(whole.substr(0, cut));
            w.client_out.close();
            static_cast<void>(co_await problem_of([](auto h) -> task<> { co_await h; }(serving)));
            EXPECT_TRUE(serving.done());
        });
    }
}

// ---- launchers ----

TEST(launchers, start_an_agent_and_leave_nothing_behind) {
    run_it([]() -> task<> {
        auto host = co_await hosts::connect(here());
        auto done = co_await host.run(command("echo", "there"));
        EXPECT_EQ(done.out, "there\n");
        co_await host.close();
    });
}

TEST(launchers, may_write_text_of_their_own_before_the_agent_answers) {
    run_it([]() -> task<> {
        auto host = co_await hosts::connect(by_shell("echo 'Welcome to this host!'; exec \"$@\""));
        auto done = co_await host.run(command("echo", "there"));
        EXPECT_EQ(done.out, "there\n");
        co_await host.close();
    });
}

TEST(launchers, that_fail_are_quoted) {
    run_it([]() -> task<> {
        const auto refused = co_await problem_of(
            hosts::connect(by_shell("echo 'ssh: connect to host x port 22: refused' >&2; exit 255")));
        EXPECT_NE(
            refused.find("shell: the connection ended before the handshake: ssh: connect to host x port 22: refused"),
            std::string::npos)
            << refused;
        const auto odd = co_await problem_of(hosts::connect(by_shell("echo 'no agent here'")));
        EXPECT_NE(odd.find("it wrote no agent here"), std::string::npos) << odd;
        const auto hostile = co_await problem_of(hosts::connect(by_shell("printf '\\033[2Jgone' >&2; exit 1")));
        EXPECT_NE(hostile.find("\\x1b[2Jgone"), std::string::npos) << hostile;
        const auto slow = co_await problem_of(hosts::connect(by_shell("exec sleep 1000").connect_limit(200ms)));
        EXPECT_NE(slow.find("no agent has answered in time"), std::string::npos) << slow;
        const auto endless = co_await problem_of(hosts::connect(by_shell("exec yes")));
        EXPECT_NE(endless.find("64 KiB of text"), std::string::npos) << endless;
        const auto none = co_await problem_of(hosts::connect(without_launcher()));
        EXPECT_NE(none.find("command_not_found_error"), std::string::npos) << none;
        std::vector<std::string> no_agent{"no-such-agent", "agent"};
        const auto no_muster = co_await problem_of(hosts::connect(by_shell("exec \"$@\"").agent(std::move(no_agent))));
        EXPECT_NE(no_muster.find("no 'no-such-agent' is found there"), std::string::npos) << no_muster;
    });
}

TEST(launchers, that_say_255_are_never_taken_for_a_command_that_does) {
    run_it([]() -> task<> {
        // The launcher itself exits with 255 while the command runs.
        auto host = co_await hosts::connect(by_shell("\"$@\" & sleep 0.3; kill $!; wait; exit 255"));
        const auto problem = co_await problem_of(host.run(command("sleep", "1000")));
        EXPECT_NE(problem.find("host_lost_error"), std::string::npos) << problem;
        co_await host.close();
    });
}

TEST(launchers, are_killed_and_reaped_when_a_close_is_cancelled_at_any_step) {
    for (int steps = 1; steps != 6; ++steps) {
        run_it([steps]() -> task<> {
            const folder f;
            const auto file = f.file("pid");
            auto host = co_await hosts::connect(by_shell("echo $$ > " + file + "; \"$@\"; exec sleep 1000"));
            auto closing = muster::create_task(host.close(1h), "close");
            for (int i = 0; i != steps; ++i)
                co_await muster::yield();
            closing.cancel();
            const auto end = co_await problem_of([](auto h) -> task<> { co_await h; }(closing));
            EXPECT_TRUE(closing.cancelled()) << end;
            EXPECT_FALSE(is_alive(std::stoi(lines_of(file).at(0)))) << steps;
        });
    }
}

TEST(launchers, that_write_much_after_the_loss_end_by_themselves) {
    run_it([]() -> task<> {
        const folder f;
        const auto file = f.file("ended");
        auto host = co_await hosts::connect(by_shell("\"$@\"; head -c 4000000 /dev/zero; echo yes > " + file));
        bool closed = false;
        std::uint64_t bytes = 0;
        std::uint64_t late = 0;
        auto loud = command("yes").stdout_to([&](std::string_view piece) { (closed ? late : bytes) += piece.size(); });
        auto roaring = muster::create_task(host.run(std::move(loud)), "loud");
        auto heard = co_await soon([&] { return bytes > 1'000'000; });
        EXPECT_TRUE(heard);
        closed = true;
        co_await host.close(1h);
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(roaring));
        EXPECT_NE(problem.find("the command had begun there"), std::string::npos) << problem;
        EXPECT_EQ(late, 0u);
        EXPECT_EQ(lines_of(file).size(), 1u);
    });
}

TEST(launchers, that_are_stopped_are_lost_after_the_silence_limit) {
    run_it([]() -> task<> {
        auto host = co_await hosts::connect(here().silence_limit(200ms));
        pid_t agent = 0;
        auto asked = co_await host.run(command::shell("echo $PPID"));
        agent = std::stoi(asked.out);
        pid_t pid = 0;
        auto running =
            muster::create_task(host.run(command("sleep", "1000").on_start([&pid](pid_t p) { pid = p; })), "long");
        auto begun = co_await soon([&] { return pid != 0; });
        EXPECT_TRUE(begun);
        ::kill(agent, SIGSTOP);
        const auto problem = co_await problem_of([](auto h) -> task<> { co_await h; }(running));
        EXPECT_NE(problem.find("it was silent for 0.2 s; the command had begun there"), std::string::npos) << problem;
        ::kill(agent, SIGCONT);
        auto gone = co_await soon([&] { return !is_alive(pid); });
        EXPECT_TRUE(gone);
        co_await host.close();
    });
}

// ---- whatever happens ----

namespace {

struct tally {
    std::size_t succeeded = 0;
    std::size_t not_begun = 0;
    std::size_t begun = 0;
    std::size_t unknown = 0;
    std::size_t other = 0;
};

task<> count_one(hosts::connection& host, std::string file, int i, tally& counts) {
    auto what = command::shell("echo \"$1\" >> \"$2\"; exec sleep 0.0$1").arg(std::to_string(i % 10)).arg(file);
    auto ended = co_await muster::as_outcome(host.run(std::move(what)));
    const auto* lost = ended.error_as<hosts::host_lost_error>();
    if (ended.succeeded())
        ++counts.succeeded;
    else if (lost == nullptr)
        ++counts.other;
    else
        ++(lost->begun() == begun::no ? counts.not_begun : lost->begun() == begun::yes ? counts.begun : counts.unknown);
}

} // namespace

TEST(chaos, of_killed_agents_loses_no_command_and_begins_none_twice) {
    run_it([]() -> task<> {
        const folder f;
        std::mt19937 random(20261127);
        for (int round = 0; round != 15; ++round) {
            const auto file = f.file(std::to_string(round));
            auto host = co_await hosts::connect(here());
            auto asked = co_await host.run(command::shell("echo $PPID"));
            const pid_t agent = std::stoi(asked.out);
            tally counts;
            std::vector<task<>> all;
            for (int i = 0; i != 20; ++i)
                all.push_back(count_one(host, file, i, counts));
            auto running = muster::create_task(
                [](std::vector<task<>> t) -> task<> { co_await muster::gather(std::move(t)); }(std::move(all)), "all");
            co_await muster::sleep_for(std::chrono::microseconds(random() % 60'000));
            ::kill(agent, round % 2 == 0 ? SIGKILL : SIGTERM);
            co_await running;
            co_await host.close();
            EXPECT_EQ(counts.other, 0u);
            EXPECT_EQ(counts.succeeded + counts.not_begun + counts.begun + counts.unknown, 20u);
            const auto began = lines_of(file).size();
            EXPECT_LE(began, counts.succeeded + counts.begun + counts.unknown);
            EXPECT_GE(began, counts.succeeded);
        }
    });
}

TEST(chaos, of_connections_that_are_cut_at_any_byte_begins_no_command_twice) {
    run_it([]() -> task<> {
        const folder f;
        for (int cut = 20; cut < 900; cut += 37) {
            const auto file = f.file(std::to_string(cut));
            auto relay = cut_after(cut);
            auto connecting = hosts::connect(relay);
            auto connected = co_await muster::as_outcome(std::move(connecting));
            if (!connected.succeeded()) {
                EXPECT_NE(connected.error_as<hosts::connect_error>(), nullptr) << muster::to_string(connected);
                continue;
            }
            auto host = std::move(connected).value();
            tally counts;
            std::vector<task<>> all;
            for (int i = 0; i != 5; ++i)
                all.push_back(count_one(host, file, i, counts));
            co_await muster::gather(std::move(all));
            co_await host.close();
            EXPECT_EQ(counts.other, 0u);
            EXPECT_EQ(counts.succeeded + counts.not_begun + counts.begun + counts.unknown, 5u);
            const auto began = lines_of(file).size();
            EXPECT_LE(began, counts.succeeded + counts.begun + counts.unknown) << cut;
            EXPECT_GE(began, counts.succeeded) << cut;
        }
    });
}

TEST(chaos, of_hosts_that_are_stopped_late_or_cut_loses_no_command_and_begins_none_twice) {
    // MUSTER_CHAOS_ROUNDS says how often each way is tried.
    const char* const more = std::getenv("MUSTER_CHAOS_ROUNDS");
    const int rounds = more != nullptr ? std::max(1, std::atoi(more)) : 2;
    struct row {
        hosts::host_options options;
        bool is_stopped;
    };
    std::vector<row> rows;
    rows.push_back({here().silence_limit(200ms), true});
    rows.push_back({relayed(3, 0), false});
    for (const int cut : {700, 1500, 3000})
        rows.push_back({relayed(2, cut), false});
    run_it([&]() -> task<> {
        const folder f;
        std::mt19937 random(20261127);
        for (std::size_t i = 0; i != rows.size() * static_cast<std::size_t>(rounds); ++i) {
            const auto& r = rows[i % rows.size()];
            const auto file = f.file(std::to_string(i));
            auto connecting = hosts::connect(r.options);
            auto connected = co_await muster::as_outcome(std::move(connecting));
            if (!connected.succeeded())
                continue;
            auto host = std::move(connected).value();
            tally counts;
            std::vector<task<>> all;
            for (int n = 0; n != 30; ++n)
                all.push_back(count_one(host, file, n, counts));
            pid_t agent = 0;
            if (r.is_stopped) {
                auto asked = co_await host.run(command::shell("echo $PPID"));
                agent = std::stoi(asked.out);
            }
            auto running = muster::create_task(
                [](std::vector<task<>> t) -> task<> { co_await muster::gather(std::move(t)); }(std::move(all)), "all");
            if (r.is_stopped) {
                co_await muster::sleep_for(std::chrono::microseconds(random() % 60'000));
                ::kill(agent, SIGSTOP);
                co_await muster::sleep_for(700ms);
                ::kill(agent, SIGCONT);
            }
            co_await running;
            co_await host.close();
            EXPECT_EQ(counts.other, 0u);
            EXPECT_EQ(counts.succeeded + counts.not_begun + counts.begun + counts.unknown, 30u);
            const auto began = lines_of(file).size();
            EXPECT_LE(began, counts.succeeded + counts.begun + counts.unknown) << i;
            EXPECT_GE(began, counts.succeeded) << i;
        }
    });
}

// ---- several ----

TEST(host_sets, give_places_by_what_is_in_use_and_go_on_without_hosts_that_can_not_be_reached) {
    run_it([]() -> task<> {
        hosts::host_set set(list_of(here("one").slots(1), here("three").slots(3), by_shell("exit 255").slots(9)));
        std::vector<std::string> left_out;
        co_await set.connect([&](const std::string& host, const std::string&) { left_out.push_back(host); });
        EXPECT_EQ(left_out.size(), 1u);
        EXPECT_EQ(left_out.front(), "shell");
        EXPECT_EQ(set.connected(), 2u);
        EXPECT_EQ(set.slots(), 4u);
        std::vector<hosts::host_set::place> places;
        std::string order;
        for (int i = 0; i != 4; ++i) {
            auto place = co_await set.acquire();
            places.push_back(std::move(place));
            order += places.back().host().host() + ' ';
        }
        EXPECT_EQ(order, "one three three three ");
        auto waiting = muster::create_task(set.acquire(), "fifth");
        co_await muster::yield();
        EXPECT_FALSE(waiting.done());
        places.erase(places.begin());
        auto fifth = co_await std::move(waiting);
        EXPECT_EQ(fifth.host().host(), "one");
        places.clear();
        co_await set.close();
        const auto problem = co_await problem_of(set.acquire());
        EXPECT_NE(problem.find("no_host_error"), std::string::npos) << problem;
    });
}

TEST(host_sets, of_which_none_can_be_reached_say_why_for_each) {
    run_it([]() -> task<> {
        hosts::host_set set(list_of(by_shell("echo first >&2; exit 255"), by_shell("echo second >&2; exit 1")));
        const auto problem = co_await problem_of(set.connect());
        EXPECT_NE(problem.find("first"), std::string::npos) << problem;
        EXPECT_NE(problem.find("second"), std::string::npos) << problem;
    });
}

TEST(host_options, make_the_words_of_ssh_or_of_another_launcher) {
    const auto last = [](const hosts::host_options& o) {
        const auto words = o.command_words();
        std::string text;
        for (const auto& w : words)
            text += (text.empty() ? "" : " ") + w;
        return text;
    };
    const std::string ssh = "ssh -T -o BatchMode=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3";
    EXPECT_EQ(last(hosts::host_options("a")), ssh + " -- a muster agent");
    EXPECT_EQ(last(hosts::host_options("u@a:2222")), ssh + " -p 2222 -- u@a muster agent");
    EXPECT_EQ(last(hosts::host_options("[::1]:2222")), ssh + " -p 2222 -- ::1 muster agent");
    EXPECT_EQ(last(hosts::host_options("::1")), ssh + " -- ::1 muster agent");
    EXPECT_EQ(last(hosts::host_options("a").agent({"/opt/my tools/muster", "agent"})),
        ssh + " -- a '/opt/my tools/muster' agent");
    EXPECT_EQ(last(hosts::host_options("a").launcher({"kubectl", "exec", "-i", "a", "--"})),
        "kubectl exec -i a -- muster agent");
    const std::string all[] = {"", "-oProxyCommand=x", "a b", "a\nb", std::string("a\0b", 3), std::string(1001, 'a'),
        "u:sesame@a", "u:sesame@::1", ":sesame@a"};
    for (const auto& name : all) {
        try {
            hosts::host_options{name};
            ADD_FAILURE() << name;
        } catch (const std::invalid_argument& e) {
            const std::string text = e.what();
            EXPECT_EQ(text.find("sesame"), std::string::npos) << text;
            EXPECT_LT(text.size(), 800u);
        }
    }
    EXPECT_EQ(hosts::host_options("u@::1").name(), "u@::1");
    for (const char* name : {"a:", "a:0", "a:70000", "a:x", "u@", "[::1", "[::1]x", "[-x]"})
        EXPECT_THROW(static_cast<void>(hosts::host_options(name).command_words()), std::invalid_argument) << name;
}

TEST(host_options, give_ssh_no_name_that_a_shell_would_read_as_more_than_a_name) {
    for (const char c : std::string_view("'`\"$\\;&<>|(){}!*?#~")) {
        for (const auto& name : {std::string("a") + c + "b", std::string("u") + c + "@a"}) {
            EXPECT_THROW(static_cast<void>(hosts::host_options(name).command_words()), std::invalid_argument) << name;
            // Another launcher gets the name as it is.
            EXPECT_EQ(hosts::host_options(name).launcher({"env"}).command_words().front(), "env");
        }
    }
    for (const char* name : {"u@-a", "u@-a:22", "u@[-a]"})
        EXPECT_THROW(static_cast<void>(hosts::host_options(name).command_words()), std::invalid_argument) << name;
}

TEST(host_options, do_not_let_ssh_give_up_before_the_silence_limit) {
    struct row {
        std::chrono::nanoseconds limit;
        const char* expected;
    };
    constexpr std::array<row, 4> rows{row{100ms, "ServerAliveInterval=1"}, row{15s, "ServerAliveInterval=5"},
        row{16s, "ServerAliveInterval=6"}, row{24h, "ServerAliveInterval=28800"}};
    for (const auto& r : rows) {
        const auto words = hosts::host_options("a").silence_limit(r.limit).command_words();
        EXPECT_NE(std::ranges::find(words, r.expected), words.end()) << r.expected;
        EXPECT_NE(std::ranges::find(words, "ServerAliveCountMax=3"), words.end());
    }
}

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--agent") == 0) {
        const auto serve = []() -> task<> {
            co_await hosts::serve_agent(muster::io::standard_input(), muster::io::standard_output());
        };
        try {
            muster::run(serve());
        } catch (const std::exception&) {
            return 1;
        }
        return 0;
    }
    if (argc > 4 && std::strcmp(argv[1], "--relay") == 0)
        stdio_relay(static_cast<unsigned>(std::atoi(argv[2])), std::atol(argv[3]), argv + 4);
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
