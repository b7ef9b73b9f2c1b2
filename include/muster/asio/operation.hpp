// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a task waits for an Asio operation: what the completion token use_task makes of one, the handler that Asio is
/// given, and the state that the two share. The handler may be called, or destroyed, on any thread. Include
/// muster/asio.hpp.
///
///     auto n = co_await socket.async_read_some(buffer, muster::use_task);

#include <muster/config.hpp>
#include <muster/detail/assert.hpp>
#include <muster/detail/fiber.hpp>
#include <muster/detail/mailbox.hpp>
#include <muster/detail/scheduler.hpp>
#include <muster/outcome.hpp>
#include <muster/report.hpp>
#include <muster/task.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/experimental/channel_error.hpp>
#include <boost/asio/query.hpp>
#include <boost/system/errc.hpp>
#include <boost/system/system_error.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <source_location>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster {

/// An Asio operation's handler was destroyed without having been called: its io_context was.
class operation_dropped_error : public std::runtime_error {
public:
    operation_dropped_error()
        : std::runtime_error("the Asio operation will never complete: its handler was destroyed without having been "
                             "called, as an io_context does that is destroyed") {}
};

namespace detail {

/// The context whose operations are begun and cancelled right here, because this thread is the only one that runs it.
inline constinit thread_local const boost::asio::execution_context* asio_context_here = nullptr;

class asio_wait;

/// Shared by the wait, on the loop's thread; by the handler, on Asio's thread; and by messages between the two.
/// An operation is begun on its own executor, and completes wherever its handler is called. The task's loop gets a
/// letter when both have happened, in whichever order. The steps, which change with the lock:
///
///                   initiate()            the handler was called, or destroyed uncalled
///     unbegun ------------------> begun ------------------------------------------------+
///       |                                                                                v
///       +--- cancelled before ---> unwanted --- its executor comes to it, or drops it --> over
///       |                                                                                ^
///       +--- its executor drops it ------------------------------------------------------+
class asio_state : public letter {
public:
    asio_state(const asio_state&) = delete;
    asio_state& operator=(const asio_state&) = delete;

    void retain() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete this;
    }

    // ---- the handler's side ----

    [[nodiscard]] boost::asio::cancellation_slot slot() noexcept { return signal_.slot(); }
    /// Where intermediate handlers run, which an operation asks for when it is begun: a cancellation is sent there.
    template <class Executor>
    void runs_on(const Executor& ex) noexcept {
        if constexpr (std::is_constructible_v<boost::asio::any_io_executor, const Executor&>) {
            if (begins_on_.load(std::memory_order_relaxed) != std::this_thread::get_id() || executor_)
                return;
            try {
                executor_ = boost::asio::any_io_executor(ex);
            } catch (const std::bad_alloc&) {
                executor_ = nullptr; // it is then cancelled from the loop's thread
            }
        }
    }
    /// The handler has been called, and the result is in place.
    void completed() noexcept;
    /// The handler was destroyed and has not been called.
    void dropped() noexcept {
        detail_outcome_access::set_error(result(), std::make_exception_ptr(operation_dropped_error()));
        ending_ = ending::dropped;
        completed();
    }

    /// On the operation's executor: begins it, unless it was cancelled meanwhile.
    void begin_here() noexcept;
    /// Its executor has dropped it, or it could not be sent there.
    void never_begun() noexcept;

    // ---- the loop's side ----

    void begin(fiber_loop& loop, asio_wait& waiter) noexcept;
    /// *Returns* true if the operation had not been begun and never will be, so that there is nothing to wait for.
    [[nodiscard]] bool request_cancel() noexcept;
    /// The wait has gone. A value or error that comes later is reported.
    void detach(fiber_loop& loop) noexcept;
    /// Whether it ended with one of the errors by which Asio says that an operation was cancelled.
    [[nodiscard]] bool aborted() const noexcept { return ending_ == ending::aborted; }
    /// Reports what a cancelled operation of several steps had transferred before it was stopped: its task is told of
    /// the cancellation only.
    void report_partial() const noexcept;
    void rethrow_if_not_begun() const {
        if (not_begun_)
            std::rethrow_exception(not_begun_);
    }

protected:
    asio_state() noexcept : letter(&opened) {}
    virtual ~asio_state() = default;

