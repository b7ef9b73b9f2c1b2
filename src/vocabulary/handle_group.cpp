// SPDX-License-Identifier: MIT
// The bookkeeping of `except*`. A dispatch keeps the original error, what no handler has taken (rest), and what became
// of the parts that were taken: raised or reraised. At the end the original is split once more, by the leaves that are
// to be thrown on, so that reraised parts and the rest stand in one tree of the original's shape.
#include <muster/handle_group.hpp>

#include <muster/detail/exception_type.hpp>
#include <muster/report.hpp>

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace muster {

group_dispatch::group_dispatch(std::exception_ptr error) noexcept : original_(std::move(error)), rest_(original_) {}

group_dispatch::~group_dispatch() {
    if (finished_)
        return;
    try {
        if (auto left = outcome()) {
            report lost(report_kind::suppressed);
            lost.name = "group_dispatch";
            lost.detail = "it was destroyed before finish() was called";
            lost.error = std::move(left);
            detail::send_report(lost);
        }
    } catch (...) {
        // The tree of what is left cannot be made. The original says too much, which is better than nothing.
        report lost(report_kind::suppressed);
        lost.error = original_;
        detail::send_report(lost);
    }
}

std::exception_ptr group_dispatch::take_matching(detail::exception_test test) {
    if (!rest_)
        return nullptr;
    if (as_group(rest_) == nullptr) {
        if (!test(rest_))
            return nullptr;
        taken_.push_back(make_exception_group("", {rest_}));
        rest_ = nullptr;
        return taken_.back();
    }
    auto split = detail::split_tree(rest_, test, true);
    if (split.match) {
        taken_.push_back(split.match);
        rest_ = std::move(split.rest);
    }
    return std::move(split.match);
}

void group_dispatch::raised(std::exception_ptr error) {
    // The original group itself, thrown again, adds nothing that is new.
    if (error && error == original_ && as_group(error) != nullptr)
        reraised_.push_back(std::move(error));
    else if (error)
        raised_.push_back(std::move(error));
}

void group_dispatch::reraised(std::exception_ptr part) {
    // Only what is in the original's tree has a place to go back to; anything else would be lost there.
    if (std::find(taken_.begin(), taken_.end(), part) != taken_.end())
        reraised_.push_back(std::move(part));
    else
        raised(std::move(part));
}

void group_dispatch::ended(const std::exception_ptr& part, std::exception_ptr thrown) {
    if (thrown && thrown == part)
        reraised(std::move(thrown));
    else
        raised(std::move(thrown));
}

std::exception_ptr group_dispatch::finish() {
    auto result = outcome();
    finished_ = true;
    return result;
}

std::exception_ptr group_dispatch::outcome() const {
    auto thrown = raised_;
    if (as_group(original_) != nullptr) {
        std::unordered_set<const void*> kept;
        const auto keep = [&](const std::exception_ptr& error) {
            if (const auto* group = as_group(error))
                group->for_each_leaf([&](const std::exception_ptr& leaf) { kept.insert(detail::thrown_object(leaf)); });
        };
        std::for_each(reraised_.begin(), reraised_.end(), keep);
        keep(rest_);
        const auto is_kept = [&](const std::exception_ptr& e) {
            return as_group(e) == nullptr && kept.contains(detail::thrown_object(e));
        };
        if (auto group = detail::split_tree(original_, detail::exception_test(is_kept), false).match)
            thrown.push_back(std::move(group));
    } else {
        // An error that is no group is either taken, as one part, or the rest.
        thrown.insert(thrown.end(), reraised_.begin(), reraised_.end());
        if (rest_)
            thrown.push_back(rest_);
    }
    if (thrown.size() < 2)
        return thrown.empty() ? nullptr : std::move(thrown.front());
    return make_exception_group("", std::move(thrown));
}

} // namespace muster
