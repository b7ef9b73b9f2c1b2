// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Everything but the integrations. In the order in which a newcomer reads it.
///
///     #include <muster/muster.hpp>
///     int main() { return muster::run(my_main()); }

// The type of a coroutine, and the ways in which it may end.
#include <muster/droppable_task.hpp>  // a task that a cancellation ends without a throw
#include <muster/error.hpp>           // cancelled_error, timeout_error and the other errors
#include <muster/exception_group.hpp> // many failures as one throwable tree
#include <muster/handle_group.hpp>    // handlers by type: except*
#include <muster/ledger.hpp>          // how many of them ended in which way
#include <muster/outcome.hpp>         // value, error, cancelled or not started
#include <muster/outcomes.hpp>        // many of them, with the ledger
#include <muster/report.hpp>          // where failures go that nobody was given
#include <muster/summary.hpp>         // many of them, counted as they stream by
#include <muster/task.hpp>            // task<T>, fail, as_outcome

// Running on its own.
#include <muster/task_handle.hpp> // create_task, handles, this_task
#include <muster/task_local.hpp>  // values that tasks carry along

// Running many.
#include <muster/as_completed.hpp> // one after the other, as they end
#include <muster/cleanup.hpp>      // with_cleanup: clean-up that may await
#include <muster/expected.hpp>     // std::expected and its like as failures
#include <muster/gather.hpp>       // gather, settle
#include <muster/generator.hpp>    // asynchronous generators, for_each
#include <muster/map.hpp>          // a function over inputs, lazily, with limits and retries
#include <muster/race.hpp>         // the first to succeed
#include <muster/retry.hpp>        // when and how often to try again
#include <muster/shield.hpp>       // shield, hold_cancellation
#include <muster/task_group.hpp>   // a scope for tasks
#include <muster/timeout.hpp>      // timeout, timeout_at, wait_for
#include <muster/wait.hpp>         // which of a set have ended

// Between tasks.
#include <muster/barrier.hpp>
#include <muster/condition.hpp>
#include <muster/event.hpp>
#include <muster/mutex.hpp>
#include <muster/queue.hpp>
#include <muster/semaphore.hpp>

// Loops, time and threads.
#include <muster/event_loop.hpp>  // run several tasks on one loop
#include <muster/future.hpp>      // set on the loop's thread
#include <muster/loop_handle.hpp> // reach a loop from another thread
#include <muster/promise.hpp>     // set from any thread
#include <muster/run.hpp>         // from plain code
#include <muster/sleep.hpp>       // sleep_for, sleep_until, yield
#include <muster/stop_token.hpp>  // std::stop_token, both ways
#include <muster/thread_pool.hpp> // threads for blocking calls
#include <muster/to_thread.hpp>   // a blocking call on a thread