    [[nodiscard]] virtual outcome_base& result() noexcept = 0;
    /// Whether a success gives a value, which must not get lost unseen.
    [[nodiscard]] virtual bool gives_value() const noexcept = 0;
    /// Gives the operation its handler. May throw.
    virtual void initiate() = 0;
    /// The executor on which the operation says that it runs; empty if it says nothing.
    [[nodiscard]] virtual boost::asio::any_io_executor initiation_executor() const = 0;
    void set_aborted(std::size_t transferred = 0) noexcept {
        ending_ = ending::aborted;
        transferred_ = transferred;
    }

private:
    enum class step : std::uint8_t { unbegun, unwanted, begun, over };
    enum class ending : std::uint8_t { result, aborted, dropped };

    /// With the lock, as the picture above has it.
    void go_to(step next) noexcept {
        MUSTER_ASSERT(next == step::over ? step_ != step::over : step_ == step::unbegun && next != step::unbegun);
        step_ = next;
    }
    static void opened(letter& l, fiber_loop& loop) noexcept {
        auto& self = static_cast<asio_state&>(l);
        self.arrived(loop);
        self.release();
    }
    void cancel_here() noexcept;
    void finish_half() noexcept;
    void arrived(fiber_loop& loop) noexcept;
    void report_unwanted() noexcept;
    [[nodiscard]] bool is_here() const {
        return !executor_ || &boost::asio::query(executor_, boost::asio::execution::context) == asio_context_here;
    }

    std::atomic<std::uint32_t> owners_{1};
    std::atomic<std::uint32_t> halves_{2}; ///< the letter is sent when both are done: begin_here() and completed()
    // Recursive, because cancelling an operation may complete it on the spot.
    std::recursive_mutex lock_;
    step step_ = step::unbegun;      ///< with the lock; once it is over, slot and executor are not used any more
    ending ending_ = ending::result; ///< written before completed(), read by the loop's thread after the letter
    std::size_t transferred_ = 0;    ///< what an aborted operation says that it had done; as ending_
    bool cancel_requested_ = false;  ///< used by the loop's thread only
    asio_wait* waiter_ = nullptr;    ///< used by the loop's thread only
    std::shared_ptr<mailbox> inbox_;
    std::exception_ptr not_begun_;
    std::atomic<std::thread::id> begins_on_{};
    boost::asio::any_io_executor executor_;
    boost::asio::cancellation_signal signal_;
};

/// A counted pointer to it.
template <class State>
class asio_ref {
public:
    explicit asio_ref(State& s) noexcept : state_(&s) { s.retain(); }
    asio_ref(asio_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    asio_ref(const asio_ref& other) noexcept : state_(other.state_) {
        if (state_ != nullptr)
            state_->retain();
    }
    asio_ref& operator=(const asio_ref&) = delete;
    ~asio_ref() {
        if (state_ != nullptr)
            state_->release();
    }
    [[nodiscard]] State* get() const noexcept { return state_; }
    [[nodiscard]] State* take() noexcept { return std::exchange(state_, nullptr); }
    State* operator->() const noexcept { return state_; }

private:
    State* state_;
};

/// A message to the executor on which the operation is to begin. If it is destroyed before it gets there, with its
/// io_context, the operation has been dropped.
class asio_start {
public:
    explicit asio_start(asio_state& state) noexcept : state_(state) {}
    asio_start(asio_start&&) noexcept = default;
    asio_start& operator=(const asio_start&) = delete;
    ~asio_start() {
        if (auto* state = state_.get())
            state->never_begun();
    }
    void operator()() noexcept {
        auto* const state = state_.take();
        state->begin_here();
        state->release();
    }

private:
    asio_ref<asio_state> state_;
};

/// The task's side.
class asio_wait : public library_awaitable, public suspension {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    /// The operation is over. A loop that is being destroyed runs no task any more.
    void over(bool loop_runs) noexcept {
        operation_ = operation::over;
        if (loop_runs)
            fiber_->wake();
    }

protected:
    asio_wait() noexcept : suspension(kind_of) {}
    ~asio_wait() {
        // Its frame may be destroyed while it waits, at the end of a loop.
        if (operation_ == operation::outstanding) {
            state_->detach(fiber_->loop());
            static_cast<void>(state_->request_cancel());
        }
        if (state_ != nullptr)
            state_->release();
    }

