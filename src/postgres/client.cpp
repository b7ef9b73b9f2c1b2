// SPDX-License-Identifier: MIT
// This file is an executor's thread. Tasks on any thread put jobs into `new_`; the thread takes them as the window
// allows, and keeps an entry for each key until its outcome has come. Each round it submits what is to be submitted,
// cancels, and fetches what it was told has ended; then it sleeps until there is news. Now and then it looks at all its
// calls without being told, as a message may have been lost with a connection.
//
//     to_submit --> submitted --> cancelled      an entry; it is gone once its outcome is there
//         ^             |             |
//         +-------------+-------------+          the connection is lost: everything is submitted once more
//
// The second submission is safe, as the key of a call makes it the same as the first. The entry keeps the arguments
// for that.
#include "postgres/client.hpp"

#include "posix/signal_actions.hpp"
#include "postgres/database.hpp"
#include "postgres/known_errors.hpp"
#include "postgres/postgres_backend.hpp"
#include "process_pool/conclude.hpp"
#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/backoff.hpp>
#include <muster/detail/exception_type.hpp>
#include <muster/detail/random_sequence.hpp>
#include <muster/error.hpp>
#include <muster/run.hpp>
#include <muster/timeout.hpp>

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace muster::postgres {

namespace {

constexpr std::size_t most_in_batch = 500;
constexpr std::size_t most_bytes_in_batch = std::size_t{8} << 20;
constexpr std::size_t most_to_fetch = 5000;
/// A connection without calls is looked after only so often.
constexpr auto idle_time = std::chrono::seconds(30);

task<> until_set(event& e) { co_await e.wait(); }

} // namespace

client::client(executor_options options) : options_(std::move(options)), name_(call_key::make().text()) {
    std::erase(name_, '-');
    know_errors_of_workers();
}

void client::start(const std::shared_ptr<client>& self) {
    const detail::all_signals_blocked in_new_threads;
    self->thread_ = std::thread([c = self.get()] {
        ::pthread_setname_np(::pthread_self(), "muster-queue");
        c->loop_.run(c->work(), run_options().handle_interrupt(false));
    });
}

// ---- any thread ----

void client::wake(const held&) noexcept {
    if (sleep_ != sleep::asleep)
        return;
    sleep_ = sleep::woken;
    handle_->post([this] { news_.set(); });
}

void client::submit(const std::shared_ptr<client>& self, job& j) {
    if (!j.request().problem.empty())
        throw wire_error(j.request().problem);
    const held own(lock_);
    if (intake_ != intake::open)
        throw invalid_state_error("the executor of the queue was shut down");
    MUSTER_ASSERT(j.place_ == job::place::nowhere);
    j.client_ = self;
    j.place_ = job::place::waiting;
    new_.push_back(j);
    ++waiting_;
    wake(own);
}

bool client::withdraw(job& j) noexcept {
    const held own(lock_);
    if (j.place_ != job::place::waiting)
        return false;
    new_.remove(j);
    --waiting_;
    j.place_ = job::place::nowhere;
    return true;
}

void client::ask_to_stop(job& j) noexcept {
    const held own(lock_);
    if (j.place_ != job::place::taken)
        return;
    j.place_ = job::place::to_be_stopped;
    has_stops_ = true;
    wake(own);
}

bool client::is_own_thread() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }

void client::close(intake next) {
    if (is_own_thread())
        throw invalid_state_error("an executor's own thread can't wait for the executor to end");
    {
        const held own(lock_);
        intake_ = std::max(intake_, next);
        wake(own);
    }
    const std::lock_guard mine(joining_);
    if (thread_.joinable())
        thread_.join();
}

void client::leave_thread_behind(const std::shared_ptr<client>& self) noexcept {
    thread_.detach();
    kept_ = self;
}

std::size_t client::waiting() const noexcept {
    const held own(lock_);
    return waiting_;
}

std::size_t client::submitted() const noexcept {
    const held own(lock_);
    return submitted_;
}

bool client::is_closing(intake at_least) const noexcept {
    const held own(lock_);
    return intake_ >= at_least;
}

// ---- the thread ----

bool client::is_at_its_end() const noexcept {
    return is_closing(intake::stopping) || (is_closing(intake::draining) && has_nothing_to_do());
}

bool client::has_nothing_to_do() const noexcept {
    const held own(lock_);
    return entries_.empty() && new_.empty();
}

