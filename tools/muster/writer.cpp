// SPDX-License-Identifier: MIT
// This file is the loop of the writer's thread: work() polls the files that have texts waiting and writes a piece to
// each that has room. Its patience goes from with_readers to for_a_moment at hurry(), after which readers that take
// nothing are given up, and to over in the destructor, where the thread fails all that is left and ends. last_line says
// what the last line of a file holds: nothing, the beginning of an output, or, on the terminal, the status.
//
// A write() may wait although poll() has said that there is room: somebody else wrote meanwhile, or a terminal has less
// room than the text needs. A signal interrupts it. As one signal may come just before the write() begins, hurry()
// repeats it while the thread writes, and from then on a timer of the thread sends one every moment.
#include "writer.hpp"

#include "posix/signal_actions.hpp"
#include "progress.hpp"
#include "streams.hpp"

#include "http/scrub.hpp"
#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool {

namespace {

/// A pipe or terminal that poll() calls writable takes so much without a wait.
constexpr std::size_t piece_of_pipe = PIPE_BUF;
constexpr std::size_t piece_of_file = std::size_t{256} << 10;
/// How long a reader may take nothing once there was an interrupt.
constexpr int moment_in_milliseconds = 100;

constexpr std::string_view erase_line = "\r\x1b[K";
constexpr const char* not_read = "nobody had read it by the time of the interrupt";

/// *Returns* what takes a status away that stands on the terminal, and leaves the cursor where it began.
std::string erasure_of(std::string_view status) {
    std::string keys(erase_line);
    for (auto lines = std::ranges::count(status, '\n'); lines > 0; --lines)
        keys += "\x1b[A\x1b[K";
    return keys;
}

/// *Returns* what turns the status that is shown into another. Each line is overwritten and only its rest erased, so
/// that nothing blinks.
std::string redrawing(std::string_view shown, std::string_view status) {
    const auto lines = std::ranges::count(shown, '\n');
    if (shown.empty() || lines != std::ranges::count(status, '\n'))
        return (shown.empty() ? std::string() : erasure_of(shown)) + std::string(status);
    std::string keys = "\r";
    for (auto up = lines; up > 0; --up)
        keys += "\x1b[A";
    for (const char c : status)
        keys += c == '\n' ? "\x1b[K\n" : std::string(1, c);
    return keys + "\x1b[K";
}

constexpr int interrupting_signal = SIGURG;
/// With so many writes in a row that were interrupted, and took a moment each, a reader takes nothing.
constexpr int most_fruitless = 2;

sigset_t interruption() noexcept {
    sigset_t only_that;
    sigemptyset(&only_that);
    sigaddset(&only_that, interrupting_signal);
    return only_that;
}

} // namespace

std::atomic<writer*> writer::current_ = nullptr;

writer::writer() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_.is_open())
        throw std::system_error(errno, std::generic_category(), "nothing can be written");
    struct sigaction wake {};
    wake.sa_handler = [](int) {};
    ::sigaction(interrupting_signal, &wake, nullptr);
    if (::isatty(STDERR_FILENO) == 1)
        terminal_ = &sink_of(STDERR_FILENO);
    {
        const muster::detail::all_signals_blocked before_the_thread_inherits;
        thread_ = std::thread([this] { work(); });
    }
    MUSTER_ASSERT(current_ == nullptr);
    current_ = this;
}

writer::~writer() {
    current_ = nullptr;
    {
        const std::lock_guard mine(lock_);
        patience_ = patience::over;
    }
    wake();
    interrupt_write();
    thread_.join();
}

void writer::wake() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

writer::sink* writer::find_sink(int fd) const {
    struct stat about {};
    const bool known = ::fstat(fd, &about) == 0;
    for (const auto& s : sinks_) {
        if (known ? s->device_number == about.st_dev && s->inode == about.st_ino : s->fd == fd)
            return s.get();
    }
    return nullptr;
}

