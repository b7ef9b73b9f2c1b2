// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What handles and futures refer to: a counted state that ends once with an outcome and then tells its watchers,
/// in the order in which they came. The counts are plain: a completable belongs to its loop's thread.
///
///     watcher.watch(state);   // its function is called when the state has ended

#include <muster/config.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/frame_allocator.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/outcome.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

namespace muster::detail {

class cancel_target;
class completable;
class scheduler;

/// What tasks and futures know of their loop; it outlives the loop. Owned by count, on the loop's thread.
struct loop_link {
    scheduler* loop; ///< null once the loop has ended
    std::shared_ptr<mailbox> inbox;
    std::uint32_t owners = 1;

    void release() noexcept {
        // The loop itself is the first to come here without a loop: what it held for others goes then.
        if (loop == nullptr) [[unlikely]]
            inbox->give_back_all();
        if (--owners == 0)
            delete this;
    }
};

/// Told once when a completable ends. Held by address while it watches. Each is told in a turn's entry of its own,
/// as asyncio's done callbacks are, unless it only wakes a fiber.
class watcher : public call_entry {
public:
    /// Called as soon as the state has ended: wakes a fiber, or posts itself.
    using told_function = void (*)(watcher&) noexcept;

    watcher(told_function told, call_entry::function call) noexcept : call_entry(call), told_(told) {}

    void watch(completable& c) noexcept;
    void unwatch() noexcept;
    [[nodiscard]] bool watching() const noexcept { return on_ != nullptr; }
    [[nodiscard]] watcher* after() const noexcept { return after_; }

private:
    friend class completable;
    watcher* before_ = nullptr;
    watcher* after_ = nullptr;
    completable* on_ = nullptr;
    told_function told_;
};

class completable {
public:
    struct completable_kind {
        const char* what; ///< "task" or "future"
        bool (*cancel)(completable&, const cancel_request&) noexcept;
        bool (*request_cancel)(completable&, std::string) noexcept; ///< from any thread
        fiber* (*as_fiber)(completable&) noexcept;                  ///< null for a future
        void (*destroy)(completable&) noexcept;
        /// What a cancellation of a started combinator's future reaches; other futures have none.
        const cancel_target* (*as_target)(const completable&) noexcept = nullptr;
    };

    completable(const completable&) = delete;
    completable& operator=(const completable&) = delete;

    void retain() noexcept { ++owners_; }
    void release() noexcept {
        if (--owners_ == 0)
            abandon();
    }

    [[nodiscard]] bool done() const noexcept { return done_; }
    [[nodiscard]] const outcome_base& ended_as() const noexcept { return *outcome_; }
    /// Somebody was given the failure, or asked for it.
    void mark_retrieved() noexcept { retrieved_ = true; }
    [[nodiscard]] bool retrieved() const noexcept { return retrieved_; }
    /// A combinator that was not to deliver this failure took it out of the user's sight: its loss is a suppressed
    /// failure of that combinator.
    void mark_suppressed() noexcept { suppressed_ = true; }
    bool cancel(const cancel_request& request) noexcept { return !done_ && kind_->cancel(*this, request); }

    /// Asks from another thread: a letter keeps the state until it is opened on the loop's thread.
    bool send_cancel_letter(std::string message) noexcept;
    bool request_cancel(std::string message) noexcept { return kind_->request_cancel(*this, std::move(message)); }
    [[nodiscard]] fiber* as_fiber() noexcept { return kind_->as_fiber(*this); }
    [[nodiscard]] const cancel_target* as_target() const noexcept {
        return kind_->as_target != nullptr ? kind_->as_target(*this) : nullptr;
    }

    [[nodiscard]] const char* what() const noexcept { return kind_->what; }
    [[nodiscard]] std::string name() const;
    void set_name(std::string name) { name_ = std::make_unique<std::string>(std::move(name)); }
    /// The same; without memory for it a task that has been started keeps its number for a name.
    void try_set_name(std::string name) noexcept;
    [[nodiscard]] std::source_location site() const noexcept { return site_; }
    /// Counts up in each loop.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    /// Null if its loop has ended, or if it never had one.
    [[nodiscard]] scheduler* loop() const noexcept { return link_ != nullptr ? link_->loop : nullptr; }

    [[nodiscard]] watcher* first_watcher() const noexcept { return first_; }

protected:
    completable(const completable_kind& k, outcome_base& o, loop_link* link, std::source_location site,
        std::uint64_t number) noexcept
        : kind_(&k),
          outcome_(&o),
          link_(link),
          number_(number),
          site_(site) {
        if (link_ != nullptr)
            ++link_->owners;
    }
    ~completable() {
        free_callbacks();
        if (link_ != nullptr)
            link_->release();
    }

    /// Ends it: the outcome has been set. Tells the watchers.
    void complete() noexcept;
    /// Its last owner is gone.
    void abandon() noexcept;

private:
    friend class watcher;
    void free_callbacks() noexcept;
    void report_if_unseen() noexcept;