    /// Takes the state over; null if the task was cancelled before: nothing is begun then.
    void begin(asio_state* state, fiber& f, std::coroutine_handle<> h) noexcept {
        state_ = state;
        operation_ = state != nullptr ? operation::outstanding : operation::none;
        f.wait(*this, h);
        if (operation_ == operation::outstanding)
            state_->begin(f.loop(), *this);
    }
    /// After the wait: throws if it was cancelled, or could not be begun.
    void finish() {
        // A cancellation that came too late for an operation which has its result waits for the next wait.
        if (fiber_->cancellation_due() && (fiber_->wait_was_interrupted() || state_->aborted())) [[unlikely]] {
            // An operation that was given up still belongs to its own thread, and has transferred nothing.
            if (operation_ == operation::over)
                state_->report_partial();
            fiber_->throw_cancelled();
        }
        state_->rethrow_if_not_begun();
    }

private:
    static cancel_effect cancel(suspension& s, const cancel_request&, fiber*&) noexcept {
        auto& self = static_cast<asio_wait&>(s);
        if (self.operation_ != operation::outstanding)
            return cancel_effect::interrupted;
        if (!self.state_->request_cancel())
            return cancel_effect::held;
        self.operation_ = operation::given_up;
        self.state_->detach(self.fiber_->loop());
        return cancel_effect::interrupted;
    }
    static constexpr suspension_kind kind_of{.what = "an Asio operation", .cancel = &cancel};

