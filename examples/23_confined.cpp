// SPDX-License-Identifier: MIT
// Pictures from strangers, decoded in processes that may only compute: a decoder that is taken over by a picture finds
// no file, no network and no program to start.

#include <muster/muster.hpp>
#include <muster/process_pool.hpp>

#include <fmt/core.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/resource.h>

using namespace std::chrono_literals;

/// A picture of the form "P2 WIDTH HEIGHT GREATEST VALUE...". *Returns* its mean grey.
int mean_grey(const std::string& bytes) {
    std::istringstream in(bytes);
    std::string kind;
    std::size_t width = 0;
    std::size_t height = 0;
    int greatest = 0;
    in >> kind;
    if (kind == "evil") {
        // The fault of a decoder that was taken over: it looks for something to steal.
        const std::ifstream secrets("/etc/hostname");
        throw std::runtime_error(secrets ? "stolen" : "there is nothing to steal");
    }
    if (kind != "P2" || !(in >> width >> height >> greatest) || width == 0 || height == 0 || width > 10'000 ||
        height > 10'000)
        throw std::runtime_error("no picture");
    long sum = 0;
    for (std::size_t i = 0; i != width * height; ++i) {
        int value = 0;
        if (!(in >> value))
            throw std::runtime_error("cut off");
        sum += value;
    }
    return static_cast<int>(sum / static_cast<long>(width * height));
}

const muster::remote_function remote_mean_grey("mean_grey", &mean_grey);

// [pool]
muster::process_pool_options for_strangers() {
    return muster::process_pool_options()
        .processes(1)
        .call_timeout(10s)
        .environment({}) // none of our variables
        .folder("/")
        .output("/dev/null")
        .resource_limit(RLIMIT_CORE, 0)
        .compute_only(); // from before the first call on
}
// [/pool]

muster::task<> decode_all(std::vector<std::string> pictures) {
    muster::process_pool pool(for_strangers());
    for (const auto& picture : pictures) {
        auto ended = co_await muster::as_outcome(muster::run_in_executor(pool, remote_mean_grey(picture)).as_task());
        if (ended.succeeded())
            fmt::print("mean grey {}\n", ended.value());
        else if (const auto* e = ended.error_as<std::runtime_error>())
            fmt::print("failed: {}\n", e->what());
    }
}

int main() {
    muster::process_pool::serve_if_worker();
    muster::run(decode_all({"P2 2 2 255 0 10 20 30", "P2 99999999 99999999 1", "P2 2 1 9 5", "evil"}));
}
