// SPDX-License-Identifier: MIT
// The same for the component postgres: its headers and its library. There is no server here: a call says so.
#include <muster/postgres.hpp>
#include <muster/run.hpp>

const muster::remote_function twice(
    "twice", +[](int n) { return 2 * n; });

muster::task<bool> says_that_there_is_no_server() {
    using namespace std::chrono_literals;
    auto nowhere = muster::postgres::executor_options("host=/nonexistent dbname=none").reconnect_limit(1ms);
    muster::postgres::executor queue(nowhere);
    auto calling = muster::run_in_executor(queue, twice(21)).as_task();
    auto called = co_await muster::as_outcome(std::move(calling));
    co_return called.failed_with<muster::postgres::unreachable_error>();
}

int main() {
    muster::process_pool::serve_if_worker();
    return muster::run(says_that_there_is_no_server()) ? 0 : 1;
}
