// SPDX-License-Identifier: MIT
// This file is an executor's thread. Tasks on any thread put jobs into `new_`; the thread takes them as the window
// allows, and keeps an entry for each key until its outcome has come. Each round it submits what is to be submitted,
// cancels, and fetches what it was told has ended; then it sleeps until there is news. Now and then it looks at all its
// calls without being told, as a message may have been lost with a connection.
//
//     fresh --> to_submit --> submitted --> cancelled    an entry; it is gone once its outcome is there
//                   ^             |             |
//                   +-------------+-------------+        the connection is lost: everything is submitted once more
//
// A task that is cancelled waits until the database has said what became of its call. When the database says nothing,
// the task does not wait: its call is cancelled whenever the database is back. stop() does not wait for an answer
// either.
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
/// A database that has not answered for so long is taken for silent.
constexpr auto silence_limit = std::chrono::seconds(1);
/// A connection without calls is looked after only so often.
constexpr auto idle_time = std::chrono::seconds(30);

/// A function of its own, so that nothing on this thread shares the error's text once a call has it.
template <class Error>
std::exception_ptr error_of(const std::string& text) {
    return std::make_exception_ptr(Error(text));
}

task<> until_set(event& e) { co_await e.wait(); }

task<> end_of(task_handle<void> handle) { co_await handle; }

void note(const executor::job& j, call_progress::stage next) noexcept {
    if (j.terms().progress)
        j.terms().progress->note(next);
}

/// Whether it is about a value of one call, and not about rights or names, which would keep all calls back.
bool concerns_one(const database_error& e) {
    const auto kind = e.state().substr(0, 2);
    return kind != "42" && kind != "3F" && kind != "28" && kind != "0A";
}

template <class T>
bool refuses_one(const outcome<T>& result) {
    const auto* const refused =
        result.template failed_with<database_error>() ? get_if<database_error>(result.error()) : nullptr;
    return refused != nullptr && concerns_one(*refused);
}

} // namespace

/// The stretch in which a connection can be ended from outside.
class client::stay_in_scope {
public:
    stay_in_scope(client& of, timeout_scope& limit) noexcept : client_(of) { client_.limit_ = &limit; }
    stay_in_scope(const stay_in_scope&) = delete;
    stay_in_scope& operator=(const stay_in_scope&) = delete;
    ~stay_in_scope() { client_.limit_ = nullptr; }

private:
    client& client_;
};

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
    if (!std::exchange(has_stops_, true))
        handle_->post([this] { stops_.set(); });
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
        if (intake_ == intake::stopping && handle_)
            handle_->post([this] { end_connection(); });
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

/// Whatever is asked of the database at the moment: nobody waits for the answer.
void client::end_connection() {
    if (limit_ != nullptr && !limit_->expired())
        limit_->reschedule(loop_clock::now());
}

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
    auto letting_go = create_task(let_go_in_silence(), "cancellations while the database is silent");
    for (;;) {
        take_new();
        if (is_at_its_end())
            break;
        if (has_nothing_to_do()) {
            // While nothing is to be done nobody looks for the database: how long it was away before counts no more.
            failures = 0;
            away_since.reset();
            silent_since_.reset();
            auto waiting = until_set(news_);
            co_await std::move(waiting);
            continue;
        }
        begin_to_ask();
        std::exception_ptr error;
        {
            timeout_scope limit;
            auto round = limit.run([this](timeout_scope& own) { return connect_and_talk(own); });
            auto ended = co_await as_outcome(std::move(round));
            if (ended.succeeded() || ended.failed_with<timeout_error>())
                continue;
            error = ended.as_exception();
        }
        if (history_ == history::of_use) {
            failures = 0;
            away_since.reset();
            history_ = history::connected;
        }
        take_new();
        ++failures;
        const auto now = loop_clock::now();
        if (!away_since)
            away_since = now;
        const auto* lost = get_if<connection_failure>(error);
        if (lost == nullptr) {
            fail_all(std::move(error));
            away_since.reset();
        } else if ((lost->is_lasting() && history_ == history::never_connected) ||
                   now - *away_since > options_.reconnect_limit()) {
            fail_all(error_of<unreachable_error>(lost->what()));
            away_since.reset();
        } else {
            auto pausing = wait_for(until_closing(), pauses.after(failures, random.next()));
            static_cast<void>(co_await as_outcome(std::move(pausing)));
        }
    }
    letting_go.cancel();
    auto let_go = end_of(letting_go);
    static_cast<void>(co_await as_outcome(std::move(let_go)));
    end_all();
    const held own(lock_);
    sleep_ = sleep::ended;
    handle_.reset();
}

