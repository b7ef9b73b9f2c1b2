// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The short way to call what blocks: awaits it on a thread of the default pool while the loop goes on.
/// It differs from run_in_executor only in the pool and in binding arguments.
///
///     auto text = co_await muster::to_thread(read_file, std::string("notes.txt"));
///     auto found = co_await muster::to_thread([](std::stop_token stop) { return search(stop); });

#include <muster/config.hpp>
#include <muster/detail/bound_call.hpp>
#include <muster/detail/callable.hpp>
#include <muster/executor.hpp>
#include <muster/thread_pool.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

namespace muster {

/// Awaiting `to_thread(f, args...)` calls f on a thread of the default pool. The callable and the arguments are copied
/// or moved in, and passed on as rvalues; std::ref(x) passes a reference. If f can be called with a std::stop_token
/// before the arguments, it is: that is stopped when the waiting task is cancelled. With g++ 12, name a lambda that
/// captures anything but references and numbers before this call.
/// *Returns*, *Errors*, *Cancellation*: as run_in_executor; `.abandon()` and `.as_task()` too.
/// *Source*: asyncio.to_thread. It is a class, so that it can know where it was called.
// clang-format off
template <class F, class... Args>
class [[nodiscard("nothing is called until it is awaited")]] to_thread final
    : detail::refuse_unless_called_with<F, Args...>,
      public detail::executor_call<thread_pool, detail::bound_call<F, Args...>> {
public:
    template <class G>
        requires std::same_as<std::decay_t<G>, F>
    explicit to_thread(G&& f, Args... args, std::source_location site = std::source_location::current())
        : detail::executor_call<thread_pool, detail::bound_call<F, Args...>>(
              detail::executor_reference<thread_pool>(default_pool()), detail::bound_call<F, Args...>(std::forward<G>(f), std::move(args)...), site) {
        detail::refuse_lambda_in_co_await<G>();
    }
};
// clang-format on

template <class F, class... Args>
to_thread(F, Args...) -> to_thread<F, Args...>;

} // namespace muster
