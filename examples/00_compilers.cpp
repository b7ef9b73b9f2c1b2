// SPDX-License-Identifier: MIT
// How to write coroutines that g++ 12 compiles correctly: each co_await in a statement of its own, its operands named.
#include <muster/muster.hpp>

#include <cstdio>
#include <string>

muster::task<std::string> load(std::string name) {
    co_await muster::yield();
    co_return "loaded " + name;
}

// [rule]
muster::task<> careful(std::string prefix) {
    auto body = [prefix](muster::task_group& group) -> muster::task<> { // the lambda has a name
        group.create_task(load(prefix + "a"));
        co_return;
    };
    co_await muster::with_task_group(body);

    auto text = co_await load(prefix + "b"); // a statement of its own
    if (!text.empty())
        std::printf("%s\n", text.c_str());
}
// [/rule]

int main() { muster::run(careful("page ")); }
