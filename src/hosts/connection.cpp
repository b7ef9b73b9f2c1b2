// SPDX-License-Identifier: MIT
// This file is the client's side of a connection. connect() starts the launcher and shakes hands; then four tasks serve
// the connection: one reads frames and passes each to the submission that it is about, one writes, one sends beats and
// listens for silence, and one reads what the launcher says on standard error. They share the state with whoever runs
// commands.
//
//     shaking --> open        the agent has answered with this version
//     open -----> leaving     the agent says that it ends: nothing is submitted any more
//     open, leaving, shaking --> lost     the end of the connection, silence, a frame that can't be, close()
//
// lose() decides once, for every command, whether it had begun, and wakes its task. The launcher is then buried by a
// task of its own: its input is closed, so that the agent ends what it has started, and it is ended itself if it does
// not go.
#include <muster/hosts.hpp>

#include "hosts/frames.hpp"
#include "hosts/link.hpp"
#include "hosts/submission.hpp"
#include "hosts/this_host.hpp"
#include "loops/require_event_loop.hpp"
#include "vocabulary/printable.hpp"

#include <muster/gather.hpp>
#include <muster/io/file.hpp>
#include <muster/shield.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <csignal>

namespace muster::hosts {

namespace {

using namespace std::chrono_literals;

/// So much of what a launcher says last is kept.
constexpr std::size_t words_kept = 2000;
/// A launcher that has ended the connection has so long to end and to say why.
constexpr auto last_words_limit = 1s;
constexpr int status_of_not_found = 127;
/// An agent has so long to end what it has started.
constexpr auto burial_limit = 10s;
constexpr auto burial_limit_without_agent = 500ms;
constexpr std::size_t most_input = std::size_t{1} << 30;
/// Beyond its grace, the end of a cancelled command may take so many limits of silence.
constexpr int end_limit_in_silences = 3;
/// No grace is waited for longer than this, which keeps a sum of times from running over.
constexpr std::chrono::nanoseconds longest_grace = 24h * 365;

task<> end_of(task_handle<void> handle) { co_await handle; }

/// A cancellation ends this wait and leaves the task alone.
task<> end_of_shielded(task_handle<void> handle) { co_await shield(handle); }

/// Cancels a task, if there is one, and waits for its end, whatever that is.
task<> end(task_handle<void> handle) {
    if (!handle.valid())
        co_return;
    handle.cancel();
    auto ending = end_of(handle);
    static_cast<void>(co_await as_outcome(std::move(ending)));
}

/// *Returns* what the error says, without its type.
std::string text_of(const std::exception_ptr& error) {
    const auto* e = get_if<std::exception>(error);
    return e != nullptr ? detail::printable(e->what()) : describe(error);
}

void refuse_what_stays_here(const command& what) {
    const auto& parts = what.parts();
    const char* problem = nullptr;
    if (parts.input == detail::input_from::inherit)
        problem = "standard input can't be inherited on another host: say stdin_bytes() or stdin_file()";
    else if (parts.input == detail::input_from::pipe)
        problem = "stdin_pipe() is start_process's: say stdin_bytes()";
    else if (!parts.out.sink && parts.out.to == output::inherit)
        problem = "standard output can't be inherited on another host: give a sink";
    else if (!parts.err.merged && !parts.err.sink && parts.err.to == output::inherit)
        problem = "standard error can't be inherited on another host: give a sink";
    else if (parts.left_open)
        problem = "on_open_output() needs a descriptor of this host: say linger()";
    if (problem != nullptr)
        throw std::invalid_argument(std::string("connection::run: ") + problem);
}

std::string begin_with(std::uint64_t id, std::string_view rest = {}) {
    return payload_writer().number64(id).rest(rest).take();
}

} // namespace

completed_process submission::result(const std::string& host) && {
    if (failure_)
        std::rethrow_exception(failure_);
    const std::error_code code(end_.error, std::generic_category());
    const auto problem = detail::printable(end_.problem);
    switch (end_.how) {
    case remote_end::kind::not_found:
        throw command_not_found_error(what_.words().front(), what_.describe(), code, problem);
    case remote_end::kind::not_spawned:
        throw spawn_error(what_.words().front(), what_.describe(), code, problem);
    case remote_end::kind::failed:
        throw std::runtime_error(what_.describe() + ": " + host + " could not run it to its end: " + problem);
    case remote_end::kind::ended:
        break;
    }
    auto done = std::move(end_.process);
    done.command = what_.describe();
    done.pid = pid_;
    done.out_bytes = outputs_[0].total();
    done.err_bytes = outputs_[1].total();
    done.out = std::move(outputs_[0]).finish();
    done.err = std::move(outputs_[1]).finish();
    return done;
}

// ---- the state ----

class connection::state {
public:
    using ptr = std::shared_ptr<state>;
    enum class phase : std::uint8_t { shaking, open, leaving, lost };

