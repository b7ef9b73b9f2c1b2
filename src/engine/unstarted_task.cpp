// SPDX-License-Identifier: MIT
// Destroys tasks that were never awaited, and reports them.
//
// A task may hold tasks as parameters, which hold others in turn: destroying the outermost frame destroys them all, one
// within the other. Beyond a fixed depth frames are put aside in a list and destroyed one after the other, so that no
// length of such a chain needs more stack.
#include <muster/detail/unawaited.hpp>
#include <muster/report.hpp>
#include <muster/task.hpp>

#include <exception>
#include <utility>

namespace muster::detail {

constinit thread_local int quiet_destruction::depth_ = 0;

bool reports_unawaited() noexcept { return quiet_destruction::depth_ == 0 && std::uncaught_exceptions() == 0; }

void destroy_quietly(std::coroutine_handle<> frame) noexcept {
    const quiet_destruction quiet;
    frame.destroy();
}

namespace {

constexpr int frames_nested = 64;
constinit thread_local int destroying = 0;        ///< how many frames are being destroyed, each within the one before
constinit thread_local void* put_aside = nullptr; ///< frames that are destroyed when the nesting ends

void destroy_unstarted_now(std::coroutine_handle<> frame) noexcept {
    if (reports_unawaited()) {
        const auto function = promise_links::of(frame).function_;
        report r(report_kind::never_awaited);
        r.site = function;
        r.id = frame.address();
        frame.destroy();
        send_report(r, [&] {
            r.name = function.function_name();
            r.detail = "coroutine function at";
        });
    } else {
        frame.destroy();
    }
}

} // namespace

void destroy_unstarted(std::coroutine_handle<> frame) noexcept {
    if (destroying == frames_nested) {
        promise_links::of(frame).next_dropped_ = std::exchange(put_aside, frame.address());
        return;
    }
    ++destroying;
    destroy_unstarted_now(frame);
    if (destroying == frames_nested) {
        while (put_aside != nullptr) {
            const auto next = std::coroutine_handle<>::from_address(put_aside);
            put_aside = promise_links::of(next).next_dropped_;
            destroy_unstarted_now(next);
        }
    }
    --destroying;
}

} // namespace muster::detail
