// SPDX-License-Identifier: MIT
// expect: run_main takes a muster::task<> or, for an exit status of its own, a muster::task<int>
#include <muster/run.hpp>

#include <utility>

int enter(muster::task<int> status, muster::task<double> number) {
#ifdef MUSTER_CONTROL
    static_cast<void>(number);
    return muster::run_main(std::move(status));
#else
    static_cast<void>(status);
    return muster::run_main(std::move(number));
#endif
}