task<> client::connect_and_talk(timeout_scope& limit) {
    const stay_in_scope can_be_ended(*this, limit);
    auto connecting = postgres_backend::connect(
        postgres_backend::place(options_.database(), options_.schema(), options_.answer_limit()), name_);
    const auto queue = co_await std::move(connecting);
    heard();
    begin_anew();
    history_ = history::connected;
    auto talking = talk(*queue);
    co_await std::move(talking);
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
        if (e.at != entry::step::fresh)
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
    if (e.at != entry::step::fresh)
        note(j, call_progress::stage::submitted);
}

/// Calls whose tasks were cancelled.
void client::take_stops() {
    std::vector<job*> detached;
    std::vector<job*> never_sent;
    {
        const held own(lock_);
        if (!has_stops_)
            return;
        has_stops_ = false;
        const auto wants = [](const job* j) { return j->place_ == job::place::to_be_stopped; };
        for (auto at = entries_.begin(); at != entries_.end();) {
            auto& [key, e] = *at;
            const auto stopped = static_cast<std::size_t>(std::count_if(e.jobs.begin(), e.jobs.end(), wants));
            if (stopped == 0) {
                ++at;
                continue;
            }
            const bool is_wanted = stopped != e.jobs.size();
            const bool is_fresh = e.at == entry::step::fresh;
            if (!is_wanted && !is_fresh && !options_.keeps_cancelled()) {
                to_cancel_.push_back(key);
                ++at;
                continue;
            }
            // The call goes on without them, or has never left this program.
            auto& into = is_fresh && !is_wanted ? never_sent : detached;
            std::copy_if(e.jobs.begin(), e.jobs.end(), std::back_inserter(into), wants);
            std::erase_if(e.jobs, wants);
            at = is_wanted ? std::next(at) : entries_.erase(at);
        }
        for (auto* j : detached)
            j->place_ = job::place::nowhere;
        for (auto* j : never_sent)
            j->place_ = job::place::nowhere;
    }
    const auto end = [](const std::vector<job*>& jobs, const char* why) {
        for (auto* j : jobs) {
            j->set_cancelled(cancel_reason::requested, why);
            j->finish();
        }
    };
    end(detached, "the call stays in the queue");
    end(never_sent, "");
}

bool client::has_stops() const noexcept {
    const held own(lock_);
    return std::any_of(entries_.begin(), entries_.end(), [](const auto& e) {
        return std::any_of(e.second.jobs.begin(), e.second.jobs.end(),
            [](const job* j) { return j->place_ == job::place::to_be_stopped; });
    });
}

bool client::is_wanted(const entry& e) const noexcept {
    const held own(lock_);
    return std::any_of(e.jobs.begin(), e.jobs.end(), [](const job* j) { return j->place_ == job::place::taken; });
}

/// Ends the waits of the tasks that were cancelled while the database is silent. Their calls are cancelled in the queue
/// once the database answers again.
void client::let_go(const char* why) {
    take_stops();
    std::vector<job*> detached;
    {
        const held own(lock_);
        for (auto& [key, e] : entries_)
            std::erase_if(e.jobs, [&](job* j) {
                if (j->place_ != job::place::to_be_stopped)
                    return false;
                j->place_ = job::place::nowhere;
                detached.push_back(j);
                return true;
            });
    }
    for (auto* j : detached) {
        j->set_cancelled(cancel_reason::requested, why);
        j->finish();
    }
}

task<> client::let_go_in_silence() {
    for (;;) {
        stops_.clear();
        auto waiting = until_set(stops_);
        co_await std::move(waiting);
        while (has_stops()) {
            const auto now = loop_clock::now();
            const auto until = silent_since_.value_or(now) + silence_limit;
            if (now >= until) {
                let_go("the database does not answer: the call may still be made");
                break;
            }
            auto pausing = sleep_for(until - now);
            co_await std::move(pausing);
        }
    }
}

