// SPDX-License-Identifier: MIT
// This file refuses the words of a combinator that mean nothing for calls on an executor.
#include <muster/detail/join/map_on.hpp>

#include <string>

namespace muster::detail {

void refuse_words_of_tasks(const join_options& chosen) {
    const char* const word = chosen.limit != unlimited                            ? "limit"
                             : chosen.each_within()                               ? "each_within"
                             : chosen.within()                                    ? "within"
                             : chosen.rate() != nullptr                           ? "rate"
                             : chosen.retry() != nullptr                          ? "retry"
                             : chosen.order != start_order::in_turn               ? "depth_first"
                             : chosen.rules.max_failures != unlimited             ? "stop_after_failures"
                             : chosen.rules.policy != on_failure::cancel_siblings ? "finish_siblings"
                                                                                  : nullptr;
    if (word != nullptr)
        throw_bad_option(std::string("map(...).on(executor) has no ") + word +
                         ": the executor decides how many calls it makes at once, and a call that blocks can't be "
                         "interrupted; leave it out, or map a function that gives a task");
}

} // namespace muster::detail
