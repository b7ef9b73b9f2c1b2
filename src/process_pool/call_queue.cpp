// SPDX-License-Identifier: MIT
// A call_queue keeps the calls that wait, the counts of waiting and running calls, and the list of live processes, all
// under one lock; a function that touches them asserts that it is held. close() takes the intake from open to draining
// or stopping, or from draining to stopping, and never back. wake() writes to the eventfd only if the supervisor was
// not woken already, and is_awake() takes that mark away.
#include "process_pool/call_queue.hpp"

#include <muster/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace muster::workers {

namespace {

thread_local const void* queue_of_this_thread = nullptr;

} // namespace

call_queue::call_queue(const pool_settings& settings)
    : settings_(settings),
      wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_up_.is_open())
        throw std::system_error(errno, std::generic_category(), "a process_pool needs an eventfd");
    processes_.reserve(settings.processes);
}

void call_queue::add(const held& own, job& j) {
    MUSTER_ASSERT(own.is_of(*this));
    if (intake_ != intake::open)
        throw invalid_state_error("the pool '" + settings_.name + "' was shut down: it takes no more calls");
    // A call that a free process can take at once does not count as waiting.
    const std::size_t free = settings_.processes - std::min(settings_.processes, running_);
    if (settings_.queue_limit != 0 && waiting_ >= settings_.queue_limit + free)
        throw queue_full("the pool '" + settings_.name + "' is busy, and " + std::to_string(settings_.queue_limit) +
                         " calls wait for it already");
    calls_.push_back(j);
    ++waiting_;
}

void call_queue::put_back(const held& own, job& j) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    calls_.push_front(j);
    ++waiting_;
}

bool call_queue::withdraw(const held& own, job& j) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    if (!calls_.contains(j))
        return false;
    calls_.remove(j);
    --waiting_;
    return true;
}

call_queue::job* call_queue::take(const held& own) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    job* const j = calls_.pop_front();
    if (j != nullptr)
        --waiting_;
    return j;
}

call_queue::job* call_queue::take_begun(const held& own) noexcept {
    job* const j = take(own);
    if (j != nullptr)
        begin(*j);
    return j;
}

/// A call that came back from a host that was lost has begun as far as its task is concerned, which may have left it
/// behind since.
void call_queue::begin(job& j) noexcept {
    if (!std::exchange(j.was_begun_, true))
        j.begin();
}

std::size_t call_queue::waiting([[maybe_unused]] const held& own) const noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    return waiting_;
}

void call_queue::call_begun(const held& own, job& j, worker_handle& by) noexcept {
    MUSTER_ASSERT(own.is_of(*this) && j.worker_ == nullptr);
    j.worker_ = &by;
    begin(j);
    ++running_;
}

void call_queue::call_is_unwanted(const held& own, job& j) noexcept {
    MUSTER_ASSERT(own.is_of(*this) && j.worker_ != nullptr);
    j.is_unwanted_ = true;
}

bool call_queue::is_wanted([[maybe_unused]] const held& own, const job& j) const noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    return !j.is_unwanted_;
}

void call_queue::call_ended(const held& own, job& j) noexcept {
    MUSTER_ASSERT(own.is_of(*this) && j.worker_ != nullptr && running_ != 0);
    j.worker_ = nullptr;
    --running_;
}

std::size_t call_queue::running([[maybe_unused]] const held& own) const noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    return running_;
}

void call_queue::process_started(const held& own, pid_t id) noexcept {
    MUSTER_ASSERT(own.is_of(*this) && processes_.size() < processes_.capacity());
    processes_.push_back(id);
}

void call_queue::process_ended(const held& own, pid_t id) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    const auto found = std::find(processes_.begin(), processes_.end(), id);
    MUSTER_ASSERT(found != processes_.end());
    processes_.erase(found);
}

const std::vector<pid_t>& call_queue::processes([[maybe_unused]] const held& own) const noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    return processes_;
}

void call_queue::close(const held& own, intake next) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    intake_ = std::max(intake_, next);
    wake(own);
}

call_queue::intake call_queue::takes([[maybe_unused]] const held& own) const noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    return intake_;
}

void call_queue::wake(const held& own) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    if (std::exchange(woken_, true))
        return;
    const std::uint64_t one = 1;
    // The counter can't be full: it was read before the flag was taken back.
    while (::write(wake_up_.get(), &one, sizeof one) < 0 && errno == EINTR) {}
}

void call_queue::is_awake(const held& own) noexcept {
    MUSTER_ASSERT(own.is_of(*this));
    woken_ = false;
}

void call_queue::clear_wake_up() noexcept {
    std::uint64_t count = 0;
    static_cast<void>(!::read(wake_up_.get(), &count, sizeof count));
}

void call_queue::adopt_this_thread() const noexcept { queue_of_this_thread = this; }

bool call_queue::is_own_thread() const noexcept { return queue_of_this_thread == this; }

} // namespace muster::workers
