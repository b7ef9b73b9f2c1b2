// SPDX-License-Identifier: MIT
// One step of the supervisor looks at what other threads and the answer_reader have left for it, gives waiting calls to
// idle workers, starts a worker if calls still wait, and then sleeps in poll() until a socket, the end of a process, a
// deadline or call_queue::wake() calls for the next step. Nothing else in the loop blocks. A worker's phases are in
// worker_handle.hpp, the wording of ends is in end_texts.cpp, decoding in answer_reader.cpp.
#include "process_pool/supervisor.hpp"

#include "process_pool/end_texts.hpp"
#include "process_pool/wire.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/backoff.hpp>
#include <muster/error.hpp>
#include <muster/process_pool/error.hpp>
#include <muster/report.hpp>

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <span>
#include <thread>
#include <utility>

namespace muster::workers {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t starts_before_giving_up = 3;
constexpr auto time_to_exit = 5s;      ///< for destructors of static objects, and for leak checkers
constexpr auto look_for_deaths = 20ms; ///< on a system without descriptors of processes
constexpr int reads_in_a_row = 16;     ///< of one worker, while others wait
constexpr std::uint64_t most_read_after_death = std::uint64_t{8}
                                                << 30;        ///< the most that reap() reads of what a worker had sent
constexpr std::uint64_t hello_bytes = std::uint64_t{1} << 20; ///< the most that a worker may say before its first call
constexpr std::uint64_t hello_values = 1000;

detail::backoff start_backoff() noexcept {
    detail::backoff b;
    b.first = 20ms;
    b.longest = 100ms;
    return b;
}

/// Saturates: no time is too long to be added.
std::chrono::steady_clock::time_point from_now(std::chrono::nanoseconds time) noexcept {
    using clock = std::chrono::steady_clock;
    const auto now = clock::now();
    return time >= clock::time_point::max() - now ? clock::time_point::max() : now + time;
}

} // namespace

supervisor::supervisor(const pool_settings& settings, call_queue& queue)
    : settings_(settings),
      queue_(queue),
      buffer_(std::size_t{64} << 10),
      reader_(settings, queue) {
    for (const auto& host : settings.hosts)
        hosts_.push_back(std::make_unique<distant_host>(host, settings));
    used_.resize(1 + hosts_.size());
    workers_.reserve(settings.processes);
    polled_.reserve(1 + 2 * settings.processes);
}

void supervisor::run() noexcept {
    queue_.adopt_this_thread();
    ::pthread_setname_np(::pthread_self(), thread_name(settings_.name, "-sup").c_str());
    while (step()) {}
    hosts_.clear();
    reader_.end();
}

bool supervisor::step() noexcept {
    {
        const held own(queue_);
        queue_.is_awake(own);
    }
    take_read_answers();
    refuse_waiting_calls();
    reap_abandoned();
    bool start = false;
    {
        const held own(queue_);
        if (queue_.takes(own) != call_queue::intake::open)
            close_workers(own);
        give_out_calls(own);
        start = wants_another_worker(own);
        if (queue_.takes(own) != call_queue::intake::open && queue_.waiting(own) == 0 && workers_.empty())
            return false;
    }
    if (start && clock::now() >= next_start_) {
        if (const auto place = free_place())
            start_worker(*place);
    }
    wait_for_events();
    return true;
}

// ---- calls on their way to a worker ----

/// If the pool was stopped, calls that have not begun are not made.
void supervisor::refuse_waiting_calls() noexcept {
    for (;;) {
        job* j = nullptr;
        {
            const held own(queue_);
            if (queue_.takes(own) == call_queue::intake::stopping)
                j = queue_.take(own);
        }
        if (j == nullptr)
            return;
        j->refuse(cancel_reason::shutdown);
    }
}

void supervisor::close_workers(const held& own) noexcept {
    const bool stopping = queue_.takes(own) == call_queue::intake::stopping;
    for (auto& w : workers_) {
        const bool was_killed = w->killed_because(own) != worker_handle::cause::none;
        if (stopping && !was_killed && w->now() == phase::calling)
            w->kill(own, worker_handle::cause::shutdown);
        if (queue_.waiting(own) != 0)
            continue;
        if (w->now() == phase::idle) {
            w->become(phase::exiting);
            w->set_deadline(clock::now() + time_to_exit);
            ::shutdown(w->process().socket(), SHUT_WR); // it exits when it reads the end
        } else if (w->now() == phase::starting && !was_killed) {
            w->kill(own, worker_handle::cause::shutdown);
        }
    }
}

