// SPDX-License-Identifier: MIT
// The supervisor and this host's thread meet at a desk, behind a lock: workers that are to be started lie there, and
// the mark of each that is to be killed. The thread is the connector. It sleeps in poll() until the desk, the launcher
// or a worker's socket has something.
//
//     absent ---> shaking    a worker is to be started, and the last loss is long enough ago: the launcher is
//     shaking --> open       the agent has answered, and its program fits
//     open -----> absent     the connection ended, or the host was silent for too long: it is lost
//     shaking --> absent     no agent has answered, or one that does not fit
//
// A channel is one worker there: see host_channel.hpp. Its messages go out in pieces, one of each channel in turn, so
// that a long one holds up no other. The agent hands over a call only when all of it has come, and says so first;
// therefore this side knows of each call whether it has begun when the host is lost.
//
// Without memory the host is lost, too: to lose it needs none, so that no worker's end is ever left unsaid.
#include "process_pool/distant_host.hpp"

#include "process_pool/agent_terms.hpp"
#include "process_pool/error_relay.hpp"
#include "process_pool/frame_stream.hpp"
#include "process_pool/host_channel.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>
#include <muster/detail/backoff.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace muster::workers {

namespace {

using namespace std::chrono_literals;
using frames::frame_type;
using clock = std::chrono::steady_clock;

constexpr std::size_t words_kept = 2000; ///< bytes at the end of the launcher's standard error, for the error's text
constexpr auto last_words_limit = 1s;    ///< for a launcher whose connection ended to say why
constexpr auto end_limit = 5s;           ///< for an agent to end its workers
constexpr auto look_for_memory = 10ms;
constexpr std::size_t longest_hello = std::size_t{16} << 20;
/// Beyond the largest message, so much of a worker's may wait for the supervisor.
constexpr std::uint64_t waiting_beyond = std::uint64_t{1} << 20;

int milliseconds_until(clock::time_point at) noexcept {
    if (at == clock::time_point::max())
        return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at - clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

} // namespace

// ---- the desk ----

class distant_host::desk {
public:
    desk() : wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!wake_up_.is_open())
            throw std::system_error(errno, std::generic_category(), "another host needs an eventfd");
    }
    [[nodiscard]] int wake_up() const noexcept { return wake_up_.get(); }
    void add(host_channel c) {
        {
            const std::lock_guard own(lock_);
            opened_.push_back(std::move(c));
        }
        signal_eventfd(wake_up_.get());
    }
    void end() noexcept {
        {
            const std::lock_guard own(lock_);
            ends_ = true;
        }
        signal_eventfd(wake_up_.get());
    }
    [[nodiscard]] bool is_ending() const noexcept {
        const std::lock_guard own(lock_);
        return ends_;
    }
    [[nodiscard]] std::vector<host_channel> take_opened() noexcept {
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_up_.get(), &count, sizeof count));
        const std::lock_guard own(lock_);
        return std::exchange(opened_, {});
    }
    void set_next_start(clock::time_point at) noexcept {
        const std::lock_guard own(lock_);
        next_start_ = at;
    }
    [[nodiscard]] clock::time_point next_start() const noexcept {
        const std::lock_guard own(lock_);
        return next_start_;
    }

private:
    mutable std::mutex lock_;
    std::vector<host_channel> opened_;
    bool ends_ = false;
    clock::time_point next_start_ = clock::time_point::min();
    detail::owned_fd wake_up_;
};

// ---- the thread ----

class distant_host::connector {
public:
    connector(desk& d, const host_settings& host, const pool_settings& pool) noexcept
        : desk_(d),
          host_(host),
          pool_(pool),
          errors_(host.name) {}
    void run() noexcept;

private:
    enum class phase : std::uint8_t { absent, shaking, open };

