// SPDX-License-Identifier: MIT
// This file is muster worker. The library claims calls and keeps the worker alive; a call here is a command, which
// command_worker::run_one() checks against the rules, runs, and turns into an answer. Like an agent on another host,
// the worker is the child of a warden, which ends its commands if the worker is killed.
//
//     serving --1st signal--> leaving --2nd signal--> ending --3rd signal--> killed
//        |                       |                       |
//        takes commands          those that run go on;   SIGTERM to what runs, and    SIGKILL to what runs, and
//                                the rest goes back      SIGKILL after its grace      the program ends at once
//
// A command runs in a session of its own: it belongs to others, and must not type into the worker's terminal. The times
// that a submitter may ask for are bounded, so that nobody can keep a worker from leaving.
//
// A command that was ended so had done an unknown part of its work: whoever has submitted it learns that the worker
// left.
#include "queue_worker.hpp"

#include "allowed_programs.hpp"
#include "doubled_signals.hpp"
#include "ignored_signal.hpp"
#include "progress.hpp"
#include "queue_address.hpp"
#include "queue_message.hpp"
#include "run.hpp"
#include "units.hpp"
#include "warden.hpp"
#include "writer.hpp"

#include "posix/owned_fd.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/io/stream.hpp>
#include <muster/postgres.hpp>
#include <muster/postgres/init.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/subprocess.hpp>
#include <muster/task_handle.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <list>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <pwd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tool {

