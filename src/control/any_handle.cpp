// SPDX-License-Identifier: MIT
// This file defines any_handle: its done callbacks, and what it asks of the task that it refers to.
#include <muster/any_handle.hpp>

#include <muster/report.hpp>
#include <muster/task_handle.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

namespace muster {

namespace {

/// One done callback: owned by the state it watches, then by the ready queue, then gone.
class user_callback final : public detail::watcher {
public:
    user_callback(detail::completable& state, std::function<void(const any_handle&)> f, std::uint64_t number) noexcept
        : watcher(&ended, &call),
          state_(&state),
          function_(std::move(f)),
          locals_(detail::locals_share::of_current()),
          number_(number) {}

    static bool remove(detail::completable& state, std::uint64_t number) noexcept {
        detail::watcher* const found = state.find_watcher([number](const detail::watcher& w) {
            return w.call_ == &call && static_cast<const user_callback&>(w).number_ == number;
        });
        if (found == nullptr)
            return false;
        found->unwatch();
        delete static_cast<user_callback*>(found);
        return true;
    }

private:
    static void ended(watcher& w) noexcept {
        auto& self = static_cast<user_callback&>(w);
        if (auto* loop = self.state_->loop()) {
            self.held_ = detail_handle_access::make(*self.state_);
            loop->post(self);
        } else {
            delete &self;
        }
    }

    static void call(call_entry& c, bool run) noexcept {
        const std::unique_ptr<user_callback> self(static_cast<user_callback*>(&c));
        if (!run)
            return;
        const detail::locals_scope in(std::move(self->locals_));
        try {
            self->function_(self->held_);
        } catch (...) {
            report r(report_kind::callback_failed);
            r.site = self->held_.site();
            r.error = std::current_exception();
            r.id = self->held_.id();
            detail::send_report(r, [&] { r.name = self->held_.name(); });
        }
    }

    detail::completable* state_;
    any_handle held_;
    std::function<void(const any_handle&)> function_;
    detail::locals_share locals_; ///< the values of the task that added it
    std::uint64_t number_;
};

} // namespace

void any_handle::refers_to_nothing() {
    throw invalid_state_error("this handle refers to nothing: it was default-made or moved from");
}

std::exception_ptr any_handle::exception() const {
    if (!done())
        throw invalid_state_error("'" + name() + "' has not ended: there is no exception to ask for yet");
    const auto& ended = state_->ended_as();
    if (ended.was_cancelled())
        ended.rethrow();
    state_->mark_retrieved();
    return ended.error();
}

void any_handle::require_value() const {
    if (!done())
        throw invalid_state_error("'" + name() + "' has not ended: await it, or ask done() first");
    state_->mark_retrieved();
    if (!state_->ended_as().succeeded())
        state_->ended_as().rethrow();
}

bool any_handle::cancel(std::string message) const {
    auto& s = state_here("cancel()", "call request_cancel(), which any thread may");
    if (s.done())
        return false;
    return s.cancel(detail::cancel_request(
        cancel_reason::requested, detail::cancel_text_ptr::make(std::move(message), detail::running_task_name())));
}

bool any_handle::request_cancel(std::string message) const {
    return required_state().request_cancel(std::move(message));
}

int any_handle::cancelling() const {
    const auto* f = state_here("cancelling()").as_fiber();
    return f != nullptr ? static_cast<int>(f->cancels()) : 0;
}

int any_handle::uncancel() const {
    auto* f = state_here("uncancel()").as_fiber();
    return f != nullptr ? f->uncancel() : 0;
}

callback_id any_handle::add_done_callback(std::function<void(const any_handle&)> callback) const {
    if (!callback)
        throw std::invalid_argument("add_done_callback needs a function to call: this one is empty");
    auto& s = state_here("add_done_callback()");
    static constinit thread_local std::uint64_t last_number = 0;
    const auto number = ++last_number;
    auto* added = new user_callback(s, std::move(callback), number);
    added->watch(s);
    return callback_id{number};
}

bool any_handle::remove_done_callback(callback_id id) const {
    return user_callback::remove(state_here("remove_done_callback()"), static_cast<std::uint64_t>(id));
}

} // namespace muster
