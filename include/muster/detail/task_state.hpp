// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task that the loop owns: a fiber that ends a completable.
///
///     auto* state = new task_state<int>(loop, site);   // the loop has its first share
///     state->adopt(frame, state->result());
///     state->start();

#include <muster/config.hpp>
#include <muster/detail/completable.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/frame_allocator.hpp>
#include <muster/detail/intrusive_list.hpp>
#include <muster/outcome.hpp>

#include <cstddef>
#include <new>
#include <source_location>
#include <string>

namespace muster::detail {

class task_base : public completable, public fiber, public fiber_owner, public list_hook<task_base> {
public:
    /// It ends with the outcome that was set, and no frame ever ran.
    void end_without_running() noexcept { owner_kind_->ended(*this, *this); }
    /// Its frames are gone although it had not ended: the loop was destroyed.
    void end_as_destroyed() noexcept;

    [[nodiscard]] fiber* as_fiber() noexcept final { return this; }
    [[nodiscard]] const char* what() const noexcept final { return "task"; }

protected:
    /// `functions` is kind_of, or another whose functions call those of kind_of.
    task_base(outcome_base& o, scheduler& loop, std::source_location site, const fiber_owner_kind& functions) noexcept;
    ~task_base() override { release_locals(); }

    bool do_cancel(const cancel_request& request) noexcept final { return fiber::cancel(request); }

    static void task_ended(fiber_owner& owner, fiber& f) noexcept;
    static std::string task_name(const fiber_owner& owner, const fiber& f);
    static std::source_location task_site(const fiber_owner& owner) noexcept;
    static const fiber_owner_kind kind_of;
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

    task_state(scheduler& loop, std::source_location site) noexcept : task_state(loop, site, kind_of) {}

    [[nodiscard]] outcome<T>& result() noexcept { return result_; }

protected:
    task_state(scheduler& loop, std::source_location site, const fiber_owner_kind& functions) noexcept
        : task_base(result_, loop, site, functions) {}

private:
    outcome<T> result_;
};

} // namespace muster::detail
