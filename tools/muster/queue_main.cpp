// SPDX-License-Identifier: MIT
// The program muster-queue: `muster queue`, `muster worker`, and `muster run` where its commands go through a queue.
// muster executes it with its own arguments. It is a program of its own because loading what libpq needs would hold up
// every other muster run. Its messages and its help speak of muster.
#include "command_line.hpp"
#include "queue.hpp"
#include "queue_address.hpp"
#include "queue_commands.hpp"
#include "queue_worker.hpp"
#include "run_program.hpp"
#include "run_words.hpp"
#include "streams.hpp"
#include "units.hpp"
#include "words.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace {

using tool::usage_error;

/// The command line of `muster queue`.
struct queue_words {
    tool::queue_options options;
    std::string queue_limit;
    std::string payload_limit;
    std::string what;

    void describe(CLI::App& app) {
        app.add_option("WHAT", what, "init, demo, or nothing to look at it");
        app.add_option("--on", options.database, "where: postgresql://user@host/database, service=NAME (MUSTER_QUEUE)")
            ->type_name("ADDRESS");
        app.add_option("--schema", options.schema, "the schema that it is in (muster)")->type_name("NAME");
        app.add_option("--queue-limit", queue_limit, "with init: so many calls may wait; 0: any number")
            ->type_name("N");
        app.add_option("--payload-limit", payload_limit,
               "with init: the most bytes of a call's arguments, and of its result (16M)")
            ->type_name("SIZE");
    }
    /// *Returns* the exit status. `command` is what stands behind --.
    int obey(const std::vector<std::string>& command) {
        const bool makes_one = what == "init" || what == "demo";
        if (!what.empty() && !makes_one)
            throw usage_error(
                fmt::format("muster queue {}: there is init, demo, or nothing to look at the queue", what));
        if (!makes_one && (!queue_limit.empty() || !payload_limit.empty()))
            throw usage_error("--queue-limit and --payload-limit are for muster queue init and demo");
        if (!command.empty() && what != "demo")
            throw usage_error("a command behind -- is for muster queue demo");
        if (what == "demo" && !options.database.empty())
            throw usage_error("muster queue demo has a server of its own: leave --on out");
        if (!queue_limit.empty())
            options.queue_limit = tool::parse_count(queue_limit, "--queue-limit", 0, std::size_t{1} << 40);
        if (!payload_limit.empty())
            options.payload_limit = tool::parse_size(payload_limit, "--payload-limit");
        if (what == "init")
            return tool::init_queue(options);
        return what == "demo" ? tool::demo_queue(options, command) : tool::show_queue(options);
    }
};

/// The command line of `muster worker`.
struct worker_words {
    tool::worker_setting setting;
    std::string slots;
    std::vector<std::string> tags;
    std::string lease;
    bool without_progress = false;

    void describe(CLI::App& app) {
        app.add_option(
               "--on", setting.address, "the queue: postgresql://user@host/database, service=NAME (MUSTER_QUEUE)")
            ->type_name("ADDRESS");
        app.add_option("--schema", setting.schema, "the schema that it is in (muster)")->type_name("NAME");
        app.add_option("--allow", setting.allowed,
               "run this program: a name in PATH, or an absolute path; with * ? [] for several; may be repeated (none)")
            ->type_name("PROGRAM")
            ->allow_extra_args(false);
        app.add_option("-j,--slots", slots, "at most N commands at once (as many as there are processors)")
            ->type_name("N");
        app.add_option("--tags", tags, "also run what is for workers with these tags: gpu,big")
            ->type_name("TAGS")
            ->delimiter(',')
            ->allow_extra_args(false);
        app.add_option(
               "--lease", lease, "how long to go on without an answer of the database (15s); longer on a slow line")
            ->type_name("TIME");
        app.add_option("--user", setting.user, "run the commands as this user; needs root")->type_name("NAME");
        app.add_option("--wd", setting.directory, "run the commands in DIR (this folder)")->type_name("DIR");
        app.add_flag("-q,--quiet", setting.quiet, "say nothing but what goes wrong");
        app.add_flag("--no-progress", without_progress, "show no progress on a terminal");
        app.footer("It runs what others have put into the queue with muster run --on ADDRESS, and of that only\n"
                   "programs that are allowed. A shell that is allowed runs anything.\n\n"
                   "muster worker --on service=jobs --slots 4 --allow gzip --allow '/opt/tools/*' --user farm\n\n"
                   "SIGTERM, SIGINT and SIGHUP have it leave: it takes nothing more, hands back what has\n"
                   "not begun, and waits for what runs. The second one ends what runs, the third kills it.\n\n"
                   "Exit status: 0 it has left, 1 the queue can't be reached or refuses it, 2 bad usage,\n"
                   "128 and more: a second signal ended what ran.\n");
    }
    /// *Returns* the exit status.
    int obey() {
        setting.slots = slots.empty() ? tool::processors() : tool::parse_limit(slots, "--slots");
        setting.tags = tags;
        if (!lease.empty())
            setting.lease = tool::parse_duration(lease, "--lease");
        if (setting.lease.value_or(std::chrono::seconds(1)) < std::chrono::milliseconds(300))
            throw usage_error("--lease: a lease lasts 300ms at least");
        setting.shows_progress = !without_progress;
        return tool::serve_commands(setting);
    }
};

/// `muster run --on` the address of a queue. *Returns* the exit status.
int run_in_queue(CLI::App& app, CLI::App& command, tool::run_words& words, std::vector<std::string> arguments) {
    auto options = tool::understand_run(app, command, words, std::move(arguments));
    options.queue.address = tool::address_of_queue(options.queue.address, "muster run");
    return tool::run(options, tool::make_queue);
}

int run(std::vector<std::string> arguments) {
    CLI::App app("Makes queues in PostgreSQL, looks at them, and works for them.", "muster");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.fallthrough(false);
    queue_words queue;
    queue.describe(
        *app.add_subcommand("queue", "print how many calls wait, run and have failed, and the workers\n\n"
                                     "init makes the queue, or brings it up to this version. demo makes one "
                                     "on a\nserver that is gone afterwards: muster queue demo -- COMMAND runs "
                                     "a command\nwith its address in MUSTER_QUEUE."));
    worker_words worker;
    worker.describe(*app.add_subcommand("worker", "run the commands that others have put into a queue"));
    tool::run_words words;
    auto* const command = app.add_subcommand("run", "run many commands at once");
    words.describe(*command);

    return tool::answer(app, [&] {
        const auto asked = arguments.empty() ? std::string() : arguments.front();
        if (asked == "run")
            return run_in_queue(app, *command, words, std::move(arguments));
        if (asked != "queue" && asked != "worker")
            throw usage_error("muster-queue is a part of muster: call it as muster queue, or as muster worker");
        const auto dashes = std::ranges::find(arguments, "--");
        std::vector<std::string> behind;
        if (dashes != arguments.end()) {
            behind.assign(dashes + 1, arguments.end());
            arguments.erase(dashes, arguments.end());
        }
        tool::parse(app, std::move(arguments));
        if (asked == "queue")
            return queue.obey(behind);
        if (!behind.empty())
            throw usage_error("muster worker runs what is in the queue, and no command of its own command line");
        return worker.obey();
    });
}

} // namespace

int main(int argc, char** argv) { return tool::start(argc, argv, run); }
