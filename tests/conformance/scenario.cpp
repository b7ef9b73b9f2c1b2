// SPDX-License-Identifier: MIT

/// \file
/// scenario FILE.json...: prints the trace of each scenario, run on muster, one after the other. README.md describes
/// the language and the trace. A file that can't be read or that holds no scenario ends it with exit status 2.
///
///     scenario cases/gather/one_fails.json

#include "interpreter.hpp"

#include <exception>
#include <fstream>
#include <iostream>

namespace {

conformance::json read(const char* path) {
    std::ifstream file(path);
    if (!file)
        throw conformance::fault("can't be read");
    return conformance::json::parse(file);
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::cerr << "usage: scenario FILE.json...\n";
        return 2;
    }
    for (int i = 1; i != argc; ++i) {
        try {
            conformance::interpreter scenario(read(argv[i]));
            std::cout << scenario.trace() << std::flush;
        } catch (const std::exception& problem) {
            std::cerr << argv[i] << ": " << problem.what() << '\n';
            return 2;
        }
    }
}
