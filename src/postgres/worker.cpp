// SPDX-License-Identifier: MIT
// This file serves a queue. A worker takes calls in steps: each step hands in the answers that there are, renews the
// lease, and takes as many calls as there are free slots. A call that is taken waits for a slot, runs as a task of its
// own, and leaves an answer. Between two steps the worker sleeps until there is news.
//
//     serving --told to leave--> leaving --everything has ended--------------------------------> left
//                                   |                                                             ^
//                                   +--the limit is reached--> ending --what ran has given up-----+
//
// The queue knows a worker by its epoch. A worker that comes back on a new connection resumes its epoch, unless it was
// taken for dead, or takes itself for dead because it could not renew its lease: then its calls count as died, so it
// ends them, drops their answers, and begins a new epoch. An epoch is never resumed by a worker that has dropped a
// call. Each connection has a scope with a time limit, which moves with each renewal: whatever the worker waits for
// then, the end of the lease ends the connection.
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
/// How long a worker that has to leave goes on trying to tell the queue so.
constexpr auto farewell_limit = std::chrono::seconds(5);

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
        move_limit();
        news_.set();
    }
    /// Ends everything that runs, and drops all that the queue would not take any more.
    void drop_all();
    task<> until_idle();

private:
    enum class phase : std::uint8_t { serving, leaving, ending, left };
    struct running_call {
        explicit running_call(start_of_call s) : start(s) {}
        enum class answer : std::uint8_t { wanted, given, dropped };
        start_of_call start;
        answer is = answer::wanted;
        task_handle<void> handle;
    };
    using call_ptr = std::shared_ptr<running_call>;
    class place_of_call;
    class stay_in_scope;

    static task<> run_call(place_of_call mine, claimed_call what);
    task<> live(ptr self);
    task<> connect_and_talk(ptr self, timeout_scope& limit);
    task<> come_in(backend& queue);
    task<> introduce(backend& queue);
    task<> talk(ptr self, backend& queue);
    task<> hand_back(backend& queue);
    task<> give_up_rest(backend& queue);
    task<worker_step> exchange(backend& queue, std::size_t wanted);
    [[nodiscard]] std::vector<answered_call> next_answers(std::size_t limit);
    void answer(running_call& c, bytes text);
    void renew(loop_clock::time_point asked);
    void move_limit();
    [[nodiscard]] std::optional<loop_clock::time_point> limit_of_connection() const;
    void drop_running();
    void start_calls(const ptr& self);
    void stop(const start_of_call& s);
    [[nodiscard]] bool knows(const start_of_call& s) const;
    [[nodiscard]] std::size_t wanted_calls() const noexcept;
    [[nodiscard]] bool lease_is_over() const { return loop_clock::now() >= renewed_ + options_.lease(); }
    [[nodiscard]] bool drain_is_over() const { return phase_ != phase::serving && loop_clock::now() >= leave_until_; }

    const worker_options options_;
    const std::vector<function_name> functions_;
    const maker make_;
    phase phase_ = phase::serving;
    loop_clock::time_point leave_until_{};
    worker_session session_;
    loop_clock::time_point renewed_{};
    timeout_scope* limit_ = nullptr; ///< ends the connection at hand when the lease runs out; null without a connection
    std::deque<claimed_call> waiting_;
    std::vector<call_ptr> running_;
    std::vector<answered_call> answers_;
    std::size_t alone_ = 0;    ///< so many answers are given one by one, as the database has refused them together
    std::size_t failures_ = 0; ///< of connections, since the last that was of use
    bool has_served_ = false;
    event news_;
};

/// A call's place among those that run, in the frame of its task: it is given back with the frame, also when the task
/// was cancelled before it had begun, and leaves an answer in any case.
class worker::place_of_call {
public:
    place_of_call(ptr of, call_ptr mine) : worker_(std::move(of)), mine_(std::move(mine)) {}
    place_of_call(place_of_call&&) noexcept = default;
    place_of_call& operator=(place_of_call&&) = delete;
    ~place_of_call() {
        if (worker_ == nullptr)
            return;
        if (mine_->is == running_call::answer::wanted)
            worker_->answer(*mine_, answer_for(std::make_exception_ptr(cancelled_error(cancel_reason::requested)),
                                        nullptr, name_of_this_host()));
        std::erase(worker_->running_, mine_);
        worker_->news_.set();
    }
    [[nodiscard]] worker& of() const noexcept { return *worker_; }
    [[nodiscard]] const ptr& owner() const noexcept { return worker_; }
    [[nodiscard]] running_call& call() const noexcept { return *mine_; }

private:
    ptr worker_;
    call_ptr mine_;
};

