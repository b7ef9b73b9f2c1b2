// SPDX-License-Identifier: MIT
// This file keeps the entries of a failure_book, one for each exception object. The key of an entry is the object's
// address, which is read out of the exception_ptr; the entry keeps the exception_ptr, so no other object can get that
// address meanwhile. mistakes() goes through the entries and writes a line for each failure that was reported twice, or
// both delivered and reported.
#include <muster/testing/failure_book.hpp>

#include <muster/error.hpp>
#include <muster/exception_group.hpp>

#include <cstring>
#include <utility>

namespace muster::testing {

namespace {

/// The address of the exception object: what an exception_ptr holds.
const void* identity(const std::exception_ptr& error) noexcept {
    static_assert(sizeof(std::exception_ptr) == sizeof(void*));
    const void* address = nullptr;
    std::memcpy(&address, static_cast<const void*>(&error), sizeof address);
    return address;
}

} // namespace

template <class Visit>
void failure_book::each_leaf(const std::exception_ptr& error, Visit&& visit) {
    const auto one = [&](const std::exception_ptr& leaf) {
        if (detail::get_if<cancelled_error>(leaf) == nullptr)
            visit(entries_.try_emplace(identity(leaf), leaf).first->second);
    };
    if (const auto* group = as_group(error))
        group->for_each_leaf(one);
    else if (error)
        one(error);
}

void failure_book::delivered(const std::exception_ptr& error) {
    each_leaf(error, [](entry& e) { ++e.delivered; });
}

void failure_book::reported(const report& r) {
    ++reports_;
    each_leaf(r.error, [&](entry& e) {
        ++e.reported;
        e.as += "\n    " + to_string(r);
    });
}

bool failure_book::was_delivered(const std::exception_ptr& error) const {
    const auto found = entries_.find(identity(error));
    return found != entries_.end() && found->second.delivered != 0;
}

bool failure_book::was_reported(const std::exception_ptr& error) const {
    const auto found = entries_.find(identity(error));
    return found != entries_.end() && found->second.reported != 0;
}

std::vector<std::string> failure_book::mistakes() const {
    std::vector<std::string> lines;
    for (const auto& [id, e] : entries_) {
        if (e.reported > 1)
            lines.push_back("reported " + std::to_string(e.reported) + " times: " + detail::describe(e.error) + e.as);
        else if (e.reported != 0 && e.delivered != 0)
            lines.push_back("delivered, and reported as well: " + detail::describe(e.error) + e.as);
    }
    return lines;
}

} // namespace muster::testing