void supervisor::give_out_calls(const held& own) noexcept {
    for (auto& w : workers_) {
        if (queue_.waiting(own) == 0)
            return;
        // A worker that was killed may not have ended yet. One that has sent something which nobody asked for, or has
        // closed its end, would cost the call: wait_for_events() finds that at once, and the call is another worker's.
        if (w->now() == phase::idle && w->is_of_use(own) && !w->process().has_bytes_or_end())
            give_call(own, *w);
    }
}

void supervisor::give_call(const held& own, worker_handle& w) noexcept {
    job* const j = queue_.take(own);
    MUSTER_ASSERT(j != nullptr);
    if (!w.send_call(own, ++calls_, *j)) {
        queue_.put_back(own, *j);
        return;
    }
    queue_.call_begun(own, *j, w);
    w.become(phase::calling);
    if (settings_.call_timeout > 0ns)
        w.set_deadline(from_now(settings_.call_timeout));
}

// ---- starting workers ----

bool supervisor::wants_another_worker(const held& own) const noexcept {
    if (queue_.waiting(own) == 0 || workers_.size() == settings_.processes)
        return false;
    const auto free_soon = std::count_if(workers_.begin(), workers_.end(), [&own](const auto& w) {
        return (w->now() == phase::starting || w->now() == phase::idle) && w->is_of_use(own);
    });
    return queue_.waiting(own) > static_cast<std::size_t>(free_soon);
}

std::size_t supervisor::most_at(std::size_t place) const noexcept {
    return place == 0 ? settings_.processes_here : settings_.hosts[place - 1].workers;
}

/// This machine comes first, then the host of which the smallest part is in use.
std::optional<std::size_t> supervisor::free_place() const noexcept {
    if (used_[0] < settings_.processes_here)
        return 0;
    std::optional<std::size_t> best;
    for (std::size_t i = 1; i != used_.size(); ++i) {
        if (used_[i] >= most_at(i) || clock::now() < hosts_[i - 1]->next_start())
            continue;
        // The smaller quotient, without dividing.
        if (!best || used_[i] * most_at(*best) < used_[*best] * most_at(i))
            best = i;
    }
    return best;
}

supervisor::clock::time_point supervisor::next_start() const noexcept {
    auto at = used_[0] < settings_.processes_here ? clock::time_point::min() : clock::time_point::max();
    for (std::size_t i = 1; i != used_.size(); ++i)
        if (used_[i] < most_at(i))
            at = std::min(at, hosts_[i - 1]->next_start());
    return std::max(at, next_start_);
}

void supervisor::start_worker(std::size_t place) noexcept {
    try {
        auto process = place != 0 ? hosts_[place - 1]->open_worker()
                                  : workers::start_worker(settings_.program, settings_.arguments, settings_.environment,
                                        settings_.around);
        auto w = std::make_unique<worker_handle>(std::move(process), place);
        ++used_[place];
        w->set_deadline(from_now(settings_.start_timeout));
        w->send_greeting(settings_.greeting); // if the worker is dead already, the next step sees that
        const held own(queue_);
        queue_.process_started(own, w->process().id());
        MUSTER_ASSERT(workers_.size() < workers_.capacity());
        workers_.push_back(std::move(w));
    } catch (const std::exception& e) {
        start_failed(e.what());
    }
}

void supervisor::start_failed(const std::string& reason, bool certain) noexcept {
    ++failed_starts_;
    next_start_ = clock::now() + start_backoff().after(failed_starts_, 0);
    const bool none_left = std::all_of(workers_.begin(), workers_.end(),
        [](const auto& w) { return w->now() == phase::dead || w->reads() != worker_handle::stream::open; });
    if (none_left && (certain || failed_starts_ >= starts_before_giving_up))
        fail_waiting_calls(reason);
}

void supervisor::fail_waiting_calls(const std::string& reason) noexcept {
    // For the next calls one worker start is tried; if it fails, they fail too.
    failed_starts_ = starts_before_giving_up - 1;
    std::size_t count = 0;
    {
        const held own(queue_);
        count = queue_.waiting(own);
    }
    // Calls that are submitted meanwhile are left, because they might never stop coming.
    for (; count != 0; --count) {
        job* j = nullptr;
        {
            const held own(queue_);
            j = queue_.take_begun(own);
        }
        if (j == nullptr)
            return;
        j->set_error(ends::no_process_started(settings_, j->name(), reason));
        j->finish();
    }
}

