// SPDX-License-Identifier: MIT
// Keeps a record of each primitive that a run used. A record is closed when the primitive is destroyed, or when the run
// is over; then it is compared with how it began, and with its counterpart in the undisturbed run.
#include "testing/sync_audit.hpp"

#include <muster/detail/scheduler.hpp>

#include <cstring>
#include <exception>

namespace muster::testing {

using muster::detail::scheduler;
using muster::detail::sync_act;
using muster::detail::sync_state;

namespace {

bool is_a(const sync_state& s, const char* kind) noexcept { return std::strcmp(s.kind, kind) == 0; }

std::string left_of(const sync_state& last, const sync_state& first) {
    return std::to_string(last.value) + " of " + std::to_string(first.value) + " are left";
}

} // namespace

sync_audit::record& sync_audit::record_of(const void* primitive, reader read) {
    const auto found = alive_.find(primitive);
    if (found != alive_.end())
        return records_[found->second];
    alive_.emplace(primitive, records_.size());
    record r;
    r.address = primitive;
    r.read = read;
    r.first = r.last = read(primitive);
    return records_.emplace_back(std::move(r));
}

void sync_audit::about_to(sync_act act, const void* primitive, reader read) noexcept {
    if (stopped_)
        return;
    try {
        const auto* loop = scheduler::current();
        const void* fiber = loop != nullptr ? loop->running() : nullptr;
        auto& r = record_of(primitive, read);
        switch (act) {
        case sync_act::used:
            break;
        case sync_act::taken:
            ++r.balance[fiber];
            break;
        case sync_act::tried:
            ++r.balance[fiber];
            ++r.tries;
            break;
        case sync_act::given:
            // Outside of any step frames are being destroyed: whose permit it is, is not known then.
            if (--r.balance[fiber] < 0 && fiber != nullptr)
                r.is_signal = true;
            break;
        case sync_act::task_done:
            ++r.task_dones;
            break;
        case sync_act::destroyed:
            r.last = read(primitive);
            r.end = fate::destroyed;
            alive_.erase(primitive);
            break;
        }
    } catch (...) {
        std::terminate(); // no memory to write it down
    }
}

void sync_audit::stop() {
    for (const auto& [address, index] : alive_) {
        auto& r = records_[index];
        r.last = r.read(address);
        r.end = fate::outlived_the_run;
    }
    stopped_ = true;
}

std::vector<std::string> sync_audit::mistakes(const sync_audit* undisturbed) const {
    std::vector<std::string> all;
    for (const auto& r : records_)
        if (auto mistake = mistake_in(r, undisturbed); !mistake.empty())
            all.push_back(std::move(mistake));
    return all;
}

template <class Same>
bool sync_audit::counterparts(const record& r, Same same) const {
    std::size_t found = 0;
    for (const auto& c : records_) {
        const bool is_counterpart =
            is_a(c.first, r.first.kind) && c.end == r.end &&
            (r.end == fate::outlived_the_run ? c.address == r.address : c.first.value == r.first.value);
        if (!is_counterpart)
            continue;
        ++found;
        if (!same(c))
            return false;
    }
    return found != 0;
}

std::string sync_audit::mistake_in(const record& r, const sync_audit* undisturbed) const {
    if (r.end == fate::destroyed && r.last.is_waited_for)
        return std::string(is_a(r.last, "event") ? "an " : "a ") + r.last.kind +
               " was destroyed while a task waited for it";
    if (is_a(r.last, "mutex") && r.last.value != 0 && r.balance.size() != 0)
        return r.end == fate::destroyed ? "a mutex was destroyed while it was locked" : "a mutex was left locked";
    if (is_a(r.last, "mutex") && r.is_signal && undisturbed != nullptr &&
        undisturbed->counterparts(r, [](const record& c) { return !c.is_signal; }))
        return "a mutex was unlocked by a task that had not locked it";
    if (is_a(r.last, "semaphore"))
        return mistake_in_semaphore(r, undisturbed);
    if (is_a(r.last, "queue"))
        return mistake_in_queue(r, undisturbed);
    if (is_a(r.last, "event"))
        return mistake_in_event(r, undisturbed);
    return {};
}

std::string sync_audit::mistake_in_semaphore(const record& r, const sync_audit* undisturbed) {
    // A permit that was tried for may be a probe, or the body's own way to close it.
    const bool guards = undisturbed == nullptr ? !r.is_signal && r.last.value + r.tries != r.first.value
                                               : undisturbed->counterparts(r, [](const record& c) {
                                                     return !c.is_signal && c.last.value == c.first.value;
                                                 });
    if (!guards || r.last.value == r.first.value)
        return {};
    return r.last.value < r.first.value
               ? "a permit of a semaphore was not given back: " + left_of(r.last, r.first)
               : "a permit of a semaphore was given back that was not taken: " + left_of(r.last, r.first);
}

/// An event that the body sets and clears again has to be clear after a cancellation, too.
std::string sync_audit::mistake_in_event(const record& r, const sync_audit* undisturbed) {
    if (undisturbed == nullptr || r.end != fate::outlived_the_run || r.last.value == 0 ||
        !undisturbed->counterparts(r, [](const record& c) { return c.first.value == 0 && c.last.value == 0; }))
        return {};
    return "an event that outlives the run was left set";
}

template <class Visit>
void sync_audit::for_each_pair(const sync_audit& first, Visit visit) const {
    for (const auto& mine : records_)
        for (const auto& before : first.records_)
            if (mine.address == before.address && mine.end == fate::outlived_the_run && before.end == mine.end)
                visit(mine, before);
}

std::vector<std::string> sync_audit::differences(const sync_audit& first) const {
    std::vector<std::string> all;
    for_each_pair(first, [&all](const record& mine, const record& before) {
        if (mine.last.value != before.last.value && !mine.is_signal && !before.is_signal)
            all.push_back(std::string("a ") + mine.last.kind + " that outlives the run holds " +
                          std::to_string(mine.last.value) + " at its end, and held " +
                          std::to_string(before.last.value) + " at the end of the first");
    });
    return all;
}

bool sync_audit::has_other_signals(const sync_audit& first) const {
    bool has = false;
    for_each_pair(first, [&has](const record& mine, const record& before) {
        has = has || (before.is_signal && is_a(mine.first, "semaphore") && mine.first.value != before.first.value);
    });
    return has;
}

std::string sync_audit::mistake_in_queue(const record& r, const sync_audit* undisturbed) {
    const auto taken_and_not_done = static_cast<std::ptrdiff_t>(r.last.unfinished) - r.last.value;
    const auto before = static_cast<std::ptrdiff_t>(r.first.unfinished) - r.first.value;
    const bool counts_them =
        r.task_dones != 0 ||
        (undisturbed != nullptr && undisturbed->counterparts(r, [](const record& c) { return c.task_dones != 0; }));
    if (counts_them && taken_and_not_done > before)
        return "task_done() was not called for " + std::to_string(taken_and_not_done - before) +
               " items that were taken from a queue";
    if (undisturbed != nullptr && r.end == fate::outlived_the_run && r.last.value != r.first.value &&
        undisturbed->counterparts(r, [](const record& c) { return c.last.value == c.first.value; }))
        return "a queue that outlives the run was left with " + std::to_string(r.last.value) + " items instead of " +
               std::to_string(r.first.value);
    return {};
}

} // namespace muster::testing
