// SPDX-License-Identifier: MIT
// Where links come from and go to. Links are made by the chunk, and chunks are never freed. A thread keeps a few free
// links of its own; what it has too much of, and what it leaves at its end, goes to a list that all threads share.
#include <muster/detail/object_link.hpp>

#include <muster/error.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace muster::detail {

constinit thread_local free_links this_threads_links{};

namespace {

struct chunk {
    chunk* before = nullptr; ///< so that a leak checker sees that all chunks are still referred to
    object_link links[64];
};

struct shared_links {
    std::mutex lock;
    object_link* first = nullptr; ///< guarded by lock
    chunk* last_chunk = nullptr;  ///< guarded by lock
};

shared_links& shared() {
    // Never destroyed: objects that have a link may be destroyed after static objects.
    static auto* the = new shared_links;
    return *the;
}

/// Gives all free links of a thread to the list that all threads share.
void share_all(free_links& mine) noexcept {
    object_link* first = std::exchange(mine.first, nullptr);
    if (first == nullptr)
        return;
    object_link* last = first;
    while (last->next_free != nullptr)
        last = last->next_free;
    auto& all = shared();
    const std::lock_guard own(all.lock);
    last->next_free = std::exchange(all.first, first);
}

/// Lets a thread keep free links until it ends.
struct thread_end {
    thread_end() noexcept { this_threads_links.room = free_links::most; }
    ~thread_end() {
        share_all(this_threads_links);
        this_threads_links.room = 0;
    }
    thread_end(const thread_end&) = delete;
    thread_end& operator=(const thread_end&) = delete;
};

void keep_links_until_the_thread_ends() noexcept {
    static thread_local const thread_end end;
    static_cast<void>(&end);
}

} // namespace

object_link* more_links() {
    keep_links_until_the_thread_ends();
    auto& all = shared();
    const std::lock_guard own(all.lock);
    if (all.first == nullptr) {
        auto* const made = new chunk;
        made->before = std::exchange(all.last_chunk, made);
        for (object_link& link : made->links)
            link.next_free = std::exchange(all.first, &link);
    }
    object_link* const link = all.first;
    all.first = link->next_free;
    return link;
}

void share_link(object_link& link) noexcept {
    auto& mine = this_threads_links;
    if (mine.first != nullptr) {
        share_all(mine);
        mine.room = free_links::most;
    }
    auto& all = shared();
    const std::lock_guard own(all.lock);
    link.next_free = std::exchange(all.first, &link);
}

void throw_gone(const char* what) {
    const std::string_view function = what;
    std::string object(function.substr(0, function.find("::")));
    throw invalid_state_error(
        "the " + object + " was destroyed before this was awaited (" + what + "): keep it until the await has ended");
}

} // namespace muster::detail
