// SPDX-License-Identifier: MIT
// This file takes outcomes into a summary: add() counts each one, keeps the first few failures of each type, and
// inserts the duration into the sorted list of the slowest. A lack of memory costs an example, never a count. The
// failures begin as unread; they become looked_at when they are read, given to a sink or moved away, and the destructor
// reports the first of them if they are still unread. close() replaces the counts by the join's own.
#include <muster/summary.hpp>

#include <muster/detail/assert.hpp>
#include <muster/report.hpp>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

namespace muster {

summary::summary(summary&& other) noexcept
    : counts_(other.counts_),
      input_(other.input_),
      ended_by_(other.ended_by_),
      failures_(std::exchange(other.failures_, failures_were::looked_at)),
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
    if (failures_ == failures_were::looked_at || failed() == 0)
        return;
    for (const auto& type : types_) {
        if (type.examples.empty())
            continue; // there was no memory for one: it was reported when it came
        const auto& first = type.examples.front();
        report_one(first.index, first.error, failed());
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
    counts_.count(o.state());
    if (o.failed()) {
        const auto error = o.error();
        try {
            keep(index, error);
        } catch (const std::bad_alloc&) {
            // It is counted. Where there is no sink, only this report says which it was.
            if (failures_ == failures_were::unread)
                report_one(index, error, failed());
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

void summary::close(const ledger& counts, bool exhausted, bool deadline_struck) noexcept {
    MUSTER_ASSERT(counts.adds_up() && counts.succeeded() == succeeded() && counts.failed() == failed());
    counts_ = counts;
    input_ = exhausted ? input_end::reached : input_end::not_reached;
    ended_by_ = deadline_struck ? ended_by::deadline : ended_by::itself;
}

} // namespace muster
