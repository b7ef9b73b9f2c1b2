// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A command that is to be run: words, environment, directory, where its standard streams lead. A plain description
/// that may be copied and run any number of times; nothing is interpreted by a shell unless command::shell says so.
///
///     auto convert = muster::command("convert", in, out).directory("pictures").env("LC_ALL", "C").grace(2s);
///     auto done = co_await muster::run_command(std::move(convert));

#include <muster/config.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace muster {

/// Where an output of a process leads.
enum class output : std::uint8_t {
    capture, ///< into completed_process, or to the reader of a process
    inherit, ///< where the caller's own leads
    discard, ///< nowhere
};

/// Called with each piece of an output as it comes. If it throws, the process is ended, and run_command throws that.
using output_sink = std::function<void(std::string_view piece)>;

namespace detail {

enum class input_from : std::uint8_t { null, inherit, bytes, pipe, file };

/// The group or session that the process is put into before it runs its program.
enum class grouping : std::uint8_t { of_caller, own_group, own_session };

struct output_plan {
    output_plan() {}
    output to = output::capture;
    output_sink sink;    ///< instead, if there is one
    bool merged = false; ///< standard error only: it goes where standard output goes
};

struct environment_change {
    environment_change(std::string n, std::optional<std::string> v) : name(std::move(n)), value(std::move(v)) {}
    std::string name;
    std::optional<std::string> value; ///< none: the variable is taken out
};

struct command_parts {
    command_parts() {}
    std::vector<std::string> words;
    std::vector<environment_change> environment;
    bool clear_environment = false;
    std::string directory;
    grouping group = grouping::own_group; ///< a process that reads the terminal stays in the caller's group
    input_from input = input_from::null;
    std::string bytes; ///< or the path of the file
    output_plan out;
    output_plan err;
    std::uint64_t limit = std::uint64_t{64} << 20;
    bool keeps_tail = false;
    std::chrono::nanoseconds grace = std::chrono::seconds(5);
    std::chrono::nanoseconds linger{0};
    std::function<void(pid_t)> started;
    std::function<void(int, int)> left_open;
};

} // namespace detail

/// Each word may be used in a chain. Unless something else is said: the caller's environment and directory, nothing on
/// standard input, both outputs captured. *Errors*, of all words: std::invalid_argument for a NUL in a text, which no
/// process can be given, for an empty program, for a variable's name with '=' in it, and for negative times.
class command {
public:
    /// A program, by path or by name in PATH (that of the environment it is to have), and its arguments.
    template <class... Words>
        requires(std::constructible_from<std::string, Words>&&...)
    explicit command(std::string program, Words&&... arguments)
        : command(list_of(std::move(program), std::forward<Words>(arguments)...)) {}
    explicit command(std::vector<std::string> words);
    explicit command(std::initializer_list<std::string_view> words);
    /// `sh -c line`: for pipes, redirections and the like. Never put a name from outside into the line; pass it as an
    /// argument, which the line knows as "$1": `command::shell("sort -- \"$1\" | uniq").arg(name)`.
    [[nodiscard]] static command shell(std::string line);

    command& arg(std::string word) &;
    command&& arg(std::string word) && { return std::move(arg(std::move(word))); }

    command& env(std::string name, std::string value) &;
    command&& env(std::string name, std::string value) && { return std::move(env(std::move(name), std::move(value))); }
    command& unset_env(std::string name) &;
    command&& unset_env(std::string name) && { return std::move(unset_env(std::move(name))); }
    /// It gets only what env() says, before or after this.
    command& clear_env() & noexcept;
    command&& clear_env() && noexcept { return std::move(clear_env()); }
    /// Where it runs. A program given by a relative path is looked for from there.
    command& directory(std::string path) &;
    command&& directory(std::string path) && { return std::move(directory(std::move(path))); }

    /// It leads a session of its own, without a terminal: through /dev/tty it could else read the caller's terminal,
    /// write to it, and on older systems type into it, whichever user it is. Its number is that of its process group,
    /// as before. *Source*: setsid(2).
    command& new_session() & noexcept;
    command&& new_session() && noexcept { return std::move(new_session()); }