namespace {

using namespace std::chrono_literals;
using muster::detail::printable;
using kind = queued_end::kind;
namespace pg = muster::postgres;

/// A command may run for as long as it likes while the worker leaves: a second signal is what ends it.
constexpr auto longest_departure = std::chrono::hours(24 * 365);
/// So much of an answer is neither output.
constexpr std::uint64_t apart = 4096;
constexpr std::size_t longest_shown = 200;
/// Whatever a submitter asks for, a command that is to end has so long, and so long its outputs are waited for.
constexpr auto longest_grace = std::chrono::minutes(1);
constexpr auto longest_linger = std::chrono::minutes(1);

std::string name_of_this_host() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

/// The user that commands run as, if it is not the worker's.
struct command_user {
    std::string name;
    std::string home;
    std::string shell;
    uid_t uid = 0;
    gid_t gid = 0;
};

/// *Errors*: usage_error.
std::optional<command_user> user_of(const std::string& name) {
    if (name.empty())
        return std::nullopt;
    const auto* const entry = ::getpwnam(name.c_str());
    if (entry == nullptr)
        throw usage_error(fmt::format("--user: there is no user '{}' here", printable(name, longest_shown)));
    if (entry->pw_uid == ::geteuid())
        return std::nullopt;
    if (::geteuid() != 0)
        throw usage_error("--user: only root can run commands as another user");
    if (::access("/usr/bin/setpriv", X_OK) != 0)
        throw usage_error("--user needs /usr/bin/setpriv (Debian: util-linux)");
    return command_user{entry->pw_name, entry->pw_dir, entry->pw_shell, entry->pw_uid, entry->pw_gid};
}

sigset_t signals_of_worker() noexcept {
    sigset_t all;
    sigemptyset(&all);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
        if (!is_ignored(number))
            sigaddset(&all, number);
    return all;
}

/// *Returns* an absolute path. *Errors*: usage_error.
std::string folder_of(const std::string& given) {
    std::error_code failed;
    const auto folder = std::filesystem::absolute(given.empty() ? "." : given, failed).lexically_normal();
    if (failed || !std::filesystem::is_directory(folder, failed))
        throw usage_error(fmt::format("--wd: {} is no folder", printable(given, longest_shown)));
    return folder.string();
}

void put_in(std::string& word, const std::string& mark, const std::string& value) {
    auto at = mark.empty() ? std::string::npos : word.find(mark);
    if (at == std::string::npos)
        return;
    std::string made;
    std::size_t done = 0;
    for (; at != std::string::npos; at = word.find(mark, done)) {
        made.append(word, done, at - done).append(value);
        done = at + mark.size();
    }
    word = std::move(made.append(word, done));
}

/// "gzip a b", for a message.
std::string shown(const std::vector<std::string>& words) {
    std::string line;
    for (const auto& word : words) {
        line += (line.empty() ? "" : " ") + muster::shell_quote(word);
        if (line.size() > longest_shown)
            break;
    }
    return printable(line, longest_shown);
}

/// *Returns* the problem without the command before it and the system's words behind it, which others add anew.
std::string problem_alone(const muster::spawn_error& e) {
    std::string_view problem = e.what();
    problem.remove_prefix(std::min(problem.size(), e.command().size() + 2));
    const auto system = ": " + e.code().message();
    if (problem.ends_with(system))
        problem.remove_suffix(system.size());
    return std::string(problem);
}

/// Both outputs of a command, which together have a limit.
class collected_output {
public:
    explicit collected_output(std::uint64_t most) : most_(most) {}
    /// *Errors*: output_too_long_error. `number` is 1 or 2.
    void take(int number, std::string_view piece) {
        if (piece.size() > most_ - size_)
            throw output_too_long_error("it wrote too much");
        size_ += piece.size();
        (number == STDOUT_FILENO ? out : err) += piece;
    }
    [[nodiscard]] muster::output_sink sink(int number) {
        return [this, number](std::string_view piece) { take(number, piece); };
    }
    /// Reads what still comes from a descriptor, to its end. *Errors*: output_too_long_error, io errors.
    muster::task<> read_rest(int number, muster::detail::owned_fd from) {
        auto rest = muster::io::stream::adopt(from.release());
        std::array<std::byte, 65536> room{};
        for (;;) {
            const auto count = co_await rest.read_some(room);
            if (count == 0)
                co_return;
            take(number, std::string_view(reinterpret_cast<const char*>(room.data()), count));
        }
    }
    std::string out;
    std::string err;
    std::array<muster::detail::owned_fd, 2> open; ///< outputs that the command has left open

private:
    std::uint64_t most_;
    std::uint64_t size_ = 0;
};

muster::task<> end_of(muster::task_handle<void> handle) { co_await handle; }

muster::task<muster::completed_process> end_of(muster::task_handle<muster::completed_process> handle) {
    auto done = co_await handle;
    co_return done;
}

/// Has the warden know of a command from before it is started.
muster::task<muster::completed_process> run_watched(muster::command what, const agent_report& warden) {
    auto running = muster::run_command(std::move(what));
    warden.about_to_start();
    auto ran = co_await muster::as_outcome(std::move(running));
    if (ran.failed_with<muster::spawn_error>())
        warden.not_started();
    co_return std::move(ran).value();
}

muster::task<muster::completed_process> run_in_time(
    muster::command what, std::optional<std::chrono::nanoseconds> limit, const agent_report& warden) {
    auto running = run_watched(std::move(what), warden);
    if (!limit) {
        auto done = co_await std::move(running);
        co_return done;
    }
    auto in_time = muster::wait_for(std::move(running), *limit);
    auto done = co_await std::move(in_time);
    co_return done;
}

/// Something that the command has left behind may write on: what comes within the time belongs to the command.
/// *Returns* false if an output was still open then.
muster::task<bool> read_what_lingers(collected_output& output, std::chrono::nanoseconds linger) {
    const auto until = muster::loop_clock::now() + linger;
    bool have_ended = true;
    for (std::size_t i = 0; i != output.open.size(); ++i) {
        if (!output.open[i].is_open())
            continue;
        auto reading = output.read_rest(static_cast<int>(i) + 1, std::move(output.open[i]));
        auto in_time = muster::wait_for(std::move(reading), std::max(until - muster::loop_clock::now(), 0ns));
        auto ended = co_await muster::as_outcome(std::move(in_time));
        if (ended.failed_with<muster::timeout_error>())
            have_ended = false;
        else if (ended.failed_with<output_too_long_error>())
            ended.rethrow();
        // A cancellation of this wait, or a read that failed, does not change how the process ended.
    }
    co_return have_ended;
}

muster::task<muster::completed_process> run_whole(
    muster::task<muster::completed_process> process, collected_output& output, std::chrono::nanoseconds linger) {
    auto done = co_await std::move(process);
    auto reading = read_what_lingers(output, linger);
    done.output_ended = co_await std::move(reading);
    co_return done;
}

class command_worker {
public:
    command_worker(const worker_setting& setting, allowed_programs allowed, std::optional<command_user> user,
        std::string directory, agent_report& warden, muster::detail::owned_fd signals)
        : setting_(setting),
          allowed_(std::move(allowed)),
          user_(std::move(user)),
          directory_(std::move(directory)),
          warden_(warden),
          observer_(warden.observer()),
          signals_to_read_(std::move(signals)) {}

