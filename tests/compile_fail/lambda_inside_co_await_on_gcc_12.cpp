// SPDX-License-Identifier: MIT
// expect: give it a name first
#include <muster/task_group.hpp>

#include <string>

muster::task<> body(std::string s) {
#if defined(MUSTER_CONTROL)
    auto named = [s](muster::task_group&) -> muster::task<> { co_return; };
    co_await muster::with_task_group(muster::take(named));
    co_await muster::with_task_group(named);
#elif defined(__clang__) || __GNUC__ >= 13
#error "give it a name first: this compiler has not the fault, and there is nothing to refuse"
#else
    co_await muster::with_task_group([s](muster::task_group&) -> muster::task<> { co_return; });
#endif
}
