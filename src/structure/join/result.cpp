// SPDX-License-Identifier: MIT
// This file holds the parts of a combinator's result that depend on no type of value: the facts that outcomes keep of
// their join, and the checks of a quorum and of the words for tasks.
#include <muster/detail/join/result.hpp>

#include <new>
#include <string>

namespace muster::detail {

std::size_t checked_quorum(std::size_t k) {
    if (k == 0)
        throw_bad_option("quorum(0) is reached before the start: give at least 1");
    return k;
}

void check_quorum_of(const join& j) {
    const std::size_t quorum = j.options().rules.quorum;
    if (j.is_sized() && quorum > j.total())
        throw_bad_option("quorum(" + std::to_string(quorum) + ") of " + std::to_string(j.total()) +
                         " can't be reached: give at most as many");
}

void refuse_words_of_tasks_for_handles(const join_options& chosen) {
    if (chosen.each_within() || chosen.limit != unlimited || chosen.rate() != nullptr ||
        chosen.order != start_order::in_turn)
        throw_bad_option("limit, rate, each_within and depth_first are for tasks: a handle's task runs already");
}

outcomes_info info_of(join& j) {
    outcomes_info info;
    info.counts = j.counts();
    info.exhausted = j.exhausted();
    info.deadline_struck = j.policy().deadline_struck();
    try {
        info.name = j.name();
    } catch (const std::bad_alloc&) {
        info.name.clear(); // the outcomes are worth more than the name
    }
    info.site = j.options().site;
    info.durations = j.take_durations();
    return info;
}

} // namespace muster::detail