    explicit state(host_options options) : options_(std::move(options)) {}

    void start_launcher();
    void adopt(io::stream from, io::stream to);
    static task<> begin(ptr self);
    static void lose(const ptr& self, std::string why);
    static void lose(const ptr& self, std::string why, std::chrono::nanoseconds limit);
    static task<> bury(ptr self, std::chrono::nanoseconds limit);
    static task<> until_buried(ptr self);
    static task<> close(ptr self, std::chrono::nanoseconds limit);
    static task<completed_process> run(ptr self, command what);
    static task<std::chrono::nanoseconds> ping(ptr self);
    void kill_all();
    void end_launcher();

    [[nodiscard]] const host_options& options() const noexcept { return options_; }
    [[nodiscard]] const host_facts& facts() const noexcept { return facts_; }
    [[nodiscard]] bool is_open() const noexcept { return phase_ == phase::open; }
    [[nodiscard]] bool is_lost() const noexcept { return phase_ == phase::lost; }
    [[nodiscard]] const std::string& why_lost() const noexcept { return why_lost_; }
    [[nodiscard]] std::size_t running() const noexcept { return submissions_.size(); }

private:
    using submission_ptr = std::shared_ptr<submission>;

    void enter(phase next) {
        MUSTER_ASSERT(next != phase::shaking && phase_ != phase::lost);
        MUSTER_ASSERT(next != phase::open || phase_ == phase::shaking);
        MUSTER_ASSERT(next != phase::leaving || phase_ == phase::open);
        phase_ = next;
    }
    task<> shake_hands();
    task<bool> hear_out();
    static task<> read_frames(ptr self);
    static task<> handle_frames(ptr self);
    static task<> keep_in_touch(ptr self);
    static task<> listen(ptr self);
    static task<> write(ptr self);
    void handle(const frame& f);
    void take_output(std::uint64_t id, submission& s, payload_reader& from);
    void fail(std::uint64_t id, submission& s);
    [[nodiscard]] submission* find(std::uint64_t id) const;
    static task<> send_parts(ptr self, std::uint64_t id, const submission& s, std::string_view bytes);
    static task<> tell(ptr self, std::uint64_t id, submission_ptr s, std::string input);
    task<> until(submission& s, bool (*reached)(submission::phase));
    static task<> take_back(ptr self, std::uint64_t id, submission_ptr s);
    [[noreturn]] void throw_lost(hosts::begun b) const;
    [[nodiscard]] std::string words_of_launcher() const;

