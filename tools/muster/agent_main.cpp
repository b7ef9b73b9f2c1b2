// SPDX-License-Identifier: MIT
// muster-agent, the program that --install copies to other hosts: muster agent and nothing else.
#include "agent.hpp"

#include "vocabulary/printable.hpp"

#include <muster/config.hpp>

#include <cstdio>
#include <exception>
#include <string_view>

#include <unistd.h>

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--version") {
        std::printf("muster-agent %d.%d.%d\n", muster::version_major, muster::version_minor, muster::version_patch);
        return 0;
    }
    if (::isatty(STDIN_FILENO) == 1) {
        std::fputs("muster-agent: it serves muster run --on from another host, through its standard input and output; "
                   "there is nothing to type here\n",
            stderr);
        return 2;
    }
    try {
        return tool::serve_as_agent();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "muster-agent: %s\n", muster::detail::printable(e.what()).c_str());
        return 1;
    }
}
