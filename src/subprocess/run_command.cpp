// SPDX-License-Identifier: MIT
// This file defines run_command and the errors of a completed_process. run_command starts a child, lets a process_wait
// feed its input and collect both outputs until it ends, and makes the result of both. An output that something else
// still holds open by then is handed to the command's on_open_output. An error carries the last lines of standard
// error.
#include <muster/subprocess.hpp>

#include "loops/require_event_loop.hpp"
#include "subprocess/child.hpp"
#include "subprocess/output_collector.hpp"
#include "subprocess/process_wait.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace muster {

namespace {

constexpr std::size_t tail_in_errors = 4096;

/// The last of a text, from the beginning of a line if one begins there.
std::string tail_of(const std::string& text, std::size_t most) {
    if (text.size() <= most)
        return text;
    auto from = text.size() - most;
    if (const auto line = text.find('\n', from); line != std::string::npos && line + 1 < text.size())
        from = line + 1;
    return text.substr(from);
}

} // namespace

void completed_process::throw_if_failed() const {
    if (succeeded())
        return;
    if (signal != 0)
        throw signal_error(signal, dumped_core, command, tail_of(err, tail_in_errors));
    throw exit_error(status, command, tail_of(err, tail_in_errors));
}

task<completed_process> run_command(command what) {
    detail::require_event_loop("run_command");
    const auto& parts = what.parts();
    if (parts.input == detail::input_from::pipe)
        throw std::invalid_argument("run_command: stdin_pipe() is start_process's, where the caller writes to it: "
                                    "say stdin_bytes()");
    detail::pipe_set pipes;
    detail::child c(what, pipes);
    if (parts.started)
        parts.started(c.pid());
    detail::output_collector out(parts.out, what);
    detail::output_collector err(parts.err, what);
    detail::process_wait waiting(c, parts.grace, parts.linger);
    waiting.feed(pipes[0], parts.bytes);
    waiting.collect(1, pipes[1], out);
    waiting.collect(2, pipes[2], err);
    co_await waiting;
    for (const int output : {1, 2}) {
        const auto& pipe = pipes[static_cast<std::size_t>(output)];
        if (parts.left_open && pipe && pipe->is_open())
            parts.left_open(output, pipe->release());
    }
    completed_process done = c.result();
    done.output_ended = waiting.output_ended();
    done.out_bytes = out.total();
    done.err_bytes = err.total();
    done.out = std::move(out).finish();
    done.err = std::move(err).finish();
    co_return done;
}

} // namespace muster