    host_options options_;
    host_facts facts_;
    std::optional<process> launcher_;
    std::optional<io::stream> from_; ///< instead of a launcher
    std::optional<io::stream> to_;
    std::optional<link> link_;
    std::string said_; ///< the last of what the launcher wrote to standard error
    std::string why_lost_;
    std::string why_it_leaves_;
    phase phase_ = phase::shaking;
    std::map<std::uint64_t, submission_ptr> submissions_;
    std::set<std::uint64_t> abandoned_; ///< cancelled commands whose end has not come in time: it is not waited for
    std::uint64_t last_id_ = 0;
    std::uint64_t last_ping_ = 0;
    std::uint64_t last_pong_ = 0;
    event ponged_; ///< an answer to a ping has come, or the connection is lost
    task_handle<void> reading_;
    task_handle<void> writing_;
    task_handle<void> watching_;
    task_handle<void> listening_;
    task_handle<void> burying_;
};

void connection::state::start_launcher() {
    launcher_.emplace(start_process(command(options_.command_words()).stdin_pipe()));
    link_.emplace(launcher_->output(), launcher_->input(), options_.silence_limit());
}

void connection::state::adopt(io::stream from, io::stream to) {
    from_.emplace(std::move(from));
    to_.emplace(std::move(to));
    link_.emplace(io::reader(*from_), *to_, options_.silence_limit());
}

std::string connection::state::words_of_launcher() const {
    auto words = std::string_view(said_);
    while (!words.empty() && (words.back() == '\n' || words.back() == '\r'))
        words.remove_suffix(1);
    if (words.size() > words_kept)
        words.remove_prefix(words.size() - words_kept);
    return detail::printable_lines(words, words_kept);
}

task<> connection::state::shake_hands() {
    auto greeting = link_->greeting();
    auto hello = co_await std::move(greeting);
    facts_ = facts_of(hello.payload);
    link_->greet(hello_of_client(options_.silence_limit()));
}

/// The connection has ended: waits a little for the launcher to say why. *Returns* whether it says that the agent was
/// not found, by the exit status that shells and ssh have for that.
task<bool> connection::state::hear_out() {
    bool not_found = false;
    if (launcher_) {
        // It may wait for the end of its input. A write that is in flight then fails, as any later one does.
        launcher_->input().close();
        auto waiting = wait_for(launcher_->wait(), last_words_limit);
        const auto ended = co_await as_outcome(std::move(waiting));
        not_found = ended.succeeded() && ended.value().status == status_of_not_found;
    }
    if (listening_.valid()) {
        auto waiting = wait_for(end_of(listening_), last_words_limit);
        static_cast<void>(co_await as_outcome(std::move(waiting)));
    }
    co_return not_found;
}

task<> connection::state::begin(ptr self) {
    auto& s = *self;
    if (s.launcher_)
        s.listening_ = create_task(listen(self), "words of the launcher");
    auto shaking = wait_for(s.shake_hands(), s.options_.connect_limit());
    auto shaken = co_await as_outcome(std::move(shaking));
    if (shaken.succeeded()) {
        s.enter(phase::open);
        s.writing_ = create_task(write(self), "frames to " + s.options_.name());
        s.reading_ = create_task(read_frames(self), "frames from " + s.options_.name());
        s.watching_ = create_task(keep_in_touch(self), "silence of " + s.options_.name());
        co_return;
    }
    bool not_found = false;
    if (shaken.failed() && is_a<frame_error>(shaken.error())) {
        auto hearing = s.hear_out();
        not_found = co_await std::move(hearing);
    }
    std::string why;
    std::string said;
    if (shaken.failed()) {
        why = shaken.failed_with<timeout_error>() ? "no agent has answered in time" : text_of(shaken.error());
        if (not_found)
            why +=
                ": no '" + detail::printable(s.options_.agent().front(), detail::longest_printed_name) +
                "' is found there, in the PATH of a login without a terminal (`muster run` has --install and --agent)";
        said = s.words_of_launcher();
        if (said.empty() && !s.link_->preamble().empty())
            said = "it wrote " + detail::printable(s.link_->preamble(), 300);
    }
    lose(self, why);
    // Its end is waited for, so that nothing is left of an attempt that failed.
    auto burying = until_buried(self);
    static_cast<void>(co_await as_outcome(std::move(burying)));
    if (!shaken.failed())
        shaken.rethrow();
    throw connect_error(s.options_.name(), why, said);
}

task<> connection::state::listen(ptr self) {
    auto& s = *self;
    for (;;) {
        auto reading = s.launcher_->errors().read_some();
        auto words = co_await std::move(reading);
        if (words.empty())
            co_return;
        s.said_ += words;
        if (s.said_.size() > 4 * words_kept)
            s.said_.erase(0, s.said_.size() - words_kept);
    }
}

/// A failure to write is no news: the reader learns of the end, and says it.
task<> connection::state::write(ptr self) {
    try {
        auto writing = self->link_->write_frames();
        co_await std::move(writing);
    } catch (const std::system_error&) {
        co_return;
    }
}

task<> connection::state::keep_in_touch(ptr self) {
    auto silence = self->link_->until_silent();
    co_await std::move(silence);
    const auto limit = std::chrono::duration<double>(self->options_.silence_limit()).count();
    auto text = std::to_string(limit);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.'))
        text.pop_back();
    lose(self, "it was silent for " + text + " s");
}

task<> connection::state::handle_frames(ptr self) {
    for (;;) {
        auto reading = self->link_->next();
        auto f = co_await std::move(reading);
        if (!f)
            co_return;
        MUSTER_ASSERT(self->phase_ != phase::lost);
        self->handle(*f);
    }
}

task<> connection::state::read_frames(ptr self) {
    auto handling = handle_frames(self);
    auto handled = co_await as_outcome(std::move(handling));
    if (!handled.succeeded() && !handled.failed())
        handled.rethrow();
    // The burial waits for the launcher, and is not to be disturbed.
    if (self->phase_ == phase::lost)
        co_return;
    std::string why = self->why_it_leaves_;
    if (handled.failed() && is_a<frame_error>(handled.error()))
        why = "it sent " + text_of(handled.error());
    else if (why.empty())
        why = "the connection ended";
    if (handled.succeeded()) {
        auto hearing = self->hear_out();
        co_await std::move(hearing);
        if (const auto words = self->words_of_launcher(); !words.empty())
            why += ": " + words;
    }
    lose(self, why);
    // The launcher's further words are read, as it could not end with a full pipe.
    auto draining = handle_frames(self);
    static_cast<void>(co_await as_outcome(std::move(draining)));
}

void connection::state::lose(const ptr& self, std::string why) {
    const bool has_agent = self->phase_ != phase::shaking;
    lose(self, std::move(why), has_agent ? burial_limit : burial_limit_without_agent);
}

void connection::state::lose(const ptr& self, std::string why, std::chrono::nanoseconds limit) {
    auto& s = *self;
    if (s.phase_ == phase::lost)
        return;
    s.enter(phase::lost);
    s.why_lost_ = std::move(why);
    s.link_->give_up();
    s.ponged_.set();
    for (const auto& [id, sub] : s.submissions_)
        sub->changed().set();
    s.burying_ = create_task(bury(self, limit), "end of " + s.options_.name());
}

task<> connection::state::bury(ptr self, std::chrono::nanoseconds limit) {
    auto& s = *self;
    // The writer refers to the stream that is closed now.
    co_await end(s.writing_);
    co_await end(s.watching_);
    if (s.launcher_) {
        s.launcher_->input().close();
        auto waiting = wait_for(s.launcher_->wait(), limit);
        auto waited = co_await as_outcome(std::move(waiting));
        if (!waited.succeeded()) {
            auto ending = hold_cancellation(s.launcher_->terminate());
            static_cast<void>(co_await as_outcome(std::move(ending)));
        }
    } else {
        s.to_->close();
    }
    co_await end(s.reading_);
    co_await end(s.listening_);
    if (s.from_)
        s.from_->close();
}

task<> connection::state::close(ptr self, std::chrono::nanoseconds limit) {
    lose(self, "the connection was closed", limit);
    auto burying = until_buried(self);
    co_await std::move(burying);
}

/// Waits for the end of the burial. A cancellation kills the launcher, so that there is little left to wait for.
task<> connection::state::until_buried(ptr self) {
    auto& s = *self;
    auto waiting = end_of_shielded(s.burying_);
    auto waited = co_await as_outcome(std::move(waiting));
    if (!waited.was_cancelled())
        co_return;
    if (s.launcher_)
        s.launcher_->kill();
    auto burying = hold_cancellation(end_of(s.burying_));
    static_cast<void>(co_await as_outcome(std::move(burying)));
    waited.rethrow();
}

void connection::state::throw_lost(hosts::begun b) const {
    throw host_lost_error(options_.name(), b, why_lost_.empty() ? why_it_leaves_ : why_lost_);
}

// ---- frames ----

/// *Returns* the command; null for one that was abandoned.
submission* connection::state::find(std::uint64_t id) const {
    if (const auto at = submissions_.find(id); at != submissions_.end())
        return at->second.get();
    if (!abandoned_.contains(id))
        throw frame_error("a frame about a command that is not there");
    return nullptr;
}

void connection::state::handle(const frame& f) {
    payload_reader from(f.payload);
    switch (f.type) {
    case frame_type::ready: {
        // One that was taken back meanwhile is not there any more.
        if (const auto at = submissions_.find(from.number64()); at != submissions_.end())
            at->second->enter(submission::phase::ready);
        break;
    }
    case frame_type::refused: {
        const auto at = submissions_.find(from.number64());
        const auto why = from.rest();
        if (at != submissions_.end()) {
            at->second->set_refusal(std::string(why));
            at->second->enter(submission::phase::refused);
        }
        break;
    }
    case frame_type::started: {
        const auto id = from.number64();
        auto* const s = find(id);
        const auto pid = static_cast<pid_t>(from.number32());
        if (s == nullptr)
            break;
        s->enter(submission::phase::started);
        s->set_pid(pid);
        try {
            if (const auto& call = s->what().parts().started; call && !s->failure())
                call(pid);
        } catch (...) {
            fail(id, *s);
        }
        break;
    }
    case frame_type::output: {
        const auto id = from.number64();
        if (auto* const s = find(id); s != nullptr)
            take_output(id, *s, from);
        else
            static_cast<void>(from.rest());
        break;
    }
    case frame_type::ended: {
        const auto id = from.number64();
        auto* const s = find(id);
        auto end = read_end(from);
        if (s == nullptr) {
            abandoned_.erase(id);
            break;
        }
        s->set_end(std::move(end));
        if (s->end().how == remote_end::kind::ended && s->at() != submission::phase::started)
            throw frame_error("the end of a command that has not begun");
        s->enter(submission::phase::ended);
        break;
    }
    case frame_type::pong: {
        last_pong_ = std::max(last_pong_, std::min(from.number64(), last_ping_));
        facts_ = facts_of(from.rest());
        ponged_.set();
        break;
    }
    case frame_type::leaving:
        why_it_leaves_ = "its agent ended: " + detail::printable(from.rest());
        if (phase_ == phase::open)
            enter(phase::leaving);
        break;
    default:
        throw frame_error("a frame that only a client sends");
    }
    from.end();
}

void connection::state::take_output(std::uint64_t id, submission& s, payload_reader& from) {
    const auto number = from.number8();
    const auto piece = from.rest();
    if (s.at() != submission::phase::started || number < 1 || number > 2 || piece.empty())
        throw frame_error("output that no command has written");
    std::uint32_t credit = 0;
    try {
        credit = s.take(number, piece);
    } catch (...) {
        fail(id, s);
    }
    if (credit != 0)
        link_->send(frame_type::credit, payload_writer().number64(id).number8(number).number32(credit).take());
}

/// Called in the handler of what the caller's own function has thrown: the command is ended, and run() throws that.
void connection::state::fail(std::uint64_t id, submission& s) {
    s.fail(std::current_exception());
    link_->send(frame_type::cancel, begin_with(id));
}

// ---- commands ----

task<> connection::state::until(submission& s, bool (*reached)(submission::phase)) {
    while (!reached(s.at()) && phase_ != phase::lost) {
        s.changed().clear();
        co_await s.changed().wait();
    }
}

/// `bytes` must live until it has ended.
task<> connection::state::send_parts(ptr self, std::uint64_t id, const submission& s, std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(largest_piece, bytes.size()))) {
        // Nothing waits behind a long input but the rest of it.
        co_await self->link_->room();
        if (self->phase_ == phase::lost || s.at() == submission::phase::refused)
            co_return;
        self->link_->send(frame_type::part, begin_with(id, bytes.substr(0, largest_piece)));
    }
}