    asio_state* state_ = nullptr;
    enum class operation : std::uint8_t {
        none,        ///< the task was cancelled before
        outstanding, ///< the state has this wait's address
        over,        ///< its result has arrived on the loop's thread
        given_up,    ///< it had not begun when it was cancelled, and is not waited for
    };
    operation operation_ = operation::none;
};

inline void asio_state::completed() noexcept {
    {
        const std::lock_guard lock(lock_);
        go_to(step::over);
        // A strand must not outlive its context, which may be in the act of being destroyed.
        executor_ = nullptr;
    }
    finish_half();
}

inline void asio_state::finish_half() noexcept {
    if (halves_.fetch_sub(1, std::memory_order_acq_rel) != 1)
        return;
    scheduler* const here = scheduler::current();
    if (here != nullptr && here->inbox() == inbox_) {
        opened(*this, *here);
        return;
    }
    const std::shared_ptr<mailbox> box = inbox_; // once it is posted this may be gone
    if (!box->post(*this)) {
        report_unwanted();
        release();
    }
}

inline void asio_state::arrived(fiber_loop& loop) noexcept {
    asio_wait* const waiter = std::exchange(waiter_, nullptr);
    if (waiter == nullptr) {
        report_unwanted();
        return;
    }
    loop.end_external_work();
    waiter->over(!loop.inbox()->was_closed_here());
}

inline void asio_state::report_partial() const noexcept {
    if (ending_ != ending::aborted || transferred_ == 0)
        return;
    report r(report_kind::suppressed);
    send_report(r, [&] {
        r.name = "Asio operation";
        r.detail = "it was cancelled when it had transferred " + std::to_string(transferred_) +
                   " bytes, of which its task is not told";
    });
}

inline void asio_state::report_unwanted() noexcept {
    report_partial();
    report r(report_kind::suppressed);
    const bool lost_value = ending_ == ending::result && result().succeeded() && gives_value();
    if (not_begun_)
        r.error = not_begun_;
    else if (ending_ == ending::result && result().failed())
        r.error = result().error();
    else if (!lost_value)
        return;
    send_report(r, [&] {
        r.name = "Asio operation";
        r.detail = "the task that waited for it had been destroyed with its loop";
        if (lost_value)
            r.detail += ", and its value is lost";
    });
}

inline void asio_state::begin(fiber_loop& loop, asio_wait& waiter) noexcept {
    inbox_ = loop.inbox();
    waiter_ = &waiter;
    loop.begin_external_work();
    retain(); // for the letter
    bool on_its_way = false;
    try {
        executor_ = initiation_executor();
        if (!is_here()) {
            // Sockets and the like belong to their executor: what is done to them is done there.
            const auto ex = executor_;
            asio_start start(*this);
            on_its_way = true;
            boost::asio::dispatch(ex, std::move(start));
            return;
        }
    } catch (...) {
        not_begun_ = std::current_exception();
        if (!on_its_way)
            never_begun();
        return;
    }
    begin_here();
}

inline void asio_state::never_begun() noexcept {
    dropped();
    finish_half();
}

inline void asio_state::begin_here() noexcept {
    {
        const std::lock_guard lock(lock_);
        if (step_ == step::unwanted) {
            set_aborted();
            detail_outcome_access::set_error(result(),
                std::make_exception_ptr(
                    boost::system::system_error(boost::system::error_code(boost::asio::error::operation_aborted))));
            completed();
        } else {
            go_to(step::begun);
            begins_on_.store(std::this_thread::get_id(), std::memory_order_relaxed);
            try {
                initiate();
            } catch (...) {
                // Its handler has been dropped, or will be called all the same.
                not_begun_ = std::current_exception();
            }
            begins_on_.store(std::thread::id(), std::memory_order_relaxed);
        }
    }
    finish_half();
}

inline bool asio_state::request_cancel() noexcept {
    if (std::exchange(cancel_requested_, true))
        return false;
    // With the lock, so that a context which is being destroyed waits here before it is gone.
    const std::lock_guard lock(lock_);
    if (step_ == step::over)
        return false;
    if (step_ == step::unbegun) {
        go_to(step::unwanted);
        return true;
    }
    MUSTER_ASSERT(step_ == step::begun);
    try {
        if (is_here()) {
            cancel_here();
        } else {
            const auto ex = executor_;
            boost::asio::dispatch(ex, [self = asio_ref<asio_state>(*this)] { self->cancel_here(); });
        }
    } catch (...) {
        cancel_requested_ = false; // without memory the operation goes on, and may be cancelled again
    }
    return false;
}

inline void asio_state::cancel_here() noexcept {
    const std::lock_guard lock(lock_);
    if (step_ == step::over)
        return;
    try {
        signal_.emit(boost::asio::cancellation_type::terminal);
    } catch (...) {
        return; // an operation that can't be cancelled is waited for
    }
}

inline void asio_state::detach(fiber_loop& loop) noexcept {
    waiter_ = nullptr;
    loop.end_external_work();
}

template <class E>
concept asio_error_code = std::same_as<E, boost::system::error_code> || std::same_as<E, std::error_code>;

/// Whether an error is one of those by which Asio's parts say that an operation was cancelled: operation_aborted of
/// sockets and timers, channel_cancelled of channels, and the generic operation_canceled.
[[nodiscard]] inline bool says_cancelled(const boost::system::error_code& e) noexcept {
    return e == boost::asio::error::operation_aborted || e == boost::system::errc::operation_canceled ||
           e == boost::asio::experimental::error::channel_cancelled;
}
[[nodiscard]] inline bool says_cancelled(const std::error_code& e) noexcept {
    return e == std::errc::operation_canceled ||
           e == std::error_code(boost::system::error_code(boost::asio::error::operation_aborted)) ||
           e == std::error_code(boost::system::error_code(boost::asio::experimental::error::channel_cancelled));
}
[[nodiscard]] inline bool says_cancelled(const std::exception_ptr& e) noexcept {
    if (const auto* error = get_if<boost::system::system_error>(e))
        return says_cancelled(error->code());
    const auto* error = get_if<std::system_error>(e);
    return error != nullptr && says_cancelled(error->code());
}

/// The type that an await gives for the arguments of a signature.
template <class... Values>
struct asio_values {
    using type = std::tuple<Values...>;
};
template <class Value>
struct asio_values<Value> {
    using type = Value;
};
template <>
struct asio_values<> {
    using type = void;
};
template <class... Args>
struct asio_value_of : asio_values<std::decay_t<Args>...> {};
template <class First, class... Args>
    requires(asio_error_code<std::decay_t<First>> || std::same_as<std::decay_t<First>, std::exception_ptr>)
struct asio_value_of<First, Args...> : asio_values<std::decay_t<Args>...> {};

template <class Signature>
class asio_typed_state;

template <class R, class... Args>
class asio_typed_state<R(Args...)> : public asio_state {
public:
    using value_type = typename asio_value_of<Args...>::type;

