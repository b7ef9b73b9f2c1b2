// SPDX-License-Identifier: MIT
// A tree of gathers, in the ordinary order and depth first.
#include <muster/gather.hpp>
#include <muster/run.hpp>
#include <muster/task.hpp>

#include <fmt/core.h>

#include <string>

namespace {

// [tree]
muster::task<int> leaf(std::string name) {
    fmt::print("{} ", name);
    co_return 1;
}

muster::task<int> branch(std::string name) {
    fmt::print("{} ", name);
    auto [left, right] = co_await muster::gather(leaf(name + "1"), leaf(name + "2")).depth_first();
    co_return left + right;
}

muster::task<int> tree() {
    auto [left, right] = co_await muster::gather(branch("a"), branch("b")).depth_first();
    co_return left + right;
}
// [/tree]

muster::task<int> ordinary_branch(std::string name) {
    fmt::print("{} ", name);
    auto [left, right] = co_await muster::gather(leaf(name + "1"), leaf(name + "2"));
    co_return left + right;
}

muster::task<int> ordinary_tree() {
    auto [left, right] = co_await muster::gather(ordinary_branch("a"), ordinary_branch("b"));
    co_return left + right;
}

} // namespace

int main() {
    fmt::print("leaves: {}\n", muster::run(tree()));
    fmt::print("leaves: {}\n", muster::run(ordinary_tree()));
}