    /// /dev/null: the default.
    command& stdin_null() & noexcept;
    command&& stdin_null() && noexcept { return std::move(stdin_null()); }
    /// The caller's. If that is a terminal the process stays in the caller's process group, as it could not read it
    /// otherwise: Ctrl-C then reaches it too, and what it starts is not ended with it.
    command& stdin_inherit() & noexcept;
    command&& stdin_inherit() && noexcept { return std::move(stdin_inherit()); }
    /// These bytes, then the end. A process that does not read them all is no failure.
    command& stdin_bytes(std::string bytes) & noexcept;
    command&& stdin_bytes(std::string bytes) && noexcept { return std::move(stdin_bytes(std::move(bytes))); }
    /// The content of a file, which is opened when the process is started. *Errors*, then: spawn_error.
    command& stdin_file(std::string path) &;
    command&& stdin_file(std::string path) && { return std::move(stdin_file(std::move(path))); }
    /// For start_process: what is written to process::input().
    command& stdin_pipe() & noexcept;
    command&& stdin_pipe() && noexcept { return std::move(stdin_pipe()); }

    command& stdout_to(output where) &;
    command&& stdout_to(output where) && { return std::move(stdout_to(where)); }
    command& stdout_to(output_sink sink) &;
    command&& stdout_to(output_sink sink) && { return std::move(stdout_to(std::move(sink))); }
    command& stderr_to(output where) &;
    command&& stderr_to(output where) && { return std::move(stderr_to(where)); }
    command& stderr_to(output_sink sink) &;
    command&& stderr_to(output_sink sink) && { return std::move(stderr_to(std::move(sink))); }
    /// Standard error goes where standard output goes, in the order in which it was written.
    command& merge_stderr() & noexcept;
    command&& merge_stderr() && noexcept { return std::move(merge_stderr()); }

    static constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();
    /// The most that is captured of each output, 64 MiB unless it is set; more is an output_limit_error.
    command& output_limit(std::uint64_t bytes) & noexcept;
    command&& output_limit(std::uint64_t bytes) && noexcept { return std::move(output_limit(bytes)); }
    /// Only the last so many bytes of each output are kept, however much there is.
    command& keep_tail(std::size_t bytes) & noexcept;
    command&& keep_tail(std::size_t bytes) && noexcept { return std::move(keep_tail(bytes)); }

    /// How long after SIGTERM it may take to end before SIGKILL; 5 s unless it is set.
    command& grace(std::chrono::nanoseconds time) &;
    command&& grace(std::chrono::nanoseconds time) && { return std::move(grace(time)); }
    /// How long, once the process has ended, the end of its output is waited for while something that it left behind
    /// still holds it open. Zero unless it is set: what was written until then is read, and that is all.
    command& linger(std::chrono::nanoseconds time) &;
    command&& linger(std::chrono::nanoseconds time) && { return std::move(linger(time)); }

    /// Called with the process's number, which is also the number of its process group, once it has been started. If it
    /// throws, the process is ended at once, and run_command throws that.
    command& on_start(std::function<void(pid_t)> call) & noexcept;
    command&& on_start(std::function<void(pid_t)> call) && noexcept { return std::move(on_start(std::move(call))); }

    /// For run_command: called with the number of each output, 1 or 2, that is still open once the process has ended
    /// and the linger time is over, and with its descriptor, which is the function's from then on: io::stream::adopt()
    /// reads what still comes. Without such a function it is closed, and what writes to it later gets a SIGPIPE.
    command& on_open_output(std::function<void(int output, int fd)> call) & noexcept;
    command&& on_open_output(std::function<void(int output, int fd)> call) && noexcept {
        return std::move(on_open_output(std::move(call)));
    }

    [[nodiscard]] const std::vector<std::string>& words() const noexcept { return parts_.words; }
    /// The words for a line of text: quoted as a shell wants them, without control characters, shortened.
    [[nodiscard]] std::string describe() const;

    /// For the library.
    [[nodiscard]] const detail::command_parts& parts() const noexcept { return parts_; }
    [[nodiscard]] detail::command_parts& parts() noexcept { return parts_; }

private:
    template <class... Words>
    static std::vector<std::string> list_of(Words&&... words) {
        std::vector<std::string> all;
        all.reserve(sizeof...(words));
        (all.emplace_back(std::forward<Words>(words)), ...);
        return all;
    }

    detail::command_parts parts_;
};

/// *Returns* the word as a POSIX shell reads it back: itself if nothing in it is special, else in single quotes.
[[nodiscard]] std::string shell_quote(std::string_view word);

} // namespace muster