    /// *Returns* the exit status.
    muster::task<int> work();

private:
    enum class phase : std::uint8_t { serving, leaving, ending, killed };
    struct running_command {
        running_command(std::uint64_t n, std::string s) : number(n), shown(std::move(s)) {}
        std::uint64_t number;
        std::string shown;
        muster::loop_clock::time_point began = muster::loop_clock::now();
        pid_t process = 0; ///< as long as it runs
        muster::task_handle<muster::completed_process> handle;
    };
    using running_list = std::list<running_command>;
    /// A command is in the list for as long as this lives, however it ends.
    class running_place {
    public:
        running_place(running_list& all, running_list::iterator at) noexcept : all_(all), at_(at) {}
        ~running_place() { all_.erase(at_); }
        running_place(const running_place&) = delete;
        running_place& operator=(const running_place&) = delete;

    private:
        running_list& all_;
        running_list::iterator at_;
    };

    void enter(phase next);
    muster::task<nlohmann::json> handle(nlohmann::json arguments);
    muster::task<queued_end> run_one(queued_command what);
    muster::command command_for(std::vector<std::string> words, const std::string& file) const;
    void say(const std::string& text) const;
    void tell_of_worker(const std::string& what) const;
    void count(const running_command& c, const std::string& how, bool is_success);
    muster::task<> watch_signals(muster::task_handle<void> serving);
    muster::task<> show_progress();
    muster::task<> serve();