task<> client::work() {
    {
        const held own(lock_);
        handle_ = loop_handle::current();
        sleep_ = sleep::woken;
    }
    const detail::backoff pauses{std::chrono::milliseconds(50), std::chrono::seconds(2), 2.0, 0.5};
    detail::random_sequence random(static_cast<std::uint64_t>(::getpid()));
    std::size_t failures = 0;
    std::optional<loop_clock::time_point> away_since;
    for (;;) {
        take_new();
        if (is_at_its_end())
            break;
        if (has_nothing_to_do()) {
            // While nothing is to be done nobody looks for the database: how long it was away before counts no more.
            failures = 0;
            away_since.reset();
            auto waiting = until_set(news_);
            co_await std::move(waiting);
            continue;
        }
        auto connecting = postgres_backend::connect(
            postgres_backend::place(options_.database(), options_.schema(), options_.answer_limit()), name_);
        auto connected = co_await as_outcome(std::move(connecting));
        std::exception_ptr error;
        if (connected.succeeded()) {
            const auto queue = std::move(connected).value();
            begin_anew();
            history_ = history::connected;
            auto talking = talk(*queue);
            auto talked = co_await as_outcome(std::move(talking));
            if (talked.succeeded())
                continue;
            error = talked.error();
            if (history_ == history::of_use) {
                failures = 0;
                away_since.reset();
            }
        } else {
            error = connected.error();
        }
        take_new();
        ++failures;
        const auto now = loop_clock::now();
        if (!away_since)
            away_since = now;
        const auto* lost = get_if<connection_failure>(error);
        if (lost == nullptr) {
            fail_all(error);
            away_since.reset();
        } else if ((lost->is_lasting() && history_ == history::never_connected) ||
                   now - *away_since > options_.reconnect_limit()) {
            fail_all(std::make_exception_ptr(unreachable_error(lost->what())));
            away_since.reset();
        } else {
            auto pausing = wait_for(until_closing(), pauses.after(failures, random.next()));
            static_cast<void>(co_await as_outcome(std::move(pausing)));
        }
    }
    end_all();
    const held own(lock_);
    sleep_ = sleep::ended;
    handle_.reset();
}

/// Ends once the executor is told to stop: for a pause between two attempts.
task<> client::until_closing() {
    for (;;) {
        take_new();
        if (is_closing(intake::stopping))
            co_return;
        auto waiting = until_set(news_);
        co_await std::move(waiting);
    }
}

/// A new connection says nothing of what the queue knows: everything is submitted once more, and cancelled once more.
void client::begin_anew() {
    to_submit_.clear();
    for (auto& [key, e] : entries_) {
        if (e.at == entry::step::cancelled)
            to_cancel_.push_back(key);
        e.at = entry::step::to_submit;
        to_submit_.push_back(key);
    }
}

void client::take_new() {
    std::vector<job*> taken;
    {
        const held own(lock_);
        if (sleep_ == sleep::woken)
            sleep_ = sleep::asleep; // from here on each change wakes the thread again
        news_.clear();
        std::size_t room = options_.window() - std::min(options_.window(), entries_.size());
        while (room != 0) {
            auto* const j = new_.pop_front();
            if (j == nullptr)
                break;
            --room;
            --waiting_;
            j->place_ = job::place::taken;
            taken.push_back(j);
        }
    }
    for (auto* j : taken)
        add(*j);
    const held own(lock_);
    submitted_ = entries_.size();
}

void client::refuse_key(entry& e) {
    finish(e, [&](job& j) {
        j.set_error(std::make_exception_ptr(key_in_use_error("the call " + e.record.key.text() +
                                                             " is another one in the queue, of another function or "
                                                             "with other arguments: give each call a key of its own")));
    });
}

void client::add(job& j) {
    const auto key = j.terms().key ? *j.terms().key : call_key::make();
    const auto [at, is_new] = entries_.try_emplace(key, key);
    auto& e = at->second;
    const auto& request = j.request();
    if (is_new) {
        auto& r = e.record;
        r.function = request.entry->name;
        r.signature = detail::type_name(*request.entry->signature);
        r.payload = request.message;
        r.priority = j.terms().priority;
        r.starts = j.terms().starts;
        r.delay = j.terms().delay;
        r.keep =
            j.terms().keep.count() != 0 ? j.terms().keep : std::chrono::ceil<std::chrono::seconds>(options_.keep());
        to_submit_.push_back(key);
    } else if (e.record.function != request.entry->name || e.record.payload != request.message) {
        // The call that has the key goes on: it keeps its entry.
        entry refused(key);
        refused.jobs.push_back(&j);
        refuse_key(refused);
        return;
    }
    e.jobs.push_back(&j);
}