writer::sink& writer::sink_of(int fd) {
    if (auto* known = find_sink(fd))
        return *known;
    struct stat about {};
    const bool is_open = ::fstat(fd, &about) == 0;
    sinks_.push_back(std::make_unique<sink>(fd, about.st_dev, about.st_ino));
    sinks_.back()->is_regular = !is_open || S_ISREG(about.st_mode);
    return *sinks_.back();
}

void writer::keep_texts_whole(int fd) {
    const std::lock_guard mine(lock_);
    sink_of(fd).keeps_texts_whole = true;
}

void writer::write(int fd, spool text, done_function done) { enqueue(fd, std::move(text), std::move(done), false); }

void writer::write_on_new_line(int fd, std::string_view text) { enqueue(fd, spool(file_, text), {}, true); }

void writer::enqueue(int fd, spool text, done_function done, bool on_new_line) {
    {
        const std::lock_guard mine(lock_);
        sink_of(fd).items.emplace_back(std::move(text), std::move(done), on_new_line);
    }
    wake();
}

void writer::show_status(std::string lines) {
    {
        const std::lock_guard mine(lock_);
        if (terminal_ == nullptr || lines == status_)
            return;
        status_ = std::move(lines);
    }
    wake();
}

void writer::note_echo() {
    const std::lock_guard mine(lock_);
    echoed_ = true;
}

void writer::leave_terminal() {
    using namespace std::chrono_literals;
    std::unique_lock lock(lock_);
    if (terminal_ == nullptr)
        return;
    status_.clear();
    wake();
    // A terminal that takes nothing, as after Ctrl-S, is not waited for.
    written_.wait_for(lock, 200ms, [this] { return shown_.empty(); });
    shown_.clear();
    terminal_->last = last_line::empty;
}

void writer::hurry() noexcept {
    {
        const std::lock_guard mine(lock_);
        if (patience_ == patience::with_readers)
            patience_ = patience::for_a_moment;
    }
    wake();
    interrupt_write();
}

/// A write() that begins later sees to its end itself. The number keeps a disk that does not answer, which no signal
/// interrupts, from holding up the next interrupt.
void writer::interrupt_write() noexcept {
    using namespace std::chrono_literals;
    for (int i = 0; i != 100 && needs_interrupt_; ++i) {
        ::pthread_kill(thread_.native_handle(), interrupting_signal);
        std::this_thread::sleep_for(1ms);
    }
}

void writer::drain() {
    std::unique_lock lock(lock_);
    written_.wait(lock, [this] { return all_written(); });
}

std::string writer::problem_of(int fd) const {
    const std::lock_guard mine(lock_);
    const auto* s = find_sink(fd);
    return s != nullptr ? s->problem : std::string();
}

bool writer::status_is_due() const noexcept {
    return terminal_ != nullptr && shown_ != status_ && terminal_->problem.empty() && terminal_->items.empty() &&
           terminal_->last != last_line::output;
}

bool writer::all_written() const noexcept {
    return std::ranges::all_of(sinks_, [](const auto& s) { return s->items.empty(); }) && !status_is_due();
}

void writer::work() {
    const auto only_that = interruption();
    pthread_sigmask(SIG_UNBLOCK, &only_that, nullptr);
    std::unique_lock lock(lock_);
    std::vector<pollfd> polled;
    std::vector<sink*> waiting;
    for (;;) {
        if (patience_ == patience::over) {
            for (std::size_t i = 0; i != sinks_.size(); ++i)
                fail(lock, *sinks_[i], not_read);
            if (ticks_)
                ::timer_delete(*ticks_);
            return;
        }
        if (all_written())
            written_.notify_all();
        polled = {{wake_.get(), POLLIN, 0}};
        waiting = {nullptr};
        bool has_regular = false;
        for (const auto& s : sinks_) {
            if (s->items.empty() && !(s.get() == terminal_ && status_is_due()))
                continue;
            has_regular = has_regular || s->is_regular;
            polled.push_back({s->is_regular ? -1 : s->fd, POLLOUT, 0});
            waiting.push_back(s.get());
        }
        const bool hurries = patience_ == patience::for_a_moment && waiting.size() > 1;
        lock.unlock();
        const int ready = ::poll(polled.data(), polled.size(), has_regular ? 0 : hurries ? moment_in_milliseconds : -1);
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_.get(), &count, sizeof count));
        lock.lock();
        for (std::size_t i = 1; i != waiting.size(); ++i) {
            auto& s = *waiting[i];
            if (s.is_regular || (ready > 0 && polled[i].revents != 0)) {
                if (s.items.empty())
                    draw_status(lock);
                else
                    write_piece(lock, s);
            } else if (hurries && ready == 0 && !has_regular) {
                if (&s == terminal_)
                    shown_ = status_;
                fail(lock, s, not_read);
            }
        }
    }
}