    /// After it has completed.
    [[nodiscard]] outcome<value_type>& typed_result() noexcept { return result_; }

    template <class... Given>
    void set(Given&&... given) noexcept {
        try {
            if constexpr (sizeof...(Given) == 0)
                result_.emplace();
            else
                set_by_first(std::forward<Given>(given)...);
        } catch (...) {
            detail_outcome_access::set_thrown(result_, std::current_exception());
        }
    }

protected:
    [[nodiscard]] outcome_base& result() noexcept final { return result_; }
    [[nodiscard]] bool gives_value() const noexcept final { return !std::is_void_v<value_type>; }

private:
    template <class First, class... Rest>
    void set_by_first(First&& first, Rest&&... rest) {
        using bare = std::decay_t<First>;
        if constexpr (std::same_as<bare, boost::system::error_code>) {
            if (first)
                return set_failed(
                    says_cancelled(first), std::make_exception_ptr(boost::system::system_error(first)), rest...);
            result_.emplace(std::forward<Rest>(rest)...);
        } else if constexpr (std::same_as<bare, std::error_code>) {
            if (first)
                return set_failed(says_cancelled(first), std::make_exception_ptr(std::system_error(first)), rest...);
            result_.emplace(std::forward<Rest>(rest)...);
        } else if constexpr (std::same_as<bare, std::exception_ptr>) {
            if (first)
                return set_failed(says_cancelled(first), std::forward<First>(first), rest...);
            result_.emplace(std::forward<Rest>(rest)...);
        } else {
            note_abort(first);
            result_.emplace(std::forward<First>(first), std::forward<Rest>(rest)...);
        }
    }
    template <class... Rest>
    void set_failed(bool abort, std::exception_ptr error, const Rest&... rest) noexcept {
        if (abort)
            this->set_aborted(transferred(rest...));
        detail_outcome_access::set_thrown(result_, std::move(error));
    }
    /// The value that comes after the error code: only signatures that count bytes have a std::size_t there.
    static std::size_t transferred(std::size_t bytes) noexcept { return bytes; }
    template <class... Other>
    static std::size_t transferred(const Other&...) noexcept {
        return 0;
    }
    /// as_tuple gives the error as part of the value.
    template <class First, class... Rest>
    void note_abort(const std::tuple<First, Rest...>& all) noexcept {
        if constexpr (asio_error_code<First> || std::same_as<First, std::exception_ptr>) {
            if (says_cancelled(std::get<0>(all)))
                this->set_aborted(
                    std::apply([](const auto&, const auto&... rest) { return transferred(rest...); }, all));
        }
    }
    void note_abort(const auto&) noexcept {}

    outcome<value_type> result_;
};

/// The completion handler that Asio gets. If it is destroyed uncalled, the operation has been dropped.
template <class Signature>
class asio_handler {
public:
    using cancellation_slot_type = boost::asio::cancellation_slot;

    explicit asio_handler(asio_typed_state<Signature>& state) noexcept : state_(state) {}
    asio_handler(asio_handler&&) noexcept = default;
    asio_handler& operator=(const asio_handler&) = delete;
    ~asio_handler() {
        if (auto* state = state_.get())
            state->dropped();
    }

    template <class... Given>
    void operator()(Given&&... given) noexcept {
        auto* const state = state_.take();
        state->set(std::forward<Given>(given)...);
        state->completed();
        state->release();
    }
    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return state_->slot(); }
    template <class Executor>
    void runs_on(const Executor& ex) const noexcept {
        state_->runs_on(ex);
    }

private:
    asio_ref<asio_typed_state<Signature>> state_;
};

/// The executor of an initiation, or of the one that a token's adapter has put around it.
template <class Initiation>
boost::asio::any_io_executor executor_of_initiation(const Initiation& initiation) {
    if constexpr (requires { boost::asio::any_io_executor(initiation.get_executor()); })
        return boost::asio::any_io_executor(initiation.get_executor());
    else if constexpr (requires { initiation.initiation_; })
        return executor_of_initiation(initiation.initiation_);
    else
        return {};
}

