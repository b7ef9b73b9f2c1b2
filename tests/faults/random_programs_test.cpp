// SPDX-License-Identifier: MIT
// Random programs over the whole interface keep the ledger. MUSTER_RANDOM_PROGRAMS says how many (2000), and
// MUSTER_RANDOM_SEED which is the first (1). `random_programs_test --seed N` runs program N alone and prints it; if it
// fails, or crashes, or does not end, a smaller one that does so too is looked for and printed.
#include "faults/random_programs/interpreter.hpp"
#include "faults/random_programs/program.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sys/wait.h>
#include <unistd.h>

using random_programs::program;
using random_programs::result;

namespace {

/// A program takes a millisecond or so; one that takes this long does not end.
constexpr unsigned patience_s = 2;

/// Runs it in a process of its own. *Returns* false if it failed, crashed or did not end.
bool survives(const program& p) {
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGALRM, SIG_DFL);
        alarm(patience_s);
        static_cast<void>(std::freopen("/dev/null", "w", stderr));
        _exit(random_programs::run(p).findings.empty() ? 0 : 1);
    }
    int status = 0;
    return child < 0 || waitpid(child, &status, 0) < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/// A program that fails as well, and of which no smaller one does.
program shrunk(program p) {
    for (int steps = 0; steps != 400; ++steps) {
        bool found = false;
        for (auto& next : random_programs::smaller(p)) {
            if (survives(next))
                continue;
            p = std::move(next);
            found = true;
            break;
        }
        if (!found)
            break;
    }
    return p;
}

std::string told(const result& r) {
    std::string text;
    for (const auto& finding : r.findings)
        text += finding + '\n';
    return text;
}

unsigned long long number(const char* variable, unsigned long long otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

volatile std::sig_atomic_t running_low = 0;
void say_seed(int signal) {
    char line[80];
    const int length = std::snprintf(
        line, sizeof line, "crashed, or did not end, in a random program: --seed %d\n", static_cast<int>(running_low));
    if (write(STDERR_FILENO, line, static_cast<std::size_t>(length)) < 0)
        _exit(3);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

int run_alone(std::uint64_t seed) {
    const auto p = random_programs::generate(seed);
    std::printf("program %llu, %zu nodes\n%s\n", static_cast<unsigned long long>(seed),
        random_programs::size_of(p.root), random_programs::to_string(p).c_str());
    std::fflush(stdout);
    if (survives(p)) {
        std::printf("kept the ledger\n");
        return 0;
    }
    const auto small = shrunk(p);
    std::printf("a small one that fails, of %zu nodes\n%s\n", random_programs::size_of(small.root),
        random_programs::to_string(small).c_str());
    std::fflush(stdout);
    std::printf("%s", told(random_programs::run(small)).c_str()); // crashes here if it is one that does
    return 1;
}

} // namespace

TEST(random_programs, keep_the_ledger) {
    const auto count = number("MUSTER_RANDOM_PROGRAMS", 2000);
    const auto first = number("MUSTER_RANDOM_SEED", 1);
    std::signal(SIGSEGV, say_seed);
    std::signal(SIGABRT, say_seed);
    std::signal(SIGALRM, say_seed);
    std::size_t failures = 0, reports = 0, combinators = 0, children = 0, deadlocks = 0, nodes = 0, bad = 0;
    for (auto seed = first; seed != first + count && bad != 5; ++seed) {
        running_low = static_cast<std::sig_atomic_t>(seed);
        alarm(20);
        const auto p = random_programs::generate(seed);
        const auto r = random_programs::run(p);
        nodes += random_programs::size_of(p.root);
        failures += r.failures;
        reports += r.reports;
        combinators += r.combinators;
        children += r.children;
        deadlocks += r.deadlock;
        if (r.findings.empty())
            continue;
        ++bad;
        alarm(0);
        std::printf("--seed %llu:\n%slooking for a smaller one...\n", seed, told(r).c_str());
        std::fflush(stdout);
        const auto small = shrunk(p);
        ADD_FAILURE() << "--seed " << seed << "\n"
                      << told(r) << "a small program that fails:\n"
                      << random_programs::to_string(small) << told(random_programs::run(small));
    }
    alarm(0);
    std::signal(SIGSEGV, SIG_DFL);
    std::signal(SIGABRT, SIG_DFL);
    std::signal(SIGALRM, SIG_DFL);
    std::printf(
        "%llu programs: %zu nodes, %zu failures, %zu reports, %zu combinators with %zu children, %zu deadlocks\n",
        count, nodes, failures, reports, combinators, children, deadlocks);
}

TEST(random_programs, the_same_seed_is_the_same_program_and_the_same_run) {
    for (std::uint64_t seed = 1; seed != 50; ++seed) {
        const auto one = random_programs::generate(seed);
        const auto two = random_programs::generate(seed);
        EXPECT_EQ(random_programs::to_string(one), random_programs::to_string(two));
        const auto first = random_programs::run(one);
        const auto second = random_programs::run(two);
        EXPECT_EQ(first.failures, second.failures);
        EXPECT_EQ(first.reports, second.reports);
        EXPECT_EQ(first.children, second.children);
    }
}

int main(int argc, char** argv) {
    if (argc == 3 && std::string_view(argv[1]) == "--seed")
        return run_alone(std::strtoull(argv[2], nullptr, 10));
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
