// SPDX-License-Identifier: MIT
// An agent is one thread that sleeps in poll() until the connection, a worker's socket or the end of a worker has
// something. It greets, and starts nothing before the pool has.
//
//     greeting --pool's hello--> serving
//
// A message from the pool is kept until it is whole, so that a call whose end never comes is never begun; the pool is
// told that a call is handed over. A worker's bytes are passed on as they come, while there is room in the stream. Once
// a worker has ended, the rest of its bytes is passed on, then its end. Where its children go on writing that rest has
// no end, and is cut off.
#include "process_pool/worker_agent.hpp"

#include "process_pool/agent_terms.hpp"
#include "process_pool/frame_stream.hpp"
#include "process_pool/host_channel.hpp"
#include "process_pool/spawn.hpp"
#include "process_pool/wire.hpp"

#include <muster/detail/assert.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

namespace muster::workers {

namespace {

using namespace std::chrono_literals;
using frames::frame_type;
using clock = std::chrono::steady_clock;

/// The pool must answer the greeting within this time.
constexpr auto answer_limit = 60s;
constexpr auto look_for_deaths = 20ms; ///< on a system without descriptors of processes
constexpr std::size_t longest_hello = std::size_t{16} << 20;
constexpr std::size_t most_workers = 10'000;
/// Of a worker that has ended, so much is read beyond the largest message, in at most so many reads. A socket holds
/// less than that; the rest is written by a process that the worker started, which may go on for ever.
constexpr std::uint64_t most_beyond_message = std::uint64_t{1} << 20;
constexpr int most_reads_after_end = 10'000;

/// A worker, and what is on its way to it.
class served_worker {
public:
    explicit served_worker(child_process p) noexcept : process_(std::move(p)) {}

