// SPDX-License-Identifier: MIT
// This file collects the reports of tasks that go together, and makes one report of them. Without memory for the group
// each is sent by itself.
#include <muster/detail/grouped_reports.hpp>

#include <muster/exception_group.hpp>

#include <exception>
#include <new>

namespace muster::detail {

constinit thread_local grouped_reports* grouped_reports::innermost_ = nullptr;

std::unique_ptr<grouped_reports> grouped_reports::begin(
    std::string_view name, std::source_location site, std::size_t total, const char* why) noexcept {
    try {
        return std::unique_ptr<grouped_reports>(new grouped_reports(std::string(name), site, total, why));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

bool grouped_reports::collect(const report& r) noexcept {
    if (innermost_ == nullptr)
        return false;
    try {
        innermost_->failures_.push_back(collected{r, locals_share::of_current()});
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

grouped_reports::~grouped_reports() {
    innermost_ = outer_;
    if (failures_.size() > 1)
        send();
    else
        send_each();
}

void grouped_reports::send() noexcept {
    try {
        const std::string count = std::to_string(failures_.size());
        std::vector<std::exception_ptr> errors;
        errors.reserve(failures_.size());
        for (const auto& f : failures_)
            errors.push_back(f.what.error);
        report r(report_kind::suppressed);
        r.site = site_;
        r.name = name_;
        r.error = make_exception_group(count + " failures", std::move(errors));
        r.detail = std::string(why_) + "; " + count + " of " + std::to_string(total_) + " had failed";
        send_report(r);
    } catch (const std::bad_alloc&) {
        send_each();
    }
}

void grouped_reports::send_each() noexcept {
    for (auto& f : failures_) {
        const locals_scope in(std::move(f.locals));
        send_report(f.what, [&] { f.what.detail = why_; });
    }
}

} // namespace muster::detail
