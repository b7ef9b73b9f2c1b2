// SPDX-License-Identifier: MIT
// This file has what muster queue does. Its demo is a server that is a child of this program.
#include "queue.hpp"

#include "queue_address.hpp"
#include "run.hpp"
#include "streams.hpp"
#include "units.hpp"
#include "writer.hpp"

#include "postgres/private_server.hpp"
#include "vocabulary/printable.hpp"

#include <muster/io/signals.hpp>
#include <muster/postgres/error.hpp>
#include <muster/postgres/init.hpp>
#include <muster/run.hpp>
#include <muster/subprocess.hpp>

#include <fmt/core.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <utility>

#include <unistd.h>

namespace tool {

namespace {

/// *Returns* the exit status.
int write(const std::string& text) {
    if (const auto failed = write_all(STDOUT_FILENO, text)) {
        complain(fmt::format("writing to standard output failed: {}", failed->message()));
        return some_failed;
    }
    return all_succeeded;
}

std::string shown(std::chrono::seconds time) { return fmt::format("{} s", time.count()); }

std::string table_of(const muster::postgres::queue_status& s) {
    auto text = fmt::format("queued     {}{}\n", s.queued,
        s.queue_limit != 0 ? fmt::format(" of {} at most", s.queue_limit) : std::string());
    if (s.queued != 0)
        text += fmt::format("oldest     waits for {}\n", shown(s.oldest));
    text += fmt::format("delayed    {}\nrunning    {}\nanswered   {}\ncancelled  {}\ndied       {}\nexpired    {}\n",
        s.delayed, s.running, s.answered, s.cancelled, s.died, s.expired);
    if (s.workers.empty())
        return text + "workers    none\n";
    text += fmt::format(
        "\n{:>8}  {:<24} {:>8} {:>9} {:>10}  {}\n", "worker", "host", "process", "running", "silent for", "state");
    for (const auto& w : s.workers)
        text += fmt::format("{:>8}  {:<24} {:>8} {:>9} {:>10}  {}\n", w.epoch, muster::detail::printable(w.host, 100),
            w.process, fmt::format("{}/{}", w.running, w.slots), shown(w.silent_for),
            muster::detail::printable(w.state, 100));
    return text;
}

muster::task<> make(std::string address, queue_options o) {
    muster::postgres::queue_settings settings;
    settings.queue_limit = o.queue_limit;
    settings.payload_limit = o.payload_limit;
    auto making = muster::postgres::init(std::move(address), o.schema, settings);
    co_await std::move(making);
}

/// *Returns* what `work` returns, or the exit status of a failure, which is said.
template <class Work>
int attempt(const Work& work) {
    try {
        return work();
    } catch (const std::invalid_argument& e) {
        throw usage_error(e.what());
    } catch (const muster::postgres::queue_error& e) {
        complain(e.what());
        return some_failed;
    }
}

muster::task<int> status_of(std::vector<std::string> words) {
    muster::command what(words);
    what.stdin_inherit().stdout_to(muster::output::inherit).stderr_to(muster::output::inherit);
    auto running = muster::run_command(std::move(what));
    const auto done = co_await std::move(running);
    co_return done.signal != 0 ? 128 + done.signal : done.status;
}

muster::task<> until_signal() {
    muster::io::signal_watcher signals({SIGINT, SIGTERM, SIGHUP});
    static_cast<void>(co_await signals.next());
}

} // namespace

int show_queue(const queue_options& o) {
    const auto address = address_of_queue(o.database, "muster queue");
    return attempt([&] { return write(table_of(muster::run(muster::postgres::status(address, o.schema)))); });
}

int init_queue(const queue_options& o) {
    const auto address = address_of_queue(o.database, "muster queue");
    return attempt([&] {
        muster::run(make(address, o));
        return write(fmt::format("The queue is in the schema {0}. Give the role {0}_client to those who submit, and "
                                 "{0}_worker to those who serve.\n",
            o.schema));
    });
}

int demo_queue(const queue_options& o, const std::vector<std::string>& command) {
    if (const auto problem = muster::postgres::private_server::why_not(); !problem.empty())
        throw usage_error(fmt::format("muster queue demo: {}", problem));
    return attempt([&] {
        const muster::postgres::private_server server;
        muster::run(make(server.address(), o));
        if (!command.empty()) {
            ::setenv(variable_of_queue, server.address().c_str(), 1);
            return muster::run(status_of(command));
        }
        if (const int status = write(
                fmt::format("{}='{}'\nIt is gone when this ends: Ctrl-C.\n", variable_of_queue, server.address()));
            status != all_succeeded)
            return status;
        muster::run(until_signal(), muster::run_options().handle_interrupt(false));
        return static_cast<int>(all_succeeded);
    });
}

} // namespace tool
