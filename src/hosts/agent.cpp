// SPDX-License-Identifier: MIT
// This file is the agent's side of a connection. serve_agent() greets, reads the client's hello, and then handles one
// frame after the other; each command that was told to go has a task of its own. Reading frames never waits for a
// command, so that a cancellation always gets through. A job here is a command that the client has submitted:
//
//     arriving --> ready      all of its description and input has come
//     ready -----> running    go
//     running ---> ending     cancel, or the end of the agent
//     ready, running, ending --> gone     its end was sent, or it was taken back
//
// Output is read only as far as the client has credited it, except while a command is being ended: then all is read,
// as a command that can't write can't end, and the part without credit is thrown away.
#include "hosts/link.hpp"
#include "hosts/this_host.hpp"

#include <muster/detail/assert.hpp>
#include <muster/gather.hpp>
#include <muster/hosts.hpp>
#include <muster/shield.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::hosts {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t largest_description = std::uint64_t{16} << 20;
constexpr std::uint64_t largest_input = std::uint64_t{1} << 30;
constexpr std::size_t most_jobs = 100'000;
/// The client must answer the greeting within this time.
constexpr auto answer_limit = 60s;
/// How long the last frames may take to be written.
constexpr auto flush_limit = 1s;
/// Even without a linger time what was written before the process ended is read, which needs no waiting.
constexpr std::chrono::nanoseconds least_linger = 1ms;
/// At most so much of an output is read after the end of its process while the client is slow; a pipe holds no more.
constexpr std::uint64_t most_after_end = std::uint64_t{1} << 20;

task<> end_of(task_handle<void> handle) { co_await handle; }

/// Cancels a task, if there is one, and waits for its end, whatever that is.
task<> end(task_handle<void> handle) {
    if (!handle.valid())
        co_return;
    handle.cancel();
    auto ending = end_of(handle);
    static_cast<void>(co_await as_outcome(std::move(ending)));
}

/// One of the outputs of a job.
struct job_output {
    job_output() {}
    std::uint32_t credit = output_window;
    std::uint64_t after_end = 0; ///< bytes that were read after the process had ended
    enum class step : std::uint8_t { absent, reading, without_credit, ended };
    step at = step::absent;
    task_handle<void> reading;
};

class job {
public:
    enum class phase : std::uint8_t { arriving, ready, running, ending, gone };

    job(std::uint64_t id, std::uint64_t description, std::uint64_t input) noexcept
        : id_(id),
          description_left_(description),
          input_left_(input) {}

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] phase at() const noexcept { return phase_; }
    void enter(phase next) {
        switch (next) {
        case phase::arriving:
            MUSTER_ASSERT(false);
            break;
        case phase::ready:
            MUSTER_ASSERT(phase_ == phase::arriving);
            break;
        case phase::running:
            MUSTER_ASSERT(phase_ == phase::ready);
            break;
        case phase::ending:
            MUSTER_ASSERT(phase_ == phase::running);
            break;
        case phase::gone:
            MUSTER_ASSERT(phase_ != phase::gone);
            break;
        }
        phase_ = next;
    }

    /// Some of the bytes that were announced. *Returns* whether all are there. *Errors*: frame_error for more of them.
    [[nodiscard]] bool take(std::string_view bytes);
    [[nodiscard]] bool is_complete() const noexcept { return description_left_ == 0 && input_left_ == 0; }
    [[nodiscard]] std::string take_description() noexcept { return std::move(description_); }
    [[nodiscard]] std::string take_input() noexcept { return std::move(input_); }

    [[nodiscard]] job_output& output(std::size_t number) noexcept { return outputs_[number - 1]; }
    [[nodiscard]] std::optional<process>& running() noexcept { return running_; }
    [[nodiscard]] event& changed() noexcept { return changed_; }
    [[nodiscard]] task_handle<void>& working() noexcept { return working_; }
    [[nodiscard]] std::chrono::nanoseconds linger() const noexcept { return linger_; }
    void set_linger(std::chrono::nanoseconds time) noexcept { linger_ = time; }
    [[nodiscard]] bool is_being_read() noexcept {
        return std::ranges::any_of(outputs_, [](const job_output& o) {
            return o.at == job_output::step::reading || o.at == job_output::step::without_credit;
        });
    }

