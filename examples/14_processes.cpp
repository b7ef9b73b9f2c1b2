// SPDX-License-Identifier: MIT
// Calls that may crash, hang or throw, made in worker processes. How a call ends is the outcome of that call alone; a
// process that dies is replaced, and everything else goes on.

#include <muster/muster.hpp>
#include <muster/process_pool.hpp>

#include <fmt/core.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

// [functions]
struct picture {
    std::string name;
    int width = 0;
    int height = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(picture, name, width, height)

class format_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

picture decode(const std::string& file) {
    if (file == "broken.png")
        throw format_error("no header");
    if (file == "evil.png")
        std::abort(); // a decoder's bug
    if (file == "endless.gif")
        for (volatile bool on = true; on;) {}
    picture p;
    p.name = file;
    p.width = 640;
    p.height = 480;
    return p;
}

const muster::remote_function remote_decode("decode", &decode);
const muster::remote_exception<format_error> format_errors("format_error");
// [/functions]

// [calls]
muster::task<> decode_all(std::vector<std::string> files) {
    muster::process_pool pool(muster::process_pool_options().processes(2).call_timeout(500ms).name("decoders"));
    auto decode_one = [&pool](const std::string& file) -> muster::task<picture> {
        auto result = co_await muster::run_in_executor(pool, remote_decode(file));
        co_return result;
    };
    auto outcomes = co_await muster::map(files, decode_one).settle();

    fmt::print("{} of {} decoded\n", outcomes.succeeded(), outcomes.size());
    for (const auto& failure : outcomes.failures_of<format_error>())
        fmt::print("{}: malformed: {}\n", files[failure.index()], failure->what());
    for (const auto& failure : outcomes.failures_of<muster::worker_died_error>())
        fmt::print(
            "{}: the decoder crashed{}\n", files[failure.index()], failure->signal() == SIGABRT ? " (SIGABRT)" : "");
    for (const auto& failure : outcomes.failures_of<muster::timeout_error>())
        fmt::print("{}: takes too long\n", files[failure.index()]);
}

int main() {
    muster::process_pool::serve_if_worker(); // first of all: in a worker process it does not return
    muster::run(decode_all({"a.png", "broken.png", "b.png", "evil.png", "endless.gif", "c.png"}));
}
// [/calls]
