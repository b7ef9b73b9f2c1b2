// SPDX-License-Identifier: MIT
// The one thread of a pool: gives calls to workers, reads their answers, starts, kills and buries them.
#include "state.hpp"

#include <muster/error.hpp>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <new>

namespace muster {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t starts_before_giving_up = 3;
constexpr auto time_to_exit = 5s;      ///< static objects are destroyed, leak checkers look for leaks
constexpr auto look_for_deaths = 20ms; ///< on a system without descriptors of processes
constexpr int reads_in_a_row = 16;     ///< of one worker, while others wait
constexpr std::uint64_t said_by_dead = std::uint64_t{8} << 30; ///< that is read after a worker's death, at most

/// No time is too long to be added.
std::chrono::steady_clock::time_point from_now(std::chrono::nanoseconds time) noexcept {
    using clock = std::chrono::steady_clock;
    const auto now = clock::now();
    return time >= clock::time_point::max() - now ? clock::time_point::max() : now + time;
}

thread_local const void* supervised = nullptr; ///< the state of the pool whose thread this is

/// The error that `make` returns, or that there was no memory for it.
template <class Make>
std::exception_ptr error_of(Make make) noexcept {
    try {
        return std::make_exception_ptr(make());
    } catch (...) {
        return std::current_exception();
    }
}

std::string name_of_signal(int number) {
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
    if (const char* name = ::sigabbrev_np(number))
        return std::to_string(number) + " (SIG" + name + ')';
#endif
#endif
    return std::to_string(number);
}

std::string text_of(const workers::process_end& how) {
    if (!how.known)
        return "ended (how is not known: something else in this program waits for any child, or ignores SIGCHLD)";
    if (how.signal == 0)
        return "exited with status " + std::to_string(how.exit_status);
    return "was killed by signal " + name_of_signal(how.signal);
}

void set_cancelled(outcome_base& o, cancel_reason reason, const char* text) noexcept {
    try {
        detail_outcome_access::set_cancelled(
            o, outcome_state::cancelled, reason, detail::cancel_text_ptr::make(text, {}));
    } catch (...) {
        // Without memory the cancellation says less, but it is one.
        detail_outcome_access::set_cancelled(o, outcome_state::cancelled, reason, {});
    }
}

std::string seconds(std::chrono::nanoseconds t) {
    auto text = std::to_string(std::chrono::duration<double>(t).count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.')
        text.pop_back();
    return text + " s";
}

} // namespace

int process_pool::worker::send() noexcept {
    const std::size_t total = head.size() + body->size();
    while (sent != total) {
        std::array<iovec, 2> parts{};
        std::size_t count = 0;
        if (sent < head.size())
            parts[count++] = {head.data() + sent, head.size() - sent};
        const std::size_t at = sent < head.size() ? 0 : sent - head.size();
        if (at != body->size())
            parts[count++] = {const_cast<std::uint8_t*>(body->data()) + at, body->size() - at};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const auto n = ::sendmsg(process.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            sent += static_cast<std::size_t>(n);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        else if (errno != EINTR)
            return errno;
    }
    body = nullptr;
    return 0;
}

// ---- the queue; with the lock ----

void process_pool::state::push_back(job& j) noexcept {
    j.after_ = nullptr;
    j.before_ = last;
    (last != nullptr ? last->after_ : first) = &j;
    last = &j;
    j.queued_ = true;
    ++waiting;
}

void process_pool::state::push_front(job& j) noexcept {
    j.before_ = nullptr;
    j.after_ = first;
    (first != nullptr ? first->before_ : last) = &j;
    first = &j;
    j.queued_ = true;
    ++waiting;
}

void process_pool::state::remove(job& j) noexcept {
    (j.before_ != nullptr ? j.before_->after_ : first) = j.after_;
    (j.after_ != nullptr ? j.after_->before_ : last) = j.before_;
    j.queued_ = false;
    --waiting;
}

executor_job* process_pool::state::take_queue() noexcept {
    for (auto* j = first; j != nullptr; j = j->after_)
        static_cast<job*>(j)->queued_ = false;
    last = nullptr;
    waiting = 0;
    return std::exchange(first, nullptr);
}

void process_pool::state::wake() noexcept {
    if (std::exchange(woken, true))
        return;
    const std::uint64_t one = 1;
    // It can't be full: it was emptied before the flag was taken back.
    while (::write(wake_up.get(), &one, sizeof one) < 0 && errno == EINTR) {}
}

// ---- the thread ----

bool process_pool::state::is_own_thread() const noexcept { return supervised == this; }

void process_pool::state::supervise() noexcept {
    supervised = this;
    try {
        ::pthread_setname_np(::pthread_self(), (options.name_.substr(0, 11) + "-sup").c_str());
    } catch (const std::bad_alloc&) {
        ::pthread_setname_np(::pthread_self(), "processes-sup");
    }
    while (turn()) {}
}

bool process_pool::state::turn() noexcept {
    executor_job* refused = nullptr;
    bool start = false;
    {
        const std::lock_guard own(lock);
        woken = false;
        if (closing) {
            if (at_once)
                refused = take_queue();
            go_on_closing();
        }
        dispatch();
        start = wants_another();
        if (closing && !start && waiting == 0 && crew.empty() && refused == nullptr)
            return false;
    }
    while (refused != nullptr)
        std::exchange(refused, refused->after_)->refuse(cancel_reason::shutdown);
    if (start && clock::now() >= next_start)
        start_one();
    wait_for_events();
    return true;
}

/// With the lock.
void process_pool::state::go_on_closing() noexcept {
    for (auto& w : crew) {
        if (at_once && w->why == worker::cause::none && (w->stage_ == worker::stage::busy))
            w->kill(worker::cause::shutdown);
        if (waiting != 0)
            continue;
        if (w->stage_ == worker::stage::idle) {
            w->stage_ = worker::stage::ending;
            w->deadline = clock::now() + time_to_exit;
            ::shutdown(w->process.socket.get(), SHUT_WR); // it exits when it reads the end
        } else if (w->stage_ == worker::stage::starting && w->why == worker::cause::none) {
            w->kill(worker::cause::shutdown);
        }
    }
}

/// With the lock.
void process_pool::state::dispatch() noexcept {
    for (auto& w : crew) {
        if (first == nullptr)
            return;
        // One that was killed meanwhile may not know it yet.
        if (w->stage_ == worker::stage::idle && w->why == worker::cause::none && !w->hung_up && !w->broken)
            give(*w, static_cast<job&>(*first));
    }
}

/// With the lock.
void process_pool::state::give(worker& w, job& j) noexcept {
    remove(j);
    w.begin_sending(++calls, j.request_->message);
    const int error = w.send();
    if (error != 0 && w.sent == 0) {
        // It died while it had nothing to do: the call has not begun, and is another one's.
        w.body = nullptr;
        w.hung_up = true;
        w.process.kill();
        push_front(j);
        return;
    }
    j.begin();
    j.worker_ = &w;
    w.job_ = &j;
    w.stage_ = worker::stage::busy;
    ++at_work;
    if (options.call_timeout_ > 0ns)
        w.deadline = from_now(options.call_timeout_);
    if (error != 0) {
        w.hung_up = true;
        w.process.kill();
    }
}

/// With the lock.
bool process_pool::state::wants_another() const noexcept {
    if (waiting == 0 || crew.size() == options.processes_)
        return false;
    std::size_t soon = 0;
    for (const auto& w : crew)
        soon += (w->stage_ == worker::stage::starting || w->stage_ == worker::stage::idle) && !w->hung_up &&
                        w->why == worker::cause::none
                    ? 1U
                    : 0U;
    return waiting > soon;
}

void process_pool::state::start_one() noexcept {
    try {
        auto w = std::make_unique<worker>();
        w->process = workers::start_worker(path, arguments, environment);
        w->deadline = from_now(options.start_timeout_);
        w->begin_sending(0, greeting);
        if (w->send() != 0)
            w->hung_up = true; // it is dead already: that is seen next
        const std::lock_guard own(lock);
        crew.push_back(std::move(w)); // there is room
    } catch (const std::exception& e) {
        start_failed(e.what());
    }
}

void process_pool::state::start_failed(const std::string& reason, bool for_good) noexcept {
    ++failed_starts;
    next_start =
        clock::now() + std::min<clock::duration>(10ms * (1U << std::min<std::size_t>(failed_starts, 4)), 100ms);
    const bool none_left = std::all_of(crew.begin(), crew.end(), [](const auto& w) { return w->broken || w->hung_up; });
    if (none_left && (for_good || failed_starts >= starts_before_giving_up))
        give_up(reason);
}

void process_pool::state::give_up(const std::string& reason) noexcept {
    // The next call is worth one attempt.
    failed_starts = starts_before_giving_up - 1;
    executor_job* failed = nullptr;
    {
        const std::lock_guard own(lock);
        failed = take_queue();
    }
    while (failed != nullptr) {
        auto& j = static_cast<job&>(*std::exchange(failed, failed->after_));
        j.begin();
        detail_outcome_access::set_error(*j.outcome_, error_of([&] {
            return worker_start_error("no process of the pool '" + options.name_ +
                                      "' could be started to make the call of '" + j.request_->entry->name +
                                      "': " + reason);
        }));
        j.finish();
    }
}

int process_pool::state::poll_timeout() const noexcept {
    auto until = clock::time_point::max();
    for (const auto& w : crew) {
        until = std::min(until, w->deadline);
        if (!w->process.end) // nobody tells of its death
            until = std::min(until, clock::now() + look_for_deaths);
    }
    {
        const std::lock_guard own(lock);
        if (wants_another())
            until = std::min(until, next_start);
    }
    if (until == clock::time_point::max())
        return -1;
    const auto now = clock::now();
    if (until <= now)
        return 0;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
    return static_cast<int>(std::min<decltype(wait)>(wait, INT_MAX));
}

void process_pool::state::wait_for_events() noexcept {
    polled.clear(); // there is room for all
    polled.push_back({wake_up.get(), POLLIN, 0});
    for (const auto& w : crew) {
        const bool deaf = w->hung_up || w->broken;
        const auto events = static_cast<short>(POLLIN | (w->has_to_send() ? POLLOUT : 0));
        polled.push_back({deaf ? -1 : w->process.socket.get(), events, 0});
        polled.push_back({w->process.end.get(), POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), poll_timeout()) < 0) {
        // No memory for it, or the limit of descriptors was lowered: it may work later.
        if (errno != EINTR)
            std::this_thread::sleep_for(10ms);
        return;
    }
    if (polled[0].revents != 0) {
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_up.get(), &count, sizeof count));
    }
    const std::size_t count = crew.size();
    for (std::size_t i = 0; i != count; ++i)
        if (!handle_events(*crew[i], polled[2 * i + 1].revents, polled[2 * i + 2].revents))
            polled[2 * i + 1].fd = -2;
    // Those that are dead and done with go, from the last to the first.
    for (std::size_t i = count; i-- != 0;)
        if (polled[2 * i + 1].fd == -2) {
            const std::lock_guard own(lock);
            crew.erase(crew.begin() + static_cast<std::ptrdiff_t>(i));
        }
}