private:
    std::uint64_t id_;
    std::uint64_t description_left_;
    std::uint64_t input_left_;
    std::string description_;
    std::string input_;
    std::chrono::nanoseconds linger_{0};
    phase phase_ = phase::arriving;
    std::optional<process> running_;
    std::array<job_output, 2> outputs_;
    event changed_; ///< credit came, an output ended, or the job is being ended
    task_handle<void> working_;
};

bool job::take(std::string_view bytes) {
    if (bytes.size() > description_left_ + input_left_)
        throw frame_error("more of a command than was announced");
    const auto first = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), description_left_));
    description_.append(bytes.substr(0, first));
    description_left_ -= first;
    input_.append(bytes.substr(first));
    input_left_ -= bytes.size() - first;
    return is_complete();
}

class agent {
public:
    agent(io::stream from, io::stream to, agent_observer observer)
        : observer_(std::move(observer)),
          from_(std::move(from)),
          to_(std::move(to)),
          link_(io::reader(from_), to_, answer_limit) {}

    task<> talk();
    task<> end_everything(std::string why);
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

private:
    using job_ptr = std::shared_ptr<job>;

    task<> shake_hands();
    task<> keep_in_touch();
    task<> write();
    void handle(const frame& f);
    void submit(payload_reader& from);
    void take_part(payload_reader& from);
    void go(std::uint64_t id);
    void cancel(std::uint64_t id);
    void give_credit(payload_reader& from);
    [[nodiscard]] job_ptr find(std::uint64_t id) const;
    void begin_to_end(job& j);

    task<> work_on(job_ptr j, command what);
    static task<completed_process> taken_back();
    static task<completed_process> end_of_process(process& p);
    task<completed_process> run(job& j, command what);
    static task<> feed(job& j, std::string input);
    task<> read_output(job& j, std::size_t number);
    static task<> until_read(job& j);
    static task<bool> read_what_is_left(job& j);

    agent_observer observer_;
    io::stream from_;
    io::stream to_;
    link link_;
    task_handle<void> writing_;
    task_handle<void> watching_;
    std::map<std::uint64_t, job_ptr> jobs_;
    std::map<std::uint64_t, command> commands_; ///< of the jobs that are ready
    std::string problem_;                       ///< why the agent closed the connection itself
    enum class phase : std::uint8_t { talking, leaving };
    phase phase_ = phase::talking;
};

// ---- frames ----

task<> agent::talk() {
    link_.greet(hello_of_this_host());
    writing_ = create_task(write(), "frames to the client");
    auto shaking = wait_for(shake_hands(), answer_limit);
    co_await std::move(shaking);
    watching_ = create_task(keep_in_touch(), "silence of the client");
    for (;;) {
        auto reading = link_.next();
        auto f = co_await std::move(reading);
        if (!f)
            co_return;
        handle(*f);
    }
}

task<> agent::shake_hands() {
    auto greeting = link_.greeting();
    auto hello = co_await std::move(greeting);
    payload_reader from(hello.payload);
    const auto version = from.number32();
    const auto program = from.text();
    if (version != protocol_version)
        throw frame_error("the client speaks version " + std::to_string(version) + " (muster " + program +
                          "), and this agent version " + std::to_string(protocol_version));
    const auto limit = std::chrono::milliseconds(from.number32());
    if (limit < 100ms)
        throw frame_error("a limit of silence that is too short");
    link_.set_silence_limit(limit);
}

/// A client that does not read any more may still hold the other direction open.
task<> agent::write() {
    try {
        auto writing = link_.write_frames();
        co_await std::move(writing);
    } catch (const std::system_error& e) {
        problem_ = e.what();
        from_.close();
    }
}