task<> client::talk(backend& queue) {
    auto next_look = loop_clock::now();
    for (;;) {
        take_new();
        take_stops();
        if (is_at_its_end())
            co_return;
        begin_to_ask();
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
        if (has_to_expire_) {
            auto expiring = queue.expire();
            has_to_expire_ = co_await std::move(expiring);
            heard();
            continue;
        }
        const auto now = loop_clock::now();
        if (now >= next_look) {
            next_look = now + (entries_.empty() ? std::chrono::nanoseconds(idle_time) : options_.look_every());
            auto looking = look_around(queue);
            co_await std::move(looking);
            continue;
        }
        silent_since_.reset();
        const auto most = entries_.empty() ? std::chrono::nanoseconds(idle_time) : options_.look_every();
        auto watching = queue.watch(news_, std::min<std::chrono::nanoseconds>(next_look - now, most));
        co_await std::move(watching);
    }
}

std::size_t client::most_at_once() const noexcept { return alone_ != 0 ? 1 : most_in_batch; }

/// The database has refused something of these calls: each is to go by itself, so that the others are not kept back.
void client::put_back(const std::vector<call_key>& keys, std::deque<call_key>& to) {
    alone_ += keys.size();
    to.insert(to.begin(), keys.begin(), keys.end());
}

/// *Returns* whether there was something to do.
task<bool> client::submit_some(backend& queue) {
    std::vector<call_key> keys;
    std::vector<const call_record*> batch;
    std::size_t bytes = 0;
    while (!to_submit_.empty() && batch.size() < most_at_once() && bytes < most_bytes_in_step) {
        const auto key = to_submit_.front();
        to_submit_.pop_front();
        const auto found = entries_.find(key);
        if (found == entries_.end())
            continue;
        auto& e = found->second;
        const auto& record = e.record;
        if (record.payload.size() > queue.payload_limit()) {
            fail(key, error_of<wire_error>(
                          "the arguments of '" + record.function + "' are " + std::to_string(record.payload.size()) +
                          " bytes, and the payload limit of the queue is " + std::to_string(queue.payload_limit())));
            continue;
        }
        e.at = entry::step::to_submit;
        for (const auto* j : e.jobs)
            note(*j, call_progress::stage::submitted);
        keys.push_back(key);
        batch.push_back(&record);
        bytes += record.payload.size();
    }
    if (batch.empty())
        co_return false;
    auto submitting = queue.submit(std::move(batch));
    auto submitted = co_await as_outcome(std::move(submitting));
    heard();
    if (refuses_one(submitted)) {
        if (keys.size() == 1)
            fail_if_there(keys.front(), submitted.error());
        else
            put_back(keys, to_submit_);
        co_return true;
    }
    const auto verdicts = std::move(submitted).value();
    for (std::size_t i = 0; i != keys.size(); ++i)
        if (const auto found = entries_.find(keys[i]); found != entries_.end())
            judge(found->second, verdicts[i]);
    alone_ -= std::min(alone_, keys.size());
    co_return true;
}

