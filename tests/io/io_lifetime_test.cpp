// SPDX-License-Identifier: MIT
// Objects of I/O that are destroyed, replaced or moved while a task waits for them; that are empty; and that are used
// on a thread that is not their loop's.
#include <muster/io.hpp>

#include "support/io_play.hpp"

#include <muster/loop_handle.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/subprocess.hpp>
#include <muster/task_handle.hpp>
#include <muster/to_thread.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <csignal>

namespace {

using namespace std::chrono_literals;
using namespace io_test;
using muster::task;
using muster::io::listener;
using muster::io::reader;
using muster::io::signal_watcher;
using muster::io::stream;

/// An object that a task waits for, and how the test gets rid of it.
struct waited_for {
    std::function<task<>()> wait; ///< never ends by itself
    std::function<void()> destroy;
    std::function<void()> replace;
    std::function<void()> move; ///< the wait goes on
};

template <class T>
waited_for make_waited_for(
    std::shared_ptr<std::optional<T>> object, std::function<task<>(T&)> wait, std::function<T()> another) {
    waited_for w;
    w.wait = [object, wait] { return wait(**object); };
    w.destroy = [object] { object->reset(); };
    w.replace = [object, another] { **object = another(); };
    w.move = [object] {
        T moved(std::move(**object));
        **object = std::move(moved);
    };
    return w;
}

task<> read_for_ever(stream& s) { static_cast<void>(co_await read_text(s)); }
task<> write_for_ever(stream& s) { co_await s.write(std::string(50'000'000, 'x')); }
task<> accept_for_ever(listener& l) { static_cast<void>(co_await l.accept()); }
task<> next_for_ever(signal_watcher& w) { static_cast<void>(co_await w.next()); }
task<> line_for_ever(stream& s) {
    reader in(s);
    static_cast<void>(co_await in.read_line());
}
task<> output_for_ever(muster::process& p) { static_cast<void>(co_await p.output().read_line()); }

TEST(io_lifetime, objects_may_be_destroyed_replaced_and_moved_while_a_task_waits_for_them) {
    const descriptor_audit audit;
    struct row {
        const char* what;
        std::function<waited_for()> make;
    };
    const auto other_end = std::make_shared<std::vector<stream>>();
    const auto a_stream = [other_end] {
        auto pair = connected();
        other_end->push_back(std::move(pair.right));
        return std::move(pair.left);
    };
    const auto an_own = [](auto made) { return std::make_shared<std::optional<decltype(made)>>(std::move(made)); };
    const auto a_listener = [] { return muster::io::listen_unix("@muster-lifetime-" + std::to_string(::getpid())); };
    const auto a_process = [] { return muster::start_process(muster::command("sleep", "1000")); };
    const std::vector<row> rows{
        {"stream::read_some", [&] { return make_waited_for<stream>(an_own(a_stream()), &read_for_ever, a_stream); }},
        {"stream::write", [&] { return make_waited_for<stream>(an_own(a_stream()), &write_for_ever, a_stream); }},
        {"reader::read_line", [&] { return make_waited_for<stream>(an_own(a_stream()), &line_for_ever, a_stream); }},
        {"listener::accept",
            [&] {
                return make_waited_for<listener>(an_own(a_listener()), &accept_for_ever, [] { return listener(); });
            }},
        {"signal_watcher::next",
            [&] {
                return make_waited_for<signal_watcher>(
                    an_own(signal_watcher({SIGUSR1})), &next_for_ever, [] { return signal_watcher({SIGUSR2}); });
            }},
        {"process::output",
            [&] { return make_waited_for<muster::process>(an_own(a_process()), &output_for_ever, a_process); }},
    };
    auto talk = [&]() -> task<> {
        for (const auto& r : rows) {
            for (const bool destroyed : {true, false}) {
                auto object = r.make();
                auto waiting = muster::create_task(object.wait());
                co_await muster::sleep_for(1ms);
                object.move();
                co_await muster::yield();
                EXPECT_FALSE(waiting.done()) << r.what << " was moved";
                (destroyed ? object.destroy : object.replace)();
                co_await ended(waiting);
                EXPECT_TRUE(waiting.ended_as().failed()) << r.what;
                const auto* e = waiting.ended_as().error_as<std::system_error>();
                EXPECT_TRUE(e != nullptr && e->code() == std::errc::operation_canceled) << r.what;
            }
        }
        other_end->clear();
    };
    muster::run(talk());
}

TEST(io_lifetime, empty_ones_refuse_everything_with_an_error) {
    const descriptor_audit audit;
    auto talk = []() -> task<> {
        stream none;
        std::byte byte{};
        auto code = co_await code_of(none.read_some(std::span(&byte, 1)));
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        code = co_await code_of(none.write(std::string("x")));
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        EXPECT_THROW(none.shutdown_write(), std::system_error);
        EXPECT_THROW(static_cast<void>(none.local_address()), std::system_error);
        EXPECT_THROW(static_cast<void>(none.peer_address()), std::system_error);
        EXPECT_EQ(none.native_handle(), -1);
        EXPECT_EQ(none.release(), -1);
        none.close();
        reader of_none(none);
        code = co_await code_of(of_none.read_line());
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        listener nobody;
        code = co_await code_of(nobody.accept());
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        EXPECT_THROW(static_cast<void>(nobody.local_address()), std::system_error);
        EXPECT_EQ(nobody.port(), 0);
        nobody.close();
        signal_watcher watcher({SIGUSR1});
        signal_watcher moved(std::move(watcher));
        code = co_await code_of(watcher.next()); // NOLINT: that is what is tested
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
        muster::io::file closed;
        code = co_await code_of(closed.size());
        EXPECT_EQ(code, std::errc::bad_file_descriptor);
    };
    muster::run(talk());
}

/// Does something on another thread. *Returns* what it threw, as text.
task<std::string> elsewhere(std::function<void()> act) {
    auto call = [act = std::move(act)]() -> std::string {
        std::string said = "no error";
        std::thread other([&] {
            try {
                act();
            } catch (const muster::invalid_state_error& e) {
                said = e.what();
            }
        });
        other.join();
        return said;
    };
    auto calling = muster::to_thread(call);
    auto said = co_await std::move(calling);
    co_return said;
}

TEST(io_lifetime, a_thread_that_is_not_the_loops_gets_an_error_and_never_hangs) {
    const auto wrong = [](const std::string& said) {
        return said.find("on a thread that is not its loop's") != std::string::npos;
    };
    auto talk = [&]() -> task<> {
        auto pair = connected();
        auto door = co_await muster::io::listen("127.0.0.1", 0);
        auto reading = muster::create_task(read_text(pair.left));
        auto accepting = muster::create_task(door.accept());
        co_await muster::sleep_for(1ms);
        std::string said = co_await elsewhere([&] { pair.left.close(); });
        EXPECT_TRUE(wrong(said)) << said;
        said = co_await elsewhere([&] { pair.left.shutdown_write(); });
        EXPECT_TRUE(wrong(said)) << said;
        said = co_await elsewhere([&] { muster::run(pair.left.write(std::string("x"))); });
        EXPECT_TRUE(wrong(said)) << said;
        said = co_await elsewhere([&] { door.close(); });
        EXPECT_TRUE(wrong(said)) << said;
        // All goes on as before.
        co_await pair.right.write("still here");
        const auto& text = co_await reading;
        EXPECT_EQ(text, "still here");
        door.close();
        co_await ended(accepting);
    };
    muster::run(talk());
}

TEST(io_lifetime, a_stream_that_is_destroyed_on_another_thread_is_reported_and_its_task_goes_on) {
    static std::string reported;
    reported.clear();
    const auto before = muster::set_report_handler([](const muster::report& r) { reported += muster::to_string(r); });
    auto talk = []() -> task<> {
        auto pair = connected();
        std::optional<stream> left(std::move(pair.left));
        auto reading = muster::create_task(read_text(*left));
        co_await muster::sleep_for(1ms);
        static_cast<void>(co_await elsewhere([&] { left.reset(); }));
        co_await pair.right.write("still here");
        const auto& text = co_await reading;
        EXPECT_EQ(text, "still here");
    };
    muster::run(talk());
    muster::set_report_handler(before);
    EXPECT_NE(reported.find("its descriptor stays open"), std::string::npos) << reported;
}

} // namespace