bool process_pool::state::handle_events(worker& w, short on_socket, short on_end) noexcept {
    if ((on_socket & POLLOUT) != 0 && w.has_to_send() && w.send() != 0)
        w.hung_up = true;
    if ((on_socket & (POLLIN | POLLHUP | POLLERR)) != 0)
        read_socket(w);
    if (w.hung_up && on_end == 0) {
        // Either it is about to end, or it is of no use any more. What made it end has been decided, if it was
        // anything.
        w.process.kill();
    }
    if (on_end != 0 || (!w.process.end && w.process.has_ended())) {
        bury(w);
        return false;
    }
    if (clock::now() >= w.deadline)
        strike_deadline(w);
    return true;
}

bool process_pool::state::read_socket(worker& w) noexcept {
    for (int i = 0; i != reads_in_a_row && !w.broken && !w.hung_up; ++i) {
        const auto n = ::recv(w.process.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (n <= 0) {
            w.hung_up = true;
            return false;
        }
        try {
            w.received.insert(w.received.end(), buffer.begin(), buffer.begin() + n);
            take_messages(w);
        } catch (...) {
            break_off(w, std::current_exception());
        }
    }
    return !w.broken && !w.hung_up;
}

void process_pool::state::take_messages(worker& w) {
    std::size_t at = 0;
    while (w.received.size() - at >= wire::header_bytes) {
        const auto head = wire::read_header(w.received.data() + at);
        if (head.length > options.message_limit_)
            throw wire_error("it announced a message of " + std::to_string(head.length) +
                             " bytes, and the message limit is " + std::to_string(options.message_limit_));
        if (w.received.size() - at - wire::header_bytes < head.length)
            break;
        take_message(w, head.number, w.received.data() + at + wire::header_bytes, head.length);
        at += wire::header_bytes + head.length;
    }
    w.received.erase(w.received.begin(), w.received.begin() + static_cast<std::ptrdiff_t>(at));
    if (w.stage_ == worker::stage::idle && !w.received.empty())
        throw wire_error("something follows its answer"); // which would be taken for the next one's beginning
    if (w.received.empty() && w.received.capacity() > (std::size_t{1} << 20))
        std::vector<std::uint8_t>().swap(w.received); // a large answer is no reason to keep so much
}

void process_pool::state::take_message(worker& w, std::uint64_t number, const std::uint8_t* bytes, std::size_t count) {
    const auto message = wire::read(bytes, count);
    if (number == 0 && message.is_object() && message.contains("problem") && w.stage_ != worker::stage::starting)
        throw wire_error(message.at("problem").get<std::string>());
    if (w.stage_ == worker::stage::starting && number == 0)
        take_hello(w, message);
    else if (w.stage_ == worker::stage::busy && number == w.number && !w.has_to_send())
        take_answer(w, message);
    else
        throw wire_error("it sent an answer that nobody had asked for");
}

void process_pool::state::take_hello(worker& w, const nlohmann::json& message) {
    if (!message.is_object() || message.value("muster", 0) != wire::version)
        throw wire_error("it is no worker of this version of muster");
    if (message.contains("problem")) {
        w.problem = message.at("problem").get<std::string>(); // it goes by itself, and prints the same before
        return;
    }
    w.deadline = clock::time_point::max();
    const std::lock_guard own(lock);
    w.stage_ = worker::stage::idle;
}

void process_pool::state::take_answer(worker& w, const nlohmann::json& message) {
    job& j = *w.job_;
    const auto& name = j.request_->entry->name;
    try {
        if (!message.is_object())
            throw wire_error("the answer is no map");
        if (message.contains("error"))
            detail_outcome_access::set_error(*j.outcome_, registry::rebuild(message.at("error")));
        else if (message.contains("cancelled"))
            set_cancelled(
                *j.outcome_, cancel_reason::raised, message.at("cancelled").get_ref<const std::string&>().c_str());
        else if (!message.contains("value"))
            throw wire_error("the answer has neither a value nor an error");
    } catch (const nlohmann::json::exception& e) {
        throw wire_error(std::string("the answer is malformed: ") + e.what());
    }
    if (message.contains("value")) {
        try {
            j.decode_(j, message.at("value"));
        } catch (...) {
            const auto why = std::current_exception();
            detail_outcome_access::set_error(*j.outcome_, error_of([&] {
                return wire_error("the result of '" + name + "' can't be read: " + detail::describe(why));
            }));
        }
    }
    w.has_served = true;
    w.deadline = clock::time_point::max();
    failed_starts = 0;
    release(w);
    j.finish();
}

void process_pool::state::break_off(worker& w, std::exception_ptr error) noexcept {
    w.error = std::move(error);
    w.broken = true;
    const std::lock_guard own(lock);
    w.kill(worker::cause::broken);
}

void process_pool::state::strike_deadline(worker& w) noexcept {
    w.deadline = clock::time_point::max();
    const std::lock_guard own(lock);
    switch (w.stage_) {
    case worker::stage::starting:
        w.kill(worker::cause::start_timeout);
        break;
    case worker::stage::busy:
        w.kill(worker::cause::call_timeout);
        break;
    case worker::stage::idle:
    case worker::stage::ending:
        w.kill(worker::cause::shutdown);
        break;
    }
}

process_pool::worker::cause process_pool::state::release(worker& w) noexcept {
    const std::lock_guard own(lock);
    w.job_->worker_ = nullptr;
    w.job_ = nullptr;
    w.body = nullptr;
    w.stage_ = worker::stage::idle;
    --at_work;
    return w.why;
}

void process_pool::state::bury(worker& w) noexcept {
    // First what could still write to the socket; then what it said before its death, which counts.
    w.process.kill_group();
    for (std::uint64_t rest = said_by_dead; read_socket(w) && rest > buffer.size(); rest -= buffer.size()) {}
    workers::process_end how;
    {
        // Nobody must send a signal to a process that is off the system's list.
        const std::lock_guard own(lock);
        how = w.process.reap();
        w.hung_up = true;
    }
    if (w.stage_ == worker::stage::busy)
        conclude_call(w, how);
    else if (!w.has_served && w.stage_ != worker::stage::ending)
        conclude_start(w, how);
}

std::string process_pool::state::describe(const worker& w) const {
    return "process " + std::to_string(w.process.id) + " of the pool '" + options.name_ + '\'';
}

void process_pool::state::conclude_call(worker& w, const workers::process_end& how) noexcept {
    failed_starts = 0; // it had begun a call: the program as such is in order
    job& j = *w.job_;
    auto& result = *j.outcome_;
    const auto& name = j.request_->entry->name;
    switch (release(w)) {
    case worker::cause::none:
    case worker::cause::start_timeout:
        detail_outcome_access::set_error(result, error_of([&] {
            std::string text = describe(w) + ' ' + text_of(how) + " while it called '" + name + '\'';
            if (how.signal == SIGKILL)
                text += ": somebody did that, or the system, for want of memory";
            return worker_died_error(text, static_cast<int>(w.process.id), how.signal, how.exit_status);
        }));
        break;
    case worker::cause::call_timeout:
        detail_outcome_access::set_error(result, error_of([&] {
            return timeout_error("'" + name + "' took longer than " + seconds(options.call_timeout_) + ", so " +
                                 describe(w) + " was killed");
        }));
        break;
    case worker::cause::cancelled:
        set_cancelled(
            result, cancel_reason::requested, "the process of the call was killed, because it had been cancelled");
        break;
    case worker::cause::shutdown:
        set_cancelled(
            result, cancel_reason::shutdown, "the process of the call was killed, because the pool was stopped");
        break;
    case worker::cause::broken:
        detail_outcome_access::set_error(result, error_of([&] {
            return wire_error(describe(w) + " was killed, because what it sent while it called '" + name +
                              "' can't be read: " + detail::describe(w.error));
        }));
        break;
    }
    j.finish();
}

void process_pool::state::conclude_start(worker& w, const workers::process_end& how) noexcept {
    auto why = worker::cause::none;
    {
        const std::lock_guard own(lock);
        why = w.why;
    }
    if (why == worker::cause::shutdown)
        return;
    std::string reason;
    try {
        if (!w.problem.empty())
            reason = w.problem;
        else if (why == worker::cause::start_timeout)
            reason = describe(w) + " was not ready within " + seconds(options.start_timeout_) +
                     ", and was killed: does its main call muster::process_pool::serve_if_worker() first of all?";
        else if (w.error)
            reason = describe(w) + " was killed: " + detail::describe(w.error);
        else if (w.stage_ == worker::stage::starting)
            reason = describe(w) + ' ' + text_of(how) +
                     " before it was ready: does its main call "
                     "muster::process_pool::serve_if_worker() first of all?";
        else
            reason = describe(w) + ' ' + text_of(how) + " before its first call";
    } catch (const std::bad_alloc&) {
        reason = "no memory";
    }
    start_failed(reason, !w.problem.empty());
}

} // namespace muster
