// SPDX-License-Identifier: MIT
// expect: no leaf is a group: ask with subgroup<E>()
#include <muster/exception_group.hpp>

bool asks(const muster::exception_group& group) {
#ifdef MUSTER_CONTROL
    return group.contains<int>();
#else
    return group.contains<muster::exception_group>();
#endif
}