    const completable_kind* kind_;
    outcome_base* outcome_;
    loop_link* link_;
    watcher* first_ = nullptr;
    watcher* last_ = nullptr;
    std::unique_ptr<std::string> name_;
    std::uint64_t number_;
    std::source_location site_;
    std::uint32_t owners_ = 1;
    bool done_ = false;
    bool retrieved_ = false;
    bool suppressed_ = false;
    std::atomic<std::uint32_t> letters_{0}; ///< requests from other threads that are on their way
};

/// A counted pointer to a completable, or to a class derived from it.
template <class C>
class counted {
public:
    counted() = default;
    explicit counted(C* c) noexcept : c_(c) {
        if (c_ != nullptr)
            c_->retain();
    }
    static counted adopt(C* c) noexcept {
        counted made;
        made.c_ = c;
        return made;
    }
    counted(const counted& other) noexcept : counted(other.c_) {}
    counted(counted&& other) noexcept : c_(std::exchange(other.c_, nullptr)) {}
    counted& operator=(counted other) noexcept {
        std::swap(c_, other.c_);
        return *this;
    }
    ~counted() {
        if (c_ != nullptr)
            c_->release();
    }
    [[nodiscard]] C* get() const noexcept { return c_; }
    C* operator->() const noexcept { return c_; }
    C& operator*() const noexcept { return *c_; }
    explicit operator bool() const noexcept { return c_ != nullptr; }

private:
    C* c_ = nullptr;
};

/// A task that the loop owns: a fiber with a handle to it.
class task_base : public completable, public fiber, public fiber_owner {
public:
    /// It ends with the outcome that was set, and no frame ever ran.
    void end_without_running() noexcept { task_ended(*this, *this); }
    /// Its frames are gone although it had not ended: the loop was destroyed.
    void end_as_destroyed() noexcept;

    task_base* before_ = nullptr; ///< the loop's list
    task_base* after_ = nullptr;

protected:
    task_base(const completable_kind& k, outcome_base& o, scheduler& loop, std::source_location site) noexcept;
    ~task_base();

    static bool cancel_task(completable& c, const cancel_request& request) noexcept;
    static bool request_cancel_task(completable& c, std::string message) noexcept;
    static fiber* task_fiber(completable& c) noexcept { return static_cast<task_base*>(&c); }
    static void task_ended(fiber_owner& owner, fiber& f) noexcept;

private:
    static std::string task_name(const fiber_owner& owner, const fiber& f);
};

template <class T>
class task_state : public task_base {
public:
    static void* operator new(std::size_t bytes) {
        if (void* p = allocate_frame(bytes))
            return p;
        throw std::bad_alloc();
    }
    static void operator delete(void* p, std::size_t bytes) noexcept { free_frame(p, bytes); }

    task_state(scheduler& loop, std::source_location site) noexcept : task_base(kind_of, result_, loop, site) {}

    outcome<T> result_;

protected:
    /// For a state that holds more: the destroy function frees what was made.
    template <void (*Destroy)(completable&) noexcept>
    static constexpr completable_kind kind_with{"task", &cancel_task, &request_cancel_task, &task_fiber, Destroy};

    task_state(const completable_kind& k, scheduler& loop, std::source_location site) noexcept
        : task_base(k, result_, loop, site) {}
    ~task_state() = default;

private:
    static void destroy(completable& c) noexcept { delete static_cast<task_state*>(&c); }
    static constexpr completable_kind kind_of{"task", &cancel_task, &request_cancel_task, &task_fiber, &destroy};
};

/// A future is cancelled on its loop's thread; from another thread that is asked for by letter.
bool request_cancel_future(completable& c, std::string message) noexcept;
inline fiber* no_fiber(completable&) noexcept { return nullptr; }

template <class T>
class future_state : public completable {
public:
    future_state(loop_link* link, std::source_location site, std::uint64_t number) noexcept
        : future_state(kind_of, link, site, number) {}

    /// Called once the outcome is set.
    void finish() noexcept { complete(); }

    outcome<T> result_;

protected:
    future_state(const completable_kind& k, loop_link* link, std::source_location site, std::uint64_t number) noexcept
        : completable(k, result_, link, site, number) {}
    ~future_state() = default;

    /// Ends it at once.
    static bool cancel(completable& c, const cancel_request& request) noexcept {
        auto& f = static_cast<future_state&>(c);
        detail_outcome_access::set_cancelled(f.result_, outcome_state::cancelled, request.reason, request.text);
        f.complete();
        return true;
    }

private:
    static void destroy(completable& c) noexcept { delete static_cast<future_state*>(&c); }
    static constexpr completable_kind kind_of{"future", &cancel, &request_cancel_future, &no_fiber, &destroy};
};

/// A future's state that the loop holds too, until what it waits for has ended or the loop does: it is told then, even
/// if all futures that refer to it are gone.
template <class T>
class kept_future_state : public future_state<T>, public loop_share {
protected:
    kept_future_state(const completable::completable_kind& k, loop_share::function loop_ended, loop_link* link,
        std::source_location site, std::uint64_t number) noexcept
        : future_state<T>(k, link, site, number),
          loop_share(loop_ended),
          inbox_(link->inbox.get()) {}
    ~kept_future_state() = default;

    void keep() noexcept {
        this->retain();
        inbox_->keep(*this);
    }
    /// May destroy it.
    void let_go() noexcept {
        inbox_->give_back(*this);
        this->release();
    }

private:
    mailbox* inbox_; // lives as long as the link, of which this is an owner
};

} // namespace muster::detail
