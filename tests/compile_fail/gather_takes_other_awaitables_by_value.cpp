// SPDX-License-Identifier: MIT
// expect: a combinator takes what it awaits by value: write `std::move(x)`
#include <muster/gather.hpp>

#include <coroutine>
#include <memory>
#include <utility>

struct once {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) noexcept {}
    void await_resume() const noexcept {}
    std::unique_ptr<int> only_moved;
};

auto all(once& x) {
#ifdef MUSTER_CONTROL
    return muster::gather(std::move(x));
#else
    return muster::gather(x);
#endif
}
