// SPDX-License-Identifier: MIT
// This file serves a queue. A worker takes calls in steps: each step hands in the answers that there are, renews the
// lease, and takes as many calls as there are free slots. A call that is taken waits for a slot, runs as a task of its
// own, and leaves an answer. Between two steps the worker sleeps until there is news.
//
//     serving --told to leave--> leaving --everything has ended, or the limit is reached--> left
//
// The queue knows a worker by its epoch. A worker that comes back on a new connection resumes its epoch, unless it was
// taken for dead, or takes itself for dead because it could not renew its lease: then its calls count as died, so it
// ends them, drops their answers, and begins a new epoch. An epoch is never resumed by a worker that has dropped a
// call.
#include <muster/postgres.hpp>

#include "postgres/backend.hpp"
#include "postgres/database.hpp"
#include "postgres/known_errors.hpp"
#include "postgres/postgres_backend.hpp"
#include "postgres/raw_call.hpp"
#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/backoff.hpp>
#include <muster/detail/random_sequence.hpp>
#include <muster/event.hpp>
#include <muster/shield.hpp>
#include <muster/timeout.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <stdexcept>

namespace muster::postgres {

namespace {

using bytes = std::vector<std::uint8_t>;
/// Makes a call and its answer.
using maker = std::function<task<bytes>(claimed_call)>;

constexpr std::size_t most_answers_in_step = 500;
constexpr std::uint64_t value_limit = 1'000'000;

task<> until_set(event& e) { co_await e.wait(); }

task<> end_of(task_handle<void> handle) { co_await shield(handle); }

std::string name_of_this_host() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0)
        return "unknown";
    return name.data();
}

class worker {
public:
    using ptr = std::shared_ptr<worker>;

    worker(worker_options options, std::vector<function_name> functions, maker make)
        : options_(std::move(options)),
          functions_(std::move(functions)),
          make_(std::move(make)) {}

    static task<> work(ptr self);
    void leave() {
        if (phase_ != phase::serving)
            return;
        phase_ = phase::leaving;
        leave_until_ = loop_clock::now() + options_.drain_limit();
        news_.set();
    }
    /// Ends everything that runs, and drops its answers.
    void drop_all();
    task<> until_idle();

private:
    enum class phase : std::uint8_t { serving, leaving, left };
    struct running_call {
        explicit running_call(start_of_call s) : start(s) {}
        enum class answer : std::uint8_t { wanted, dropped };
        start_of_call start;
        answer is = answer::wanted;
        task_handle<void> handle;
    };
    using call_ptr = std::shared_ptr<running_call>;

    static task<> run_call(ptr self, call_ptr mine, claimed_call what);
    task<> live(ptr self);
    task<> come_in(backend& queue);
    task<> introduce(backend& queue);
    task<> talk(ptr self, backend& queue);
    task<> hand_back(backend& queue);
    void start_calls(const ptr& self);
    void stop(const start_of_call& s);
    [[nodiscard]] bool knows(const start_of_call& s) const;
    [[nodiscard]] std::size_t wanted_calls() const noexcept;
    [[nodiscard]] bool lease_is_over() const { return loop_clock::now() - renewed_ > options_.lease(); }
    [[nodiscard]] bool drain_is_over() const { return phase_ == phase::leaving && loop_clock::now() >= leave_until_; }

    const worker_options options_;
    const std::vector<function_name> functions_;
    const maker make_;
    phase phase_ = phase::serving;
    loop_clock::time_point leave_until_{};
    std::int32_t epoch_ = 0; ///< 0: none
    loop_clock::time_point renewed_{};
    std::deque<claimed_call> waiting_;
    std::vector<call_ptr> running_;
    std::vector<answered_call> answers_;
    event news_;
};

std::size_t worker::wanted_calls() const noexcept {
    const auto all = options_.slots() + options_.ahead();
    const auto has = waiting_.size() + running_.size();
    return phase_ == phase::serving && all > has ? all - has : 0;
}

bool worker::knows(const start_of_call& s) const {
    const auto is_it = [&](const auto& c) { return c.start == s; };
    return std::any_of(waiting_.begin(), waiting_.end(), is_it) ||
           std::any_of(answers_.begin(), answers_.end(), is_it) ||
           std::any_of(running_.begin(), running_.end(),
               [&](const call_ptr& c) { return c->start == s && c->is == running_call::answer::wanted; });
}

