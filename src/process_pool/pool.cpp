// SPDX-License-Identifier: MIT
// This file holds the functions of a pool that any thread may call. Each takes the lock of the call_queue for a moment.
// Only shutdown(), stop() and the destructor wait: for the supervisor, which ends when every worker has. The state
// outlives the pool where a job still refers to it.
#include "posix/signal_actions.hpp"
#include "process_pool/agent_terms.hpp"
#include "process_pool/call_queue.hpp"
#include "process_pool/end_texts.hpp"
#include "process_pool/pool_settings.hpp"
#include "process_pool/supervisor.hpp"
#include "process_pool/wire.hpp"
#include "process_pool/worker_handle.hpp"
#include "process_pool/worker_main.hpp"

#include <muster/error.hpp>
#include <muster/subprocess/command.hpp>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <thread>

namespace muster {

using workers::call_queue;
using workers::host_settings;
using workers::pool_settings;

struct process_pool::state {
    explicit state(const process_pool_options& o)
        : settings(settings_of(o)),
          queue(settings),
          supervisor(settings, queue) {}

    static pool_settings settings_of(const process_pool_options& o);
    static std::vector<std::string> command_of_agent(const process_pool_options& o);
    static workers::agent_terms terms_of_agents(const process_pool_options& o);
    /// *Errors*: invalid_state_error on a thread of the pool's own, which can't wait for itself.
    void close(call_queue::intake how);