// ---- events ----

int supervisor::poll_timeout() const noexcept {
    auto until = clock::time_point::max();
    for (const auto& w : workers_) {
        until = std::min(until, w->deadline());
        if (!w->process().has_end_descriptor()) // its death makes nothing readable
            until = std::min(until, clock::now() + look_for_deaths);
    }
    {
        const held own(queue_);
        if (wants_another_worker(own))
            until = std::min(until, next_start());
    }
    if (until == clock::time_point::max())
        return -1;
    const auto now = clock::now();
    if (until <= now)
        return 0;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
    return static_cast<int>(std::min<decltype(wait)>(wait, INT_MAX));
}

void supervisor::wait_for_events() noexcept {
    // poll() reports nothing about a worker that became out of reach on another thread, or while its answer was read.
    abandon_those_out_of_reach();
    polled_.clear();
    MUSTER_ASSERT(polled_.capacity() >= 1 + 2 * workers_.size());
    polled_.push_back({queue_.wake_up_descriptor(), POLLIN, 0});
    for (const auto& w : workers_) {
        // The answer_reader has those that are `decoding`, and calls wake() when it is done with them.
        const bool is_polled = w->now() != phase::decoding;
        const bool is_read = is_polled && w->reads() == worker_handle::stream::open;
        const auto events = static_cast<short>(POLLIN | (w->has_to_send() ? POLLOUT : 0));
        polled_.push_back({is_read ? w->process().socket() : -1, events, 0});
        polled_.push_back({is_polled ? w->process().end_descriptor() : -1, POLLIN, 0});
    }
    if (::poll(polled_.data(), polled_.size(), poll_timeout()) < 0) {
        // The system had no memory for it, or the limit of descriptors was lowered: it may work later.
        if (errno != EINTR)
            std::this_thread::sleep_for(10ms);
        return;
    }
    if (polled_[0].revents != 0)
        queue_.clear_wake_up();
    for (std::size_t i = 0; i != workers_.size(); ++i)
        if (workers_[i]->now() != phase::decoding)
            handle_events(*workers_[i], polled_[2 * i + 1].revents, polled_[2 * i + 2].revents);
    abandon_those_out_of_reach();
}

void supervisor::handle_events(worker_handle& w, short on_socket, short on_end) noexcept {
    if ((on_socket & POLLOUT) != 0 && w.has_to_send())
        w.send_on();
    if ((on_socket & (POLLIN | POLLHUP | POLLERR)) != 0)
        read_socket(w);
    if (w.reads() == worker_handle::stream::hung_up && on_end == 0)
        w.kill_without_cause(held(queue_));
    if (on_end != 0 || (!w.process().has_end_descriptor() && w.process().has_ended()))
        reap(w);
    else if (clock::now() >= w.deadline())
        enforce_deadline(w);
}

void supervisor::enforce_deadline(worker_handle& w) noexcept {
    w.clear_deadline();
    const held own(queue_);
    switch (w.now()) {
    case phase::starting:
        w.kill(own, worker_handle::cause::start_timeout);
        break;
    case phase::calling:
        w.kill(own, worker_handle::cause::call_timeout);
        break;
    case phase::exiting:
        w.kill(own, worker_handle::cause::shutdown);
        break;
    case phase::idle:
    case phase::decoding:
    case phase::dead:
        MUSTER_ASSERT(false && "these have no deadline");
        break;
    }
}

void supervisor::erase_dead_workers() noexcept {
    for (const auto& w : workers_)
        if (w->now() == phase::dead)
            --used_[w->place()];
    const auto dead =
        std::remove_if(workers_.begin(), workers_.end(), [](const auto& w) { return w->now() == phase::dead; });
    workers_.erase(dead, workers_.end());
}

// ---- what workers send ----

