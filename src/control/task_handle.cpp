// SPDX-License-Identifier: MIT
// This file defines this_task, the functions of the running task, and all_tasks.
#include <muster/task_handle.hpp>

#include <utility>

namespace muster {

namespace detail {

std::string running_task_name() {
    const auto* loop = scheduler::current();
    return loop != nullptr && loop->running() != nullptr ? loop->running()->owners_name() : std::string();
}

} // namespace detail

namespace this_task {

namespace {
detail::fiber& running(const char* what) {
    auto& loop = detail::scheduler::require(what);
    if (loop.running() == nullptr)
        throw invalid_state_error(std::string(what) + " needs a running task");
    return *loop.running();
}
} // namespace

std::string name() { return detail::running_task_name(); }

int cancelling() {
    const auto* loop = detail::scheduler::current();
    return loop != nullptr && loop->running() != nullptr ? static_cast<int>(loop->running()->cancels()) : 0;
}

int uncancel() { return running("this_task::uncancel").uncancel(); }

void cancel(std::string message) {
    auto& f = running("this_task::cancel");
    f.cancel(detail::cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

} // namespace this_task

std::vector<any_handle> all_tasks() {
    std::vector<any_handle> all;
    const auto& loop = detail::scheduler::require("all_tasks");
    all.reserve(loop.live_tasks());
    for (auto* t = loop.first_task(); t != nullptr; t = loop.next_task(*t))
        all.push_back(detail_handle_access::make(*t));
    return all;
}

} // namespace muster