    const worker_setting& setting_;
    const allowed_programs allowed_;
    const std::optional<command_user> user_;
    const std::string directory_;
    const agent_report& warden_;
    const muster::hosts::agent_observer observer_;
    const std::string host_ = name_of_this_host();
    std::uint64_t payload_limit_ = 0;
    phase phase_ = phase::serving;
    int signal_ = 0; ///< the last one
    running_list running_;
    std::uint64_t begun_ = 0;
    progress_counts counts_;
    muster::loop_clock::time_point start_{};
    muster::detail::owned_fd signals_to_read_;
};

void command_worker::enter(phase next) {
    MUSTER_ASSERT(next > phase_);
    phase_ = next;
}

void command_worker::tell_of_worker(const std::string& what) const {
    const bool is_fine = what.starts_with("serves") || what.starts_with("is back");
    if (!is_fine || !setting_.quiet)
        complain("the worker " + what);
}

void command_worker::say(const std::string& text) const {
    if (!setting_.quiet)
        complain(text);
}

/// The outcome of a command is told where there is no terminal, one line each; on a terminal it is in the counts.
void command_worker::count(const running_command& c, const std::string& how, bool is_success) {
    ++counts_.done;
    ++(is_success ? counts_.ok : counts_.failed);
    const auto line = fmt::format(
        "{} after {}: {}", c.number, show_duration(muster::loop_clock::now() - c.began), printable(how, longest_shown));
    if (!is_success)
        counts_.last_failure = fmt::format("{}: {}", c.shown, printable(how, longest_shown));
    if (::isatty(STDERR_FILENO) != 1)
        say("ended " + line);
}

/// The words with the file that was found for the program, with the surroundings that every command gets.
muster::command command_worker::command_for(std::vector<std::string> words, const std::string& file) const {
    words.front() = file;
    if (user_) {
        const std::vector<std::string> as_user{"/usr/bin/setpriv", "--reuid", std::to_string(user_->uid), "--regid",
            std::to_string(user_->gid), "--init-groups", "--"};
        words.insert(words.begin(), as_user.begin(), as_user.end());
    }
    muster::command what(std::move(words));
    what.directory(directory_).new_session();
    // Commands belong to others: they get neither the database's address nor its password, which are in these
    // variables.
    for (char** variable = ::environ; *variable != nullptr; ++variable) {
        const std::string_view text(*variable);
        const std::string name(text.substr(0, text.find('=')));
        if (name.starts_with("PG") || name == variable_of_queue)
            what.unset_env(name);
    }
    if (user_) {
        what.env("USER", user_->name).env("LOGNAME", user_->name).env("HOME", user_->home);
        what.env("SHELL", user_->shell);
    }
    return what;
}

muster::task<nlohmann::json> command_worker::handle(nlohmann::json arguments) {
    if (arguments.size() != 1 || !arguments.front().is_string())
        throw std::invalid_argument("the message is no command");
    auto what = read_command(arguments.front().get_ref<const std::string&>());
    auto running = run_one(std::move(what));
    auto end = co_await std::move(running);
    end.host = host_;
    nlohmann::json answer = write_message(end);
    co_return answer;
}

muster::task<queued_end> command_worker::run_one(queued_command what) {
    queued_end end;
    if (phase_ >= phase::ending) { // it was taken just before
        end.how = kind::worker_left;
        co_return end;
    }
    put_in(what.words.front(), what.host_mark, host_);
    const auto mine = running_.emplace(running_.end(), ++begun_, shown(what.words));
    const running_place place(running_, mine);
    const auto found = allowed_.look_up(what.words.front());
    if (found.is != allowed_programs::answer::kind::allowed) {
        const bool is_missing = found.is == allowed_programs::answer::kind::not_found;
        end.how = is_missing ? kind::not_found : kind::refused;
        end.code = is_missing ? ENOENT : 0;
        end.problem = found.problem;
        count(*mine, end.how == kind::refused ? "refused: " + mine->shown : "no such program: " + mine->shown, false);
        co_return end;
    }
    for (auto word = what.words.begin() + 1; word != what.words.end(); ++word)
        put_in(*word, what.host_mark, host_);
    mine->shown = shown(what.words);
    if (::isatty(STDERR_FILENO) != 1)
        say(fmt::format("began {}: {}", mine->number, mine->shown));
    const auto room = payload_limit_ - std::min(payload_limit_, apart);
    const auto most = what.most_output == 0 ? room : std::min(what.most_output, room);
    collected_output output(most);
    auto to_run = command_for(std::move(what.words), found.file);
    to_run.grace(std::min<std::chrono::nanoseconds>(what.grace, longest_grace));
    to_run.stdout_to(output.sink(STDOUT_FILENO)).stderr_to(output.sink(STDERR_FILENO));
    // The time limit ends with the process, so what it has left behind is waited for outside of it.
    to_run.on_open_output([&output](int number, int fd) {
        output.open.at(static_cast<std::size_t>(number) - 1) = muster::detail::owned_fd(fd);
    });
    to_run.on_start([this, mine](pid_t process) {
        mine->process = process;
        observer_.started(process);
    });
    auto running = run_whole(run_in_time(std::move(to_run), what.timeout, warden_), output,
        std::min<std::chrono::nanoseconds>(what.linger, longest_linger));
    mine->handle = muster::create_task(std::move(running), "command");
    auto waiting = end_of(mine->handle);
    auto ended = co_await muster::as_outcome(std::move(waiting));
    if (mine->process != 0)
        observer_.ended(mine->process);
    end.done.pid = mine->process;
    std::string how;
    if (ended.succeeded()) {
        end.how = kind::ended;
        end.done = std::move(ended).value();
        how = end.done.signal != 0 ? muster::signal_name(end.done.signal)
                                   : fmt::format("exit status {}", end.done.status);
    } else if (ended.failed_with<muster::timeout_error>()) {
        end.how = kind::too_slow;
        how = "it took longer than its time limit";
    } else if (ended.failed_with<output_too_long_error>()) {
        end.how = kind::too_much_output;
        if (most == room)
            end.problem =
                fmt::format("it wrote more than {}, which is what the payload limit of the queue leaves for output",
                    show_size(room));
        how = "it wrote too much";
    } else if (const auto* failure = ended.error_as<muster::spawn_error>()) {
        end.how = ended.failed_with<muster::command_not_found_error>() ? kind::not_found : kind::not_started;
        end.code = failure->code().value();
        end.problem = problem_alone(*failure);
        how = problem_of(ended.error());
    } else if (ended.was_cancelled() && phase_ >= phase::ending) {
        end.how = kind::worker_left;
        how = "ended, as the worker leaves";
    } else {
        count(*mine, ended.failed() ? problem_of(ended.error()) : "cancelled", false);
        ended.rethrow();
    }
    end.done.out = std::move(output.out);
    end.done.err = std::move(output.err);
    count(*mine, how, end.how == kind::ended && end.done.status == 0);
    co_return end;
}

/// The signals stay blocked and are read from a descriptor, because only what is read there says who has sent a signal.
muster::task<> command_worker::watch_signals(muster::task_handle<void> serving) {
    auto signals = muster::io::stream::adopt(signals_to_read_.release());
    const pid_t warden = ::getppid();
    doubled_signals seen;
    for (;;) {
        std::array<std::byte, sizeof(signalfd_siginfo)> bytes{};
        const auto size = co_await signals.read_some(bytes);
        MUSTER_ASSERT(size == bytes.size());
        signalfd_siginfo info{};
        std::memcpy(&info, bytes.data(), size);
        const int number = static_cast<int>(info.ssi_signo);
        const bool is_of_warden = info.ssi_code == SI_USER && info.ssi_pid == static_cast<std::uint32_t>(warden);
        if (!seen.counts(number, is_of_warden ? doubled_signals::way::passed_on : doubled_signals::way::direct,
                std::chrono::steady_clock::now()))
            continue;
        signal_ = number;
        if (phase_ == phase::serving) {
            enter(phase::leaving);
            serving.cancel(muster::signal_name(number));
            if (number != SIGQUIT) {
                say(fmt::format("{}: takes no more commands, and waits for {}; once more ends them",
                    muster::signal_name(number), running_.size()));
                continue;
            }
        }
        if (phase_ == phase::leaving) {
            enter(phase::ending);
            say(fmt::format("{}: ends what runs; once more kills it", muster::signal_name(number)));
            for (auto& c : running_)
                if (c.handle.valid())
                    c.handle.cancel();
            continue;
        }
        enter(phase::killed);
        for (const auto& c : running_)
            if (c.process > 0)
                ::kill(-c.process, SIGKILL);
        // The warden kills whatever is left.
        ::_exit(128 + number);
    }
}

muster::task<> command_worker::show_progress() {
    constexpr std::size_t names_shown = 8;
    auto* const out = writer::current();
    for (;;) {
        counts_.running = running_.size();
        counts_.elapsed = muster::loop_clock::now() - start_;
        counts_.slowest.clear();
        for (const auto& c : running_) {
            counts_.slowest.emplace_back(c.shown, muster::loop_clock::now() - c.began);
            if (counts_.slowest.size() == names_shown)
                break;
        }
        out->show_status(
            is_in_foreground() ? progress_lines(counts_, terminal_width(STDERR_FILENO), false) : std::string());
        co_await muster::sleep_for(progress_interval);
    }
}

muster::task<> command_worker::serve() {
    const auto address = setting_.address;
    auto asking = pg::status(address, setting_.schema);
    const auto now = co_await std::move(asking);
    payload_limit_ = now.payload_limit;
    std::map<std::string, pg::handler> handlers;
    const pg::handler handler = [this](nlohmann::json arguments) { return handle(std::move(arguments)); };
    auto tags = setting_.tags;
    tags.emplace_back(); // also what is for any worker
    for (const auto& tag : tags) {
        static_cast<void>(function_for(tag));
        handlers.emplace(name_of_function_for(tag), handler);
    }
    auto options = pg::worker_options(address).schema(setting_.schema).slots(setting_.slots);
    if (setting_.lease)
        options.lease(*setting_.lease);
    options.drain_limit(longest_departure).on_event([this](const std::string& what) { tell_of_worker(what); });
    auto serving = pg::serve(std::move(options), std::move(handlers));
    co_await std::move(serving);
}

muster::task<int> command_worker::work() {
    start_ = muster::loop_clock::now();
    auto serving = muster::create_task(serve(), "worker");
    auto watching = muster::create_task(watch_signals(serving), "signals");
    muster::task_handle<void> showing;
    if (!setting_.quiet && setting_.shows_progress && ::isatty(STDERR_FILENO) == 1)
        showing = muster::create_task(show_progress(), "progress");
    auto waiting = end_of(serving);
    auto ended = co_await muster::as_outcome(std::move(waiting));
    watching.cancel();
    if (showing.valid())
        showing.cancel();
    writer::current()->show_status({});
    if (ended.failed())
        ended.rethrow();
    say(fmt::format("the worker has left; {} {} ended, {} of them failed", counts_.done,
        counts_.done == 1 ? "command has" : "commands have", counts_.failed));
    co_return phase_ >= phase::ending ? 128 + signal_ : static_cast<int>(all_succeeded);
}

void tell_rules(const worker_setting& setting, const allowed_programs& allowed, const std::optional<command_user>& user,
    const std::string& directory) {
    const bool is_root = !user && ::geteuid() == 0;
    if (const auto all = allowed.that_run_anything(); !all.empty())
        complain(fmt::format("{} {} whatever {} told: who may submit to this queue can do all that {} may do here",
            fmt::join(all, ", "), all.size() == 1 ? "runs" : "run", all.size() == 1 ? "it is" : "they are",
            user ? user->name : "this user"));
    if (is_root)
        complain("commands run as root: --user NAME has them run as another user");
    if (!setting.quiet)
        complain(fmt::format("runs {} in {}{}, at most {} at once", allowed.text(), printable(directory, longest_shown),
            user ? " as " + user->name : std::string(), setting.slots));
}

} // namespace