void worker::drop_all() {
    waiting_.clear();
    answers_.clear();
    epoch_ = 0;
    for (const auto& c : running_) {
        c->is = running_call::answer::dropped;
        c->handle.cancel();
    }
}

task<> worker::until_idle() {
    while (!running_.empty()) {
        news_.clear();
        auto waiting = until_set(news_);
        co_await std::move(waiting);
    }
}

/// A task that is cancelled leaves an answer, too.
task<> worker::run_call(ptr self, call_ptr mine, claimed_call what) {
    auto making = self->make_(std::move(what));
    auto made = co_await as_outcome(std::move(making));
    auto& s = *self;
    if (mine->is == running_call::answer::wanted) {
        auto answer =
            made.succeeded()
                ? std::move(made).value()
                : answer_for(
                      made.failed() ? made.error() : std::make_exception_ptr(cancelled_error(cancel_reason::requested)),
                      nullptr, name_of_this_host());
        s.answers_.emplace_back(mine->start, std::move(answer));
    }
    std::erase(s.running_, mine);
    s.start_calls(self);
    s.news_.set();
}

void worker::start_calls(const ptr& self) {
    while (!waiting_.empty() && running_.size() < options_.slots() && phase_ == phase::serving && !lease_is_over()) {
        auto what = std::move(waiting_.front());
        waiting_.pop_front();
        auto mine = std::make_shared<running_call>(what.start);
        running_.push_back(mine);
        const auto name = "call of " + detail::printable(what.function, 100);
        mine->handle = create_task(run_call(self, mine, std::move(what)), name);
    }
}

/// A call whose task was cancelled where it was submitted.
void worker::stop(const start_of_call& s) {
    for (const auto& c : running_)
        if (c->start == s)
            c->handle.cancel();
}

task<> worker::introduce(backend& queue) {
    MUSTER_ASSERT(epoch_ == 0);
    worker_record me;
    me.host = name_of_this_host();
    me.process = ::getpid();
    me.slots = options_.slots();
    me.lease = std::chrono::duration_cast<std::chrono::milliseconds>(options_.lease());
    me.functions = functions_;
    const auto asked = loop_clock::now();
    auto announcing = queue.announce(std::move(me));
    epoch_ = co_await std::move(announcing);
    renewed_ = asked;
    options_.tell("serves as worker " + std::to_string(epoch_));
}

/// On a new connection.
task<> worker::come_in(backend& queue) {
    if (epoch_ != 0) {
        const auto asked = loop_clock::now();
        auto resuming = queue.resume(epoch_);
        const bool is_alive = co_await std::move(resuming);
        if (is_alive) {
            renewed_ = asked;
            // Calls were given to this worker in an answer that was lost with the connection: they have not begun.
            auto asking = queue.held(epoch_);
            auto held = co_await std::move(asking);
            std::erase_if(held, [&](const start_of_call& s) { return knows(s); });
            auto releasing = queue.release(epoch_, std::move(held));
            co_await std::move(releasing);
            options_.tell("is back as worker " + std::to_string(epoch_));
            co_return;
        }
        options_.tell("was taken for dead");
        drop_all();
    }
    auto introducing = introduce(queue);
    co_await std::move(introducing);
}

task<> worker::hand_back(backend& queue) {
    std::vector<start_of_call> starts;
    for (const auto& c : waiting_)
        starts.push_back(c.start);
    waiting_.clear();
    auto draining = queue.drain(epoch_);
    co_await std::move(draining);
    if (starts.empty())
        co_return;
    auto releasing = queue.release(epoch_, std::move(starts));
    co_await std::move(releasing);
}

