// SPDX-License-Identifier: MIT
// An exception that a coroutine throws comes out where you wait for it: out of `run`, in plain code,
// or out of `co_await`, inside another coroutine. It arrives as the type that was thrown, so an
// ordinary try and catch by type handles it.

#include <muster/muster.hpp>

#include <fmt/core.h>

#include <stdexcept>

muster::task<> fails() {
    co_await muster::yield();
    throw std::runtime_error("not handled in here");
}

class operation_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

muster::task<int> failing_operation() {
    fmt::print("Executing operation that should fail...\n");
    co_await muster::yield();
    throw operation_error("The operation failed!");
}

// [handled_inside]
muster::task<> handles_it() {
    try {
        auto value = co_await failing_operation();
        fmt::print("This is not reached: {}\n", value);
    } catch (const operation_error& e) {
        fmt::print("Caught a specific error: {}\n", e.what());
    }
}
// [/handled_inside]

// [handled_at_the_top]
int main() {
    try {
        muster::run(fails());
    } catch (const std::exception&) {
        fmt::print("Handled exception\n");
    }
    muster::run(handles_it());
}
// [/handled_at_the_top]
