// SPDX-License-Identifier: MIT
// This file submits commands and makes an end of what the queue answers. A command whose worker died ends with that
// error, and is started at most as often as it says. A queue that is full is no failure of a command: it is submitted
// again after a pause. Before the first command the queue is looked at, so that a wrong address, or a role that may
// not ask, is one message and not one for each command.
//
// The executor tells on its own thread that no worker serves a function. Where no worker is there at all, that is said
// only some seconds later, and only if it is still so: workers are often started at the same time.
#include "queue_commands.hpp"

#include "content_key.hpp"
#include "queue_message.hpp"
#include "units.hpp"
#include "writer.hpp"

#include <muster/error.hpp>
#include <muster/loop_handle.hpp>
#include <muster/postgres.hpp>
#include <muster/postgres/init.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace tool {

namespace {

using namespace std::chrono_literals;
namespace pg = muster::postgres;

/// So much of a message is not the command's: the name of the function and what the library adds.
constexpr std::uint64_t apart = 512;
constexpr auto patience_with_workers = 3s;

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

class postgres_queue final : public command_queue {
public:
    postgres_queue(const queue_place& where, std::size_t window)
        : where_(where),
          function_(function_for(where.tag)),
          executor_options_(pg::executor_options(where.address).schema(where.schema).window(window)) {}

    [[nodiscard]] muster::task<> open() override;
    [[nodiscard]] muster::task<queued_end> run(queued_command what) override;
    [[nodiscard]] bool is_of_the_queue(const std::exception_ptr& error) const override;
    [[nodiscard]] muster::task<> close() override;

private:
    muster::task<std::string> call(std::string name, std::string message, int starts);
    [[nodiscard]] queued_end end_for(const std::exception_ptr& error) const;
    muster::task<> tell_that_nobody_serves(std::string why);

    const queue_place where_;
    const command_function& function_;
    pg::executor_options executor_options_;
    std::uint64_t payload_limit_ = 0;
    muster::task_handle<void> telling_;
    std::optional<pg::executor> executor_; ///< from open() to close()
};

muster::task<> postgres_queue::open() {
    auto asking = pg::status(where_.address, where_.schema);
    const auto now = co_await std::move(asking);
    payload_limit_ = now.payload_limit;
    executor_options_.on_unserved([this, loop = muster::loop_handle::current()](
                                      const std::string&, const std::string& why) {
        loop.post([this, why] { telling_ = muster::create_task(tell_that_nobody_serves(why), "unserved commands"); });
    });
    executor_.emplace(executor_options_);
}

muster::task<> postgres_queue::close() {
    if (executor_)
        executor_->stop(); // from here on nothing is told
    // The loop may still have a call of it that was posted before.
    co_await muster::yield();
    if (telling_.valid()) {
        telling_.cancel();
        auto ending = end_of(telling_);
        static_cast<void>(co_await muster::as_outcome(std::move(ending)));
    }
    executor_.reset();
}

muster::task<> postgres_queue::tell_that_nobody_serves(std::string why) {
    if (why == "no worker is there") {
        co_await muster::sleep_for(patience_with_workers);
        auto asking = pg::status(where_.address, where_.schema);
        auto asked = co_await muster::as_outcome(std::move(asking));
        const auto serves = [](const pg::worker_status& w) { return w.state == "serves"; };
        if (!asked.succeeded() || std::ranges::any_of(asked.value().workers, serves))
            co_return;
        complain(
            "no worker is there, and the commands wait for one: muster worker --on ADDRESS --allow PROGRAM, on any "
            "machine that reaches the database");
        co_return;
    }
    if (where_.tag.empty())
        complain(
            fmt::format("no worker of the queue runs commands of this version of muster, and the commands wait for "
                        "one: {}",
                why));
    else
        complain(
            fmt::format("no worker has the tag {0}, and the commands wait for one: muster worker --tags {0}, or do "
                        "without --worker-tag",
                where_.tag));
}

bool postgres_queue::is_of_the_queue(const std::exception_ptr& error) const {
    return muster::is_a<pg::unreachable_error>(error) || muster::is_a<pg::database_error>(error);
}

/// Of an error that says something about this command.
queued_end postgres_queue::end_for(const std::exception_ptr& error) const {
    queued_end end;
    end.error = error;
    if (const auto* died = muster::get_if<pg::worker_died_error>(error))
        end.host = died->host();
    if (muster::is_a<pg::key_in_use_error>(error))
        end.error = std::make_exception_ptr(std::invalid_argument(
            "this run has submitted it already with another --timeout, --grace, --linger or --max-output: "
            "give the same ones, or another name"));
    return end;
}

/// One call, submitted again as long as the queue is full. *Errors*: those of the call.
muster::task<std::string> postgres_queue::call(std::string name, std::string message, int starts) {
    const pg::call_key key{content_key(name).text()};
    for (auto pause = 100ms;; pause = std::min<std::chrono::milliseconds>(2 * pause, 2s)) {
        auto submission = pg::submission<std::string>(function_(message)).key(key).starts(starts);
        auto calling = muster::run_in_executor(*executor_, std::move(submission)).as_task();
        auto called = co_await muster::as_outcome(std::move(calling));
        if (!called.failed_with<muster::queue_full>())
            co_return std::move(called).value();
        co_await muster::sleep_for(pause);
    }
}

/// A worker that is told to end what runs says so in its answer, and the call is over for the queue: then it is another
/// call that may begin once more.
muster::task<queued_end> postgres_queue::run(queued_command what) {
    const auto message = write_message(what);
    if (message.size() + apart > payload_limit_)
        throw std::length_error(
            fmt::format("it takes {}, and the payload limit of the queue is {}: write it to a script, or raise the "
                        "limit with muster queue init --payload-limit",
                show_size(message.size()), show_size(payload_limit_)));
    for (int begun = 1;; ++begun) {
        auto calling = call(begun == 1 ? what.name : fmt::format("{}\n{}", what.name, begun), message, what.starts);
        auto called = co_await muster::as_outcome(std::move(calling));
        if (called.failed() && !is_of_the_queue(called.error())) {
            auto end = end_for(called.error());
            co_return end;
        }
        const auto answer = std::move(called).value();
        auto end = read_end(answer);
        if (end.how != queued_end::kind::worker_left)
            co_return end;
        if (begun < what.starts)
            continue;
        end.how = queued_end::kind::failed;
        end.error = std::make_exception_ptr(
            pg::worker_died_error(end.host, static_cast<int>(end.done.pid), pg::worker_died_error::sign::left));
        co_return end;
    }
}

} // namespace

std::unique_ptr<command_queue> make_queue(const queue_place& where, std::size_t window) {
    try {
        return std::make_unique<postgres_queue>(where, window);
    } catch (const std::invalid_argument& e) {
        throw usage_error(e.what());
    }
}

} // namespace tool
