// SPDX-License-Identifier: MIT
// The log of an earlier run, read for --resume: it is refused with a usage_error, or what counts as whole is no longer
// than the file and ends with a line feed. Only a log that names a run of a queue asks for that queue.
#include "fuzz.hpp"

#include "earlier_run.hpp"
#include "units.hpp"

#include <muster/detail/assert.hpp>

#include "posix/owned_fd.hpp"

#include <sys/mman.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const muster::detail::owned_fd file(::memfd_create("log", MFD_CLOEXEC));
    FUZZ_CHECK(file.get() >= 0);
    FUZZ_CHECK(::ftruncate(file.get(), 0) == 0);
    FUZZ_CHECK(::pwrite(file.get(), data, size, 0) == static_cast<ssize_t>(size));
    for (const char* command : {"run", "fetch"}) {
        try {
            const tool::earlier_run before(file.get(), "log", command, "command");
            FUZZ_CHECK(before.whole() <= size);
            FUZZ_CHECK(before.whole() == 0 || data[before.whole() - 1] == '\n');
            FUZZ_CHECK(before.was_cut_off() == (before.whole() != size));
            FUZZ_CHECK(before.name_in_queue().size() <= size);
            if (before.name_in_queue().empty())
                before.require_queue("another");
        } catch (const tool::usage_error&) {
            // It is no log of that command.
        }
    }
    return 0;
}