task<> agent::keep_in_touch() {
    auto silence = link_.until_silent();
    co_await std::move(silence);
    problem_ = "the client was silent for too long";
    // Reading then fails, and talk() ends.
    from_.close();
}

void agent::handle(const frame& f) {
    payload_reader from(f.payload);
    switch (f.type) {
    case frame_type::submit:
        submit(from);
        break;
    case frame_type::part:
        take_part(from);
        break;
    case frame_type::go:
        go(from.number64());
        break;
    case frame_type::cancel:
        cancel(from.number64());
        break;
    case frame_type::kill:
        if (const auto j = find(from.number64()); j && j->running())
            j->running()->kill();
        break;
    case frame_type::credit:
        give_credit(from);
        break;
    case frame_type::ping:
        link_.send(frame_type::pong, payload_writer().number64(from.number64()).rest(hello_of_this_host()).take());
        break;
    default:
        throw frame_error("a frame that only an agent sends");
    }
    from.end();
}

agent::job_ptr agent::find(std::uint64_t id) const {
    const auto at = jobs_.find(id);
    return at == jobs_.end() ? nullptr : at->second;
}

void agent::submit(payload_reader& from) {
    const auto id = from.number64();
    const auto description = from.number64();
    const auto input = from.number64();
    if (find(id))
        throw frame_error("a second command with the number of another");
    const char* problem = nullptr;
    if (jobs_.size() >= most_jobs)
        problem = "the agent has too many commands already";
    else if (description == 0 || description > largest_description)
        problem = "the words and the environment are too long for the agent";
    else if (input > largest_input)
        problem = "the standard input is too long for the agent, which takes 1 GiB";
    if (problem != nullptr)
        link_.send(frame_type::refused, payload_writer().number64(id).rest(problem).take());
    else
        jobs_.emplace(id, std::make_shared<job>(id, description, input));
}

void agent::take_part(payload_reader& from) {
    const auto id = from.number64();
    const auto bytes = from.rest();
    const auto j = find(id);
    // The client did not know yet that the command was refused.
    if (!j)
        return;
    if (j->at() != job::phase::arriving)
        throw frame_error("more of a command than was announced");
    if (!j->take(bytes))
        return;
    auto what = command_of(j->take_description());
    // The linger time is kept apart, since start_process() leaves it to who reads.
    j->set_linger(what.parts().linger);
    what.linger(0ns);
    commands_.emplace(id, std::move(what));
    j->enter(job::phase::ready);
    link_.send(frame_type::ready, payload_writer().number64(id).take());
}

void agent::go(std::uint64_t id) {
    const auto j = find(id);
    if (!j || j->at() != job::phase::ready)
        throw frame_error("a command is to go that is not ready");
    auto what = commands_.extract(id);
    j->enter(job::phase::running);
    j->working() = create_task(work_on(j, std::move(what.mapped())), "command");
}

void agent::begin_to_end(job& j) {
    if (j.at() != job::phase::running)
        return;
    j.enter(job::phase::ending);
    j.changed().set();
    // A task that is cancelled before it has run never runs; this one has an end to send.
    if (j.running())
        j.working().cancel();
}

void agent::cancel(std::uint64_t id) {
    const auto j = find(id);
    if (!j)
        return;
    if (j->at() == job::phase::running || j->at() == job::phase::ending) {
        begin_to_end(*j);
        return;
    }
    j->enter(job::phase::gone);
    commands_.erase(id);
    jobs_.erase(id);
}

void agent::give_credit(payload_reader& from) {
    const auto id = from.number64();
    const auto number = from.number8();
    const auto bytes = from.number32();
    if (number != 1 && number != 2)
        throw frame_error("an output that no command has");
    const auto j = find(id);
    if (!j)
        return;
    auto& o = j->output(number);
    if (bytes > output_window - std::min(o.credit, output_window))
        throw frame_error("more credit than there can be");
    o.credit += bytes;
    j->changed().set();
}

// ---- commands ----

