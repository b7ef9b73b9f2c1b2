// SPDX-License-Identifier: MIT
// The barrier, on a condition:
//
//     filling --the last party comes--> draining --the last one leaves--> filling
//     filling or draining --reset() while tasks are inside--> resetting --the last one leaves--> filling
//     any --abort()--> broken --reset()--> resetting or filling
//
// Tasks that come while it drains or resets wait for the next round.
#include <muster/barrier.hpp>

#include <stdexcept>
#include <string>

namespace muster {

/// A task's stay at the barrier, from its arrival until it leaves, which is with the mutex held.
class barrier::visit : public detail::list_hook<visit> {
public:
    explicit visit(barrier& of) noexcept : barrier_(&of), place_(of.inside_++) { of.visits_.push_back(*this); }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() {
        if (barrier_ != nullptr)
            leave();
    }

    [[nodiscard]] std::size_t place() const noexcept { return place_; }

private:
    friend class barrier;
    void leave() noexcept {
        barrier& b = *barrier_;
        // A task that leaves before the round is complete does not count: those that came after it move up, so that the
        // places of a round are 0 to n-1.
        if (b.phase_ == phase::filling)
            for (visit* v = b.visits_.after(*this); v != nullptr; v = b.visits_.after(*v))
                --v->place_;
        b.visits_.remove(*this);
        if (--b.inside_ != 0)
            return;
        if (b.phase_ == phase::resetting || b.phase_ == phase::draining)
            b.phase_ = phase::filling;
        // The mutex is not locked if the task is being destroyed while it waits, and so are all the others then.
        if (b.changed_.locked())
            b.changed_.notify_all();
    }

    barrier* barrier_; ///< null once it was destroyed
    std::size_t place_;
};

barrier::~barrier() {
    while (visit* const v = visits_.pop_front())
        v->barrier_ = nullptr;
}

barrier::barrier(std::ptrdiff_t parties) : parties_(static_cast<std::size_t>(parties)) {
    if (parties < 1)
        throw std::invalid_argument(
            "barrier: the number of parties must be positive, and is " + std::to_string(parties) + ": pass 1 or more");
}

namespace {

/// The error of a wait that ends because the barrier was destroyed, and with it the barrier's condition.
[[noreturn]] void rethrow_as_barrier_error(const detail::object_ref<barrier>& waited_for) {
    if (waited_for.get() == nullptr)
        throw invalid_state_error("the barrier was destroyed while a task waited for it");
    throw;
}

} // namespace

task<std::size_t> barrier::wait_in(detail::object_ref<barrier> self) {
    barrier& b = self.required("barrier::wait");
    try {
        const auto guard = co_await b.changed_.scoped_lock();
        while (b.phase_ == phase::draining || b.phase_ == phase::resetting)
            co_await b.changed_.wait();
        if (b.phase_ == phase::broken)
            throw broken_barrier_error("the barrier was aborted: reset it first");
        const visit here(b);
        if (here.place() + 1 == b.parties_) {
            b.phase_ = phase::draining;
            b.changed_.notify_all();
            co_return here.place();
        }
        while (b.phase_ == phase::filling)
            co_await b.changed_.wait();
        if (b.phase_ != phase::draining)
            throw broken_barrier_error("the barrier was aborted or reset");
        co_return here.place();
    } catch (const invalid_state_error&) {
        rethrow_as_barrier_error(self);
    }
}

task<> barrier::change(detail::object_ref<barrier> self, void (barrier::*act)() noexcept, const char* what) {
    barrier& b = self.required(what);
    try {
        const auto guard = co_await b.changed_.scoped_lock();
        (b.*act)();
        b.changed_.notify_all();
    } catch (const invalid_state_error&) {
        rethrow_as_barrier_error(self);
    }
}

} // namespace muster