/// Calls whose tasks were cancelled.
void client::take_stops() {
    std::vector<job*> detached;
    {
        const held own(lock_);
        if (!has_stops_)
            return;
        has_stops_ = false;
        for (auto at = entries_.begin(); at != entries_.end();) {
            auto& [key, e] = *at;
            const auto wants = [](const job* j) { return j->place_ == job::place::to_be_stopped; };
            const auto stopped = static_cast<std::size_t>(std::count_if(e.jobs.begin(), e.jobs.end(), wants));
            if (stopped == 0) {
                ++at;
                continue;
            }
            const bool is_wanted = stopped != e.jobs.size();
            if (!is_wanted && !options_.keeps_cancelled()) {
                to_cancel_.push_back(key);
                ++at;
                continue;
            }
            // The call goes on without them.
            for (auto* j : e.jobs)
                if (wants(j))
                    detached.push_back(j);
            std::erase_if(e.jobs, wants);
            at = is_wanted ? std::next(at) : entries_.erase(at);
        }
        for (auto* j : detached)
            j->place_ = job::place::nowhere;
    }
    for (auto* j : detached) {
        j->set_cancelled(cancel_reason::requested, "the call stays in the queue");
        j->finish();
    }
}

task<> client::talk(backend& queue) {
    auto next_look = loop_clock::now();
    for (;;) {
        take_new();
        take_stops();
        if (is_at_its_end())
            co_return;
        for (auto& key : queue.told())
            to_fetch_.insert(key);
        auto submitting = submit_some(queue);
        const bool has_submitted = co_await std::move(submitting);
        auto cancelling = cancel_some(queue);
        const bool has_cancelled = co_await std::move(cancelling);
        auto fetching = fetch_some(queue);
        const bool has_fetched = co_await std::move(fetching);
        history_ = history::of_use;
        if (has_submitted || has_cancelled || has_fetched)
            continue;
        const auto now = loop_clock::now();
        if (now >= next_look) {
            next_look = now + (entries_.empty() ? std::chrono::nanoseconds(idle_time) : options_.look_every());
            auto looking = look_around(queue);
            co_await std::move(looking);
            continue;
        }
        const auto most = entries_.empty() ? std::chrono::nanoseconds(idle_time) : options_.look_every();
        auto watching = queue.watch(news_, std::min<std::chrono::nanoseconds>(next_look - now, most));
        co_await std::move(watching);
    }
}

/// *Returns* whether there was something to do.
task<bool> client::submit_some(backend& queue) {
    std::vector<call_key> keys;
    std::vector<const call_record*> batch;
    std::size_t bytes = 0;
    while (!to_submit_.empty() && batch.size() < most_in_batch && bytes < most_bytes_in_batch) {
        const auto key = to_submit_.front();
        to_submit_.pop_front();
        const auto found = entries_.find(key);
        if (found == entries_.end())
            continue;
        const auto& record = found->second.record;
        if (record.payload.size() > queue.payload_limit()) {
            fail(key, std::make_exception_ptr(wire_error(
                          "the arguments of '" + record.function + "' are " + std::to_string(record.payload.size()) +
                          " bytes, and the payload limit of the queue is " + std::to_string(queue.payload_limit()))));
            continue;
        }
        keys.push_back(key);
        batch.push_back(&record);
        bytes += record.payload.size();
    }
    if (batch.empty())
        co_return false;
    auto submitting = queue.submit(std::move(batch));
    const auto verdicts = co_await std::move(submitting);
    for (std::size_t i = 0; i != keys.size(); ++i)
        if (const auto found = entries_.find(keys[i]); found != entries_.end())
            judge(found->second, verdicts[i]);
    co_return true;
}

void client::judge(entry& e, verdict v) {
    const auto key = e.record.key;
    const auto call = "the call " + key.text();
    switch (v) {
    case verdict::taken:
        if (e.at == entry::step::to_submit)
            e.at = entry::step::submitted;
        return;
    case verdict::ended:
        e.at = entry::step::submitted;
        to_fetch_.insert(key);
        return;
    case verdict::full:
        finish(
            e, [](job& j) { j.set_error(std::make_exception_ptr(queue_full("the limit of the queue is reached"))); });
        break;
    case verdict::other:
        refuse_key(e);
        break;
    case verdict::expired:
        finish(e, [&](job& j) {
            j.set_error(std::make_exception_ptr(outcome_expired_error(
                call +
                " has ended, and its outcome is not kept any more: submit it under a new key to make it again")));
        });
        break;
    case verdict::too_large:
        finish(e, [&](job& j) {
            j.set_error(std::make_exception_ptr(wire_error(call + " is larger than the payload limit of the queue")));
        });
        break;
    }
    entries_.erase(key);
}

task<bool> client::cancel_some(backend& queue) {
    std::vector<call_key> keys;
    for (const auto& key : std::exchange(to_cancel_, {})) {
        const auto found = entries_.find(key);
        if (found == entries_.end())
            continue;
        if (found->second.at == entry::step::to_submit) {
            to_cancel_.push_back(key); // the submission has to come first
            continue;
        }
        found->second.at = entry::step::cancelled;
        keys.push_back(key);
    }
    if (keys.empty())
        co_return false;
    auto cancelling = queue.cancel(keys);
    co_await std::move(cancelling);
    co_return true;
}

