// SPDX-License-Identifier: MIT
// expect: register a function, or a lambda without captures, and send what it needs as arguments
#include <muster/process_pool/remote_function.hpp>

void registers(int offset) {
#ifdef MUSTER_CONTROL
    const muster::remote_function add("add", [](int number, int to) { return number + to; });
    static_cast<void>(add(1, offset));
#else
    const muster::remote_function add("add", [offset](int number) { return number + offset; });
#endif
}