    void enter(phase next) noexcept {
        MUSTER_ASSERT((next == phase::shaking) == (phase_ == phase::absent));
        phase_ = next;
    }
    void step();
    void take_new_workers();
    [[nodiscard]] bool needs_connection() const noexcept;
    void connect();
    void start_there(std::uint32_t number);
    void kill_there(std::uint32_t number, host_channel& c);
    void kill_those_marked();
    void forget_those_over() noexcept;
    void wait_for_events();
    void exchange_frames(bool is_readable);
    void hear_agent_out();
    void take_frames();
    void handle(const frames::frame& f);
    void take_hello(std::string_view part, bool is_last);
    void take_bytes(std::uint32_t number, host_channel& c, std::string_view bytes);
    [[nodiscard]] host_channel* find(std::uint32_t number);
    static void end_of_worker(host_channel& c, frames::payload_reader& from);
    void read_errors() noexcept;
    void hear_out() noexcept;
    [[nodiscard]] std::string words() const;
    void lose(const std::string& why, bool is_over) noexcept;
    void bury(std::chrono::nanoseconds limit) noexcept;

    desk& desk_;
    const host_settings& host_;
    const pool_settings& pool_;
    phase phase_ = phase::absent;
    std::optional<launcher_process> launcher_;
    std::optional<frame_stream> stream_;
    std::string hello_;
    std::string said_;
    clock::time_point shaking_ends_ = clock::time_point::max();
    std::map<std::uint32_t, host_channel> channels_;
    std::uint32_t last_number_ = 0;
    error_relay errors_;
    std::size_t failures_ = 0; ///< in a row
    clock::time_point next_start_ = clock::time_point::min();
};

void distant_host::connector::run() noexcept {
    while (!desk_.is_ending()) {
        try {
            step();
        } catch (const std::bad_alloc&) {
            lose("no memory", false);
            forget_those_over();
            std::this_thread::sleep_for(look_for_memory);
        }
    }
    if (phase_ != phase::absent) {
        if (stream_)
            stream_->shut_down();
        bury(end_limit);
    }
    errors_.write_some();
}

void distant_host::connector::step() {
    take_new_workers();
    kill_those_marked();
    if (needs_connection() && clock::now() >= next_start_)
        connect();
    wait_for_events();
    forget_those_over();
}

void distant_host::connector::take_new_workers() {
    for (auto& c : desk_.take_opened()) {
        const auto number = ++last_number_;
        channels_.emplace(number, std::move(c));
        if (phase_ == phase::open)
            start_there(number);
    }
}

void distant_host::connector::start_there(std::uint32_t number) {
    stream_->put(frame_type::worker_start, frames::payload_writer().number32(number).take());
}

/// A worker that has ended, or is to be, needs none, although the supervisor may not know of its end yet.
bool distant_host::connector::needs_connection() const noexcept {
    return phase_ == phase::absent &&
           std::any_of(channels_.begin(), channels_.end(), [](const auto& e) { return !e.second.has_ended(); });
}

void distant_host::connector::connect() {
    said_.clear();
    hello_.clear();
    enter(phase::shaking);
    try {
        launcher_.emplace(start_launcher(host_.words, pool_.launcher_environment));
        detail::owned_fd socket(::fcntl(launcher_->process.socket(), F_DUPFD_CLOEXEC, 3));
        if (!socket.is_open())
            throw std::system_error(errno, std::generic_category(), "another host needs a descriptor");
        launcher_->process.close_socket();
        stream_.emplace(std::move(socket), detail::owned_fd(), pool_.silence_limit);
    } catch (const std::system_error& e) {
        lose(e.what(), false);
        return;
    }
    // Before the supervisor's own limit for its workers, so that the launcher's words are told.
    shaking_ends_ = clock::now() + std::min<std::chrono::nanoseconds>(pool_.start_timeout / 10 * 9, 24h);
}

void distant_host::connector::kill_there(std::uint32_t number, host_channel& c) {
    stream_->put(frame_type::worker_kill, frames::payload_writer().number32(number).take());
    c.kill_was_sent();
}

void distant_host::connector::kill_those_marked() {
    for (auto& [number, c] : channels_) {
        if (!c.needs_kill())
            continue;
        if (phase_ == phase::open)
            kill_there(number, c);
        else
            c.end_unstarted();
    }
}

void distant_host::connector::forget_those_over() noexcept {
    for (auto at = channels_.begin(); at != channels_.end();)
        at = at->second.is_over() ? channels_.erase(at) : std::next(at);
}

