// SPDX-License-Identifier: MIT
// Which loops live, and on which threads.
//
// An object that belongs to a loop keeps the loop's id, a number that is never used again, and no pointer: so it may
// outlive the loop, and may be asked about on any thread. The usual question, whether the loop is the one that runs on
// this thread, is a comparison with a thread-local number. Any other answer is found in a table with a lock.
#include <muster/detail/loop_thread.hpp>

#include <muster/error.hpp>

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_map>

namespace muster::detail {

constinit thread_local loop_id current_loop_id = 0;

namespace {

/// Never 0, and never used again: a thread's id may be.
std::uint64_t this_thread() noexcept {
    static constinit std::atomic<std::uint64_t> threads{0};
    static thread_local const std::uint64_t number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
    return number;
}

struct living_loops {
    std::mutex lock;
    std::unordered_map<loop_id, std::uint64_t> threads; ///< guarded by lock
    loop_id last = 0;                                   ///< guarded by lock
};

living_loops& living() {
    // Never destroyed: loops and what belonged to them may be destroyed after static objects.
    static auto* the = new living_loops;
    return *the;
}

/// The thread that the loop belongs to; 0 if it has ended.
std::uint64_t thread_of(loop_id id) noexcept {
    auto& all = living();
    const std::lock_guard own(all.lock);
    const auto found = all.threads.find(id);
    return found != all.threads.end() ? found->second : 0;
}

} // namespace

loop_identity::loop_identity() : id_(0), thread_(this_thread()) {
    auto& all = living();
    const std::lock_guard own(all.lock);
    all.threads.emplace(all.last + 1, thread_);
    id_ = ++all.last;
}

loop_identity::~loop_identity() {
    auto& all = living();
    const std::lock_guard own(all.lock);
    all.threads.erase(id_);
}

void loop_identity::belongs_here() noexcept {
    if (thread_ == this_thread()) [[likely]]
        return;
    thread_ = this_thread();
    auto& all = living();
    const std::lock_guard own(all.lock);
    all.threads.find(id_)->second = thread_;
}

bool loop_lives(loop_id id) noexcept { return thread_of(id) != 0; }

bool is_loop_thread(loop_id home) noexcept {
    if (home == 0 || home == current_loop_id)
        return true;
    const auto owner = thread_of(home);
    return owner == 0 || owner == this_thread();
}

void check_loop_thread(loop_id home, const char* what, const char* instead) {
    if (!is_loop_thread(home))
        throw invalid_state_error(std::string(what) + " was called on a thread that is not its loop's: " + instead);
}

void check_waiting_thread(loop_id home, const char* what) {
    if (is_loop_thread(home))
        return;
    if (current_loop_id != 0)
        throw_other_loop(what);
    check_loop_thread(home, what, post_it);
}

void throw_other_loop(const char* what) {
    throw invalid_state_error(std::string(what) + ": this belongs to another loop, whose tasks have waited for it; "
                                                  "a primitive serves one loop until that has ended");
}

} // namespace muster::detail
