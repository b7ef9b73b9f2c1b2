// SPDX-License-Identifier: MIT
// The program muster-fetch: `muster fetch` and `muster demo`, which muster executes with its own arguments. Its
// messages and its help speak of muster.
#include "command_line.hpp"
#include "demo.hpp"
#include "fetch.hpp"
#include "fetch_words.hpp"
#include "help.hpp"
#include "own_arguments.hpp"
#include "units.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using tool::usage_error;

/// `-O-` and `-qO-`, which are wget's way to standard output, would be read as -O and a beginning of something else.
void refuse_name_behind_remote_name(const std::vector<std::string>& arguments) {
    for (const auto& word : arguments) {
        if (word == "--")
            return;
        const bool is_it = word.size() > 2 && word.starts_with('-') && word.ends_with("O-") &&
                           word.find_first_not_of("qskO", 1) == word.size() - 1;
        if (is_it)
            throw usage_error("-O takes no name: -o - is for standard output");
    }
}

int run(std::vector<std::string> arguments) {
    CLI::App app("Gets many URLs at once and says what became of each.", "muster");
    app.set_help_flag("-h,--help", "print this help and exit");
    tool::fetch_words words;
    auto* fetch = app.add_subcommand("fetch", "get many URLs at once");
    fetch->formatter(
        std::make_shared<tool::grouped_help>("Usage: muster fetch [OPTIONS] URL...\n", tool::fetch_words::groups()));
    words.describe(*fetch);
    bool demo_without_progress = false;
    auto* demo = app.add_subcommand("demo", "get 200 URLs from a faulty server in this process: no network needed");
    demo->add_flag("--no-progress", demo_without_progress, "print no progress");
    app.fallthrough(false);

    return tool::answer(app, [&] {
        if (arguments.empty() || (arguments.front() != "fetch" && arguments.front() != "demo"))
            throw usage_error("muster-fetch is a part of muster: call it as muster fetch, or as muster demo");
        if (tool::asks_for_version(arguments))
            return tool::print(tool::version_text() + '\n');
        if (arguments.front() == "fetch") {
            if (auto inputs = tool::take_inputs(arguments)) {
                if (inputs->size() > 1 || !inputs->front().file.empty())
                    throw usage_error("give fetch one list of inputs behind :::, or a file of them with -f");
                words.inputs = std::move(inputs->front().inputs);
            }
            refuse_name_behind_remote_name(arguments);
            tool::expand_config(arguments, *fetch);
            tool::refuse_empty_values(*fetch, arguments, tool::words_between::are_allowed);
        }
        tool::parse(app, std::move(arguments));
        return demo->parsed() ? tool::demo(!demo_without_progress) : tool::fetch(words.understand());
    });
}

} // namespace

int main(int argc, char** argv) {
    // The list of arguments is blanked after it was copied.
    return tool::start(argc, argv, [=](std::vector<std::string> arguments) {
        tool::blank_secrets(argc, argv);
        return run(std::move(arguments));
    });
}