template <class Signature, class Initiation, class... Args>
class asio_begun_state final : public asio_typed_state<Signature> {
public:
    asio_begun_state(Initiation&& initiation, std::tuple<Args...>&& args)
        : initiation_(std::move(initiation)),
          args_(std::move(args)) {}

private:
    void initiate() override {
        asio_handler<Signature> handler(*this);
        std::apply([&](Args&... args) { std::move(initiation_)(std::move(handler), std::move(args)...); }, args_);
    }
    [[nodiscard]] boost::asio::any_io_executor initiation_executor() const override {
        return executor_of_initiation(initiation_);
    }

    Initiation initiation_;
    std::tuple<Args...> args_;
};

template <class Signature, class Initiation, class... Args>
class [[nodiscard("nothing begins until it is awaited")]] asio_awaiter final : public asio_wait {
    using state = asio_begun_state<Signature, Initiation, Args...>;

public:
    using value_type = typename state::value_type;

    asio_awaiter(Initiation && initiation, std::tuple<Args...> && args)
        : initiation_(std::move(initiation)),
          args_(std::move(args)) {}

    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber& f = *h.promise().fiber_;
        // An await_suspend that throws breaks g++ 12: the error is kept for await_resume.
        try {
            if (!f.cancellation_due())
                started_ = new state(std::move(initiation_), std::move(args_));
        } catch (...) {
            error_ = std::current_exception();
            f.transfer(h);
            return;
        }
        begin(started_, f, h);
    }
    value_type await_resume() {
        if (error_)
            std::rethrow_exception(error_);
        finish();
        auto& result = started_->typed_result();
        if (!result.succeeded())
            result.rethrow();
        return result.take();
    }

private:
    Initiation initiation_;
    std::tuple<Args...> args_;
    state* started_ = nullptr;
    std::exception_ptr error_;
};

/// Whether the value that the awaiting coroutine returns next is lost: a task that returns while a cancellation has not
/// been delivered is cancelled, unless it is a child of a race, which accounts for the value itself; and a coroutine
/// inside a task gives its value to the one that awaits it.
class asio_value_is_lost final : public library_awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<promise_links> Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        fiber& f = *h.promise().fiber_;
        lost_ = h.promise().link_ == nullptr && f.cancellation_due() && !f.keeps_value();
        f.transfer(h);
    }
    [[nodiscard]] bool await_resume() const noexcept { return lost_; }

private:
    bool lost_ = false;
};

inline void report_lost_asio_value() noexcept {
    report r(report_kind::suppressed);
    send_report(r, [&] {
        r.name = "Asio operation";
        r.detail = "it completed although it was cancelled, and its value is lost";
    });
}

/// An Asio function that is called with use_task returns one: a movable description of the operation, which begins when
/// it is awaited.
template <class Signature, class Initiation, class... Args>
class [[nodiscard("nothing begins until it is awaited")]] asio_operation {
    using awaiter = asio_awaiter<Signature, Initiation, Args...>;

public:
    using value_type = typename awaiter::value_type;

    template <class I, class... As>
    explicit asio_operation(std::in_place_t, I && initiation, As && ... args)
        : initiation_(std::forward<I>(initiation)),
          args_(std::forward<As>(args)...) {}

    awaiter operator co_await()&& { return awaiter(std::move(initiation_), std::move(args_)); }

    /// The same as a task: for create_task, and for whatever else takes only tasks.
    [[nodiscard]] task<value_type> as_task()&& { return as_task(std::move(*this)); }
    operator task<value_type>()&& { return as_task(std::move(*this)); }

private:
    static task<value_type> as_task(asio_operation operation) {
        if constexpr (std::is_void_v<value_type>) {
            co_await std::move(operation);
        } else {
            auto value = co_await std::move(operation);
            const bool lost = co_await asio_value_is_lost();
            if (lost)
                report_lost_asio_value();
            co_return value;
        }
    }

    Initiation initiation_;
    std::tuple<Args...> args_;
};

} // namespace detail
} // namespace muster

/// The handler has no executor of its own: it runs where the operation's own handlers do.
template <class Signature, class Candidate>
struct boost::asio::associated_executor<muster::detail::asio_handler<Signature>, Candidate> {
    using type = Candidate;
    static type get(
        const muster::detail::asio_handler<Signature>& h, const Candidate& candidate = Candidate()) noexcept {
        h.runs_on(candidate);
        return candidate;
    }
};
