// SPDX-License-Identifier: MIT
// wait() is a join that owns no child: it watches the handles, lets its caller go when the mode or the time limit says
// so, and cancels nothing.
#include <muster/wait.hpp>

#include <span>
#include <stdexcept>

namespace muster::detail {

namespace {

join_options options_for(wait_until until, std::optional<nanoseconds> timeout, std::source_location site) {
    join_options options(site, "wait");
    options.rules.policy = on_failure::leave_siblings;
    options.children = children_are::left_alone;
    if (timeout)
        options.rarely().within = clamp_to_nanoseconds(*timeout);
    switch (until) {
    case wait_until::all_completed:
        options.rules.leave = leave_at::never;
        break;
    case wait_until::first_completed:
        options.rules.leave = leave_at::any_end;
        break;
    case wait_until::first_exception:
        options.rules.leave = leave_at::error;
        break;
    }
    return options;
}

} // namespace

wait_core::wait_core(std::size_t count, wait_until until, std::optional<nanoseconds> timeout, std::source_location site)
    : join_(options_for(until, timeout, site)) {
    if (count == 0)
        throw std::invalid_argument("wait needs at least one handle: the set is empty");
    watches_ = std::make_unique<join_watch[]>(count);
    join_.take_children(nullptr, std::span<join_watch>(watches_.get(), count));
}

void wait_core::watch(std::size_t i, completable& c) noexcept { watches_[i].refer_to(i, c); }

} // namespace muster::detail
