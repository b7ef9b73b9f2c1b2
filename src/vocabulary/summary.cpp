// SPDX-License-Identifier: MIT
#include <muster/summary.hpp>

#include <muster/report.hpp>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

namespace muster {

summary::summary(summary&& other) noexcept
    : submitted_(other.submitted_),
      succeeded_(other.succeeded_),
      failed_(std::exchange(other.failed_, 0)),
      cancelled_(other.cancelled_),
      retries_(other.retries_),
      exhausted_(other.exhausted_),
      deadline_struck_(other.deadline_struck_),
      looked_(other.looked_),
      infos_(std::move(other.infos_)),
      types_(std::move(other.types_)),
      slowest_(std::move(other.slowest_)),
      name_(std::move(other.name_)),
      site_(other.site_) {}

summary& summary::operator=(summary&& other) noexcept {
    if (this != &other) {
        std::destroy_at(this);
        ::new (static_cast<void*>(this)) summary(std::move(other));
    }
    return *this;
}

summary::~summary() { report_unread(); }

void summary::report_unread() noexcept {
    if (looked_ || failed_ == 0)
        return;
    for (const auto& type : types_) {
        if (type.examples.empty())
            continue; // there was no memory for one: it was reported when it came
        const auto& first = type.examples.front();
        report_one(first.index, first.error, failed_);
        return;
    }
}

void summary::report_one(std::size_t index, const std::exception_ptr& error, std::size_t of) const noexcept {
    report r(report_kind::unread_outcomes);
    r.site = site_;
    r.index = index;
    r.error = error;
    detail::send_report(r, [&] {
        r.name = name_;
        r.detail = "the first of " + std::to_string(of) + " failures";
    });
}

void summary::keep(std::size_t index, const std::exception_ptr& error) {
    const auto* info = detail::dynamic_type(error);
    auto place = static_cast<std::size_t>(std::find_if(infos_.begin(), infos_.end(), [&](const auto* known) {
        return known == info || (known && info && *known == *info);
    }) - infos_.begin());
    if (place == infos_.size()) {
        infos_.reserve(place + 1);
        types_.emplace_back(type_name(error));
        infos_.push_back(info);
    }
    auto& type = types_[place];
    if (type.examples.size() < examples_kept)
        type.examples.emplace_back(index, error);
    ++type.count;
}

void summary::add(std::size_t index, const outcome_base& o, std::chrono::nanoseconds took) noexcept {
    if (o.succeeded()) {
        ++succeeded_;
    } else if (o.was_cancelled()) {
        ++cancelled_;
    } else if (o.failed()) {
        ++failed_;
        const auto error = o.error();
        try {
            keep(index, error);
        } catch (const std::bad_alloc&) {
            // It is counted; if no sink is given it, nobody but the report's reader hears which it was.
            if (!looked_)
                report_one(index, error, failed_);
        }
    }
    const auto slower = [](const timing& a, const timing& b) { return a.duration > b.duration; };
    const timing here(index, took);
    if (slowest_.size() < slowest_kept || slower(here, slowest_.back())) {
        try {
            slowest_.insert(std::upper_bound(slowest_.begin(), slowest_.end(), here, slower), here);
        } catch (const std::bad_alloc&) {
            return; // one of the slowest is not known
        }
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