    const pool_settings settings;
    call_queue queue;
    workers::supervisor supervisor;
    std::mutex joining;          ///< held by a thread that waits for `thread`
    std::thread thread;          ///< the supervisor's
    std::shared_ptr<state> kept; ///< itself, once the supervisor was left behind and goes on using it
};

namespace {

/// ssh gives the words behind the host to a shell, with blanks between them, so the agent's are quoted; another
/// launcher gets them as they are.
std::vector<std::string> words_of_launcher(std::vector<std::string> words, const std::vector<std::string>& agent) {
    const auto& program = words.front();
    const bool is_ssh = program.substr(program.rfind('/') + 1) == "ssh";
    if (is_ssh)
        words.insert(words.begin() + 1, {"-T", "-o", "BatchMode=yes"});
    for (const auto& word : agent)
        words.push_back(is_ssh ? shell_quote(word) : word);
    return words;
}

} // namespace

std::vector<std::string> process_pool::state::command_of_agent(const process_pool_options& o) {
    std::vector<std::string> words{"env", std::string(wire::variable) + '=' + std::string(wire::agent)};
    words.push_back(o.program_.empty() ? std::filesystem::read_symlink("/proc/self/exe").string() : o.program_);
    words.insert(words.end(), o.arguments_.begin(), o.arguments_.end());
    return words;
}

workers::agent_terms process_pool::state::terms_of_agents(const process_pool_options& o) {
    workers::agent_terms t;
    t.pool = o.name_;
    t.arguments = o.arguments_;
    t.through = o.through_;
    if (!o.passes_environment_)
        t.environment = o.environment_;
    t.around.folder = o.folder_;
    t.around.output = o.output_;
    t.around.cgroup = o.cgroup_;
    t.around.limits = o.resource_limits_;
    t.message_limit = o.message_limit_;
    t.silence_limit = std::chrono::ceil<std::chrono::milliseconds>(o.silence_limit_);
    return t;
}

pool_settings process_pool::state::settings_of(const process_pool_options& o) {
    pool_settings s;
    s.name = o.name_;
    // Without other hosts, all are here.
    s.processes_here = o.processes_ != 0 || !o.launchers_.empty()
                           ? o.processes_
                           : std::max<std::size_t>(1, std::thread::hardware_concurrency());
    s.processes = s.processes_here;
    for (const auto& l : o.launchers_) {
        s.processes += l.workers;
        host_settings host;
        host.name = l.name;
        host.workers = l.workers;
        host.words = words_of_launcher(l.words, command_of_agent(o));
        s.hosts.push_back(std::move(host));
    }
    s.queue_limit = o.queue_limit_;
    auto worker = workers::program_of_worker(o.program_, o.arguments_, o.through_, o.name_, !o.folder_.empty());
    s.program = std::move(worker.path);
    s.arguments = std::move(worker.arguments);
    s.environment = workers::environment_of_worker(o.passes_environment_ ? nullptr : &o.environment_);
    s.around.folder = o.folder_;
    s.around.output = o.output_;
    s.around.cgroup = o.cgroup_;
    s.around.limits = o.resource_limits_;
    if (!s.hosts.empty()) {
        s.launcher_environment = workers::environment_of_launcher();
        const auto hello = workers::hello_of_pool(terms_of_agents(o));
        s.agent_terms.assign(hello.begin(), hello.end());
    }
    s.silence_limit = o.silence_limit_;
    s.greeting = wire::write(nlohmann::json{{"muster", wire::version}, {"message_limit", o.message_limit_},
        {"value_limit", o.value_limit_}, {"memory_limit", o.memory_limit_}, {"name", o.name_},
        {"no_new_privileges", o.no_new_privileges_}, {"compute_only", o.compute_only_}});
    s.call_timeout = o.call_timeout_;
    s.start_timeout = o.start_timeout_;
    s.message_limit = o.message_limit_;
    s.value_limit = o.value_limit_;
    s.kill_cancelled = o.kill_cancelled_;
    return s;
}

void process_pool::state::close(call_queue::intake how) {
    if (queue.is_own_thread())
        throw invalid_state_error("a pool's own thread can't wait for the pool to end");
    {
        const call_queue::held own(queue);
        queue.close(own, how);
    }
    // Two threads may close the pool: the second waits for the first.
    const std::lock_guard own(joining);
    if (thread.joinable())
        thread.join();
}

process_pool::process_pool(const process_pool_options& options) {
    if (const auto problem = workers::unfit_for_a_pool(options.program_.empty()); !problem.empty())
        throw invalid_state_error(problem);
    const detail::all_signals_blocked in_new_threads;
    state_ = std::make_shared<state>(options);
    state_->thread = std::thread([s = state_.get()] { s->supervisor.run(); });
}

process_pool::~process_pool() {
    if (!state_->queue.is_own_thread()) {
        state_->close(call_queue::intake::draining);
        return;
    }
    // A from_json ended the program, so that static objects are destroyed on a thread of the pool's, which can't wait
    // for itself. Its threads go on using the state until the program ends, and the processes end with that.
    state_->thread.detach();
    state_->kept = state_;
}

void process_pool::shutdown() { state_->close(call_queue::intake::draining); }

void process_pool::stop() { state_->close(call_queue::intake::stopping); }

namespace {

/// *Errors*: wire_error that names the argument to blame, if the request can't be sent to a pool with these settings.
void expect_sendable(const detail::remote_request& r, const pool_settings& s) {
    if (!r.problem.empty())
        throw wire_error(r.problem);
    using size = detail::remote_request::argument_size;
    const auto refuse = [&](std::uint64_t all, const char* what, std::uint64_t limit, const char* limit_name,
                            auto measure) {
        const auto largest = std::max_element(r.arguments.begin(), r.arguments.end(),
            [&](const size& a, const size& b) { return measure(a) < measure(b); });
        std::string text = "the arguments of '" + r.entry->name + "' are " + std::to_string(all) + ' ' + what +
                           ", and the " + limit_name + " of the pool '" + s.name + "' is " + std::to_string(limit);
        if (largest != r.arguments.end())
            text += ": argument " + std::to_string(largest - r.arguments.begin() + 1) + " has " +
                    std::to_string(measure(*largest)) + " of them";
        throw wire_error(text);
    };
    if (r.message.size() > s.message_limit)
        refuse(r.message.size(), "bytes", s.message_limit, "message limit",
            [](const size& a) { return static_cast<std::uint64_t>(a.bytes); });
    std::uint64_t values = 0;
    for (const auto& a : r.arguments)
        values += a.values;
    if (values > s.value_limit)
        refuse(values, "values", s.value_limit, "value limit", [](const size& a) { return a.values; });
}

} // namespace

void process_pool::submit(job& j) { reference(*this).submit(j); }

bool process_pool::withdraw(job& j) noexcept { return reference(*this).withdraw(j); }

void process_pool::reference::submit(job& j) {
    auto& s = *state_;
    expect_sendable(*j.request_, s.settings);
    const call_queue::held own(s.queue);
    j.pool_ = state_;
    s.queue.add(own, j);
    s.queue.wake(own);
}

bool process_pool::reference::withdraw(job& j) noexcept {
    const call_queue::held own(state_->queue);
    return state_->queue.withdraw(own, j);
}

void process_pool::job::kill_if_running() noexcept {
    // The pool may be gone, but not its state, which this job keeps.
    if (!pool_)
        return;
    {
        // With one hold of the lock: the call may come back from a host that is lost at any moment.
        auto& queue = pool_->queue;
        const call_queue::held own(queue);
        if (!queue.withdraw(own, *this)) {
            if (worker_ == nullptr)
                return;
            queue.call_is_unwanted(own, *this);
            if (!pool_->settings.kill_cancelled)
                return;
            worker_->kill(own, workers::worker_handle::cause::cancelled);
            // Nothing else would tell the supervisor of a process that can't be killed.
            if (worker_->is_out_of_reach(own))
                queue.wake(own);
            return;
        }
    }
    // It was sent to a worker before, and came back because it had not begun there.
    set_cancelled(cancel_reason::requested, workers::ends::never_made);
    finish();
}

std::size_t process_pool::processes() const noexcept {
    const call_queue::held own(state_->queue);
    return state_->queue.processes(own).size();
}

std::size_t process_pool::queued() const noexcept {
    const call_queue::held own(state_->queue);
    return state_->queue.waiting(own);
}

std::size_t process_pool::running() const noexcept {
    const call_queue::held own(state_->queue);
    return state_->queue.running(own);
}

std::vector<int> process_pool::process_ids() const {
    std::vector<int> ids;
    ids.reserve(state_->settings.processes);
    const call_queue::held own(state_->queue);
    for (const pid_t id : state_->queue.processes(own))
        if (id != 0) // one on another host
            ids.push_back(static_cast<int>(id));
    return ids;
}

} // namespace muster
