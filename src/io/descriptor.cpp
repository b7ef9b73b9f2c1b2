// SPDX-License-Identifier: MIT
#include "io/descriptor.hpp"

#include "loops/require_event_loop.hpp"
#include "posix/quiet_write.hpp"
#include "posix/system_error.hpp"

#include <muster/io/error.hpp>
#include <muster/sleep.hpp>

#include <uv.h>

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

bool is_socket_fd(int fd) noexcept {
    struct stat found {};
    return ::fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

/// Remembers that a write ended within its bytes, on every way out.
class part_guard {
public:
    part_guard(descriptor& d, std::size_t all) noexcept : of_(&d), all_(all) {}
    ~part_guard() {
        if (done_ != 0 && done_ != all_)
            of_->part_written_ = done_;
    }
    part_guard(const part_guard&) = delete;
    part_guard& operator=(const part_guard&) = delete;

    std::size_t done_ = 0;

private:
    descriptor* of_;
    std::size_t all_;
};

} // namespace

struct descriptor::told {
    static void ready(uv_poll_t* p, int status, int events) {
        auto& self = *static_cast<descriptor*>(p->data);
        // libuv does not say what is wrong; the system call that is tried next does.
        if (status < 0) {
            self.watched_ = 0; // it has stopped
            self.wake_all();
            return;
        }
        // What nobody waits for would come again at once.
        if (const int idle = events & ~self.wanted(); idle != 0) {
            self.watched_ &= ~idle;
            if (self.watched_ == 0)
                uv_poll_stop(p);
            else
                uv_poll_start(p, self.watched_, &ready);
            self.loop_->look_again();
        }
        if ((events & UV_READABLE) != 0)
            self.wake(side::reading);
        if ((events & UV_WRITABLE) != 0)
            self.wake(side::writing);
    }
};

descriptor::loop_end::loop_end(descriptor& d) noexcept
    : end_hook([](end_hook& h) noexcept {
          // It has taken the hook off its list.
          auto& self = *static_cast<loop_end&>(h).of;
          self.loop_ = nullptr;
          self.unwatch();
      }),
      of(&d) {}

descriptor::descriptor(int fd) noexcept : fd_(fd), socket_(is_socket_fd(fd)), loop_end_(*this) {}

void descriptor::reset(int fd) noexcept {
    fd_ = fd;
    socket_ = is_socket_fd(fd);
}

void descriptor::close() noexcept {
    if (fd_ < 0)
        return;
    // Before the number can be anybody else's.
    unwatch();
    const int fd = std::exchange(fd_, -1);
    if (block_again_) {
        const int flags = ::fcntl(fd, F_GETFL);
        if (flags >= 0)
            ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    ::close(fd);
    wake_all();
}

int descriptor::release() noexcept {
    unwatch();
    return std::exchange(fd_, -1);
}

ssize_t descriptor::try_read(std::span<std::byte> into) noexcept {
    ssize_t count = 0;
    do
        count = socket_ ? ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT) : ::read(fd_, into.data(), into.size());
    while (count < 0 && errno == EINTR);
    if (count > 0)
        read_ += static_cast<std::uint64_t>(count);
    return count;
}

