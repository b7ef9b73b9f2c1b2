// SPDX-License-Identifier: MIT
#include <muster/summary.hpp>

#include <muster/report.hpp>

#include <algorithm>
#include <utility>

namespace muster {

summary::summary(summary&& other) noexcept
    : submitted_(other.submitted_), succeeded_(other.succeeded_), failed_(std::exchange(other.failed_, 0)),
      cancelled_(other.cancelled_), retries_(other.retries_), exhausted_(other.exhausted_),
      deadline_struck_(other.deadline_struck_), looked_(other.looked_), infos_(std::move(other.infos_)),
      types_(std::move(other.types_)), slowest_(std::move(other.slowest_)), name_(std::move(other.name_)),
      site_(other.site_) {}

summary& summary::operator=(summary&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        ::new (static_cast<void*>(this)) summary(std::move(other));
    }
    return *this;
}

summary::~summary() {
    report_unread();
}

void summary::report_unread() noexcept {
    if (looked_ || failed_ == 0)
        return;
    report r(report_kind::unread_outcomes);
    r.name = name_;
    r.site = site_;
    r.index = types_.front().examples.front().index;
    r.error = types_.front().examples.front().error;
    r.detail = "the first of " + std::to_string(failed_) + " failures";
    detail::send_report(r);
}

void summary::add(std::size_t index, const outcome_base& o, std::chrono::nanoseconds took) {
    if (o.succeeded()) {
        ++succeeded_;
    } else if (o.was_cancelled()) {
        ++cancelled_;
    } else if (o.failed()) {
        ++failed_;
        const auto error = o.error();
        const auto* info = detail::dynamic_type(error);
        auto place = static_cast<std::size_t>(std::find_if(infos_.begin(), infos_.end(), [&](const auto* known) {
                                                  return known == info || (known && info && *known == *info);
                                              }) - infos_.begin());
        if (place == infos_.size()) {
            infos_.push_back(info);
            types_.emplace_back(type_name(error));
        }
        auto& type = types_[place];
        ++type.count;
        if (type.examples.size() < examples_kept)
            type.examples.emplace_back(index, error);
    }
    const auto slower = [](const timing& a, const timing& b) { return a.duration > b.duration; };
    const timing here(index, took);
    if (slowest_.size() < slowest_kept || slower(here, slowest_.back())) {
        slowest_.insert(std::upper_bound(slowest_.begin(), slowest_.end(), here, slower), here);
        if (slowest_.size() > slowest_kept)
            slowest_.pop_back();
    }
}

void summary::name_as(std::string name, std::source_location site) noexcept {
    name_ = std::move(name);
    site_ = site;
}

void summary::close(std::size_t submitted, std::size_t retries, bool exhausted, bool deadline_struck) noexcept {
    submitted_ = submitted;
    retries_ = retries;
    exhausted_ = exhausted;
    deadline_struck_ = deadline_struck;
}

} // namespace muster
