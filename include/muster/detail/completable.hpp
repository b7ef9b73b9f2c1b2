// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The state that handles and futures refer to. It is counted, ends once, with an outcome, and then calls its watchers
/// in the order in which they came. The counts are plain: a completable belongs to its loop's thread.
///
///     watcher.watch(state);   // its function is called when the state has ended

#include <muster/config.hpp>
#include <muster/detail/counted.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/loop_link.hpp>
#include <muster/detail/watcher.hpp>
#include <muster/outcome.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

namespace muster::detail {

class cancel_target;
class scheduler;

/// The base of a task's state and of a future's.
class completable {
public:
    completable(const completable&) = delete;
    completable& operator=(const completable&) = delete;

    void retain() noexcept { ++owners_; }
    void release() noexcept {
        MUSTER_ASSERT(owners_ != 0);
        if (--owners_ == 0)
            abandon();
    }

    [[nodiscard]] bool done() const noexcept { return done_; }
    [[nodiscard]] const outcome_base& ended_as() const noexcept { return *outcome_; }

    /// Somebody was given the failure, or asked for it.
    void mark_retrieved() noexcept { failure_ = failure_notice::retrieved; }
    [[nodiscard]] bool retrieved() const noexcept { return failure_ == failure_notice::retrieved; }
    /// A combinator did not deliver this failure, so it is reported as suppressed.
    void mark_suppressed() noexcept {
        if (failure_ == failure_notice::unseen)
            failure_ = failure_notice::suppressed;
    }

    /// *Returns* false if it had ended, or can't be stopped any more.
    bool cancel(const cancel_request& request) noexcept { return !done_ && do_cancel(request); }
    /// Asks for that from any thread: a letter keeps the state until the loop opens it. *Returns* false if the loop
    /// has ended, or without memory for the letter.
    bool request_cancel(std::string message) noexcept;

    /// The task's fiber; null for a future.
    [[nodiscard]] virtual fiber* as_fiber() noexcept { return nullptr; }
    /// The combinator that will end it: only the future of a combinator that was started has one.
    [[nodiscard]] virtual cancel_target* as_target() noexcept { return nullptr; }
    /// The wait of the combinator that will end it, for reports; null for any other task or future.
    [[nodiscard]] virtual const suspension* combinator() const noexcept { return nullptr; }
    /// "task" or "future", for messages.
    [[nodiscard]] virtual const char* what() const noexcept = 0;

    /// The name that it was given, or "Task-" or "Future-" and its number.
    [[nodiscard]] std::string name() const;
    void set_name(std::string name) { name_ = std::make_unique<std::string>(std::move(name)); }
    /// The same; without memory for it a task that has been started keeps its number for a name.
    void try_set_name(std::string name) noexcept;
    [[nodiscard]] std::source_location site() const noexcept { return site_; }
    /// Counts up in each loop.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    /// Null if its loop has ended, or if it never had one.
    [[nodiscard]] scheduler* loop() const noexcept { return link_ != nullptr ? link_->loop() : nullptr; }

    /// The loop that it belongs to, also after that has ended; 0 if it never had one.
    [[nodiscard]] loop_id home() const noexcept { return link_ != nullptr ? link_->id() : 0; }
    /// *Errors*: invalid_state_error on a thread that is not its loop's. `what` names the function.
    void require_thread(const char* what, const char* instead = post_it) const {
        require_loop_thread(home(), what, instead);
    }
    /// A task of the running loop is about to wait for it. *Errors*: invalid_state_error if it belongs to another loop
    /// and has not ended.
    void require_awaitable() const {
        if (home() != current_loop_id) [[unlikely]]
            check_awaitable();
    }

    /// The first watcher for which `wanted(watcher)` holds; null if there is none.
    template <class F>
    [[nodiscard]] watcher* find_watcher(F wanted) const {
        for (watcher* w = watchers_.front(); w != nullptr; w = watchers_.after(*w))
            if (wanted(*w))
                return w;
        return nullptr;
    }

protected:
    completable(outcome_base& o, loop_link* link, std::source_location site, std::uint64_t number) noexcept
        : outcome_(&o),
          link_(link),
          number_(number),
          site_(site) {
        if (link_ != nullptr)
            link_->retain();
    }
    virtual ~completable() {
        free_callbacks();
        if (link_ != nullptr)
            link_->release();
    }

    /// Stops it, or asks what will end it to stop. It has not ended.
    virtual bool do_cancel(const cancel_request& request) noexcept = 0;

    /// Ends it: the outcome has been set. Calls the watchers.
    void complete() noexcept;

private:
    friend class watcher;
    struct cancel_letter;

    /// Whether the user saw how it ended; what is not retrieved is reported if it is a failure.
    enum class failure_notice : std::uint8_t { unseen, suppressed, retrieved };

    /// Its last owner is gone.
    void abandon() noexcept;
    void free_callbacks() noexcept;
    void report_if_unseen() noexcept;
    void check_awaitable() const;

    outcome_base* outcome_;
    loop_link* link_;
    intrusive_list<watcher> watchers_;
    std::unique_ptr<std::string> name_;
    std::uint64_t number_;
    std::source_location site_;
    std::uint32_t owners_ = 1;
    bool done_ = false;
    failure_notice failure_ = failure_notice::unseen;
    std::atomic<std::uint32_t> letters_{0}; ///< requests from other threads that are on their way
};

/// Lists a task or future that something waits for, unless it has ended.
void list_completable(completable& c, wait_lister& lister);

} // namespace muster::detail
