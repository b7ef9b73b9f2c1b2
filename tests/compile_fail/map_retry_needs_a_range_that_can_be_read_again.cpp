// SPDX-License-Identifier: MIT
// expect: retry reads an element again: the input must be a forward range, for example a container
#include <muster/map.hpp>

#include <ranges>
#include <sstream>
#include <vector>

muster::task<int> twice(int n) { co_return 2 * n; }

#ifdef MUSTER_CONTROL
auto all(const std::vector<int>& in) { return muster::map(in, twice).retry(3); }
#else
auto all(std::istringstream& in) { return muster::map(std::views::istream<int>(in), twice).retry(3); }
#endif