void client::judge(entry& e, verdict v) {
    const auto key = e.record.key;
    const auto call = "the call " + key.text();
    switch (v) {
    case verdict::taken:
        if (e.at != entry::step::cancelled)
            e.at = entry::step::submitted;
        return;
    case verdict::ended:
        e.at = entry::step::submitted;
        to_fetch_.insert(key);
        return;
    case verdict::full:
        finish(e, [](job& j) {
            note(j, call_progress::stage::not_submitted);
            j.set_error(std::make_exception_ptr(queue_full("the limit of the queue is reached")));
        });
        break;
    case verdict::other:
        refuse_key(e);
        break;
    case verdict::expired:
        finish(e, [&](job& j) {
            note(j, call_progress::stage::ended);
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
    std::deque<call_key> later;
    while (!to_cancel_.empty() && keys.size() < most_at_once()) {
        const auto key = to_cancel_.front();
        to_cancel_.pop_front();
        const auto found = entries_.find(key);
        if (found == entries_.end())
            continue;
        if (is_wanted(found->second))
            continue; // it was submitted once more meanwhile
        if (found->second.at == entry::step::to_submit) {
            later.push_back(key); // the submission has to come first
            continue;
        }
        found->second.at = entry::step::cancelled;
        keys.push_back(key);
    }
    to_cancel_.insert(to_cancel_.end(), later.begin(), later.end());
    if (keys.empty())
        co_return false;
    auto cancelling = queue.cancel(keys);
    auto cancelled = co_await as_outcome(std::move(cancelling));
    heard();
    if (refuses_one(cancelled)) {
        if (keys.size() == 1)
            fail_if_there(keys.front(), cancelled.error());
        else
            put_back(keys, to_cancel_);
        co_return true;
    }
    cancelled.value();
    alone_ -= std::min(alone_, keys.size());
    co_return true;
}

task<bool> client::fetch_some(backend& queue) {
    std::vector<call_key> keys;
    while (!to_fetch_.empty() && keys.size() < most_at_once()) {
        const auto key = *to_fetch_.begin();
        to_fetch_.erase(to_fetch_.begin());
        const auto found = entries_.find(key);
        if (found != entries_.end() && is_in_queue(found->second))
            keys.push_back(key);
    }
    if (keys.empty())
        co_return false;
    auto fetching = queue.fetch(keys);
    auto fetched = co_await as_outcome(std::move(fetching));
    heard();
    if (refuses_one(fetched)) {
        if (keys.size() == 1) {
            fail_if_there(keys.front(), fetched.error());
        } else {
            alone_ += keys.size();
            to_fetch_.insert(keys.begin(), keys.end());
        }
        co_return true;
    }
    const auto ended = std::move(fetched).value();
    for (const auto& e : ended)
        conclude(e);
    alone_ -= std::min(alone_, keys.size());
    co_return true;
}

task<> client::look_around(backend& queue) {
    auto reaping = queue.reap();
    const bool is_own_turn = co_await std::move(reaping);
    has_to_expire_ = has_to_expire_ || is_own_turn;
    heard();
    for (const auto& [key, e] : entries_)
        if (is_in_queue(e))
            to_fetch_.insert(key);
    auto telling = tell_unserved(queue);
    co_await std::move(telling);
    heard();
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
        if (!unserved_.insert(f).second)
            continue;
        if (options_.on_unserved())
            options_.on_unserved()(f.name, f.signature);
        else
            std::fprintf(stderr, "muster: no worker serves '%s', which calls in the queue \"%s\" wait for: %s\n",
                detail::printable(f.name, detail::longest_printed_name).c_str(), options_.schema().c_str(),
                detail::printable(f.signature, detail::longest_printed_name).c_str());
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
        finish(e, [&](job& j) {
            note(j, call_progress::stage::ended);
            j.set_error(std::make_exception_ptr(worker_died_error(ended.host, ended.process, how)));
        });
    };
    switch (ended.how) {
    case end::answered:
        finish(e, [&](job& j) {
            note(j, call_progress::stage::ended);
            try {
                auto answer = wire::read(ended.answer, options_.value_limit());
                if (answer.is_object() && answer.contains("cancelled"))
                    note(j, call_progress::stage::cancelled); // its worker has ended it
                workers::conclude_call(j, std::move(answer));
            } catch (...) {
                j.set_error(std::current_exception());
            }
        });
        break;
    case end::cancelled:
        finish(e, [](job& j) {
            note(j, call_progress::stage::cancelled);
            j.set_cancelled(cancel_reason::requested, "the call was cancelled in the queue");
        });
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
    case end::later:
        to_fetch_.insert(ended.key);
        return;
    case end::unknown:
        fail(ended.key, error_of<unreachable_error>(
                            "the queue does not know the call " + ended.key.text() + " any more: was it made anew?"));
        return;
    }
    entries_.erase(found);
}

void client::fail(const call_key& key, std::exception_ptr error) {
    const auto found = entries_.find(key);
    MUSTER_ASSERT(found != entries_.end());
    auto left = found->second.jobs.size();
    finish(found->second, [&](job& j) { j.set_error(--left == 0 ? std::move(error) : error); });
    entries_.erase(found);
}

void client::fail_if_there(const call_key& key, std::exception_ptr error) {
    alone_ -= std::min<std::size_t>(alone_, 1);
    if (entries_.contains(key))
        fail(key, std::move(error));
}

/// The last call takes the error along, so that it ends with those who wait for the calls and not on this thread.
void client::fail_all(std::exception_ptr error) {
    take_new();
    while (!entries_.empty()) {
        const auto key = entries_.begin()->first;
        fail(key, entries_.size() == 1 ? std::move(error) : error);
    }
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
