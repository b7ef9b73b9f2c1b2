// SPDX-License-Identifier: MIT
// The same for the component hosts: its headers and its library, with an agent that is a program of the consumer's own.
#include <muster/hosts.hpp>
#include <muster/io/pipe.hpp>
#include <muster/run.hpp>

#include <cstring>
#include <filesystem>

muster::hosts::host_options this_program() {
    const auto path = std::filesystem::read_symlink("/proc/self/exe").string();
    return muster::hosts::host_options("here").launcher({"env"}).agent({path, "agent"});
}

muster::task<int> status_there() {
    auto host = co_await muster::hosts::connect(this_program());
    auto done = co_await host.run(muster::command::shell("exit 7"));
    co_await host.close();
    co_return done.status;
}

muster::task<> serve() {
    co_await muster::hosts::serve_agent(muster::io::standard_input(), muster::io::standard_output());
}

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "agent") == 0) {
        muster::run(serve());
        return 0;
    }
    return muster::run(status_there()) == 7 ? 0 : 1;
}