task<> connection::state::tell(ptr self, std::uint64_t id, submission_ptr s, std::string input) {
    auto& link = *self->link_;
    const auto description = description_of(s->what());
    link.send(
        frame_type::submit, payload_writer().number64(id).number64(description.size()).number64(input.size()).take());
    co_await send_parts(self, id, *s, description);
    co_await send_parts(self, id, *s, input);
    co_await self->until(*s, [](submission::phase p) { return p != submission::phase::arriving; });
    // An agent that leaves begins nothing any more: the command counts as not begun.
    if (self->phase_ != phase::open || s->at() == submission::phase::refused)
        co_return;
    s->enter(submission::phase::going);
    // Once the connection is lost the command counts as not begun, so this frame is not written any more. The queue
    // belongs to the state.
    link.send(frame_type::go, begin_with(id), [s, &state = *self] {
        if (state.phase_ != phase::open)
            return false;
        s->enter(submission::phase::gone);
        return true;
    });
    co_await self->until(*s, [](submission::phase p) { return p == submission::phase::ended; });
}

/// The task was cancelled: what has begun is ended, and its end is waited for.
task<> connection::state::take_back(ptr self, std::uint64_t id, submission_ptr s) {
    self->link_->send(frame_type::cancel, begin_with(id));
    const auto at = s->at();
    if (at != submission::phase::going && at != submission::phase::gone && at != submission::phase::started)
        co_return;
    const auto limit = std::min<std::chrono::nanoseconds>(s->what().parts().grace, longest_grace) +
                       end_limit_in_silences * self->options_.silence_limit();
    auto ending = wait_for(self->until(*s, [](submission::phase p) { return p == submission::phase::ended; }), limit);
    auto ended = co_await as_outcome(std::move(ending));
    // The agent is heard, or the connection would be lost by now: this command is not waited for any longer, and no
    // other one has to suffer for it.
    if (!ended.succeeded() && self->phase_ != phase::lost)
        self->abandoned_.insert(id);
}