ssize_t descriptor::try_write(std::span<const std::byte> bytes) noexcept {
    ssize_t count = 0;
    if (socket_) {
        do
            count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        while (count < 0 && errno == EINTR);
    } else {
        count = quiet_write(fd_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    if (count > 0)
        written_ += static_cast<std::uint64_t>(count);
    return count;
}

void descriptor::require_still_open(const char* what) const {
    if (fd_ < 0)
        throw std::system_error(
            std::make_error_code(std::errc::operation_canceled), std::string(what) + ": it was closed meanwhile");
}

bool descriptor::is_greedy() noexcept {
    if (++eager_ < most_eager)
        return false;
    eager_ = 0;
    return true;
}

// ---- waiting ----

std::error_code descriptor::begin_wait(readiness& r) noexcept {
    auto& loop = static_cast<event_loop&>(r.fiber_->loop());
    eager_ = 0;
    if (fd_ < 0)
        return std::make_error_code(std::errc::operation_canceled);
    if (loop_ != nullptr && loop_ != &loop) {
        // A handle can't be taken from a loop that may be running on another thread.
        if (wanted() != 0 || thread_ != std::this_thread::get_id())
            return std::make_error_code(std::errc::device_or_resource_busy);
        unwatch();
    }
    waiting_[index(r.side_)] = &r;
    const auto failure = watch(loop);
    if (failure)
        end_wait(r.side_);
    return failure;
}

void descriptor::end_wait(side s) noexcept {
    waiting_[index(s)] = nullptr;
    // A loop in which nobody waits has nothing to wait for.
    if (poll_ != nullptr && wanted() == 0)
        uv_unref(reinterpret_cast<uv_handle_t*>(poll_));
}

/// What is waited for, in libuv's events.
int descriptor::wanted() const noexcept {
    return (waiting_[index(side::reading)] != nullptr ? UV_READABLE : 0) |
           (waiting_[index(side::writing)] != nullptr ? UV_WRITABLE : 0);
}

/// Watches for what is waited for.
std::error_code descriptor::watch(event_loop& loop) noexcept {
    if (poll_ == nullptr) {
        auto* poll = new (std::nothrow) uv_poll_t;
        if (poll == nullptr)
            return {ENOMEM, std::generic_category()};
        if (const int status = uv_poll_init(static_cast<uv_loop_t*>(loop.native()), poll, fd_); status < 0) {
            delete poll;
            return {-status, std::generic_category()};
        }
        poll->data = this;
        poll_ = poll;
        loop_ = &loop;
        thread_ = std::this_thread::get_id();
        loop.add(loop_end_);
    }
    const int events = wanted();
    if ((watched_ & events) != events) {
        if (const int status = uv_poll_start(poll_, events, &told::ready); status < 0)
            return {-status, std::generic_category()};
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
    watched_ = 0;
    uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(poll_, nullptr)),
        [](uv_handle_t* h) { delete reinterpret_cast<uv_poll_t*>(h); });
}

void descriptor::wake(side s) noexcept {
    readiness* r = waiting_[index(s)];
    if (r == nullptr)
        return;
    end_wait(s);
    r->fiber_->wake();
}

void descriptor::wake_all() noexcept {
    wake(side::reading);
    wake(side::writing);
}

one_at_a_time& descriptor::free_side(descriptor& d, side s, const char* what) {
    require_event_loop(what);
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
        const ssize_t count = d->try_read(into);
        if (count >= 0)
            co_return static_cast<std::size_t>(count);
        if (errno != EAGAIN)
            throw_system_error(errno, "reading");
        descriptor::readiness waiting(*d, descriptor::side::reading);
        co_await waiting;
        d->require_still_open("reading");
    }
}

task<> write_all(std::shared_ptr<descriptor> d, std::span<const std::byte> bytes) {
    const descriptor::use mine(*d, descriptor::side::writing, "writing");
    if (d->part_written_ != 0)
        throw io::interrupted_write_error(d->part_written_,
            "writing: an earlier write ended after " + std::to_string(d->part_written_) + " of its bytes");
    part_guard part(*d, bytes.size());
    while (part.done_ != bytes.size()) {
        if (d->is_greedy()) {
            co_await yield();
            d->require_still_open("writing");
        }
        const ssize_t count = d->try_write(bytes.subspan(part.done_));
        if (count >= 0) {
            part.done_ += static_cast<std::size_t>(count);
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

std::shared_ptr<descriptor> make_socket(int family) {
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        throw_system_error(errno, "a socket can't be made");
    try {
        return std::make_shared<descriptor>(fd);
    } catch (...) {
        ::close(fd);
        throw;
    }
}

task<std::error_code> connect_to(std::shared_ptr<descriptor> d, io::address to) {
    const descriptor::use mine(*d, descriptor::side::writing, "connecting");
    auto pause = std::chrono::milliseconds(1);
    for (;;) {
        if (::connect(d->fd(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) == 0)
            co_return std::error_code();
        if (errno == EINPROGRESS || errno == EINTR)
            break;
        if (errno != EAGAIN || to.family() != AF_UNIX)
            co_return std::error_code(errno, std::generic_category());
        // As many as may are waiting to be accepted there, and the system does not tell when that changes.
        co_await sleep_for(pause);
        d->require_still_open("connecting");
        if (pause < std::chrono::milliseconds(50))
            pause *= 2;
    }
    descriptor::readiness waiting(*d, descriptor::side::writing);
    co_await waiting;
    d->require_still_open("connecting");
    int error = 0;
    socklen_t bytes = sizeof error;
    if (::getsockopt(d->fd(), SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    co_return std::error_code(error, std::generic_category());
}

void set_no_delay(int fd) noexcept {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

} // namespace muster::detail
