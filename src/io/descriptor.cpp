// SPDX-License-Identifier: MIT
/// \file
/// How a descriptor waits. Each side has at most one waiter. libuv watches the union of what was waited for:
///
///     begin_wait()          side is added to libuv's events (no system call if libuv watches it still)
///     end_wait(), on_ready  the waiter goes; libuv goes on watching, but keeps no loop alive for it
///     unwanted events       libuv stops watching that side, as it would report it again at once
///     close(), loop's end   the handle is given back to libuv; whoever waits is woken
#include "io/descriptor.hpp"

#include "loops/require_event_loop.hpp"
#include "posix/quiet_write.hpp"
#include "posix/system_error.hpp"

#include <muster/detail/wait_list.hpp>
#include <muster/io/error.hpp>
#include <muster/sleep.hpp>

#include <uv.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::detail {

namespace {

/// How many operations in a row may be done without letting others run.
constexpr std::uint8_t most_eager = 64;

descriptor::kind kind_of_fd(int fd) noexcept {
    struct stat found {};
    if (::fstat(fd, &found) != 0)
        return descriptor::kind::other;
    if (S_ISSOCK(found.st_mode))
        return descriptor::kind::socket;
    return S_ISFIFO(found.st_mode) ? descriptor::kind::pipe : descriptor::kind::other;
}

/// How far a write has come. However the write ends, the descriptor remembers if that was within its bytes.
class write_progress {
public:
    write_progress(descriptor& d, std::span<const std::byte> all) noexcept : of_(&d), all_(all) {}
    ~write_progress() {
        if (done_ != 0 && !complete())
            of_->write_ended_after(done_);
    }
    write_progress(const write_progress&) = delete;
    write_progress& operator=(const write_progress&) = delete;

    [[nodiscard]] bool complete() const noexcept { return done_ == all_.size(); }
    [[nodiscard]] std::span<const std::byte> rest() const noexcept { return all_.subspan(done_); }
    void add(std::size_t count) noexcept {
        done_ += count;
        MUSTER_ASSERT(done_ <= all_.size());
    }

private:
    descriptor* of_;
    std::span<const std::byte> all_;
    std::size_t done_ = 0;
};

} // namespace

descriptor::loop_end::loop_end(descriptor& d) noexcept
    : end_hook([](end_hook& h) noexcept {
          // The loop has taken the hook off its list already.
          auto& self = *static_cast<loop_end&>(h).of;
          self.loop_ = nullptr;
          self.unwatch();
      }),
      of(&d) {}

descriptor::descriptor(int fd) noexcept : fd_(fd), kind_(kind_of_fd(fd)), loop_end_(*this) {}

void descriptor::reset(int fd) noexcept {
    MUSTER_ASSERT(!is_open() && !in_use(side::reading) && !in_use(side::writing));
    fd_.reset(fd);
    kind_ = kind_of_fd(fd);
    drained_ = false;
}

void descriptor::close() noexcept {
    if (!is_open())
        return;
    MUSTER_ASSERT(is_here());
    // libuv must let go of the number before another descriptor can get it.
    unwatch();
    if (blocks_again_) {
        const int flags = ::fcntl(fd(), F_GETFL);
        if (flags >= 0)
            ::fcntl(fd(), F_SETFL, flags & ~O_NONBLOCK);
    }
    fd_.reset();
    wake_all();
}

int descriptor::release() noexcept {
    unwatch();
    return fd_.release();
}

ssize_t descriptor::try_read(std::span<std::byte> into) noexcept {
    ssize_t count = 0;
    do
        count =
            is_socket() ? ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT) : ::read(fd(), into.data(), into.size());
    while (count < 0 && errno == EINTR);
    if (count > 0)
        bytes_read_ += static_cast<std::uint64_t>(count);
    drained_ = kind_ != kind::other && count > 0 && static_cast<std::size_t>(count) < into.size();
    return count;
}