bool supervisor::read_socket(worker_handle& w) noexcept {
    const auto may_read = [&w] { return w.reads() == worker_handle::stream::open && w.now() != phase::decoding; };
    for (int i = 0; i != reads_in_a_row && may_read(); ++i) {
        const auto n = ::recv(w.process().socket(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (n <= 0) {
            w.hang_up();
            return false;
        }
        try {
            w.input().append(std::span(buffer_).first(static_cast<std::size_t>(n)));
            take_messages(w);
        } catch (...) {
            kill_unreadable(w, std::current_exception());
        }
    }
    return may_read();
}

void supervisor::take_messages(worker_handle& w) {
    const bool is_new = w.now() == phase::starting;
    while (w.now() != phase::decoding) {
        auto message = w.input().take_message(is_new ? hello_bytes : settings_.message_limit);
        if (!message)
            break;
        if (w.now() == phase::starting && message->number() == 0) {
            take_hello(w, *message);
        } else if (w.now() == phase::calling && message->number() == w.call_number() && !w.has_to_send()) {
            w.clear_deadline();
            w.keep_answer(std::move(*message));
            w.become(phase::decoding);
            reader_.read(w);
        } else if (message->number() == 0) {
            const auto problem = wire::read(message->body(), hello_values);
            throw wire_error(problem.is_object() && problem.contains("problem")
                                 ? problem.at("problem").get<std::string>()
                                 : "it sent an answer that nobody had asked for");
        } else {
            throw wire_error("it sent an answer that nobody had asked for");
        }
    }
    // The rest would be taken for the beginning of the next call's answer.
    if (w.now() == phase::idle && !w.input().empty())
        throw wire_error("something follows its answer");
}

void supervisor::take_hello(worker_handle& w, const received_message& message) {
    const auto hello = wire::read(message.body(), hello_values);
    if (!hello.is_object() || !hello.contains("muster") ||
        detail::from_wire<std::int64_t>(hello.at("muster")) != wire::version)
        throw wire_error("it is no worker of this version of muster");
    if (hello.contains("problem")) {
        w.refuse_to_start(hello.at("problem").get<std::string>()); // it exits by itself, and prints the same before
        return;
    }
    w.clear_deadline();
    w.become(phase::idle);
}

void supervisor::take_read_answers() noexcept {
    while (auto* const w = reader_.take_read()) {
        if (w->damage()) {
            // The worker has not answered, as far as the call is concerned: the call ends when the process does.
            w->become(phase::calling);
            kill_unreadable(*w, w->damage());
            continue;
        }
        failed_starts_ = 0;
        w->call_is_over();
        w->become(phase::idle);
        if (!w->input().empty())
            kill_unreadable(*w, std::make_exception_ptr(wire_error("something follows its answer")));
    }
}

void supervisor::kill_unreadable(worker_handle& w, std::exception_ptr damage) noexcept {
    w.found_unreadable(std::move(damage));
    const held own(queue_);
    w.kill(own, worker_handle::cause::damage);
}

// ---- ends of workers ----

void supervisor::reap(worker_handle& w) noexcept {
    // Kills the rest of the process group, so that nothing writes to the socket any more; then reads what the worker
    // had sent, which counts.
    w.process().kill_group();
    for (std::uint64_t rest = most_read_after_death; read_socket(w) && rest > reads_in_a_row * buffer_.size();
         rest -= reads_in_a_row * buffer_.size()) {}
    if (w.now() == phase::decoding)
        return; // its death is looked at again after its answer
    process_end how;
    {
        // With the lock, so that no other thread sends a signal to a number that is off the system's list.
        const held own(queue_);
        how = w.reap(own);
        queue_.process_ended(own, w.process().id());
    }
    w.hang_up();
    if (w.call() != nullptr)
        conclude_call(w, how);
    else if (!w.has_served() && w.now() != phase::exiting)
        conclude_start(w, how);
    else if (w.now() == phase::idle && w.damage())
        report_unasked(w, how);
    w.become(phase::dead);
}

/// No call ends with the failure of a worker that made none: it is reported.
void supervisor::report_unasked(const worker_handle& w, const process_end& how) noexcept {
    report r(report_kind::suppressed);
    r.error = ends::sent_unasked({w.process().id(), how, settings_}, w.damage());
    detail::send_report(r, [&] { r.name = "pool '" + settings_.name + '\''; });
}

/// A process that runs as another user and can't be killed: whoever waits for its call is told so instead of waiting
/// for its end. It is taken off the system's list when it ends by itself, at the latest by the system when this program
/// ends.
void supervisor::abandon(worker_handle& w) noexcept {
    MUSTER_ASSERT(w.now() != phase::decoding);
    {
        const held own(queue_);
        queue_.process_ended(own, w.process().id());
        if (w.call() != nullptr)
            queue_.call_ended(own, *w.call());
    }
    w.hang_up();
    if (job* const j = w.call(); j != nullptr) {
        w.call_is_over();
        j->set_error(ends::out_of_reach_during_call(w.process().id(), settings_, j->name()));
        j->finish();
    } else if (!w.has_served() && w.now() != phase::exiting) {
        try {
            start_failed(ends::out_of_reach(w.process().id(), settings_), true);
        } catch (const std::bad_alloc&) {
            start_failed("no memory", true);
        }
    }
    w.become(phase::dead);
    try {
        abandoned_.push_back(w.take_process());
    } catch (const std::bad_alloc&) {
        // The system keeps its end until this program ends.
    }
}

void supervisor::abandon_those_out_of_reach() noexcept {
    for (auto& w : workers_) {
        const bool is_lost = w->now() != phase::dead && w->now() != phase::decoding && w->is_out_of_reach(held(queue_));
        if (is_lost)
            abandon(*w);
    }
    erase_dead_workers();
}

void supervisor::reap_abandoned() noexcept {
    std::erase_if(abandoned_, [](child_process& process) {
        const bool ended = process.has_ended();
        if (ended)
            process.reap();
        return ended;
    });
}

void supervisor::conclude_call(worker_handle& w, const process_end& how) noexcept {
    job& j = *w.call();
    auto why = worker_handle::cause::none;
    bool has_begun = true;
    bool is_put_back = false;
    {
        const held own(queue_);
        why = w.killed_because(own);
        queue_.call_ended(own, j);
        // A call to another host goes through that host's agent. If the worker or the host ends before the agent has
        // handed the call over, the call has not begun and goes to another worker. If the worker has sent what can't be
        // read, it did so before the call then.
        has_begun = (why != worker_handle::cause::none && why != worker_handle::cause::damage) ||
                    how.had_begun(w.call_number()) != hosts::begun::no;
        is_put_back = !has_begun && queue_.is_wanted(own, j);
        if (is_put_back)
            queue_.put_back(own, j);
    }
    w.call_is_over();
    if (!has_begun) {
        if (w.damage())
            report_unasked(w, how);
        if (!is_put_back) {
            j.set_cancelled(cancel_reason::requested, ends::never_made);
            j.finish();
        }
        if (!w.has_served())
            conclude_start(w, how);
        return;
    }
    failed_starts_ = 0; // it had begun a call: the program as such is in order
    const ends::ended_worker ended{w.process().id(), how, settings_};
    switch (why) {
    case worker_handle::cause::none:
    case worker_handle::cause::start_timeout:
        j.set_error(ends::death_during_call(ended, j.name()));
        break;
    case worker_handle::cause::call_timeout:
        j.set_error(ends::call_timeout(ended, j.name()));
        break;
    case worker_handle::cause::cancelled:
        j.set_cancelled(cancel_reason::requested, "the process of the call was killed, because it had been cancelled");
        break;
    case worker_handle::cause::shutdown:
        j.set_cancelled(cancel_reason::shutdown, "the process of the call was killed, because the pool was stopped");
        break;
    case worker_handle::cause::damage:
        j.set_error(ends::damaged_answer(ended, j.name(), w.damage()));
        break;
    }
    j.finish();
}

void supervisor::conclude_start(worker_handle& w, const process_end& how) noexcept {
    auto why = worker_handle::cause::none;
    {
        const held own(queue_);
        why = w.killed_because(own);
    }
    if (why == worker_handle::cause::shutdown)
        return;
    // All workers of a host are lost at once, which counts as one start that failed.
    if (how.how == process_end::kind::host_lost && clock::now() < next_start_)
        return;
    const ends::ended_worker ended{w.process().id(), how, settings_};
    std::string reason;
    try {
        if (!w.problem().empty())
            reason = w.problem();
        else if (!how.why.empty())
            reason = how.host + ": " + how.why;
        else if (why == worker_handle::cause::start_timeout)
            reason = ends::not_ready_in_time(ended);
        else if (w.damage())
            reason = ends::damaged_start(ended, w.damage());
        else if (w.now() == phase::starting)
            reason = ends::death_before_ready(ended);
        else
            reason = ends::death_before_first_call(ended);
    } catch (const std::bad_alloc&) {
        reason = "no memory";
    }
    // Where no host is left the next attempt would not be one before long.
    start_failed(reason, !w.problem().empty() || (how.how == process_end::kind::not_started && !free_place()));
}

} // namespace muster::workers