task<> worker::talk(ptr self, backend& queue) {
    const std::chrono::nanoseconds beat = options_.lease() / 3;
    auto next_reap = loop_clock::now();
    bool has_drained = false;
    for (;;) {
        news_.clear();
        static_cast<void>(queue.told());
        if (epoch_ == 0) {
            auto introducing = introduce(queue);
            co_await std::move(introducing);
        }
        if (phase_ == phase::leaving && !has_drained) {
            has_drained = true;
            auto back = hand_back(queue);
            co_await std::move(back);
        }
        if (drain_is_over() && !running_.empty()) {
            const auto mine = epoch_;
            drop_all();
            auto idle = until_idle();
            co_await std::move(idle);
            auto leaving = queue.leave(mine);
            co_await std::move(leaving);
            phase_ = phase::left;
            co_return;
        }
        auto answers = answers_;
        if (answers.size() > most_answers_in_step)
            answers.erase(answers.begin() + most_answers_in_step, answers.end());
        const auto given = answers.size();
        const auto asked = loop_clock::now();
        const auto wanted = wanted_calls();
        auto exchanging = queue.exchange(epoch_, std::move(answers), wanted);
        auto step = co_await std::move(exchanging);
        if (step.fenced) {
            options_.tell("was taken for dead");
            drop_all();
            continue;
        }
        renewed_ = asked;
        answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(given));
        const auto got = step.calls.size();
        for (auto& c : step.calls)
            waiting_.push_back(std::move(c));
        for (const auto& s : step.stops)
            stop(s);
        start_calls(self);
        if (phase_ == phase::leaving && !waiting_.empty())
            has_drained = false; // they came with the last step
        if (phase_ == phase::leaving && has_drained && running_.empty() && answers_.empty()) {
            auto leaving = queue.leave(epoch_);
            co_await std::move(leaving);
            phase_ = phase::left;
            co_return;
        }
        const auto now = loop_clock::now();
        if (now >= next_reap) {
            next_reap = now + options_.look_every();
            auto reaping = queue.reap();
            co_await std::move(reaping);
        }
        if (!answers_.empty() || (got == wanted && wanted_calls() != 0))
            continue;
        auto pause = std::min(beat, options_.look_every());
        if (phase_ == phase::leaving)
            pause = std::clamp<std::chrono::nanoseconds>(leave_until_ - now, std::chrono::milliseconds(1), pause);
        auto watching = queue.watch(news_, pause);
        co_await std::move(watching);
    }
}

task<> worker::live(ptr self) {
    const detail::backoff pauses{std::chrono::milliseconds(50), std::chrono::seconds(2), 2.0, 0.5};
    detail::random_sequence random(static_cast<std::uint64_t>(::getpid()));
    std::size_t failures = 0;
    bool has_served = false;
    for (;;) {
        // An answer that takes as long as the lease is of no use any more.
        auto connecting = postgres_backend::connect(
            postgres_backend::place(options_.database(), options_.schema(), options_.lease()), {});
        auto connected = co_await as_outcome(std::move(connecting));
        std::exception_ptr error;
        if (connected.succeeded()) {
            const auto queue = std::move(connected).value();
            auto coming = come_in(*queue);
            auto come = co_await as_outcome(std::move(coming));
            if (come.succeeded()) {
                failures = 0;
                has_served = true;
                auto talking = talk(self, *queue);
                auto talked = co_await as_outcome(std::move(talking));
                if (talked.succeeded())
                    co_return;
                error = talked.error();
            } else {
                error = come.error();
            }
        } else {
            error = connected.error();
        }
        const auto* lost = get_if<connection_failure>(error);
        if (lost == nullptr)
            std::rethrow_exception(error);
        if (lost->is_lasting() && !has_served)
            throw unreachable_error(lost->what());
        if (failures++ == 0)
            options_.tell(std::string("tries to connect again: ") + lost->what());
        if (epoch_ != 0 && lease_is_over()) {
            options_.tell("could not renew its lease and ends its calls");
            drop_all();
        }
        if (phase_ == phase::leaving && (drain_is_over() || (running_.empty() && answers_.empty() && waiting_.empty())))
            co_return; // the queue takes this worker for dead, which it is
        news_.clear();
        auto pausing = wait_for(until_set(news_), pauses.after(failures, random.next()));
        static_cast<void>(co_await as_outcome(std::move(pausing)));
    }
}

task<> worker::work(ptr self) {
    auto living = self->live(self);
    auto lived = co_await as_outcome(std::move(living));
    self->drop_all();
    auto idle = self->until_idle();
    co_await std::move(idle);
    lived.value();
}

// ---- how a call is made ----

/// Whoever may submit may write what he likes: this makes sure that it is a message of the kind that the processes of
/// a pool read, and a call of the function that the queue says it is. *Errors*: wire_error.
nlohmann::json checked_message(const claimed_call& what) {
    auto message = wire::read(what.payload, value_limit);
    if (!message.is_object() || !message.contains("function") || !message.contains("arguments") ||
        message.at("function") != what.function || !message.at("arguments").is_array())
        throw wire_error("the message is no call of '" + detail::printable(what.function, 200) + "'");
    return message;
}

