// SPDX-License-Identifier: MIT
// A program of somebody else's: it finds the installed package and nothing of this source tree.
#include <muster/muster.hpp>

#include <iostream>

muster::task<int> answer() { co_return 42; }

muster::task<int> main_task() {
    int result = co_await answer();
    co_return result;
}

int main() {
    int result = muster::run(main_task());
    std::cout << "the answer is " << result << '\n';
    return result == 42 ? 0 : 1;
}