task<> agent::work_on(job_ptr j, command what) {
    remote_end end;
    auto running = j->at() == job::phase::ending ? taken_back() : run(*j, std::move(what));
    auto ran = co_await as_outcome(std::move(running));
    if (ran.succeeded()) {
        end.process = std::move(ran).value();
    } else if (const auto* e = get_if<spawn_error>(ran.as_exception()); e != nullptr && !j->running()) {
        end.how = is_a<command_not_found_error>(ran.as_exception()) ? remote_end::kind::not_found
                                                                    : remote_end::kind::not_spawned;
        end.error = e->code().value();
        std::string_view problem = e->what();
        problem.remove_prefix(std::min(problem.size(), e->command().size() + 2));
        const auto system = ": " + e->code().message();
        if (problem.ends_with(system))
            problem.remove_suffix(system.size());
        end.problem = problem;
    } else {
        end.how = remote_end::kind::failed;
        end.problem = describe(ran.as_exception());
    }
    j->running().reset();
    j->enter(job::phase::gone);
    jobs_.erase(j->id());
    // After the client was told that the agent leaves, it waits for nothing but the end of the connection.
    if (phase_ == phase::talking)
        link_.send(frame_type::ended, payload_of(j->id(), end));
}

task<completed_process> agent::taken_back() {
    throw std::runtime_error("it was ended before it had begun");
    co_return completed_process();
}

task<completed_process> agent::run(job& j, command what) {
    auto input = j.take_input();
    if (!input.empty())
        what.stdin_pipe();
    const bool reads_out = what.parts().out.to == output::capture;
    const bool reads_err = !what.parts().err.merged && what.parts().err.to == output::capture;
    // Once it is started the process may kill this one before its number is told.
    if (observer_.about_to_start)
        observer_.about_to_start();
    try {
        j.running().emplace(start_process(std::move(what)));
    } catch (...) {
        if (observer_.not_started)
            observer_.not_started();
        throw;
    }
    auto& p = *j.running();
    if (observer_.started)
        observer_.started(p.pid());
    link_.send(
        frame_type::started, payload_writer().number64(j.id()).number32(static_cast<std::uint32_t>(p.pid())).take());
    task_handle<void> feeding;
    if (!input.empty())
        feeding = create_task(feed(j, std::move(input)), "input");
    for (const std::size_t number : {1U, 2U}) {
        if (!(number == 1 ? reads_out : reads_err))
            continue;
        auto& o = j.output(number);
        o.at = job_output::step::reading;
        o.reading = create_task(read_output(j, number), "output");
    }
    auto ending = end_of_process(p);
    auto ended = co_await as_outcome(std::move(ending));
    if (feeding.valid())
        feeding.cancel();
    bool outputs_ended = false;
    if (ended.succeeded()) {
        auto reading = read_what_is_left(j);
        auto read = co_await as_outcome(std::move(reading));
        outputs_ended = read.succeeded() && *read.value_if();
    }
    // Their frames refer to the job, so they end first, also where the system has refused to end the process or to say
    // how it ended.
    co_await hold_cancellation(end(feeding));
    co_await hold_cancellation(end(j.output(1).reading));
    co_await hold_cancellation(end(j.output(2).reading));
    if (observer_.ended)
        observer_.ended(p.pid());
    auto done = std::move(ended).value();
    done.output_ended = outputs_ended;
    co_return done;
}

/// Waits for the end of a process, which a cancellation brings about. *Errors*: those of process::wait and terminate.
task<completed_process> agent::end_of_process(process& p) {
    auto waiting = p.wait();
    auto waited = co_await as_outcome(std::move(waiting));
    if (!waited.was_cancelled())
        co_return std::move(waited).value();
    auto ending = hold_cancellation(p.terminate());
    auto done = co_await std::move(ending);
    co_return done;
}

/// A process that does not read all of its input is no failure.
task<> agent::feed(job& j, std::string input) {
    try {
        auto writing = j.running()->input().write(std::move(input));
        co_await std::move(writing);
    } catch (const std::system_error&) {
        co_return;
    }
    j.running()->input().close();
}

