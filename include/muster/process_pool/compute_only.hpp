// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Rights that a process gives up for good before it looks at what nobody trusts: a picture, an archive, a document.
///
///     muster::process_pool pool(muster::process_pool_options().compute_only().memory_limit(512 << 20));
///     auto picture = co_await muster::run_in_executor(pool, decode(bytes));   // no file, no network, no program

#include <muster/config.hpp>

namespace muster::sandbox {

/// From now on this thread, and every thread that it starts, computes and uses the descriptors that are open, and that
/// is all: it opens no file, makes no socket, starts no process or thread, maps no code, signals nobody but itself, and
/// gains no rights by executing anything. Each such system call fails with EPERM, as if the system had refused it. It
/// can't be undone. process_pool_options::compute_only() calls it in each worker; a program may call it in a process of
/// its own. *Errors*: std::system_error if the system has no seccomp filters, or on a processor other than x86-64 and
/// AArch64; nothing has changed then. *Thread safety*: of other threads, none is affected.
void compute_only();

/// No program that this process executes has more rights than this process (set-uid, capabilities of files). Inherited,
/// and never undone. *Errors*: std::system_error.
void no_new_privileges();

} // namespace muster::sandbox