void writer::write_piece(std::unique_lock<std::mutex>& lock, sink& s) {
    if (!s.problem.empty()) {
        fail(lock, s, s.problem);
        return;
    }
    // Other threads only add to the end of the queue while the lock is not held.
    auto& first = s.items.front();
    const bool on_terminal = &s == terminal_;
    const std::string status = on_terminal ? status_ : std::string();
    std::string before;
    // If the last line is a status, the echo stands behind the status and is erased with it.
    if (on_terminal && std::exchange(echoed_, false) && s.last == last_line::empty)
        s.last = last_line::output;
    if (s.last == last_line::status)
        before = erasure_of(shown_);
    else if (s.last == last_line::output && first.begins_line && first.written == 0)
        before = "\n";
    // An empty text leaves the last line as it is.
    const bool stays_in_line = s.last == last_line::output && before.empty();
    lock.unlock();
    std::string problem;
    bool ends_line = true;
    bool draws_status = false;
    bool did_nothing = false;
    try {
        std::string piece =
            first.text.read(first.written, s.is_regular ? piece_of_file : piece_of_pipe - before.size());
        // The status can only follow a whole line, so the piece is cut after its last line feed, if it has one.
        if (const auto feed = piece.rfind('\n');
            !status.empty() && feed != std::string::npos && first.written + piece.size() != first.text.size())
            piece.resize(feed + 1);
        const auto size = piece.size();
        ends_line = piece.empty() ? !stays_in_line : piece.back() == '\n';
        draws_status = !status.empty() && ends_line;
        // One write takes the status away, prints the piece and puts the status back, so that it does not blink.
        piece = before + piece + (draws_status ? status : std::string());
        std::size_t written = 0;
        problem = write_now(s, piece, written);
        did_nothing = written == 0 && !piece.empty();
        if (!did_nothing && written != piece.size()) {
            ends_line = piece[written - 1] == '\n';
            draws_status = false;
        }
        first.written += std::min(written - std::min(written, before.size()), size);
    } catch (const std::exception& e) {
        problem = e.what();
    }
    lock.lock();
    if (on_terminal && !did_nothing)
        shown_ = draws_status ? status : std::string();
    if (!did_nothing)
        s.last = draws_status ? last_line::status : ends_line ? last_line::empty : last_line::output;
    if (!problem.empty()) {
        fail(lock, s, problem);
    } else if (first.written == first.text.size()) {
        const item over = std::move(first);
        s.items.pop_front();
        lock.unlock();
        if (over.done)
            over.done({});
        lock.lock();
    }
}

std::string writer::write_now(sink& s, std::string_view text, std::size_t& written) {
    while (!text.empty()) {
        const auto count = write_or_be_interrupted(s.fd, text);
        const int error = errno;
        const bool hurries = patience_ != patience::with_readers;
        if (count >= 0) {
            s.fruitless = 0;
            written += static_cast<std::size_t>(count);
            text.remove_prefix(static_cast<std::size_t>(count));
            // In a hurry, whether there is room for the rest is asked first.
            if (hurries && !s.is_regular)
                return {};
            continue;
        }
        // Somebody who shares it made it non-blocking: the rest is written when there is room.
        if (error == EAGAIN || error == EWOULDBLOCK)
            return {};
        if (error != EINTR)
            return std::generic_category().message(error);
        if (hurries)
            return ++s.fruitless < most_fruitless ? std::string() : not_read;
    }
    return {};
}