int serve_commands(const worker_setting& given) {
    worker_setting setting = given;
    setting.address = address_of_queue(given.address, "muster worker");
    if (setting.allowed.empty())
        throw usage_error("muster worker: nothing is allowed, so there is nothing that it could run: name each program "
                          "that may be run with --allow, as in --allow gzip --allow '/opt/tools/*'");
    const char* const path = std::getenv("PATH");
    allowed_programs allowed(setting.allowed, path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
    const auto user = user_of(setting.user);
    const auto directory = folder_of(setting.directory);
    for (const auto& tag : setting.tags)
        static_cast<void>(name_of_function_for(tag));
    // They are read by command_worker::watch_signals(), and kept until then.
    const auto signals = signals_of_worker();
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    muster::detail::owned_fd to_read(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!to_read.is_open())
        throw std::system_error(errno, std::generic_category(), "no descriptor for the worker's signals");
    auto report = watch_over_this_agent();
    // The end of the warden is an urgent signal to the worker: nobody else would end its commands.
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    writer out;
    tell_rules(setting, allowed, user, directory);
    command_worker worker(setting, std::move(allowed), user, directory, report, std::move(to_read));
    int status = some_failed;
    try {
        status = muster::run(worker.work(), muster::run_options().handle_interrupt(false));
    } catch (const std::invalid_argument& e) {
        complain(e.what());
        status = bad_usage;
    } catch (const pg::queue_error& e) {
        complain(e.what());
    }
    // Nothing runs any more, and whoever reads the messages may take for ever: a signal ends the program.
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    out.drain();
    return status;
}

} // namespace tool
