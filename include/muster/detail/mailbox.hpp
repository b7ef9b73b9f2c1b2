// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How other threads reach a loop: a lock-free stack of letters that the loop empties, and a wake-up that is sent
/// only when the loop sleeps. It is shared, and outlives the loop: a letter that comes too late is refused, so that its
/// sender still has it.
///
///     if (!box->post(letter)) letter.discard();
///
/// **Why no wake-up is lost.** The loop writes asleep_ and then reads head_; a sender writes head_ and then reads
/// asleep_. All four accesses are sequentially consistent, so they have one order that all threads see. If the loop's
/// read comes after the sender's write, the loop finds the letter and does not sleep. If it comes before, the loop's
/// write to asleep_ came before the sender's read, so the sender reads that write or a later one. It reads `true`, and
/// wakes the loop; or it reads a `false` that was written since: either by another sender, which is about to wake the
/// loop, or by the loop itself, which woke up and empties the box before it sleeps again. The same holds for outside_
/// in the place of head_. The sender that turns `true` into `false` is the only one that wakes, so a loop is woken once
/// for each time that it sleeps. Such a wake-up may come late, when the loop has woken for another reason and sleeps
/// again; then the loop looks into an empty box once more, which does no harm.

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/detail/prefetch.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace muster::detail {

class fiber_loop;

/// So far apart must data be for threads that write to them not to hold each other up.
inline constexpr std::size_t cache_line = 64;

/// Held by address while in the box.
struct letter {
    using function = void (*)(letter&, fiber_loop&) noexcept;
    explicit letter(function open) noexcept : open_(open) {}
    letter(const letter&) = delete;
    letter& operator=(const letter&) = delete;

    letter* next_ = nullptr;
    function open_; ///< called on the loop's thread
};

/// Something that a loop holds on behalf of others and gives back when it ends. Held by address; the loop's thread
/// only.
class loop_share : public list_hook<loop_share> {
public:
    using function = void (*)(loop_share&) noexcept;
    explicit loop_share(function loop_ended) noexcept : loop_ended_(loop_ended) {}

private:
    friend class mailbox;
    function loop_ended_; ///< called when the mailbox holds the share no more
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
        } while (!head_.compare_exchange_weak(head, &l, std::memory_order_seq_cst, std::memory_order_acquire));
        wake_if_asleep();
        return true;
    }

    /// While one lives the loop sleeps, or is about to: letters wake it. *Thread safety*: the loop's thread.
    class sleep {
    public:
        explicit sleep(mailbox& box) noexcept : of_(&box) { box.asleep_.store(true, std::memory_order_seq_cst); }
        ~sleep() { of_->asleep_.store(false, std::memory_order_relaxed); }
        sleep(const sleep&) = delete;
        sleep& operator=(const sleep&) = delete;

        /// Whether the loop must not sleep: nothing wakes it for a letter that was there before.
        [[nodiscard]] bool letter_is_there() const noexcept {
            return of_->head_.load(std::memory_order_seq_cst) != nullptr;
        }

    private:
        mailbox* of_;
    };

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
        intake_ = intake::closed;
        const std::lock_guard lock(waking_);
        context_ = nullptr;
        return rest == closed() ? nullptr : in_order(rest);
    }
    [[nodiscard]] bool is_closed() noexcept { return head_.load(std::memory_order_acquire) == closed(); }
    /// The same for the loop's thread, which asks for each letter: the word that senders write to is not read.
    [[nodiscard]] bool was_closed_here() const noexcept { return intake_ == intake::closed; }

    /// *Thread safety*: these three are for the loop's thread.
    void keep(loop_share& s) noexcept { shares_.push_front(s); }
    void give_back(loop_share& s) noexcept { shares_.remove(s); }
    void give_back_all() noexcept {
        // A share that is given back may be the last owner of the link, which calls this again: so this is a loop and
        // not a recursion.
        if (giving_back_)
            return;
        giving_back_ = true;
        while (loop_share* s = shares_.pop_front())
            s->loop_ended_(*s);
        giving_back_ = false;
    }

    /// Objects that live outside and may still post (promises, loop handles, guards) enter, and leave in the end. The
    /// loop is woken when the last one leaves, so that it can see a deadlock. *Thread safety*: any thread.
    void enter() noexcept { outside_.fetch_add(1, std::memory_order_relaxed); }
    void leave() noexcept {
        if (outside_.fetch_sub(1, std::memory_order_seq_cst) == 1)
            wake_if_asleep();
    }
    [[nodiscard]] bool anyone_outside() const noexcept { return outside_.load(std::memory_order_seq_cst) > 0; }

private:
    void wake_if_asleep() noexcept {
        if (!asleep_.load(std::memory_order_seq_cst) || !asleep_.exchange(false, std::memory_order_seq_cst))
            return;
        const std::lock_guard lock(waking_);
        if (context_ != nullptr)
            wake_(context_);
    }
    static letter* in_order(letter* newest) noexcept {
        letter* oldest = nullptr;
        while (newest != nullptr) {
            letter* next = newest->next_;
            prefetch_along(newest, next);
            newest->next_ = oldest;
            oldest = newest;
            newest = next;
        }
        return oldest;
    }
    /// A value of head_ that is no letter: the loop has ended.
    letter* closed() noexcept { return reinterpret_cast<letter*>(this); }

    enum class intake : std::uint8_t { open, closed };

    // Senders write to these for each letter, so nothing else lies in their cache line.
    alignas(cache_line) std::atomic<letter*> head_{nullptr}; ///< the newest letter, or closed()
    std::atomic<std::int64_t> outside_{0};
    std::atomic<bool> asleep_{false}; ///< whether the next letter wakes the loop; see the head of this file

    alignas(cache_line) intrusive_list<loop_share> shares_;
    bool giving_back_ = false;
    intake intake_ = intake::open; ///< written and read by the loop's thread
    std::mutex waking_;            ///< guards context_, which close() takes away
    wake_function wake_;
    void* context_;
};

} // namespace muster::detail
