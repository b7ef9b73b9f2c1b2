// SPDX-License-Identifier: MIT
// Durations, rates, sizes, counts and --halt as they are typed: a usage_error, or a value within its bounds.
#include "fuzz.hpp"

#include "units.hpp"
#include "words.hpp"

#include <chrono>

namespace {

template <class Parse>
void may_refuse(Parse parse) {
    try {
        parse();
    } catch (const tool::usage_error&) {
        // It is no such value.
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    may_refuse([&] {
        const auto d = tool::parse_duration(text, "--timeout");
        FUZZ_CHECK(d > std::chrono::nanoseconds(0));
        FUZZ_CHECK(!tool::show_duration(d).empty());
    });
    may_refuse([&] {
        const auto r = tool::parse_rate(text, "--rate");
        FUZZ_CHECK(r.count > 0 && r.window > std::chrono::nanoseconds(0));
    });
    may_refuse([&] { FUZZ_CHECK(!tool::show_size(tool::parse_size(text, "--max-size")).empty()); });
    may_refuse([&] {
        const auto count = tool::parse_count(text, "--limit", 1, 1000);
        FUZZ_CHECK(count >= 1 && count <= 1000);
    });
    may_refuse([&] { static_cast<void>(tool::parse_halt(text)); });
    return 0;
}