    [[nodiscard]] child_process& process() noexcept { return process_; }
    [[nodiscard]] bool is_read() const noexcept { return worker_end_ == worker_end::open; }
    void stop_reading() noexcept { worker_end_ = worker_end::closed; }
    [[nodiscard]] bool has_to_send() const noexcept { return at_ != ready_.size(); }
    /// A piece of a message; with the last one the message may be sent. *Errors*: frame_error if it is longer than the
    /// limit.
    void take(std::string_view piece, bool is_last, std::uint64_t limit);
    /// *Returns* whether a call is about to be handed over, once for each.
    [[nodiscard]] bool begins_call() noexcept { return std::exchange(has_call_, false); }
    /// Whether it has sent something, now or before, that is neither its hello nor the answer to a call.
    [[nodiscard]] bool has_sent_unasked() const noexcept { return has_sent_unasked_ || process_.has_bytes_or_end(); }
    /// A call was handed over, which it may answer.
    void expect_answer() noexcept { ++messages_expected_; }
    /// Notes what it has sent.
    void note_sent(std::string_view bytes);
    /// Sends nothing more, and ends the process.
    void give_up() noexcept {
        ready_.clear();
        at_ = 0;
        static_cast<void>(process_.kill());
    }
    void send() noexcept;
    /// The pool has closed its end: so is this one, behind what is to be sent.
    void close() noexcept {
        pool_end_ = pool_end::closed;
        send();
    }

private:
    child_process process_;
    std::string arriving_;
    std::string ready_;
    std::size_t at_ = 0;
    bool has_call_ = false; ///< the last message is a call, and begins_call() was not asked since
    message_cutter sent_;
    std::uint64_t messages_expected_ = 1; ///< the hello, and an answer to each call, without those that have come
    bool has_sent_unasked_ = false;
    enum class pool_end : bool { open, closed };
    enum class worker_end : bool { open, closed };
    pool_end pool_end_ = pool_end::open;
    worker_end worker_end_ = worker_end::open;
};

void served_worker::take(std::string_view piece, bool is_last, std::uint64_t limit) {
    arriving_ += piece;
    if (arriving_.size() > limit + wire::header_bytes)
        throw frames::frame_error("a message that is longer than the limit");
    if (!is_last)
        return;
    if (arriving_.size() < wire::header_bytes)
        throw frames::frame_error("a message without its head");
    if (wire::read_header(reinterpret_cast<const std::uint8_t*>(arriving_.data())).number != 0)
        has_call_ = true;
    if (!has_to_send()) {
        ready_.clear();
        at_ = 0;
    }
    ready_ += arriving_;
    arriving_.clear();
}

void served_worker::note_sent(std::string_view bytes) {
    sent_.cut(bytes, [&](std::string_view, bool is_last, std::uint64_t) {
        if (messages_expected_ == 0)
            has_sent_unasked_ = true;
        else if (is_last)
            --messages_expected_;
    });
}

void served_worker::send() noexcept {
    while (has_to_send()) {
        const auto n = ::send(process_.socket(), ready_.data() + at_, ready_.size() - at_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        // A worker that has died reads nothing more; its end is told by its descriptor.
        at_ = n < 0 ? ready_.size() : at_ + static_cast<std::size_t>(n);
    }
    if (pool_end_ == pool_end::closed)
        ::shutdown(process_.socket(), SHUT_WR);
}

class worker_agent {
public:
    worker_agent(detail::owned_fd in, detail::owned_fd out, const std::string& problem)
        : stream_(std::move(in), std::move(out), answer_limit) {
        stream_.greet(hello_of_agent(problem));
    }
    /// *Returns* at the end of the connection. *Errors*: frame_error.
    void serve();
    void end_all() noexcept;

private:
    enum class phase : std::uint8_t { greeting, serving };
    using workers = std::map<std::uint32_t, served_worker>;

    [[nodiscard]] bool step();
    void handle(const frames::frame& f);
    void begin(std::string_view hello);
    void start(std::uint32_t number);
    void take(served_worker* w, std::uint32_t number, std::string_view piece, bool is_last);
    /// *Returns* how much was read; 0 once there is nothing to read.
    std::size_t read_some(std::uint32_t number, served_worker& w);
    void read_what_is_left(std::uint32_t number, served_worker& w);
    void conclude(std::uint32_t number, served_worker& w);
    void say_end(std::uint32_t number, pid_t process, const process_end& how, std::string_view why);

    frame_stream stream_;
    phase phase_ = phase::greeting;
    std::string hello_;
    agent_terms terms_;
    worker_program program_;
    std::vector<std::string> environment_;
    workers workers_;
};

void worker_agent::serve() {
    while (step()) {}
}

bool worker_agent::step() {
    std::vector<pollfd> polled{
        {stream_.reads_from(), POLLIN, 0}, {stream_.has_to_write() ? stream_.writes_to() : -1, POLLOUT, 0}};
    std::vector<std::uint32_t> numbers;
    auto until = stream_.next_look();
    const bool has_room = stream_.has_room();
    for (auto& [number, w] : workers_) {
        const auto events =
            static_cast<short>((has_room && w.is_read() ? POLLIN : 0) | (w.has_to_send() ? POLLOUT : 0));
        polled.push_back({events != 0 ? w.process().socket() : -1, events, 0});
        polled.push_back({w.process().end_descriptor(), POLLIN, 0});
        numbers.push_back(number);
        if (!w.process().has_end_descriptor())
            until = std::min<clock::time_point>(until, clock::now() + look_for_deaths);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
    if (::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX))) < 0 &&
        errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "poll");
    if (polled[1].revents != 0 && !stream_.write_some())
        return false;
    if (polled[0].revents != 0 && !stream_.read_some())
        return false;
    while (const auto f = stream_.next())
        handle(*f);
    for (std::size_t i = 0; i != numbers.size(); ++i) {
        auto& w = workers_.at(numbers[i]);
        const auto on_socket = polled[2 + 2 * i].revents;
        if ((on_socket & POLLOUT) != 0)
            w.send();
        if ((on_socket & (POLLIN | POLLHUP | POLLERR)) != 0 && w.is_read() && stream_.has_room())
            read_some(numbers[i], w);
        if (w.process().has_end_descriptor() ? polled[3 + 2 * i].revents != 0 : w.process().has_ended())
            conclude(numbers[i], w);
    }
    if (clock::now() >= stream_.next_look() && stream_.look())
        throw frames::frame_error("nothing for too long");
    return true;
}

void worker_agent::handle(const frames::frame& f) {
    const bool is_hello = f.type == frame_type::pool_hello || f.type == frame_type::pool_hello_part;
    if (is_hello != (phase_ == phase::greeting))
        throw frames::frame_error(is_hello ? "a second hello" : "a handshake that begins with another frame");
    if (is_hello) {
        hello_ += f.payload;
        if (hello_.size() > longest_hello)
            throw frames::frame_error("a hello without an end");
        if (f.type == frame_type::pool_hello)
            begin(hello_);
        return;
    }
    frames::payload_reader from(f.payload);
    const auto number = from.number32();
    const auto found = workers_.find(number);
    // The pool may not know yet that this one has ended.
    served_worker* const w = found == workers_.end() ? nullptr : &found->second;
    switch (f.type) {
    case frame_type::worker_start:
        if (w != nullptr)
            throw frames::frame_error("a second worker with the number of another");
        start(number);
        break;
    case frame_type::worker_data:
    case frame_type::worker_last:
        take(w, number, from.rest(), f.type == frame_type::worker_last);
        break;
    case frame_type::worker_close:
        if (w != nullptr)
            w->close();
        break;
    case frame_type::worker_kill:
        if (w != nullptr)
            static_cast<void>(w->process().kill());
        break;
    default:
        throw frames::frame_error("a frame that no pool sends");
    }
    from.end();
}

void worker_agent::begin(std::string_view hello) {
    terms_ = terms_of(hello);
    hello_ = {};
    stream_.set_silence_limit(terms_.silence_limit);
    program_ = program_of_worker({}, terms_.arguments, terms_.through, terms_.pool, !terms_.around.folder.empty());
    environment_ = environment_of_worker(terms_.environment ? &*terms_.environment : nullptr);
    ::prctl(PR_SET_NAME, (terms_.pool.substr(0, 11) + "-agt").c_str());
    phase_ = phase::serving;
}

void worker_agent::start(std::uint32_t number) {
    try {
        if (workers_.size() >= most_workers)
            throw std::runtime_error("the agent has too many workers already");
        workers_.emplace(
            number, served_worker(start_worker(program_.path, program_.arguments, environment_, terms_.around)));
    } catch (const std::runtime_error& e) {
        say_end(number, 0, process_end(), e.what());
    }
}

void worker_agent::take(served_worker* w, std::uint32_t number, std::string_view piece, bool is_last) {
    if (w == nullptr)
        return;
    w->take(piece, is_last, terms_.message_limit);
    if (w->begins_call()) {
        // The pool sends a call when it has all of the answer before. Whatever the worker has sent since then would
        // cost this call: it goes to another worker, as it has not begun.
        if (w->has_sent_unasked()) {
            w->give_up();
            return;
        }
        w->expect_answer();
        stream_.put(frame_type::worker_begun, frames::payload_writer().number32(number).take());
    }
    w->send();
}

std::size_t worker_agent::read_some(std::uint32_t number, served_worker& w) {
    std::array<char, frames::largest_piece> bytes; // NOLINT: filled below
    ssize_t n = 0;
    do
        n = ::recv(w.process().socket(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return 0;
    if (n == 0) {
        w.stop_reading();
        stream_.put(frame_type::worker_close, frames::payload_writer().number32(number).take());
        return 0;
    }
    const std::string_view sent(bytes.data(), static_cast<std::size_t>(n));
    w.note_sent(sent);
    stream_.put(frame_type::worker_data, frames::payload_writer().number32(number).rest(sent).take());
    return static_cast<std::size_t>(n);
}

void worker_agent::read_what_is_left(std::uint32_t number, served_worker& w) {
    std::uint64_t sum = 0;
    for (int i = 0; i != most_reads_after_end && w.is_read(); ++i) {
        const auto count = read_some(number, w);
        sum += count;
        if (count == 0 || sum > terms_.message_limit + most_beyond_message)
            return;
    }
}

void worker_agent::conclude(std::uint32_t number, served_worker& w) {
    // Its children are killed first, so that nothing writes to the socket any more.
    w.process().kill_group();
    read_what_is_left(number, w);
    const auto how = w.process().reap();
    say_end(number, w.process().id(), how, {});
    workers_.erase(number);
}

void worker_agent::say_end(std::uint32_t number, pid_t process, const process_end& how, std::string_view why) {
    stream_.put(frame_type::worker_ended, frames::payload_writer()
                                              .number32(number)
                                              .number32(static_cast<std::uint32_t>(process))
                                              .number32(static_cast<std::uint32_t>(how.signal))
                                              .number32(static_cast<std::uint32_t>(how.exit_status))
                                              .number8(how.known ? 1 : 0)
                                              .text(why.substr(0, 4000))
                                              .take());
}

void worker_agent::end_all() noexcept {
    for (auto& [number, w] : workers_)
        static_cast<void>(w.process().kill());
    for (auto& [number, w] : workers_) {
        w.process().kill_group();
        w.process().reap();
    }
    workers_.clear();
}

/// The connection takes the place of standard input and output: workers have /dev/null and standard error instead, so
/// that what they print is not taken for frames.
detail::owned_fd take_over(int descriptor) {
    detail::owned_fd taken(::fcntl(descriptor, F_DUPFD_CLOEXEC, 10));
    if (!taken.is_open())
        throw std::system_error(errno, std::generic_category(), "an agent needs standard input and output");
    return taken;
}

} // namespace

void serve_as_agent(const std::string& problem) {
    try {
        auto in = take_over(STDIN_FILENO);
        auto out = take_over(STDOUT_FILENO);
        const detail::owned_fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!nothing.is_open() || ::dup2(nothing.get(), STDIN_FILENO) < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
            throw std::system_error(errno, std::generic_category(), "standard input and output can't be replaced");
        // A pool that is gone must not end the agent before its workers.
        static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
        worker_agent agent(std::move(in), std::move(out), problem);
        std::string why;
        try {
            agent.serve();
        } catch (const frames::frame_error& e) {
            why = std::string("the pool sent ") + e.what();
        } catch (const std::bad_alloc&) {
            why = "no memory"; // a text that is so short needs none
        } catch (const std::exception& e) {
            why = e.what();
        }
        agent.end_all();
        if (why.empty())
            std::exit(0);
        std::fprintf(stderr, "muster agent %d: %s\n", static_cast<int>(::getpid()), why.c_str());
    } catch (const std::exception& e) {
        std::fprintf(stderr, "muster agent %d: %s\n", static_cast<int>(::getpid()), e.what());
    }
    std::exit(2);
}

} // namespace muster::workers
