// SPDX-License-Identifier: MIT
// This file holds the parts of outcomes that do not depend on the type of the values: texts, the group of all errors,
// and reports. If any outcome is a failure, the object begins as unread and has a flag for each outcome, which look()
// sets. Once all were handed out together, or were reported at destruction, the object is no longer unread.
#include <muster/outcomes.hpp>

#include "vocabulary/printable.hpp"

#include <muster/detail/assert.hpp>

#include <algorithm>
#include <utility>

namespace muster {

std::string to_string(const outcome_base& o) {
    switch (o.state()) {
    case outcome_state::value:
        return "OK";
    case outcome_state::error:
        return detail::describe(o.error());
    case outcome_state::cancelled:
    case outcome_state::not_started:
        break;
    }
    std::string text = o.was_cancelled() ? "cancelled" : "not started";
    if (o.reason() != cancel_reason::none) {
        text += " (";
        text += to_string(o.reason());
        if (!o.requested_by().empty()) {
            text += " by ";
            text += detail::printable(o.requested_by(), detail::longest_printed_name);
        }
        text += ')';
    }
    if (!o.message().empty()) {
        text += ": ";
        text += detail::printable(o.message());
    }
    return text;
}

std::string failure_ref::name() const { return all_->name() + '[' + std::to_string(index_) + ']'; }
std::exception_ptr failure_ref::error() const { return all_->look(index_).error(); }
std::source_location failure_ref::site() const noexcept { return all_->site(); }
std::chrono::nanoseconds failure_ref::duration() const noexcept { return all_->duration(index_); }
std::string failure_ref::what() const { return detail::describe(error()); }

outcomes_base::outcomes_base(outcomes_info info, std::size_t size)
    : info_(std::make_unique<outcomes_info>(std::move(info))),
      size_(size) {
    MUSTER_ASSERT(info_->counts.adds_up());
    if (info_->counts.failed() != 0) {
        looked_.resize(size);
        unread_ = true;
    }
}

void outcomes_base::report_undelivered(std::size_t index, const outcome_base& o) noexcept {
    if (!o.failed())
        return;
    report r(report_kind::unread_outcomes);
    r.index = index;
    r.error = o.error();
    detail::send_report(r, [&] { r.detail = "there was no memory for the ledger that it was to be part of"; });
}

void outcomes_base::report_unread() noexcept {
    if (!unread_)
        return;
    for (std::size_t i = 0; i != size_; ++i) {
        if (looked_[i] || !peek(i).failed())
            continue;
        report r(report_kind::unread_outcomes);
        r.site = info_->site;
        r.index = i;
        r.error = peek(i).error();
        detail::send_report(r, [&] { r.name = info_->name; });
    }
    unread_ = false;
}

std::vector<failure_ref> outcomes_base::failures() const {
    std::vector<failure_ref> found;
    found.reserve(failed());
    for (std::size_t i = 0; i != size_; ++i) {
        if (peek(i).failed()) {
            static_cast<void>(look(i));
            found.emplace_back(*this, i);
        }
    }
    return found;
}

std::vector<std::string> outcomes_base::error_types() const {
    std::vector<std::string> types;
    for (std::size_t i = 0; i != size_; ++i) {
        if (!peek(i).failed())
            continue;
        auto type = detail::type_name(peek(i).error());
        if (std::find(types.begin(), types.end(), type) == types.end())
            types.push_back(std::move(type));
    }
    return types;
}

std::exception_ptr outcomes_base::as_group(std::string message) const {
    std::vector<std::exception_ptr> errors;
    errors.reserve(failed());
    for (std::size_t i = 0; i != size_; ++i)
        if (peek(i).failed())
            errors.push_back(peek(i).error());
    if (errors.empty())
        return nullptr;
    if (message.empty())
        message = std::to_string(errors.size()) + " of " + std::to_string(submitted()) + " failed in " + name();
    auto group = make_exception_group(std::move(message), std::move(errors));
    // Looked at only now: without memory for the group nobody is given them.
    mark_all_looked_at();
    return group;
}

void outcomes_base::throw_if_any_failed(std::string message) const {
    if (const auto group = as_group(std::move(message)))
        std::rethrow_exception(group);
}

void outcomes_base::require_all_succeeded() const {
    throw_if_any_failed();
    for (std::size_t i = 0; i != size_; ++i) {
        if (peek(i).succeeded())
            continue;
        if (deadline_struck())
            throw timeout_error(name() + ": the deadline struck with " + std::to_string(succeeded()) + " of " +
                                std::to_string(submitted()) + " done");
        peek(i).rethrow();
    }
}

} // namespace muster
