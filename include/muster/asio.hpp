// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Asio's operations in tasks: the completion token use_task makes of any of them something that can be awaited,
/// cancelled, put under a timeout and gathered. Sockets, Beast and whatever else follows Asio's model keep working. The
/// only public header that needs Boost (1.81 or later), and not part of muster.hpp.
///
///     muster::asio_loop loop;      // or an io_context that runs elsewhere
///     tcp::socket socket(loop.context());
///     auto n = co_await socket.async_read_some(buffer, muster::use_task);
///     auto m = co_await muster::wait_for(socket.async_read_some(buffer, muster::use_task), 1s);

#include <muster/asio/operation.hpp>
#include <muster/config.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/report.hpp>
#include <muster/run_options.hpp>
#include <muster/task.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/version.hpp>

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#if BOOST_VERSION < 108100
#error "muster/asio.hpp needs Boost 1.81 or later"
#endif

namespace muster {

/// The type of use_task. `use_task_t::as_default_on_t<tcp::socket>` is a socket whose operations need no token.
struct use_task_t {
    /// An executor for which use_task is the default token.
    template <class Executor>
    struct executor_with_default : Executor {
        using default_completion_token_type = use_task_t;
        template <class From>
            requires(
                !std::same_as<std::remove_cvref_t<From>, executor_with_default> && std::convertible_to<From, Executor>)
        executor_with_default(From&& from)
        noexcept : Executor(std::forward<From>(from)) {}
    };
    template <class T>
    using as_default_on_t =
        typename T::template rebind_executor<executor_with_default<typename T::executor_type>>::other;
};

/// The completion token. The call gives a movable operation that begins when it is awaited, once.
/// *Returns*, awaited: what the operation completes with, less the error_code: nothing, a value, or a tuple of several.
/// *Errors*: an error_code is thrown as boost::system::system_error, or is part of the tuple with
/// `boost::asio::as_tuple(muster::use_task)`; operation_dropped_error if the io_context was destroyed first; what the
/// initiation throws.
/// *Cancellation*: Asio is asked to cancel the operation (terminal), and it is waited for: it ends with a
/// cancelled_error. If it completes all the same, with a value or another error, that is what the await gives, and the
/// cancellation comes with the task's next wait. An operation that takes no requests is waited for to its end.
/// *Lifetime*: what the operation refers to, buffers and sockets, must live until it is over: in the awaiting task or
/// around it. A loop that is destroyed while one is under way asks it to stop and does not wait. *Thread safety*: the
/// io_context may run on any thread. An operation is begun and cancelled on its own executor; if several threads run
/// that, use a strand, as Asio demands. Beast's functions do not say their executor: they are begun on the loop's
/// thread, so nothing else may be under way on the same stream, or use an asio_loop. *Complexity*: one allocation, and
/// two hand-overs if the io_context runs elsewhere. *Source*: boost::asio::use_awaitable.
inline constexpr use_task_t use_task;

namespace detail {

/// An exception of a handler is reported, and its io_context goes on.
template <class F>
std::size_t run_handlers(F&& run) noexcept {
    try {
        return run();
    } catch (...) {
        report r(report_kind::callback_failed);
        r.error = std::current_exception();
        send_report(r, [&] { r.name = "Asio handler"; });
        return 1;
    }
}

class asio_here_scope {
public:
    explicit asio_here_scope(const boost::asio::execution_context& context) noexcept
        : before_(std::exchange(asio_context_here, &context)) {}
    asio_here_scope(const asio_here_scope&) = delete;
    asio_here_scope& operator=(const asio_here_scope&) = delete;
    ~asio_here_scope() { asio_context_here = before_; }

private:
    const boost::asio::execution_context* before_;
};

} // namespace detail

/// A loop of muster's whose outside world is an io_context of its own: tasks and handlers run on one thread, and
/// nothing is handed over. Its timers count in milliseconds, rounded up; what needs a muster::event_loop, such as
/// muster::http, does not run on it. context().stop() only wakes it. An exception of a handler of yours is reported
/// (callback_failed). *Lifetime*: tasks that have not ended are destroyed with it, then the io_context. *Thread
/// safety*: one thread; post to context() or use a loop_handle from others.
class asio_loop final : public detail::scheduler {
public:
    asio_loop() : asio_loop(std::make_unique<backend>()) {}
    ~asio_loop() override {
        const detail::asio_here_scope here(backend_->context);
        destroy_tasks();
        unwatch_interrupt();
    }

    [[nodiscard]] boost::asio::io_context& context() noexcept { return backend_->context; }

    /// Runs the task as muster::run does. *Errors*: as muster::run; boost::system::system_error if there are no
    /// descriptors left for the watch on SIGINT.
    template <class T>
    T run(task<T> main, const run_options& options = {}, std::source_location site = std::source_location::current()) {
        const detail::asio_here_scope here(backend_->context);
        return detail::run_on(*this, std::move(main), options, site);
    }

private:
    struct backend {
        boost::asio::io_context context{1};
        std::optional<boost::asio::signal_set> interrupt;
        std::atomic<bool> woken{false};
        std::chrono::steady_clock::time_point epoch = std::chrono::steady_clock::now();

