// SPDX-License-Identifier: MIT
// What stands in a row of a queue: a command that any client may have written, an end that any worker may have, and the
// answer of a function. It is refused with std::invalid_argument or a wire_error, or is read and written back as what
// was read.
#include "fuzz.hpp"

#include "postgres/known_errors.hpp"
#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "queue_message.hpp"
#include "vocabulary/printable.hpp"

#include <muster/error.hpp>
#include <muster/process_pool/error.hpp>

#include <exception>
#include <span>
#include <stdexcept>
#include <string_view>

namespace {

void try_as_command(std::string_view bytes) {
    try {
        const auto what = tool::read_command(bytes);
        FUZZ_CHECK(!what.words.empty() && !what.words.front().empty());
        for (const auto& word : what.words)
            FUZZ_CHECK(word.find('\0') == std::string::npos);
        FUZZ_CHECK(
            what.grace.count() >= 0 && what.linger.count() >= 0 && (!what.timeout || what.timeout->count() >= 0));
        const auto again = tool::write_message(what);
        FUZZ_CHECK(tool::write_message(tool::read_command(again)) == again);
    } catch (const std::invalid_argument&) {
        // It is no command.
    }
}

void try_as_end(std::string_view bytes) {
    try {
        const auto end = tool::read_end(bytes);
        FUZZ_CHECK(end.done.pid >= 0 && end.done.status <= 255 && end.done.signal <= 64);
        FUZZ_CHECK(end.done.out.size() + end.done.err.size() <= bytes.size());
        const auto again = tool::write_message(end);
        FUZZ_CHECK(tool::write_message(tool::read_end(again)) == again);
    } catch (const std::invalid_argument&) {
        // It is no end of a command.
    }
}

/// An answer that says how a worker or its process died.
void try_as_error(std::span<const std::uint8_t> bytes) {
    nlohmann::json value;
    try {
        value = muster::wire::read(bytes, 1000);
    } catch (const muster::wire_error&) {
        return;
    }
    std::exception_ptr error;
    try {
        error = muster::workers::registry::rebuild(value);
    } catch (const nlohmann::json::exception&) {
        return; // the reader of answers makes a wire_error of it
    }
    const auto text = muster::describe(error);
    FUZZ_CHECK(text.size() < 50 * muster::detail::longest_printed_text && text.find('\n') == std::string::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    muster::postgres::know_errors_of_workers();
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try_as_command(text);
    try_as_end(text);
    try_as_error({data, size});
    return 0;
}