task<completed_process> connection::state::run(ptr self, command what) {
    refuse_what_stays_here(what);
    std::string input;
    if (what.parts().input == detail::input_from::bytes) {
        input = std::move(what.parts().bytes);
    } else if (what.parts().input == detail::input_from::file) {
        auto reading = io::read_file(what.parts().bytes, most_input);
        input = co_await std::move(reading);
    }
    if (input.size() > most_input)
        throw std::invalid_argument("connection::run: standard input for another host can't be longer than 1 GiB");
    if (self->phase_ == phase::leaving)
        throw host_lost_error(self->options_.name(), hosts::begun::no, self->why_it_leaves_);
    if (self->phase_ != phase::open)
        self->throw_lost(hosts::begun::no);
    const auto id = ++self->last_id_;
    const auto s = std::make_shared<submission>(std::move(what));
    self->submissions_.emplace(id, s);
    auto telling = tell(self, id, s, std::move(input));
    auto told = co_await as_outcome(std::move(telling));
    if (!told.succeeded() && self->phase_ != phase::lost) {
        auto taking = hold_cancellation(take_back(self, id, s));
        co_await std::move(taking);
    }
    self->submissions_.erase(id);
    if (!told.succeeded())
        told.rethrow();
    if (s->at() == submission::phase::refused)
        throw spawn_error(s->what().words().front(), s->what().describe(),
            std::make_error_code(std::errc::resource_unavailable_try_again),
            self->options_.name() + " refused it: " + detail::printable(s->end().problem));
    if (s->at() != submission::phase::ended)
        self->throw_lost(s->begun());
    co_return std::move(*s).result(self->options_.name());
}

