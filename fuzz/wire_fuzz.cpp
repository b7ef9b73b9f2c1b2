// SPDX-License-Identifier: MIT
// A worker's message: it is refused with a wire_error, or read within the limit of values and written back the same. As
// the "error" of an answer it becomes an exception whose text is bounded.
#include "fuzz.hpp"

#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "vocabulary/printable.hpp"

#include <muster/error.hpp>
#include <muster/process_pool.hpp>

#include <exception>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace wire = muster::workers::wire;
    constexpr std::uint64_t most_values = 1000;
    const std::span<const std::uint8_t> bytes(data, size);
    nlohmann::json value;
    try {
        value = wire::read(bytes, most_values);
    } catch (const muster::wire_error&) {
        return 0;
    }
    FUZZ_CHECK(wire::problem_of(bytes, most_values).empty());
    FUZZ_CHECK(wire::count_values(bytes) <= most_values);
    const auto again = wire::write(value);
    const auto same = wire::write(wire::read(again, wire::no_value_limit));
    FUZZ_CHECK(again == same);
    std::exception_ptr error;
    try {
        error = muster::workers::registry::rebuild(value);
    } catch (const nlohmann::json::exception&) {
        return 0; // the reader of answers makes a wire_error of it
    }
    FUZZ_CHECK(error != nullptr);
    FUZZ_CHECK(muster::describe(error).size() < 50 * muster::detail::longest_printed_text);
    FUZZ_CHECK(muster::describe(error).find('\n') == std::string::npos);
    return 0;
}
