// SPDX-License-Identifier: MIT
// This file submits commands and makes an end of what the queue answers. A call may be started once. A command that may
// begin more often, as its worker died or was told to end it, is another call each time, so that how often it begins is
// counted in one place. A queue that is full is no failure of a command: it is submitted again after a pause. Before
// the first command the queue is looked at, so that a wrong address, or a role that may not ask, is one message and not
// one for each command.
//
// A task that is cancelled learns by its cancellation nothing of its call: that is in the call_progress. Only what the
// queue itself has cancelled counts as cancelled. Whatever else was submitted may still run, and has an error.
//
// The executor tells on its own thread that no worker serves a function. Where no worker is there at all, that is said
// only some seconds later, and only if it is still so: workers are often started at the same time.
#include "queue_commands.hpp"

#include "content_key.hpp"
#include "queue_message.hpp"
#include "units.hpp"
#include "writer.hpp"

#include "postgres/schema.hpp"

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

    [[nodiscard]] muster::task<std::string> look() override;
    void open() override;
    [[nodiscard]] muster::task<queued_end> run(queued_command what) override;
    [[nodiscard]] bool is_of_the_queue(const std::exception_ptr& error) const override;
    [[nodiscard]] muster::task<> close() override;

private:
    /// One call, and what is known of it if it ends with an error or is cancelled.
    struct called {
        called() : progress(std::make_shared<pg::call_progress>()) {}
        std::string answer;
        std::shared_ptr<pg::call_progress> progress;
    };
    muster::task<> call(std::string name, std::string message, called& into);
    [[nodiscard]] queued_end end_of_call(
        const muster::outcome<>& ended, pg::call_progress::stage known, bool may_be_there) const;
    [[nodiscard]] static queued_end end_in(const std::string& answer);
    muster::task<> tell_that_nobody_serves(std::string why);

    const queue_place where_;
    const command_function& function_;
    pg::executor_options executor_options_;
    std::uint64_t payload_limit_ = 0;
    muster::task_handle<void> telling_;
    std::optional<pg::executor> executor_; ///< from open() to close()
};

muster::task<std::string> postgres_queue::look() {
    auto asking = pg::status(where_.address, where_.schema);
    const auto now = co_await std::move(asking);
    pg::schema::expect_version(now.version, where_.schema);
    payload_limit_ = now.payload_limit;
    co_return now.id;
}

void postgres_queue::open() {
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

/// One call, submitted again as long as the queue is full. *Errors*: those of the call.
muster::task<> postgres_queue::call(std::string name, std::string message, called& into) {
    const pg::call_key key{content_key(name).text()};
    for (auto pause = 100ms;; pause = std::min<std::chrono::milliseconds>(2 * pause, 2s)) {
        auto submission = pg::submission<std::string>(function_(message)).key(key).progress(into.progress);
        auto calling = muster::run_in_executor(*executor_, std::move(submission)).as_task();
        auto ended = co_await muster::as_outcome(std::move(calling));
        if (!ended.failed_with<muster::queue_full>()) {
            into.answer = std::move(ended).value();
            co_return;
        }
        co_await muster::sleep_for(pause);
    }
}

/// *Returns* the end of a call that has not succeeded. *Errors*: cancelled_error for what was not submitted; what keeps
/// the queue from answering, also if it has not confirmed a cancellation.
queued_end postgres_queue::end_of_call(
    const muster::outcome<>& ended, pg::call_progress::stage known, bool may_be_there) const {
    using stage = pg::call_progress::stage;
    queued_end end;
    end.is_known_to_queue = known == stage::ended || known == stage::cancelled;
    if (known == stage::cancelled) {
        end.how = queued_end::kind::cancelled;
        return end;
    }
    if (ended.was_cancelled()) {
        if (known == stage::not_submitted && !may_be_there)
            ended.rethrow();
        throw pg::unreachable_error(
            "it was cancelled, and the queue has not confirmed that: it may still run, or have run");
    }
    if (is_of_the_queue(ended.error()))
        ended.rethrow();
    end.error = ended.error();
    if (const auto* died = muster::get_if<pg::worker_died_error>(end.error))
        end.host = died->host();
    if (muster::is_a<pg::key_in_use_error>(end.error))
        end.error =
            std::make_exception_ptr(std::invalid_argument("this run has submitted it already, and not just so: with "
                                                          "another --worker-tag, --timeout, --grace, --linger "
                                                          "or --max-output, or from another place in the list, which "
                                                          "{#} shows: give the same ones, or another name"));
    return end;
}

queued_end postgres_queue::end_in(const std::string& answer) {
    queued_end end;
    try {
        end = read_end(answer);
    } catch (const std::invalid_argument&) {
        end.error = std::current_exception();
    }
    end.is_known_to_queue = true;
    if (end.how == queued_end::kind::worker_left)
        end.error = std::make_exception_ptr(
            pg::worker_died_error(end.host, static_cast<int>(end.done.pid), pg::worker_died_error::sign::left));
    return end;
}

muster::task<queued_end> postgres_queue::run(queued_command what) {
    const auto message = write_message(what);
    if (message.size() + apart > payload_limit_)
        throw std::length_error(
            fmt::format("it takes {}, and the payload limit of the queue is {}: write it to a script, or raise the "
                        "limit with muster queue init --payload-limit",
                show_size(message.size()), show_size(payload_limit_)));
    for (int begun = 1;; ++begun) {
        called result;
        auto calling = call(begun == 1 ? what.name : fmt::format("{}\n{}", what.name, begun), message, result);
        auto ended = co_await muster::as_outcome(std::move(calling));
        auto end = ended.succeeded() ? end_in(result.answer)
                                     : end_of_call(ended, result.progress->at(), what.may_be_there || begun != 1);
        if (begun == what.starts || !end.error || !muster::is_a<pg::worker_died_error>(end.error))
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
