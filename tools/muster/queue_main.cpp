// SPDX-License-Identifier: MIT
// The program muster-queue: `muster queue`, which muster executes with its own arguments. It is a program of its own
// because loading what libpq needs would hold up muster run. Its messages and its help speak of muster.
#include "command_line.hpp"
#include "queue.hpp"
#include "units.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace {

using tool::usage_error;

int run(std::vector<std::string> arguments) {
    CLI::App app("Makes queues in PostgreSQL and looks at them.", "muster");
    app.set_help_flag("-h,--help", "print this help and exit");
    app.fallthrough(false);
    tool::queue_options options;
    std::string queue_limit;
    std::string payload_limit;
    std::string what;
    auto* queue =
        app.add_subcommand("queue", "print how many calls wait, run and have failed, and the workers\n\n"
                                    "init makes the queue, or brings it up to this version. demo makes one on a\n"
                                    "server that is gone afterwards: muster queue demo -- COMMAND runs a command\n"
                                    "with its address in MUSTER_QUEUE.");
    queue->add_option("WHAT", what, "init, demo, or nothing to look at it");
    queue->add_option("--on", options.database, "where: postgresql://user@host/database, service=NAME (MUSTER_QUEUE)")
        ->type_name("ADDRESS");
    queue->add_option("--schema", options.schema, "the schema that it is in (muster)")->type_name("NAME");
    queue->add_option("--queue-limit", queue_limit, "with init: so many calls may wait; 0: any number")->type_name("N");
    queue->add_option("--payload-limit", payload_limit, "with init: the most bytes of a call's arguments (16M)")
        ->type_name("SIZE");

    return tool::answer(app, [&] {
        if (arguments.empty() || arguments.front() != "queue")
            throw usage_error("muster-queue is a part of muster: call it as muster queue");
        const auto dashes = std::ranges::find(arguments, "--");
        std::vector<std::string> command;
        if (dashes != arguments.end()) {
            command.assign(dashes + 1, arguments.end());
            arguments.erase(dashes, arguments.end());
        }
        tool::parse(app, std::move(arguments));
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
    });
}

} // namespace

int main(int argc, char** argv) { return tool::start(argc, argv, run); }