ssize_t writer::write_or_be_interrupted(int fd, std::string_view text) {
    needs_interrupt_ = true;
    // hurry() sees that the thread writes, or this thread sees that there is a hurry.
    if (patience_ != patience::with_readers && !ticks_)
        begin_to_tick();
    const auto only_that = interruption();
    if (ticks_) {
        needs_interrupt_ = false;
        pthread_sigmask(SIG_UNBLOCK, &only_that, nullptr);
    }
    const auto count = ::write(fd, text.data(), text.size());
    const int error = errno;
    if (ticks_)
        pthread_sigmask(SIG_BLOCK, &only_that, nullptr);
    needs_interrupt_ = false;
    errno = error;
    return count;
}

/// From now on the signal is blocked outside of write(), so that it does not shorten the time that poll() waits.
void writer::begin_to_tick() {
    const auto only_that = interruption();
    pthread_sigmask(SIG_BLOCK, &only_that, nullptr);
    sigevent how{};
    how.sigev_notify = SIGEV_THREAD_ID;
    how.sigev_signo = interrupting_signal;
    how._sigev_un._tid = ::gettid();
    timer_t timer{};
    if (::timer_create(CLOCK_MONOTONIC, &how, &timer) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &only_that, nullptr);
        return;
    }
    constexpr timespec moment{0, moment_in_milliseconds * 1'000'000L};
    const itimerspec every{moment, moment};
    ::timer_settime(timer, 0, &every, nullptr);
    ticks_ = timer;
}

void writer::fail(std::unique_lock<std::mutex>& lock, sink& s, const std::string& problem) {
    if (s.items.empty())
        return;
    if (s.problem.empty())
        s.problem = problem;
    const std::string why = s.problem;
    const auto half = s.keeps_texts_whole ? static_cast<off_t>(s.items.front().written) : 0;
    auto lost = std::exchange(s.items, {});
    lock.unlock();
    // A pipe can't be cut: there lseek() fails.
    if (const auto end = half != 0 ? ::lseek(s.fd, 0, SEEK_CUR) : -1; end >= half)
        static_cast<void>(!::ftruncate(s.fd, end - half));
    for (const auto& i : lost) {
        if (i.done)
            i.done(why);
    }
    lost.clear();
    lock.lock();
}

void writer::draw_status(std::unique_lock<std::mutex>& lock) {
    const std::string status = status_;
    const std::string keys = redrawing(terminal_->last == last_line::status ? shown_ : std::string(), status);
    lock.unlock();
    std::size_t written = 0;
    const auto problem = write_now(*terminal_, keys, written);
    lock.lock();
    shown_ = status;
    terminal_->last = status.empty() ? last_line::empty : last_line::status;
    if (!problem.empty())
        terminal_->problem = problem;
}

namespace {

/// A message quotes words that may hold anything. The only line of a message beside its first is one that names the
/// help.
std::string safe_message(std::string_view text) {
    constexpr std::size_t longest_message = 8000;
    std::string_view see;
    if (const auto at = text.rfind("\nSee muster "); at != std::string_view::npos) {
        see = text.substr(at + 1);
        text = text.substr(0, at);
    }
    std::string line = "muster: " + muster::detail::printable(muster::http::without_passwords(text), longest_message);
    if (!see.empty())
        line += '\n' + muster::detail::printable(see);
    return fold_for(STDERR_FILENO, line + '\n');
}

} // namespace

void complain(const std::string& text) {
    const std::string line = safe_message(text);
    if (auto* out = writer::current()) {
        try {
            out->write_on_new_line(STDERR_FILENO, line);
            return;
        } catch (const std::exception&) {
            // There is no room to keep it in: it is written at once.
        }
    }
    static_cast<void>(write_all(STDERR_FILENO, line));
}

} // namespace tool
