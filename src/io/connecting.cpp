// SPDX-License-Identifier: MIT
/// \file
/// Attempts are sockets that are connecting, and no tasks: one wait covers all of them and the time of the schedule's
/// next step. The first socket that is connected is taken, and leaving the function closes the others.
#include "io/connecting.hpp"

#include "io/descriptor.hpp"
#include "posix/system_error.hpp"

#include <muster/detail/scheduler.hpp>
#include <muster/detail/timer_heap.hpp>
#include <muster/io/error.hpp>
#include <muster/sleep.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/socket.h>

namespace muster::detail {

namespace {

class attempts_wait;

/// A socket that is connecting.
class attempt final : public descriptor::waiter {
public:
    explicit attempt(std::size_t number) noexcept : number_(number) {}
    attempt(attempt&& other) = delete;
    ~attempt() { end_wait(); }

    [[nodiscard]] std::size_t number() const noexcept { return number_; }

    /// *Returns* what connect(2) says: EINPROGRESS if it has to be waited for. *Errors*: std::system_error.
    std::error_code begin(const io::address& to) {
        socket_ = make_socket(to.family());
        if (::connect(socket_->fd(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) == 0)
            return {};
        return system_code(errno == EINTR ? EINPROGRESS : errno);
    }

    [[nodiscard]] std::error_code begin_wait(attempts_wait& w, event_loop& loop) noexcept {
        told_ = &w;
        return socket_->begin_wait(*this, descriptor::side::writing, loop);
    }
    void end_wait() noexcept {
        if (socket_ != nullptr)
            socket_->end_wait(*this, descriptor::side::writing);
    }

    /// The socket has become writable: it is connected, or has failed.
    [[nodiscard]] bool is_ready() const noexcept { return ready_; }
    /// After it was ready. *Returns* no error if it is connected.
    [[nodiscard]] std::error_code result() const noexcept {
        MUSTER_ASSERT(ready_);
        int error = 0;
        socklen_t bytes = sizeof error;
        if (::getsockopt(socket_->fd(), SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
            error = errno;
        return system_code(error);
    }
    [[nodiscard]] io::stream take() noexcept {
        set_no_delay_on(socket_->fd());
        return io::stream(std::move(socket_));
    }

private:
    void on_ready() noexcept override;

    std::size_t number_;
    std::shared_ptr<descriptor> socket_;
    attempts_wait* told_ = nullptr;
    bool ready_ = false;
};

using attempts = std::vector<std::unique_ptr<attempt>>;

/// Waits until one of the attempts is ready, or until a time.
class attempts_wait final : public library_awaitable, public suspension, private timer {
public:
    attempts_wait(attempts& all, nanoseconds until) noexcept
        : suspension(kind_of),
          timer([](timer& t) noexcept { static_cast<attempts_wait&>(t).end(); }),
          all_(&all),
          until_(until) {}
    ~attempts_wait() { stop(); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber_ = h.promise().fiber_;
        failure_ = begin(static_cast<event_loop&>(fiber_->loop()));
        if (failure_)
            fiber_->yield(h);
        else
            fiber_->wait(*this, h);
    }
    void await_resume() const {
        fiber_->throw_if_cancelled();
        if (failure_)
            throw std::system_error(failure_, "a connection can't be waited for");
    }

    /// An attempt is ready, or the time has come.
    void end() noexcept {
        stop();
        fiber_->wake();
    }

private:
    [[nodiscard]] std::error_code begin(event_loop& loop) noexcept {
        loop_ = &loop;
        for (auto& a : *all_) {
            const auto failed = a->begin_wait(*this, loop);
            if (failed) {
                stop();
                return failed;
            }
        }
        if (loop.arm(*this, until_))
            return {};
        stop();
        return system_code(ENOMEM);
    }
    void stop() noexcept {
        if (loop_ == nullptr)
            return;
        for (auto& a : *all_)
            a->end_wait();
        std::exchange(loop_, nullptr)->disarm(*this);
    }
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
        static_cast<attempts_wait&>(s).stop();
        return cancel_effect::interrupted;
    }
    static constexpr suspension_kind kind_of{.what = "a connection", .cancel = &cancel, .can_fail = true};

    attempts* all_;
    nanoseconds until_;
    event_loop* loop_ = nullptr; ///< set while it waits
    std::error_code failure_;
};

void attempt::on_ready() noexcept {
    ready_ = true;
    told_->end();
}

/// The addresses that have failed, each with its error.
class failures {
public:
    explicit failures(const std::vector<io::address>& all) noexcept : addresses_(&all) {}
    void add(std::size_t number, std::error_code why) { all_.emplace_back((*addresses_)[number].text(), why); }
    [[noreturn]] void throw_all(const std::string& target) { throw io::connect_error(target, std::move(all_)); }

private:
    const std::vector<io::address>* addresses_;
    std::vector<io::failed_attempt> all_;
};

/// *Returns* the connection if it is made at once, as some local ones are; else a closed stream: the attempt then is
/// among `all`, or `failed` says why there is none.
io::stream begin_attempt(const io::address& to, std::size_t number, attempts& all, std::error_code& failed) {
    auto made = std::make_unique<attempt>(number);
    try {
        failed = made->begin(to);
    } catch (const std::system_error& e) {
        failed = e.code();
        return io::stream();
    }
    if (!failed)
        return made->take();
    if (failed == std::errc::operation_in_progress) {
        all.push_back(std::move(made));
        failed.clear();
    }
    return io::stream();
}

task<io::stream> connect_by_path(std::string target, io::address to) {
    auto pause = std::chrono::milliseconds(1);
    for (;;) {
        auto socket = make_socket(AF_UNIX);
        if (::connect(socket->fd(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) == 0)
            co_return io::stream(std::move(socket));
        if (errno != EAGAIN && errno != EINTR) {
            std::vector<io::failed_attempt> failed;
            failed.emplace_back(to.text(), system_code(errno));
            throw io::connect_error(target, std::move(failed));
        }
        // The listener's queue is full, and the system does not report when there is room again.
        socket = nullptr;
        co_await sleep_for(pause);
        if (pause < std::chrono::milliseconds(50))
            pause *= 2;
    }
}

} // namespace

task<io::stream> connect_to_first(std::string target, std::vector<io::address> all, io::connect_options options) {
    MUSTER_ASSERT(!all.empty());
    if (all.front().family() == AF_UNIX) {
        auto connecting = connect_by_path(std::move(target), all.front());
        auto made = co_await std::move(connecting);
        co_return made;
    }
    io::connect_schedule schedule(all.size(), options);
    failures failed(all);
    attempts running;
    for (;;) {
        const auto now = scheduler::require("connecting").now();
        const auto step = schedule.next(now);
        // The schedule has ended attempts that took too long.
        std::erase_if(running, [&](const auto& a) {
            if (!schedule.timed_out(a->number()))
                return false;
            failed.add(a->number(), system_code(ETIMEDOUT));
            return true;
        });
        if (step.what == io::connect_schedule::action::give_up)
            failed.throw_all(target);
        if (step.what == io::connect_schedule::action::begin) {
            std::error_code code;
            auto made = begin_attempt(all[step.attempt], step.attempt, running, code);
            if (made.is_open())
                co_return made;
            if (code) {
                failed.add(step.attempt, code);
                schedule.failed(step.attempt);
            }
            continue;
        }
        attempts_wait waiting(running, step.until);
        co_await waiting;
        for (auto& a : running) {
            if (!a->is_ready())
                continue;
            const auto code = a->result();
            if (!code)
                co_return a->take();
            failed.add(a->number(), code);
            schedule.failed(a->number());
        }
        std::erase_if(running, [](const auto& a) { return a->is_ready(); });
    }
}

} // namespace muster::detail
