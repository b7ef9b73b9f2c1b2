// SPDX-License-Identifier: MIT
// Either side of a connection to another host against a peer that says anything and then hangs up. A client's command
// ends with a value or a typed error whose text is one safe line; an agent ends with a frame_error or without one, what
// it says are frames, and it starts nothing. The peer of an agent never says `go`: any words could be a command.
#include "fuzz.hpp"

#include "hosts/frames.hpp"
#include "hosts/this_host.hpp"
#include "vocabulary/printable.hpp"

#include <muster/error.hpp>
#include <muster/hosts.hpp>
#include <muster/io/stream.hpp>
#include <muster/run.hpp>
#include <muster/task_handle.hpp>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace {

namespace hosts = muster::hosts;
using namespace std::chrono_literals;
using muster::io::stream;

/// The ends of two pipes: what one side writes is what the other one reads.
struct pipes {
    pipes() {
        std::array<int, 2> up{};
        std::array<int, 2> down{};
        FUZZ_CHECK(::pipe2(up.data(), O_CLOEXEC) == 0 && ::pipe2(down.data(), O_CLOEXEC) == 0);
        ends = {up[0], down[1], down[0], up[1]};
    }
    std::array<int, 4> ends; ///< ours to read and to write, the peer's to read and to write
};

/// The peer sends all of its bytes, closes its side, and reads until the other side is closed, too.
muster::task<> play(stream in, stream out, std::string bytes, std::string& heard) {
    try {
        co_await out.write(std::move(bytes));
    } catch (const std::system_error&) {
        // The other side has closed its end.
    }
    out.close();
    std::array<std::byte, 4096> room{};
    for (;;) {
        auto reading = in.read_some(room);
        const auto count = co_await std::move(reading);
        if (count == 0)
            co_return;
        heard.append(reinterpret_cast<const char*>(room.data()), count);
    }
}

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

void expect_safe(const std::string& text) {
    FUZZ_CHECK(text.size() < 20 * muster::detail::longest_printed_text);
    for (const char c : text)
        FUZZ_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

muster::task<> run_there(hosts::connection& host, muster::command what) {
    auto running = host.run(std::move(what));
    auto ran = co_await muster::as_outcome(std::move(running));
    FUZZ_CHECK(!ran.was_cancelled());
    if (ran.failed())
        expect_safe(muster::describe(ran.error()));
    else
        FUZZ_CHECK(ran.value().out.size() <= 1 << 20);
}

muster::task<> be_client(std::string bytes) {
    const pipes p;
    std::string heard;
    auto playing =
        muster::create_task(play(stream::adopt(p.ends[2]), stream::adopt(p.ends[3]), std::move(bytes), heard), "agent");
    auto connecting = hosts::connect_over(stream::adopt(p.ends[0]), stream::adopt(p.ends[1]), hosts::host_options("h"));
    auto connected = co_await muster::as_outcome(std::move(connecting));
    if (connected.succeeded()) {
        auto host = std::move(connected).value();
        auto first = muster::create_task(run_there(host, muster::command("true")), "first");
        auto second = muster::create_task(
            run_there(host, muster::command("cat").stdin_bytes(std::string(100'000, 'x'))), "second");
        co_await first;
        co_await second;
        expect_safe(host.why_lost());
        co_await host.close();
    } else {
        FUZZ_CHECK(connected.failed_with<hosts::connect_error>());
        expect_safe(muster::describe(connected.error()));
    }
    co_await playing;
}

muster::task<> be_agent(std::string bytes) {
    const pipes p;
    std::string heard;
    auto playing = muster::create_task(
        play(stream::adopt(p.ends[2]), stream::adopt(p.ends[3]), std::move(bytes), heard), "client");
    hosts::agent_observer observer;
    observer.started = [](pid_t) { FUZZ_CHECK(false); };
    auto serving = hosts::serve_agent(stream::adopt(p.ends[0]), stream::adopt(p.ends[1]), std::move(observer));
    auto served = co_await muster::as_outcome(std::move(serving));
    FUZZ_CHECK(!served.was_cancelled());
    if (served.failed())
        FUZZ_CHECK(served.failed_with<hosts::frame_error>());
    auto ending = end_of(playing);
    co_await std::move(ending);
    hosts::greeting_scanner scanner;
    FUZZ_CHECK(scanner.take(heard) && scanner.preamble().empty());
    hosts::frame_parser parser;
    parser.take(scanner.take_rest());
    while (parser.next()) {}
}

/// *Returns* the bytes, in which every `go` has become a ping.
std::string without_go(std::string bytes) {
    hosts::greeting_scanner scanner;
    hosts::frame_parser parser;
    try {
        if (!scanner.take(bytes))
            return bytes;
        auto at = scanner.preamble().size() + hosts::magic.size();
        parser.take(scanner.take_rest());
        while (const auto f = parser.next()) {
            if (f->type == hosts::frame_type::go)
                bytes[at] = static_cast<char>(hosts::frame_type::ping);
            at += hosts::to_bytes(f->type, f->payload).size();
        }
    } catch (const hosts::frame_error&) {
        // Nothing behind that is read.
    }
    return bytes;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const auto way = in.number(3);
    const bool is_client = way < 2;
    std::string bytes;
    // Half of the peers have greeted already.
    if (way % 2 == 0) {
        const auto hello = is_client ? hosts::hello_of_this_host() : hosts::hello_of_client(10s);
        bytes = std::string(hosts::magic) + hosts::to_bytes(hosts::frame_type::hello, hello);
    }
    bytes += in.rest();
    muster::run(is_client ? be_client(std::move(bytes)) : be_agent(without_go(std::move(bytes))));
    return 0;
}