task<bool> client::fetch_some(backend& queue) {
    std::vector<call_key> keys;
    while (!to_fetch_.empty() && keys.size() < most_in_batch) {
        const auto key = *to_fetch_.begin();
        to_fetch_.erase(to_fetch_.begin());
        const auto found = entries_.find(key);
        if (found != entries_.end() && found->second.at != entry::step::to_submit)
            keys.push_back(key);
    }
    if (keys.empty())
        co_return false;
    auto fetching = queue.fetch(std::move(keys));
    const auto ended = co_await std::move(fetching);
    for (const auto& e : ended)
        conclude(e);
    co_return true;
}

task<> client::look_around(backend& queue) {
    auto reaping = queue.reap();
    co_await std::move(reaping);
    std::vector<call_key> keys;
    for (const auto& [key, e] : entries_)
        if (e.at != entry::step::to_submit)
            keys.push_back(key);
    for (std::size_t first = 0; first < keys.size(); first += most_to_fetch) {
        const auto last = std::min(keys.size(), first + most_to_fetch);
        auto fetching = queue.fetch(
            {keys.begin() + static_cast<std::ptrdiff_t>(first), keys.begin() + static_cast<std::ptrdiff_t>(last)});
        const auto ended = co_await std::move(fetching);
        for (const auto& e : ended)
            conclude(e);
    }
    auto telling = tell_unserved(queue);
    co_await std::move(telling);
}

task<> client::tell_unserved(backend& queue) {
    std::set<function_name> wanted;
    for (const auto& [key, e] : entries_)
        wanted.emplace(e.record.function, e.record.signature);
    if (wanted.empty())
        co_return;
    auto asking = queue.unserved({wanted.begin(), wanted.end()});
    const auto found = co_await std::move(asking);
    for (const auto& f : found) {
        if (!unserved_.insert(function_name(f.name, {})).second)
            continue;
        if (options_.on_unserved())
            options_.on_unserved()(f.name, f.signature);
        else
            std::fprintf(stderr, "muster: no worker serves '%s', which calls in the queue \"%s\" wait for: %s\n",
                detail::printable(f.name, detail::longest_printed_name).c_str(), options_.schema().c_str(),
                f.signature.c_str());
    }
}

// ---- outcomes ----

/// The jobs may be gone when this returns.
void client::finish(entry& e, const std::function<void(job&)>& set_outcome) {
    for (auto* j : std::exchange(e.jobs, {})) {
        {
            const held own(lock_);
            j->place_ = job::place::nowhere;
        }
        set_outcome(*j);
        j->finish();
    }
}

void client::conclude(const ended_call& ended) {
    const auto found = entries_.find(ended.key);
    if (found == entries_.end())
        return;
    using end = ended_call::end;
    auto& e = found->second;
    const auto died = [&](worker_died_error::sign how) {
        finish(e,
            [&](job& j) { j.set_error(std::make_exception_ptr(worker_died_error(ended.host, ended.process, how))); });
    };
    switch (ended.how) {
    case end::answered:
        finish(e, [&](job& j) {
            try {
                workers::conclude_call(j, wire::read(ended.answer, options_.value_limit()));
            } catch (...) {
                j.set_error(std::current_exception());
            }
        });
        break;
    case end::cancelled:
        finish(e, [](job& j) { j.set_cancelled(cancel_reason::requested, "the call was cancelled in the queue"); });
        break;
    case end::session:
        died(worker_died_error::sign::session);
        break;
    case end::lease:
        died(worker_died_error::sign::lease);
        break;
    case end::left:
        died(worker_died_error::sign::left);
        break;
    case end::expired:
        judge(e, verdict::expired);
        return;
    case end::unknown:
        fail(ended.key, std::make_exception_ptr(unreachable_error(
                            "the queue does not know the call " + ended.key.text() + " any more: was it made anew?")));
        return;
    }
    entries_.erase(found);
}

void client::fail(const call_key& key, std::exception_ptr error) {
    const auto found = entries_.find(key);
    MUSTER_ASSERT(found != entries_.end());
    finish(found->second, [&](job& j) { j.set_error(error); });
    entries_.erase(found);
}

void client::fail_all(std::exception_ptr error) {
    take_new();
    while (!entries_.empty())
        fail(entries_.begin()->first, error);
}

void client::end_all() {
    detail::intrusive_list<job> refused;
    {
        const held own(lock_);
        while (auto* const j = new_.pop_front()) {
            j->place_ = job::place::nowhere;
            refused.push_back(*j);
        }
        waiting_ = submitted_ = 0;
    }
    while (auto* const j = refused.pop_front())
        j->refuse(cancel_reason::shutdown);
    for (auto& [key, e] : entries_)
        finish(e, [](job& j) {
            j.set_cancelled(cancel_reason::shutdown, "the executor was stopped; the call stays in the queue");
        });
    entries_.clear();
}

} // namespace muster::postgres