task<> agent::read_output(job& j, std::size_t number) {
    auto& o = j.output(number);
    auto& from = number == 1 ? j.running()->output() : j.running()->errors();
    for (;;) {
        while (o.credit == 0 && j.at() == job::phase::running) {
            o.at = job_output::step::without_credit;
            j.changed().clear();
            co_await j.changed().wait();
        }
        o.at = job_output::step::reading;
        auto reading = from.read_some(o.credit == 0 ? largest_piece : std::min<std::size_t>(largest_piece, o.credit));
        std::string piece;
        try {
            piece = co_await std::move(reading);
        } catch (const std::system_error&) {
            // The reading end is closed with the process.
        }
        if (piece.empty())
            break;
        o.after_end += piece.size();
        if (piece.size() > o.credit)
            continue;
        o.credit -= static_cast<std::uint32_t>(piece.size());
        link_.send(frame_type::output,
            payload_writer().number64(j.id()).number8(static_cast<std::uint8_t>(number)).rest(piece).take());
    }
    o.at = job_output::step::ended;
    j.changed().set();
}

task<> agent::until_read(job& j) {
    while (j.is_being_read()) {
        j.changed().clear();
        co_await j.changed().wait();
    }
}

/// The process has ended. *Returns* whether its outputs have, too, within the linger time; time in which the client
/// gives no credit does not count. A command that was cancelled has no linger time.
task<bool> agent::read_what_is_left(job& j) {
    for (const std::size_t number : {1U, 2U})
        j.output(number).after_end = 0;
    while (j.is_being_read()) {
        const auto limit = j.at() == job::phase::running ? std::max(j.linger(), least_linger) : least_linger;
        auto reading = wait_for(until_read(j), limit);
        auto read = co_await as_outcome(std::move(reading));
        if (read.succeeded())
            break;
        if (!read.failed())
            read.rethrow();
        bool is_slow = false;
        for (const std::size_t number : {1U, 2U}) {
            const auto& o = j.output(number);
            is_slow = is_slow || (o.at == job_output::step::without_credit && o.after_end < most_after_end);
        }
        if (!is_slow)
            break;
        // The linger time begins again with the credit.
        j.changed().clear();
        co_await j.changed().wait();
    }
    co_return !j.is_being_read();
}

// ---- the end ----

task<> agent::end_everything(std::string why) {
    if (!why.empty())
        link_.send(frame_type::leaving, why);
    phase_ = phase::leaving;
    std::vector<task_handle<void>> working;
    for (const auto& [id, j] : jobs_) {
        if (j->working().valid())
            working.push_back(j->working());
        begin_to_end(*j);
    }
    for (auto& handle : working) {
        auto ending = end_of(handle);
        static_cast<void>(co_await as_outcome(std::move(ending)));
    }
    link_.finish();
    if (watching_.valid())
        watching_.cancel();
    if (writing_.valid()) {
        auto flushing = wait_for(end_of(writing_), flush_limit);
        static_cast<void>(co_await as_outcome(std::move(flushing)));
    }
    from_.close();
    to_.close();
}

} // namespace

task<> serve_agent(io::stream from_client, io::stream to_client, agent_observer observer) {
    agent a(std::move(from_client), std::move(to_client), std::move(observer));
    auto talking = a.talk();
    auto talked = co_await as_outcome(std::move(talking));
    std::string why;
    if (talked.was_cancelled())
        why = "the agent was told to end";
    else if (talked.failed())
        why = a.problem().empty() ? describe(talked.error()) : a.problem();
    auto ending = hold_cancellation(a.end_everything(std::move(why)));
    co_await std::move(ending);
    // An end of the connection, expected or not, is how every agent ends.
    if (talked.failed() && is_a<frame_error>(talked.error()))
        talked.rethrow();
    if (talked.was_cancelled())
        talked.rethrow();
}

} // namespace muster::hosts
