// SPDX-License-Identifier: MIT
// Fire and forget: tasks and gathers that no code waits for. None of their failures is silent; each is one
// line on standard error that names the task and the place where it was made. And the proper way: a done
// callback, which receives the handle and logs the error; then there is nothing more to report.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <chrono>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

muster::task<> send_mail(std::string to) {
    co_await muster::yield();
    throw std::runtime_error("no route to " + to);
}

// [forgotten]
muster::task<> forgotten() {
    muster::create_task(send_mail("alice"), "mail to alice"); // it fails: "never retrieved"
    co_await muster::sleep_for(5ms);

    auto never_run = send_mail("bob"); // made, but never awaited

    auto both = muster::gather(send_mail("carol"), send_mail("dave")); // and a gather that is never awaited
}
// [/forgotten]

// [with_a_callback]
void log_failure(const muster::any_handle& task) {
    if (task.cancelled())
        fmt::print("{} was cancelled\n", task.name());
    else if (const auto error = task.exception()) // asking for it counts as looking
        fmt::print("{}: {}\n", task.name(), muster::describe(error));
}

muster::task<> with_a_callback() {
    auto mail = muster::create_task(send_mail("erin"), "mail to erin");
    mail.add_done_callback(log_failure);
    co_await muster::sleep_for(5ms);
}
// [/with_a_callback]

int main() {
    muster::run(forgotten());
    muster::run(with_a_callback(), muster::run_options().strict()); // strict: a report would be an error
}
