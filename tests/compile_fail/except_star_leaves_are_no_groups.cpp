// SPDX-License-Identifier: MIT
// expect: no leaf is a group: ask with subgroup<E>()
#include <muster/handle_group.hpp>

#include <stdexcept>

auto asks(const muster::exception_group& group) {
#ifdef MUSTER_CONTROL
    return group.leaves_of<std::runtime_error>();
#else
    return group.leaves_of<muster::exception_group>();
#endif
}