void distant_host::connector::wait_for_events() {
    std::vector<pollfd> polled{{desk_.wake_up(), POLLIN, 0}};
    auto until = clock::time_point::max();
    if (phase_ != phase::absent) {
        const auto events = static_cast<short>(POLLIN | (stream_->has_to_write() ? POLLOUT : 0));
        polled.push_back({stream_->reads_from(), events, 0});
        polled.push_back({launcher_->errors.get(), POLLIN, 0});
        until = phase_ == phase::shaking ? shaking_ends_ : stream_->next_look();
    } else if (needs_connection()) {
        until = next_start_;
    }
    const auto relay = polled.size();
    polled.push_back({errors_.has_to_write() ? STDERR_FILENO : -1, POLLOUT, 0});
    const auto first_channel = polled.size();
    std::vector<std::uint32_t> numbers;
    const bool has_room = phase_ == phase::open && stream_->has_room();
    for (auto& [number, c] : channels_) {
        const auto events =
            static_cast<short>((has_room && c.is_read() ? POLLIN : 0) | (c.waiting() != 0 ? POLLOUT : 0));
        // Without events the hang-up of the supervisor would still end the wait, again and again.
        polled.push_back({events != 0 ? c.socket() : -1, events, 0});
        numbers.push_back(number);
    }
    // One that has ended and waits for nothing is over at once.
    const bool is_over = std::any_of(channels_.begin(), channels_.end(),
        [](const auto& e) { return e.second.has_ended() && e.second.waiting() == 0; });
    if (::poll(polled.data(), polled.size(), is_over ? 0 : milliseconds_until(until)) < 0) {
        if (errno != EINTR)
            std::this_thread::sleep_for(10ms);
        return;
    }
    for (std::size_t i = 0; i != numbers.size(); ++i) {
        auto& c = channels_.at(numbers[i]);
        const auto found = polled[first_channel + i].revents;
        // A supervisor that reads no more has shut the socket down, which makes it no more writable than it was.
        if ((found & (POLLOUT | POLLERR | POLLHUP)) != 0)
            c.hand_over();
        if ((found & (POLLIN | POLLHUP)) != 0 && has_room && c.is_read())
            c.pass_on(numbers[i], *stream_);
    }
    if (polled[relay].revents != 0)
        errors_.write_some();
    if (phase_ == phase::absent)
        return;
    if (polled[2].revents != 0)
        read_errors();
    exchange_frames((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0);
}

void distant_host::connector::exchange_frames(bool is_readable) {
    try {
        const bool can_write = !stream_->has_to_write() || stream_->write_some();
        const bool has_ended = is_readable && !stream_->read_some();
        take_frames();
        if (!can_write && !has_ended)
            hear_agent_out();
        if (phase_ == phase::absent)
            return;
        if (has_ended || !can_write)
            lose("the connection ended", true);
        else if (phase_ == phase::shaking && clock::now() >= shaking_ends_)
            lose("no agent has answered in time", false);
        else if (phase_ == phase::open && clock::now() >= stream_->next_look() && stream_->look())
            lose("it was silent for too long", false);
    } catch (const frames::frame_error& e) {
        if (phase_ != phase::absent)
            lose(std::string("it sent ") + e.what(), false);
    }
}

/// Nothing can be written to the agent any more. Answers, and the beginnings and ends of calls, which it had sent
/// before count all the same.
void distant_host::connector::hear_agent_out() {
    const auto until = clock::now() + last_words_limit;
    while (phase_ != phase::absent && clock::now() < until) {
        pollfd p{stream_->reads_from(), POLLIN, 0};
        if (::poll(&p, 1, milliseconds_until(until)) <= 0 || !stream_->read_some())
            return;
        take_frames();
    }
}

// ---- frames ----

void distant_host::connector::take_frames() {
    while (phase_ != phase::absent) {
        const auto f = stream_->next();
        if (!f)
            return;
        handle(*f);
    }
}

void distant_host::connector::handle(const frames::frame& f) {
    frames::payload_reader from(f.payload);
    const bool is_hello = f.type == frame_type::pool_hello || f.type == frame_type::pool_hello_part;
    if (is_hello != (phase_ == phase::shaking))
        throw frames::frame_error(is_hello ? "a second hello" : "a handshake that begins with another frame");
    switch (f.type) {
    case frame_type::pool_hello:
    case frame_type::pool_hello_part:
        take_hello(f.payload, f.type == frame_type::pool_hello);
        return;
    case frame_type::worker_data: {
        const auto number = from.number32();
        if (auto* const c = find(number))
            take_bytes(number, *c, from.rest());
        return;
    }
    case frame_type::worker_close:
        if (auto* const c = find(from.number32()))
            c->hang_up();
        break;
    case frame_type::worker_begun:
        if (auto* const c = find(from.number32()))
            c->call_has_begun();
        break;
    case frame_type::worker_ended: {
        if (auto* const c = find(from.number32()))
            end_of_worker(*c, from);
        else
            throw frames::frame_error("the end of a worker that is not there");
        break;
    }
    default:
        throw frames::frame_error("a frame that no agent of a pool sends");
    }
    from.end();
}

/// A worker that sends too much is ended, and no other one has to suffer for it: what the supervisor has of it by then
/// is no answer.
void distant_host::connector::take_bytes(std::uint32_t number, host_channel& c, std::string_view bytes) {
    if (!c.take(bytes, pool_.message_limit + waiting_beyond))
        kill_there(number, c);
    c.hand_over();
}

/// *Returns* null for a worker that has ended. *Errors*: frame_error for one that was never started.
host_channel* distant_host::connector::find(std::uint32_t number) {
    if (number == 0 || number > last_number_)
        throw frames::frame_error("a frame about a worker that was never started");
    const auto found = channels_.find(number);
    return found == channels_.end() || found->second.has_ended() ? nullptr : &found->second;
}

void distant_host::connector::end_of_worker(host_channel& c, frames::payload_reader& from) {
    process_end end;
    end.process = static_cast<pid_t>(from.number32());
    end.signal = static_cast<int>(from.number32());
    end.exit_status = static_cast<int>(from.number32());
    end.known = from.number8() != 0;
    end.why = detail::printable(from.text());
    if (!end.why.empty())
        end.how = process_end::kind::not_started;
    if (end.signal < 0 || end.signal > 64 || end.exit_status < -1 || end.exit_status > 255)
        throw frames::frame_error("the end of a worker as no process ends");
    c.end_as(std::move(end));
}

void distant_host::connector::take_hello(std::string_view part, bool is_last) {
    hello_ += part;
    if (hello_.size() > longest_hello)
        throw frames::frame_error("a hello without an end");
    if (!is_last)
        return;
    if (const auto problem = problem_of_agent(hello_); !problem.empty()) {
        lose(detail::printable(problem), false);
        return;
    }
    hello_ = {};
    failures_ = 0;
    enter(phase::open);
    const auto& terms = pool_.agent_terms;
    stream_->greet(std::string_view(reinterpret_cast<const char*>(terms.data()), terms.size()));
    stream_->set_silence_limit(pool_.silence_limit);
    for (const auto& [number, c] : channels_) {
        if (!c.has_ended())
            start_there(number);
    }
    // Whatever the launcher has said so far did not keep it from connecting.
    said_.clear();
}

// ---- the launcher ----

void distant_host::connector::read_errors() noexcept {
    std::array<char, 4096> bytes; // NOLINT: filled below
    const auto n = ::read(launcher_->errors.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        launcher_->errors.reset();
        return;
    }
    const std::string_view text(bytes.data(), static_cast<std::size_t>(n));
    // The workers' output appears where it would if they ran here.
    if (phase_ == phase::open)
        errors_.take(text);
    try {
        said_ += text;
        if (said_.size() > 4 * words_kept)
            said_.erase(0, said_.size() - words_kept);
    } catch (const std::bad_alloc&) {
        said_.clear();
    }
}

/// The connection has ended: waits a little for the launcher to say why.
void distant_host::connector::hear_out() noexcept {
    stream_->shut_down();
    const auto until = clock::now() + last_words_limit;
    while (launcher_->errors.is_open() && clock::now() < until) {
        pollfd p{launcher_->errors.get(), POLLIN, 0};
        if (::poll(&p, 1, milliseconds_until(until)) > 0)
            read_errors();
    }
}

std::string distant_host::connector::words() const {
    auto text = std::string_view(said_);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.remove_suffix(1);
    if (text.size() > words_kept)
        text.remove_prefix(text.size() - words_kept);
    if (text.empty() && phase_ == phase::shaking && stream_ && !stream_->preamble().empty())
        return "it wrote " + detail::printable(stream_->preamble(), 300);
    return detail::printable_lines(text, words_kept);
}

/// `is_over`: the other side has ended the connection.
void distant_host::connector::lose(const std::string& why, bool is_over) noexcept {
    if (is_over)
        hear_out();
    std::string text;
    try {
        text = why;
        if (const auto said = words(); !said.empty())
            text += ": " + said;
        else if (is_over && phase_ == phase::shaking)
            text += " without a word: does the program there call process_pool::serve_if_worker()?";
    } catch (const std::bad_alloc&) {
        text = "no memory"; // so short that it needs none
    }
    const auto* const opened = phase_ == phase::open ? &*stream_ : nullptr;
    for (auto& [number, c] : channels_) {
        if (!c.has_ended())
            c.end_as_lost(opened, text);
    }
    detail::backoff pauses;
    pauses.first = 1s;
    pauses.longest = 10s;
    next_start_ = clock::now() + pauses.after(++failures_, 0);
    desk_.set_next_start(next_start_);
    if (phase_ != phase::absent)
        enter(phase::absent);
    if (launcher_)
        bury(0s);
    stream_.reset();
}

/// Waits for the end of the launcher, and kills it after the limit.
void distant_host::connector::bury(std::chrono::nanoseconds limit) noexcept {
    const auto until = clock::now() + limit;
    auto& process = launcher_->process;
    while (!process.has_ended() && clock::now() < until) {
        pollfd p[2] = {{process.end_descriptor(), POLLIN, 0}, {launcher_->errors.get(), POLLIN, 0}};
        if (::poll(p, 2, milliseconds_until(std::min<clock::time_point>(until, clock::now() + 20ms))) > 0 &&
            p[1].revents != 0)
            read_errors();
        // A launcher that can't write what its agent has left to say would not end.
        std::array<char, 4096> rest; // NOLINT: not looked at
        while (stream_ && ::recv(stream_->reads_from(), rest.data(), rest.size(), MSG_DONTWAIT) > 0) {}
    }
    static_cast<void>(process.kill());
    process.kill_group();
    process.reap();
    launcher_.reset();
}

// ---- the host ----

distant_host::distant_host(const host_settings& host, const pool_settings& pool)
    : desk_(std::make_shared<desk>()),
      host_(host),
      pool_(pool) {}

distant_host::~distant_host() {
    if (!thread_.joinable())
        return;
    desk_->end();
    thread_.join();
}

distant_host::clock::time_point distant_host::next_start() const noexcept { return desk_->next_start(); }

child_process distant_host::open_worker() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::system_error(errno, std::generic_category(), "socketpair");
    detail::owned_fd ours(ends[0]);
    detail::owned_fd theirs(ends[1]);
    detail::owned_fd tells_end(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    detail::owned_fd hears_end(tells_end.is_open() ? ::fcntl(tells_end.get(), F_DUPFD_CLOEXEC, 3) : -1);
    if (!hears_end.is_open())
        throw std::system_error(errno, std::generic_category(), "a worker on another host needs an eventfd");
    const auto worker = std::make_shared<worker_there>(desk_->wake_up());
    if (!thread_.joinable())
        thread_ = std::thread([d = desk_.get(), &host = host_, &pool = pool_] {
            ::pthread_setname_np(::pthread_self(), "muster-host");
            connector(*d, host, pool).run();
        });
    desk_->add(host_channel(worker, std::move(theirs), std::move(tells_end), host_.name));
    return child_process(worker, std::move(ours), std::move(hears_end));
}

} // namespace muster::workers