task<std::chrono::nanoseconds> connection::state::ping(ptr self) {
    auto& s = *self;
    const auto began = loop_clock::now();
    const auto number = ++s.last_ping_;
    if (!s.is_open())
        s.throw_lost(hosts::begun::no);
    s.link_->send(frame_type::ping, begin_with(number));
    while (s.last_pong_ < number && s.phase_ != phase::lost) {
        s.ponged_.clear();
        co_await s.ponged_.wait();
    }
    if (s.last_pong_ < number)
        s.throw_lost(hosts::begun::no);
    co_return loop_clock::now() - began;
}

void connection::state::kill_all() {
    if (phase_ == phase::lost)
        return;
    for (const auto& [id, s] : submissions_)
        link_->send(frame_type::kill, begin_with(id));
}

void connection::state::end_launcher() {
    if (launcher_)
        launcher_->send_signal(SIGTERM);
}

// ---- connection ----

namespace {

connection::state& owned(const std::shared_ptr<connection::state>& s) {
    if (s == nullptr)
        throw invalid_state_error("this muster::hosts::connection was moved from");
    return *s;
}

void drop(std::shared_ptr<connection::state> s) noexcept {
    if (s == nullptr || s->is_lost())
        return;
    try {
        connection::state::lose(s, "the connection was dropped");
    } catch (const invalid_state_error&) {
        // No loop runs on this thread any more: what is left of the launcher is killed with the state.
    }
}

} // namespace

