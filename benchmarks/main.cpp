// SPDX-License-Identifier: MIT
// Prints a table: each workload's ns for one child, its floor's, their ratio, and the goal. All else is Google
// Benchmark's: --benchmark_filter=REGEX, --benchmark_out=FILE for a report in JSON.
#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <malloc.h>

#include <cstdio>
#include <string>

void add_floors();
void add_gathers();
void add_failures();
void add_waits();
void add_cancellations();
void add_handovers();
void add_memory();
void add_nested();

namespace {

/// Counters by name, "" for none.
double counter(const benchmark::BenchmarkReporter::Run& run, const char* name) {
    const auto found = run.counters.find(name);
    return found != run.counters.end() ? found->second.value : 0;
}

class table final : public benchmark::BenchmarkReporter {
public:
    bool ReportContext(const Context&) override {
        std::printf("%-54s %9s %10s %12s %9s %9s\n", "workload", "n", "ns each", "floor ns", "ratio", "goal");
        return true;
    }
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const auto& run : runs) {
            if (run.error_occurred) {
                std::printf("%-54s %s\n", run.run_name.function_name.c_str(), run.error_message.c_str());
                continue;
            }
            std::string name = run.run_name.function_name;
            const double goal = counter(run, "goal");
            std::string wanted = goal != 0 ? text(goal) : "";
            if (run.counters.contains("bytes")) {
                const double bytes = counter(run, "bytes");
                std::printf("%-54s %9s %10s %12s %7.0f B %9s%s\n", name.c_str(), "", "", "", bytes, wanted.c_str(),
                    goal != 0 && bytes > goal ? "  over" : "");
                continue;
            }
            if (const auto slash = name.rfind('/'); slash != std::string::npos)
                name.resize(slash);
            const double ratio = counter(run, "ratio");
            std::printf("%-54s %9.0f %10.1f %12.1f %7.2f %s %9s%s\n", name.c_str(), counter(run, "n"),
                counter(run, "ns"), counter(run, "floor_ns"), ratio, run.report_label.c_str(), wanted.c_str(),
                goal != 0 && ratio > goal ? "  over" : "");
        }
        std::fflush(stdout);
    }

private:
    static std::string text(double x) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%g", x);
        return buffer;
    }
};

} // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    // malloc keeps its memory, so that the rows measure the program and not the kernel's handing out of pages.
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    add_floors();
    add_gathers();
    add_failures();
    add_waits();
    add_cancellations();
    add_handovers();
    add_nested();
    add_memory();
    table reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    return 0;
}
