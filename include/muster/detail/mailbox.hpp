// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How other threads reach a loop: a lock-free stack of letters that the loop empties, and a wake-up that is sent
/// only when the stack was empty. It is shared, and outlives the loop: a letter that comes too late is refused, so
/// that its sender still has it.
///
///     if (!box->post(letter)) letter.discard();

#include <muster/config.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

namespace muster::detail {

class scheduler;

/// Held by address while in the box.
struct letter {
    using function = void (*)(letter&, scheduler&) noexcept;
    explicit letter(function open) noexcept : open_(open) {}
    letter(const letter&) = delete;
    letter& operator=(const letter&) = delete;

    letter* next_ = nullptr;
    function open_; ///< called on the loop's thread
};

/// What a loop holds on behalf of others and gives back when it ends. Held by address; the loop's thread only.
struct loop_share {
    using function = void (*)(loop_share&) noexcept;
    explicit loop_share(function loop_ended) noexcept : loop_ended_(loop_ended) {}
    loop_share(const loop_share&) = delete;
    loop_share& operator=(const loop_share&) = delete;

    loop_share* before_ = nullptr;
    loop_share* after_ = nullptr;
    function loop_ended_; ///< called when it has been taken off the list
};

class mailbox : public std::enable_shared_from_this<mailbox> {
public:
    using wake_function = void (*)(void* context) noexcept;

    mailbox(wake_function wake, void* context) noexcept : wake_(wake), context_(context) {}
    mailbox(const mailbox&) = delete;
    mailbox& operator=(const mailbox&) = delete;

    /// *Returns* false if the loop has ended: the letter was not taken. *Thread safety*: any thread.
    [[nodiscard]] bool post(letter& l) noexcept {
        // Acquires, so that one who is refused sees what the loop's thread wrote before it closed the box.
        letter* head = head_.load(std::memory_order_acquire);
        do {
            if (head == closed())
                return false;
            l.next_ = head;
        } while (!head_.compare_exchange_weak(head, &l, std::memory_order_release, std::memory_order_acquire));
        if (head == nullptr) {
            const std::lock_guard lock(waking_);
            if (context_ != nullptr)
                wake_(context_);
        }
        return true;
    }

    /// All letters, oldest first. *Thread safety*: the loop's thread.
    [[nodiscard]] letter* take_all() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr)
            return nullptr;
        return in_order(head_.exchange(nullptr, std::memory_order_acquire));
    }
    [[nodiscard]] bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }

    /// Refuses what comes from now on. *Returns* what was still in it.
    [[nodiscard]] letter* close() noexcept {
        letter* rest = head_.exchange(closed(), std::memory_order_acq_rel);
        const std::lock_guard lock(waking_);
        context_ = nullptr;
        return rest == closed() ? nullptr : in_order(rest);
    }
    [[nodiscard]] bool is_closed() noexcept { return head_.load(std::memory_order_acquire) == closed(); }

    /// *Thread safety*: these three are for the loop's thread.
    void keep(loop_share& s) noexcept {
        s.before_ = nullptr;
        s.after_ = shares_;
        if (shares_ != nullptr)
            shares_->before_ = &s;
        shares_ = &s;
    }
    void give_back(loop_share& s) noexcept {
        (s.before_ != nullptr ? s.before_->after_ : shares_) = s.after_;
        if (s.after_ != nullptr)
            s.after_->before_ = s.before_;
    }
    void give_back_all() noexcept {
        // What is given back may be the last to know of the loop, which leads here again: a loop, not a recursion.
        if (giving_back_)
            return;
        giving_back_ = true;
        while (loop_share* s = shares_) {
            give_back(*s);
            s->loop_ended_(*s);
        }
        giving_back_ = false;
    }

    /// What lives outside and may still post: promises, loop handles, guards. Counted from any thread.
    std::atomic<std::int64_t> outside{0};

    /// One of those is gone. The loop is woken when it was the last, so that it can see a deadlock.
    void leave() noexcept {
        if (outside.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            const std::lock_guard lock(waking_);
            if (context_ != nullptr)
                wake_(context_);
        }
    }
    void enter() noexcept { outside.fetch_add(1, std::memory_order_relaxed); }

private:
    static letter* in_order(letter* newest) noexcept {
        letter* oldest = nullptr;
        while (newest != nullptr) {
            letter* next = newest->next_;
            newest->next_ = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }
    letter* closed() noexcept { return reinterpret_cast<letter*>(this); }

    std::atomic<letter*> head_{nullptr};
    loop_share* shares_ = nullptr;
    bool giving_back_ = false;
    std::mutex waking_;
    wake_function wake_;
    void* context_;
};

} // namespace muster::detail
