// SPDX-License-Identifier: MIT
// The side of a pool that other threads see: options, submitting, taking back, shutting down.
#include "state.hpp"
#include "worker.hpp"

#include <muster/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

namespace muster {

process_pool_options& process_pool_options::processes(std::size_t most) {
    if (most == 0)
        throw std::invalid_argument("process_pool_options::processes: a pool needs at least one process");
    processes_ = most;
    return *this;
}

process_pool_options& process_pool_options::queue_limit(std::size_t most) noexcept {
    queue_limit_ = most;
    return *this;
}

process_pool_options& process_pool_options::name(std::string text) {
    name_ = std::move(text);
    return *this;
}

process_pool_options& process_pool_options::program(std::string path, std::vector<std::string> arguments) {
    if (path.empty())
        throw std::invalid_argument("process_pool_options::program: the path is empty");
    program_ = std::move(path);
    arguments_ = std::move(arguments);
    return *this;
}

process_pool_options& process_pool_options::call_timeout(std::chrono::nanoseconds limit) {
    if (limit <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("process_pool_options::call_timeout: a call needs some time");
    call_timeout_ = limit;
    return *this;
}

process_pool_options& process_pool_options::start_timeout(std::chrono::nanoseconds limit) {
    if (limit <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("process_pool_options::start_timeout: a process needs some time to start");
    start_timeout_ = limit;
    return *this;
}

process_pool_options& process_pool_options::memory_limit(std::uint64_t bytes) {
    if (bytes == 0)
        throw std::invalid_argument("process_pool_options::memory_limit: a process needs some memory");
    memory_limit_ = bytes;
    return *this;
}

process_pool_options& process_pool_options::message_limit(std::uint64_t bytes) {
    if (bytes < 1024 || bytes > 0xffff'ffff)
        throw std::invalid_argument(
            "process_pool_options::message_limit: it must be at least 1 KiB, and less than 4 GiB");
    message_limit_ = bytes;
    return *this;
}

process_pool_options& process_pool_options::kill_cancelled(bool yes) noexcept {
    kill_cancelled_ = yes;
    return *this;
}

process_pool::state::state(const process_pool_options& o) : options(o) {
    if (options.processes_ == 0)
        options.processes_ = std::max<std::size_t>(1, std::thread::hardware_concurrency());
    path = options.program_.empty() ? "/proc/self/exe" : options.program_;
    arguments = options.arguments_;
    // What a list of processes shows; /proc/self/exe would say nothing there.
    const char* own_name = program_invocation_name != nullptr ? program_invocation_name : "muster";
    arguments.insert(arguments.begin(), options.program_.empty() ? std::string(own_name) : path);
    if (options.program_.empty())
        arguments.push_back("worker of " + options.name_);
    environment = workers::environment_of_worker();
    greeting = wire::write(nlohmann::json{{"muster", wire::version}, {"message_limit", options.message_limit_},
        {"memory_limit", options.memory_limit_}, {"name", options.name_}});
    wake_up = workers::descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_up)
        throw std::system_error(errno, std::generic_category(), "a process_pool needs an eventfd");
    crew.reserve(options.processes_);
    polled.reserve(1 + 2 * options.processes_);
    buffer.resize(std::size_t{64} << 10);
}

process_pool::process_pool(const process_pool_options& options) {
    if (const auto problem = workers::unfit_for_a_pool(options.program_.empty()); !problem.empty())
        throw invalid_state_error(problem);
    state_ = std::make_shared<state>(options);
    // Signals are for the program's other threads.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        state_->supervisor = std::thread([s = state_.get()] { s->supervise(); });
    } catch (...) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

process_pool::~process_pool() {
    if (!state_->is_own_thread()) {
        close(false);
        return;
    }
    // A from_json ended the program, and static objects are destroyed on the supervisor, which can't wait for itself:
    // what it uses stays. The processes end with the program.
    state_->supervisor.detach();
    state_->kept = state_;
}

void process_pool::close(bool at_once) {
    auto& s = *state_;
    if (s.is_own_thread())
        throw invalid_state_error("a pool's own thread can't wait for the pool to end");
    {
        const std::lock_guard own(s.lock);
        s.closing = true;
        s.at_once |= at_once;
        s.wake();
    }
    // Two may close it: the second waits for the first.
    const std::lock_guard own(s.joining);
    if (s.supervisor.joinable())
        s.supervisor.join();
}

void process_pool::shutdown() { close(false); }

void process_pool::stop() { close(true); }

void process_pool::submit(job& j) {
    auto& s = *state_;
    if (j.request_->message.size() > s.options.message_limit_)
        throw wire_error("the arguments of '" + j.request_->entry->name + "' are " +
                         std::to_string(j.request_->message.size()) + " bytes, and the message limit of the pool '" +
                         s.options.name_ + "' is " + std::to_string(s.options.message_limit_));
    const std::lock_guard own(s.lock);
    if (s.closing)
        throw invalid_state_error("the pool '" + s.options.name_ + "' was shut down: it takes no more calls");
    if (s.options.queue_limit_ != 0 &&
        s.waiting >= s.options.queue_limit_ + (s.options.processes_ - std::min(s.options.processes_, s.at_work)))
        throw queue_full("the pool '" + s.options.name_ + "' is busy, and " + std::to_string(s.options.queue_limit_) +
                         " calls wait for it already");
    j.pool_ = state_;
    s.push_back(j);
    s.wake();
}

bool process_pool::withdraw(job& j) noexcept {
    const std::lock_guard own(state_->lock);
    if (!j.queued_)
        return false;
    state_->remove(j);
    return true;
}

void process_pool::job::kill_if_running() noexcept {
    // The call may be over, and the pool gone: what it consisted of is kept by this job.
    if (!pool_ || !pool_->options.kill_cancelled_)
        return;
    const std::lock_guard own(pool_->lock);
    if (worker_ != nullptr)
        worker_->kill(worker::cause::cancelled);
}

std::size_t process_pool::processes() const noexcept {
    const std::lock_guard own(state_->lock);
    return state_->crew.size();
}

std::size_t process_pool::queued() const noexcept {
    const std::lock_guard own(state_->lock);
    return state_->waiting;
}

std::size_t process_pool::running() const noexcept {
    const std::lock_guard own(state_->lock);
    return state_->at_work;
}

std::vector<int> process_pool::process_ids() const {
    std::vector<int> ids;
    ids.reserve(state_->options.processes_);
    const std::lock_guard own(state_->lock);
    for (const auto& w : state_->crew)
        ids.push_back(static_cast<int>(w->process.id));
    return ids;
}

} // namespace muster