        // stop() ends the wait, and not the loop. Posting something would need memory.
        static void wake(void* self) noexcept {
            auto& b = *static_cast<backend*>(self);
            b.woken.store(true);
            b.context.stop();
        }
    };
    using guard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

    explicit asio_loop(std::unique_ptr<backend> b) : scheduler(&backend::wake, b.get()), backend_(std::move(b)) {}

    detail::nanoseconds read_clock() noexcept override {
        return std::chrono::duration_cast<detail::nanoseconds>(std::chrono::steady_clock::now() - backend_->epoch);
    }

    bool poll(bool may_wait, std::optional<detail::nanoseconds> until) override {
        auto& io = backend_->context;
        io.restart();
        {
            const guard keeps(io.get_executor()); // for the watch on SIGINT, which does not count
            // Handlers that post others at once must not keep tasks and timers from running.
            detail::run_handlers([&] {
                std::size_t count = 0;
                while (count != 256 && io.poll_one() != 0)
                    ++count;
                return count;
            });
        }
        if (!may_wait || has_ready())
            return true;
        backend_->woken.store(false);
        io.restart();
        // A letter that comes from here on stops the wait. The context was restarted before that, or the stop would be
        // lost.
        const detail::mailbox::sleep asleep(*inbox());
        if (asleep.letter_is_there())
            return true;
        if (until) {
            const guard keeps(io.get_executor());
            const auto time = backend_->epoch + *until;
            detail::run_handlers([&] { return io.run_one_until(time); });
            return true;
        }
        if (external_work_left()) {
            const guard keeps(io.get_executor());
            detail::run_handlers([&] { return io.run_one(); });
            return true;
        }
        // Only Asio's own operations can make anything ready: without any, nothing ever will.
        return detail::run_handlers([&] { return io.run_one(); }) != 0 || backend_->woken.load();
    }

    bool watch_interrupt(std::uint64_t signals, interrupt_function interrupted, void* context) override {
        auto& b = *backend_;
        if (b.interrupt)
            return false;
        std::uint64_t ours = 0;
        for (int signal = 1; signals != 0; ++signal, signals >>= 1) {
            // A signal that the program ignores or handles itself is left alone.
            struct sigaction now {};
            if ((signals & 1) == 0 || ::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL)
                continue;
            ours |= std::uint64_t{1} << (signal - 1);
        }
        if (ours == 0)
            return false;
        b.interrupt.emplace(b.context);
        try {
            for (int signal = 1; ours != 0; ++signal, ours >>= 1) {
                if ((ours & 1) != 0)
                    b.interrupt->add(signal);
            }
        } catch (...) {
            b.interrupt.reset(); // or the signals that were added would be lost
            throw;
        }
        b.interrupt->async_wait([interrupted, context, &b](const boost::system::error_code& error, int signal) {
            if (error)
                return;
            b.context.get_executor().on_work_started();
            b.interrupt.reset(); // from now on they are the system's again
            interrupted(signal, context);
        });
        // This wait alone must not keep the loop waiting.
        b.context.get_executor().on_work_finished();
        return true;
    }
    void unwatch_interrupt() noexcept override {
        auto& b = *backend_;
        if (!b.interrupt)
            return;
        b.context.get_executor().on_work_started();
        b.interrupt.reset();
    }

    std::unique_ptr<backend> backend_;
};

/// An io_context that runs on a thread of its own, for tasks on whichever loop: `tcp::socket s(net.context())`. It
/// serves several loops at once. When it is destroyed, operations that are under way end with operation_dropped_error.
/// An exception of a handler of yours is reported (callback_failed). *Thread safety*: any thread.
class asio_thread {
public:
    /// *Errors*: std::system_error if no thread can be started.
    asio_thread() : keeps_(context_.get_executor()), thread_([this] { run(); }) {}
    asio_thread(const asio_thread&) = delete;
    asio_thread& operator=(const asio_thread&) = delete;
    ~asio_thread() {
        context_.stop();
        thread_.join();
    }

    [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }

private:
    void run() noexcept {
        while (!context_.stopped())
            detail::run_handlers([this] { return context_.run(); });
    }

    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keeps_;
    std::thread thread_;
};

} // namespace muster

template <class R, class... Args>
struct boost::asio::async_result<muster::use_task_t, R(Args...)> {
    template <class Initiation, class... Given>
    static auto initiate(Initiation&& initiation, muster::use_task_t, Given&&... given) {
        return muster::detail::asio_operation<R(Args...), std::decay_t<Initiation>, std::decay_t<Given>...>(
            std::in_place, std::forward<Initiation>(initiation), std::forward<Given>(given)...);
    }
};