connection::connection(std::shared_ptr<state> s) noexcept : state_(std::move(s)) {}

connection& connection::operator=(connection&& other) noexcept {
    if (this != &other)
        drop(std::exchange(state_, std::move(other.state_)));
    return *this;
}

connection::~connection() { drop(std::move(state_)); }

const std::string& connection::host() const { return owned(state_).options().name(); }

const host_facts& connection::facts() const { return owned(state_).facts(); }

bool connection::is_open() const { return owned(state_).is_open(); }

const std::string& connection::why_lost() const { return owned(state_).why_lost(); }

std::size_t connection::running() const { return owned(state_).running(); }

task<completed_process> connection::run(command what) {
    static_cast<void>(owned(state_));
    return state::run(state_, std::move(what));
}

task<std::chrono::nanoseconds> connection::ping() {
    static_cast<void>(owned(state_));
    return state::ping(state_);
}

void connection::kill_all() { owned(state_).kill_all(); }

void connection::end_launcher() { owned(state_).end_launcher(); }

task<> connection::close(std::chrono::nanoseconds limit) {
    static_cast<void>(owned(state_));
    return state::close(state_, limit);
}

task<connection> connect(host_options host) {
    detail::require_event_loop("hosts::connect");
    const auto s = std::make_shared<connection::state>(std::move(host));
    s->start_launcher();
    auto beginning = connection::state::begin(s);
    co_await std::move(beginning);
    co_return connection(s);
}

task<connection> connect_over(io::stream from_agent, io::stream to_agent, host_options host) {
    detail::require_event_loop("hosts::connect_over");
    const auto s = std::make_shared<connection::state>(std::move(host));
    s->adopt(std::move(from_agent), std::move(to_agent));
    auto beginning = connection::state::begin(s);
    co_await std::move(beginning);
    co_return connection(s);
}

} // namespace muster::hosts