task<bytes> make_in_process(std::shared_ptr<process_pool> pool, claimed_call what) {
    const auto* const entry = registry::find(what.function);
    try {
        if (entry == nullptr)
            throw wire_error("this worker has no function '" + detail::printable(what.function, 200) + "'");
        static_cast<void>(checked_message(what));
    } catch (const std::exception&) {
        co_return answer_for(std::current_exception(), entry, name_of_this_host());
    }
    raw_call call(*entry, std::move(what.payload));
    auto calling = run_in_executor(*pool, std::move(call)).as_task();
    auto called = co_await as_outcome(std::move(calling));
    if (called.succeeded())
        co_return wire::write({{"value", std::move(called).value()}});
    if (called.failed())
        co_return answer_for(called.error(), entry, name_of_this_host());
    co_return wire::write({{"cancelled", "it was cancelled at its worker"}});
}

task<bytes> make_here(std::shared_ptr<std::map<std::string, handler>> handlers, claimed_call what) {
    nlohmann::json arguments;
    try {
        if (!handlers->contains(what.function))
            throw wire_error("this worker has no function '" + detail::printable(what.function, 200) + "'");
        arguments = checked_message(what).at("arguments");
    } catch (const std::exception&) {
        co_return answer_for(std::current_exception(), nullptr, name_of_this_host());
    }
    auto handling = handlers->at(what.function)(std::move(arguments));
    auto handled = co_await as_outcome(std::move(handling));
    if (handled.succeeded())
        co_return wire::write({{"value", std::move(handled).value()}});
    if (handled.failed())
        co_return answer_for(handled.error(), registry::find(what.function), name_of_this_host());
    co_return wire::write({{"cancelled", "it was cancelled at its worker"}});
}

/// All that the program has, if there are no names. *Errors*: std::invalid_argument.
std::vector<function_name> functions_to_serve(std::vector<std::string> names) {
    if (const auto problem = registry::problem(); !problem.empty())
        throw invalid_state_error(problem);
    const auto known = registry::signatures();
    if (names.empty())
        for (const auto& [name, signature] : known)
            names.push_back(name);
    std::vector<function_name> result;
    for (const auto& name : names) {
        const auto found = known.find(name);
        if (found == known.end())
            throw std::invalid_argument("this program has no function '" + name +
                                        "' to serve: register it as a "
                                        "muster::remote_function");
        result.emplace_back(name, found->second);
    }
    if (result.empty())
        throw std::invalid_argument("there is no function to serve: register one as a muster::remote_function");
    return result;
}

/// Runs the worker as a task of its own, so that a cancellation of the caller begins its departure and does not
/// interrupt it.
task<> serve_until_cancelled(worker::ptr w) {
    auto working = create_task(worker::work(w), "worker of a queue");
    auto waiting = end_of(working);
    auto waited = co_await as_outcome(std::move(waiting));
    if (!waited.was_cancelled()) {
        waited.value();
        co_return;
    }
    w->leave();
    auto leaving = hold_cancellation(end_of(working));
    auto left = co_await as_outcome(std::move(leaving));
    if (left.failed())
        left.rethrow();
    waited.rethrow();
}

} // namespace

task<> serve(worker_options options) {
    know_errors_of_workers();
    auto functions = functions_to_serve(options.functions());
    auto processes = options.processes();
    auto pool = std::make_shared<process_pool>(processes.processes(options.slots()));
    const auto make = [pool](claimed_call what) { return make_in_process(pool, std::move(what)); };
    auto serving = serve_until_cancelled(std::make_shared<worker>(std::move(options), std::move(functions), make));
    co_await std::move(serving);
}

task<> serve(worker_options options, std::map<std::string, handler> handlers) {
    know_errors_of_workers();
    std::vector<std::string> names;
    for (const auto& [name, h] : handlers)
        names.push_back(name);
    auto functions = functions_to_serve(names);
    const auto shared = std::make_shared<std::map<std::string, handler>>(std::move(handlers));
    const auto make = [shared](claimed_call what) { return make_here(shared, std::move(what)); };
    auto serving = serve_until_cancelled(std::make_shared<worker>(std::move(options), std::move(functions), make));
    co_await std::move(serving);
}

} // namespace muster::postgres