/// The stretch in which a connection's limit can be moved.
class worker::stay_in_scope {
public:
    stay_in_scope(worker& of, timeout_scope& limit) noexcept : worker_(of) { worker_.limit_ = &limit; }
    stay_in_scope(const stay_in_scope&) = delete;
    stay_in_scope& operator=(const stay_in_scope&) = delete;
    ~stay_in_scope() { worker_.limit_ = nullptr; }

private:
    worker& worker_;
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

void worker::drop_running() {
    // A task that has not begun may be gone, and out of the list, when it is cancelled.
    const auto all = running_;
    for (const auto& c : all) {
        c->is = running_call::answer::dropped;
        c->handle.cancel();
    }
}

void worker::drop_all() {
    waiting_.clear();
    answers_.clear();
    alone_ = 0;
    session_ = worker_session();
    drop_running();
}

task<> worker::until_idle() {
    while (!running_.empty()) {
        news_.clear();
        auto waiting = until_set(news_);
        co_await std::move(waiting);
    }
}

std::optional<loop_clock::time_point> worker::limit_of_connection() const {
    std::optional<loop_clock::time_point> limit;
    if (session_.epoch != 0)
        limit = renewed_ + options_.lease();
    if (phase_ == phase::leaving)
        limit = std::min(limit.value_or(loop_clock::time_point::max()), leave_until_ + farewell_limit);
    return limit;
}

void worker::move_limit() {
    if (limit_ != nullptr && !limit_->expired())
        limit_->reschedule(limit_of_connection());
}

void worker::renew(loop_clock::time_point asked) {
    renewed_ = asked;
    move_limit();
}

void worker::answer(running_call& c, bytes text) {
    MUSTER_ASSERT(c.is == running_call::answer::wanted);
    c.is = running_call::answer::given;
    answers_.emplace_back(c.start, std::move(text));
}

/// A task that is cancelled leaves an answer, too.
task<> worker::run_call(place_of_call mine, claimed_call what) {
    auto& s = mine.of();
    auto making = s.make_(std::move(what));
    auto made = co_await as_outcome(std::move(making));
    auto& call = mine.call();
    if (call.is == running_call::answer::wanted && !made.was_cancelled())
        s.answer(
            call, made.succeeded() ? std::move(made).value() : answer_for(made.error(), nullptr, name_of_this_host()));
    // Its place is free from here on, and not only once this frame is gone.
    const auto self = mine.owner();
    { const auto ended = std::move(mine); }
    self->start_calls(self);
}

void worker::start_calls(const ptr& self) {
    while (!waiting_.empty() && running_.size() < options_.slots() && phase_ == phase::serving && !lease_is_over()) {
        auto what = std::move(waiting_.front());
        waiting_.pop_front();
        auto mine = std::make_shared<running_call>(what.start);
        running_.push_back(mine);
        const auto name = "call of " + detail::printable(what.function, 100);
        place_of_call place(self, mine);
        mine->handle = create_task(run_call(std::move(place), std::move(what)), name);
    }
}

/// A call whose task was cancelled where it was submitted.
void worker::stop(const start_of_call& s) {
    const auto all = running_;
    for (const auto& c : all)
        if (c->start == s)
            c->handle.cancel();
}

task<> worker::introduce(backend& queue) {
    MUSTER_ASSERT(session_.epoch == 0);
    worker_record me;
    me.host = name_of_this_host();
    me.process = ::getpid();
    me.slots = options_.slots();
    me.lease = std::chrono::duration_cast<std::chrono::milliseconds>(options_.lease());
    me.functions = functions_;
    const auto asked = loop_clock::now();
    auto announcing = queue.announce(std::move(me));
    session_ = co_await std::move(announcing);
    renew(asked);
    options_.tell("serves as worker " + std::to_string(session_.epoch));
}

/// On a new connection.
task<> worker::come_in(backend& queue) {
    if (session_.epoch != 0) {
        const auto asked = loop_clock::now();
        ++session_.number; // whatever becomes of this attempt, the next one has another number
        auto resuming = queue.resume(session_);
        const bool is_alive = co_await std::move(resuming);
        if (is_alive) {
            renew(asked);
            // Calls were given to this worker in an answer that was lost with the connection: they have not begun.
            auto asking = queue.held(session_);
            auto held = co_await std::move(asking);
            std::erase_if(held, [&](const start_of_call& s) { return knows(s); });
            auto releasing = queue.release(session_, std::move(held));
            co_await std::move(releasing);
            options_.tell("is back as worker " + std::to_string(session_.epoch));
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
    auto draining = queue.drain(session_);
    co_await std::move(draining);
    if (starts.empty())
        co_return;
    auto releasing = queue.release(session_, std::move(starts));
    co_await std::move(releasing);
}

/// The time for leaving is up: what has ended is handed in, what has not begun goes back, and only what runs is given
/// up.
task<> worker::give_up_rest(backend& queue) {
    drop_running();
    while (!answers_.empty()) {
        auto exchanging = exchange(queue, 0);
        const auto step = co_await std::move(exchanging);
        if (step.fenced) {
            drop_all();
            break;
        }
    }
    if (session_.epoch != 0 && !waiting_.empty()) {
        auto back = hand_back(queue);
        co_await std::move(back);
    }
    phase_ = phase::ending;
    move_limit();
    auto idle = until_idle();
    co_await std::move(idle);
    if (session_.epoch == 0)
        co_return;
    auto leaving = queue.leave(session_);
    co_await std::move(leaving);
}

/// The first answers, as many as one step takes. One that is larger than what the queue takes says so instead.
std::vector<answered_call> worker::next_answers(std::size_t limit) {
    std::vector<answered_call> result;
    std::size_t size = 0;
    const std::size_t most = alone_ != 0 ? 1 : most_answers_in_step;
    for (auto& a : answers_) {
        if (a.answer.size() > limit)
            a.answer = answer_for(std::make_exception_ptr(wire_error(
                                      "the result is " + std::to_string(a.answer.size()) +
                                      " bytes, and the payload limit of the queue is " + std::to_string(limit))),
                nullptr, name_of_this_host());
        if (result.size() == most || size >= most_bytes_in_worker_step)
            break;
        size += a.answer.size();
        result.push_back(a);
    }
    return result;
}

/// A step. An answer that the database refuses keeps no other one back: each is given by itself then, and in place of
/// the one that is refused once more its call gets the refusal. *Errors*: database_error if that is refused, too.
task<worker_step> worker::exchange(backend& queue, std::size_t wanted) {
    auto answers = next_answers(queue.payload_limit());
    const auto given = answers.size();
    const auto asked = loop_clock::now();
    auto exchanging = queue.exchange(session_, std::move(answers), wanted);
    auto exchanged = co_await as_outcome(std::move(exchanging));
    if (exchanged.failed_with<database_error>() && given != 0) {
        if (given > 1) {
            alone_ = given;
            co_return worker_step();
        }
        auto& refused = answers_.front();
        if (refused.is != answered_call::content::refusal) {
            refused.is = answered_call::content::refusal;
            refused.answer = answer_for(exchanged.error(), nullptr, name_of_this_host());
            co_return worker_step();
        }
    }
    auto step = std::move(exchanged).value();
    if (!step.fenced) {
        renew(asked);
        answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(given));
        alone_ -= std::min(alone_, given);
    }
    co_return step;
}

task<> worker::talk(ptr self, backend& queue) {
    const std::chrono::nanoseconds beat = options_.lease() / 3;
    auto next_reap = loop_clock::now();
    bool has_drained = false;
    bool has_to_expire = false;
    for (;;) {
        news_.clear();
        static_cast<void>(queue.told());
        if (session_.epoch == 0) {
            auto introducing = introduce(queue);
            co_await std::move(introducing);
        }
        if (phase_ == phase::leaving && !has_drained) {
            has_drained = true;
            auto back = hand_back(queue);
            co_await std::move(back);
        }
        if (drain_is_over() && !running_.empty()) {
            auto giving_up = give_up_rest(queue);
            co_await std::move(giving_up);
            phase_ = phase::left;
            co_return;
        }
        const auto wanted = wanted_calls();
        auto exchanging = exchange(queue, wanted);
        auto step = co_await std::move(exchanging);
        if (step.fenced) {
            options_.tell("was taken for dead");
            drop_all();
            continue;
        }
        const auto got = step.calls.size();
        for (auto& c : step.calls)
            waiting_.push_back(std::move(c));
        for (const auto& s : step.stops)
            stop(s);
        start_calls(self);
        if (phase_ == phase::leaving && !waiting_.empty())
            has_drained = false; // they came with the last step
        if (phase_ == phase::leaving && has_drained && running_.empty() && answers_.empty()) {
            auto leaving = queue.leave(session_);
            co_await std::move(leaving);
            phase_ = phase::left;
            co_return;
        }
        const auto now = loop_clock::now();
        if (now >= next_reap) {
            next_reap = now + options_.look_every();
            auto reaping = queue.reap();
            const bool is_own_turn = co_await std::move(reaping);
            has_to_expire = has_to_expire || is_own_turn;
        }
        if (has_to_expire) {
            // A little of it in each round, so that the lease is renewed in between.
            auto expiring = queue.expire();
            has_to_expire = co_await std::move(expiring);
        }
        const bool has_more = step.more || (got == wanted && wanted_calls() != 0);
        if (!answers_.empty() || has_to_expire || has_more)
            continue;
        auto pause = std::min(beat, options_.look_every());
        if (phase_ == phase::leaving)
            pause = std::clamp<std::chrono::nanoseconds>(leave_until_ - now, std::chrono::milliseconds(1), pause);
        auto watching = queue.watch(news_, pause);
        co_await std::move(watching);
    }
}

task<> worker::connect_and_talk(ptr self, timeout_scope& limit) {
    const stay_in_scope can_be_moved(*this, limit);
    // An answer that takes as long as the lease is of no use any more.
    auto connecting = postgres_backend::connect(
        postgres_backend::place(options_.database(), options_.schema(), options_.lease()), {});
    const auto queue = co_await std::move(connecting);
    auto coming = come_in(*queue);
    co_await std::move(coming);
    failures_ = 0;
    has_served_ = true;
    auto talking = talk(self, *queue);
    co_await std::move(talking);
}

task<> worker::live(ptr self) {
    const detail::backoff pauses{std::chrono::milliseconds(50), std::chrono::seconds(2), 2.0, 0.5};
    detail::random_sequence random(static_cast<std::uint64_t>(::getpid()));
    for (;;) {
        timeout_scope limit(limit_of_connection());
        auto talking = [this, self](timeout_scope& own) { return connect_and_talk(self, own); };
        auto round = limit.run(take(talking));
        auto ended = co_await as_outcome(std::move(round));
        if (ended.succeeded())
            co_return;
        const auto* lost = ended.failed() ? get_if<connection_failure>(ended.error()) : nullptr;
        if (lost == nullptr && !ended.failed_with<timeout_error>())
            ended.rethrow();
        if (lost != nullptr && lost->is_lasting() && !has_served_)
            throw unreachable_error(lost->what());
        if (failures_++ == 0)
            options_.tell(std::string("tries to connect again: ") +
                          (lost != nullptr ? lost->what() : "the database has not answered in time"));
        if (session_.epoch != 0 && lease_is_over()) {
            options_.tell("could not renew its lease and ends its calls");
            drop_all();
        }
        if (phase_ != phase::serving && (drain_is_over() || (running_.empty() && answers_.empty() && waiting_.empty())))
            co_return; // the queue takes this worker for dead, which it is
        auto pause = pauses.after(failures_, random.next());
        if (session_.epoch != 0)
            pause = std::clamp<std::chrono::nanoseconds>(
                renewed_ + options_.lease() - loop_clock::now(), std::chrono::nanoseconds(1), pause);
        news_.clear();
        auto pausing = wait_for(until_set(news_), pause);
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
