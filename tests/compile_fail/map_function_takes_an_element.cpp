// SPDX-License-Identifier: MIT
// expect: the function of a map takes one element of the input range
#include <muster/map.hpp>

#include <string>
#include <vector>

muster::task<int> length(const std::string& s) { co_return static_cast<int>(s.size()); }

#ifdef MUSTER_CONTROL
auto all(const std::vector<std::string>& in) { return muster::map(in, length); }
#else
auto all(const std::vector<int>& in) { return muster::map(in, length); }
#endif
