// SPDX-License-Identifier: MIT
#include <muster/barrier.hpp>

#include <stdexcept>
#include <string>

namespace muster {

/// From a task's arrival to its leaving, which is with the mutex held.
class barrier::visit {
public:
    explicit visit(barrier& of) noexcept : place(of.inside_++), barrier_(of) {}
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() {
        if (--barrier_.inside_ != 0)
            return;
        if (barrier_.phase_ == phase::resetting || barrier_.phase_ == phase::draining)
            barrier_.phase_ = phase::filling;
        // Not locked: its task is being destroyed while it waits, and so are all the others.
        if (barrier_.changed_.locked())
            barrier_.changed_.notify_all();
    }

    const std::size_t place;

private:
    barrier& barrier_;
};

barrier::barrier(std::ptrdiff_t parties) : parties_(static_cast<std::size_t>(parties)) {
    if (parties < 1)
        throw std::invalid_argument(
            "barrier: the number of parties must be positive, and is " + std::to_string(parties) + ": pass 1 or more");
}

task<std::size_t> barrier::wait() {
    const auto guard = co_await changed_.scoped_lock();
    while (phase_ == phase::draining || phase_ == phase::resetting)
        co_await changed_.wait();
    if (phase_ == phase::broken)
        throw broken_barrier_error("the barrier was aborted: reset it first");
    const visit here(*this);
    if (here.place + 1 == parties_) {
        phase_ = phase::draining;
        changed_.notify_all();
        co_return here.place;
    }
    while (phase_ == phase::filling)
        co_await changed_.wait();
    if (phase_ != phase::draining)
        throw broken_barrier_error("the barrier was aborted or reset");
    co_return here.place;
}

task<> barrier::reset() {
    const auto guard = co_await changed_.scoped_lock();
    phase_ = inside_ > 0 ? phase::resetting : phase::filling;
    changed_.notify_all();
}

task<> barrier::abort() {
    const auto guard = co_await changed_.scoped_lock();
    phase_ = phase::broken;
    changed_.notify_all();
}

} // namespace muster