ssize_t descriptor::try_write(std::span<const std::byte> bytes) noexcept {
    ssize_t count = 0;
    if (is_socket()) {
        do
            count = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        while (count < 0 && errno == EINTR);
    } else {
        count = quiet_write(fd(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    if (count > 0)
        bytes_written_ += static_cast<std::uint64_t>(count);
    return count;
}

void descriptor::require_still_open(const char* what) const {
    if (!is_open())
        throw_system_error(ECANCELED, std::string(what) + ": it was closed meanwhile");
}

bool descriptor::is_greedy() noexcept {
    if (++eager_ < most_eager)
        return false;
    eager_ = 0;
    return true;
}

// ---- waiting ----

std::error_code descriptor::begin_wait(waiter& w, side s, event_loop& loop) noexcept {
    MUSTER_ASSERT(waiting_[index(s)] == nullptr);
    eager_ = 0;
    if (!is_open())
        return system_code(ECANCELED);
    if (loop_ != nullptr && loop_ != &loop) {
        // A handle can't be taken from a loop that runs on another thread, or for which a task waits.
        if (wanted() != 0 || !is_here())
            return system_code(EBUSY);
        unwatch();
    }
    waiting_[index(s)] = &w;
    const auto failure = watch(loop);
    if (failure)
        forget_waiter(s);
    return failure;
}

void descriptor::end_wait(const waiter& w, side s) noexcept {
    if (waiting_[index(s)] == &w)
        forget_waiter(s);
}

void descriptor::forget_waiter(side s) noexcept {
    waiting_[index(s)] = nullptr;
    // A watched descriptor that no task waits for must not keep the loop alive.
    if (poll_ != nullptr && wanted() == 0)
        uv_unref(reinterpret_cast<uv_handle_t*>(poll_));
}

/// *Returns* what is waited for, in libuv's bits.
int descriptor::wanted() const noexcept {
    return (waiting_[index(side::reading)] != nullptr ? UV_READABLE : 0) |
           (waiting_[index(side::writing)] != nullptr ? UV_WRITABLE : 0);
}

/// Has libuv watch for what is waited for.
std::error_code descriptor::watch(event_loop& loop) noexcept {
    if (poll_ == nullptr) {
        auto* poll = new (std::nothrow) uv_poll_t;
        if (poll == nullptr)
            return system_code(ENOMEM);
        if (const int status = uv_poll_init(static_cast<uv_loop_t*>(loop.native()), poll, fd()); status < 0) {
            delete poll;
            return system_code(-status);
        }
        poll->data = this;
        poll_ = poll;
        loop_ = &loop;
        home_ = current_loop_id;
        loop.add(loop_end_);
    }
    MUSTER_ASSERT(loop_ == &loop && is_here());
    const int events = wanted();
    if ((watched_ & events) != events) {
        if (const int status = uv_poll_start(poll_, events, &on_events); status < 0)
            return system_code(-status);
        watched_ = events;
    }
    uv_ref(reinterpret_cast<uv_handle_t*>(poll_));
    return {};
}

void descriptor::unwatch() noexcept {
    if (poll_ == nullptr)
        return;
    if (loop_ != nullptr)
        loop_->remove(loop_end_);
    loop_ = nullptr;
    home_ = 0;
    watched_ = 0;
    uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(poll_, nullptr)),
        [](uv_handle_t* h) { delete reinterpret_cast<uv_poll_t*>(h); });
}

void descriptor::on_events(uv_poll_t* p, int status, int events) {
    auto& self = *static_cast<descriptor*>(p->data);
    MUSTER_ASSERT(self.poll_ == p && self.loop_ != nullptr);
    // libuv does not say which error it is; the system call that is tried next does. It has stopped watching.
    if (status < 0) {
        self.watched_ = 0;
        self.wake_all();
        return;
    }
    // An event without a waiter would be reported again at once.
    if (const int unwanted = events & ~self.wanted(); unwanted != 0) {
        self.watched_ &= ~unwanted;
        if (self.watched_ == 0)
            uv_poll_stop(p);
        else
            uv_poll_start(p, self.watched_, &on_events);
    }
    if ((events & UV_READABLE) != 0)
        self.wake(side::reading);
    if ((events & UV_WRITABLE) != 0)
        self.wake(side::writing);
}

void descriptor::wake(side s) noexcept {
    waiter* const w = waiting_[index(s)];
    if (w == nullptr)
        return;
    forget_waiter(s);
    w->on_ready();
}

void descriptor::wake_all() noexcept {
    wake(side::reading);
    wake(side::writing);
}

one_at_a_time& descriptor::free_side(descriptor& d, side s, const char* what) {
    require_event_loop(what);
    d.require_here(what);
    if (!d.is_open())
        throw_system_error(EBADF, std::string(what) + ": it is closed");
    return d.used_[index(s)];
}

descriptor::use::use(descriptor& d, side s, const char* what) : alone_(free_side(d, s, what), what) {}

// ---- operations ----

task<std::size_t> read_some(std::shared_ptr<descriptor> d, std::span<std::byte> into) {
    const descriptor::use mine(*d, descriptor::side::reading, "reading");
    if (into.empty())
        co_return std::size_t{0};
    if (d->is_greedy()) {
        co_await yield();
        d->require_still_open("reading");
    }
    for (;;) {
        // After a read that got less than it asked for, another try would most likely be in vain.
        if (!d->take_drained()) {
            const ssize_t count = d->try_read(into);
            if (count >= 0)
                co_return static_cast<std::size_t>(count);
            if (errno != EAGAIN)
                throw_system_error(errno, "reading");
        }
        descriptor::readiness waiting(*d, descriptor::side::reading);
        co_await waiting;
        d->require_still_open("reading");
    }
}

task<> write_all(std::shared_ptr<descriptor> d, std::span<const std::byte> bytes) {
    const descriptor::use mine(*d, descriptor::side::writing, "writing");
    if (d->part_written() != 0)
        throw io::interrupted_write_error(d->part_written(),
            "writing: an earlier write ended after " + std::to_string(d->part_written()) + " of its bytes");
    write_progress progress(*d, bytes);
    while (!progress.complete()) {
        if (d->is_greedy()) {
            co_await yield();
            d->require_still_open("writing");
        }
        const ssize_t count = d->try_write(progress.rest());
        if (count >= 0) {
            progress.add(static_cast<std::size_t>(count));
            continue;
        }
        if (errno != EAGAIN)
            throw_system_error(errno, "writing");
        descriptor::readiness waiting(*d, descriptor::side::writing);
        co_await waiting;
        d->require_still_open("writing");
    }
}

task<> write_text(std::shared_ptr<descriptor> d, std::string text) {
    auto writing = write_all(std::move(d), std::as_bytes(std::span<const char>(text)));
    co_await std::move(writing);
}

void keep_for_good(std::shared_ptr<void> object) noexcept {
    struct node {
        std::shared_ptr<void> object;
        node* next;
    };
    static std::atomic<node*> first{nullptr};
    auto* const made = new (std::nothrow) node{std::move(object), first.load()};
    while (made != nullptr && !first.compare_exchange_weak(made->next, made)) {}
}

void close_or_report(const std::shared_ptr<descriptor>& d, const char* what) noexcept {
    if (d == nullptr || !d->is_open())
        return;
    if (d->is_here()) {
        d->close();
        return;
    }
    // Without an owner it would close itself.
    keep_for_good(d);
    report_wrong_thread(what, "its descriptor stays open");
}

std::shared_ptr<descriptor> make_socket(int family) {
    // The descriptor is made first, so that nothing can fail once there is a socket to lose.
    auto made = std::make_shared<descriptor>(-1);
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        throw_system_error(errno, "a socket can't be made");
    made->reset(fd);
    return made;
}

void set_no_delay_on(int fd) noexcept {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

} // namespace muster::detail
