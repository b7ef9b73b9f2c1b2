// SPDX-License-Identifier: MIT
// expect: this makes a coroutine, which can't be sent
#include <muster/process_pool/remote_function.hpp>

#ifdef MUSTER_CONTROL
int load() { return 1; }
#else
muster::task<int> load() { co_return 1; }
#endif

const muster::remote_function remote_load("load", &load);
