// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How one thing that was submitted has ended: a value, an error, a cancellation (why, by whom), or that it was
/// never started. Asking costs no throw; `value()` throws what happened if it was not a value. An exception object
/// that was *returned* is a value.
///
///     muster::outcome<int> o = ...;
///     if (const auto* e = o.error_as<http_error>()) retry_later(e->status());

#include <muster/config.hpp>
#include <muster/detail/cancel_text.hpp>
#include <muster/detail/exception_type.hpp>
#include <muster/error.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace muster {

enum class outcome_state : std::uint8_t { not_started, value, error, cancelled };

/// The part of an outcome that does not depend on the type of the value.
class outcome_base {
public:
    [[nodiscard]] outcome_state state() const noexcept { return state_; }
    [[nodiscard]] bool succeeded() const noexcept { return state_ == outcome_state::value; }
    [[nodiscard]] bool failed() const noexcept { return state_ == outcome_state::error; }
    [[nodiscard]] bool was_cancelled() const noexcept { return state_ == outcome_state::cancelled; }
    [[nodiscard]] bool was_not_started() const noexcept { return state_ == outcome_state::not_started; }

    /// *Returns* what it failed with; null unless failed().
    [[nodiscard]] std::exception_ptr error() const noexcept { return failed() ? stored_error() : std::exception_ptr(); }

    /// *Returns* the error as an E if it failed with an E or a class derived from it, else null. Throws nothing.
    /// *Lifetime*: as long as this outcome, or any copy of error(). *Complexity*: O(1), no rethrow.
    template <class E>
    [[nodiscard]] const E* error_as() const noexcept {
        return failed() ? detail::get_if<E>(stored_error()) : nullptr;
    }
    template <class E>
    [[nodiscard]] bool failed_with() const noexcept {
        return error_as<E>() != nullptr;
    }

    /// Why it was cancelled or not started; cancel_reason::none otherwise.
    [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }
    /// The text that was given to cancel(). *Lifetime* of this and of requested_by(): as long as this outcome.
    [[nodiscard]] std::string_view message() const noexcept {
        return has_text() ? std::string_view(stored_text()->message) : std::string_view();
    }
    /// The name of the task that called cancel(); of a join, the child that made it stop.
    [[nodiscard]] std::string_view requested_by() const noexcept {
        return has_text() ? std::string_view(stored_text()->requested_by) : std::string_view();
    }

    /// The error that stands for this outcome if it is thrown: the error itself, or a cancelled_error. Null for a
    /// value.
    [[nodiscard]] std::exception_ptr as_exception() const {
        if (failed())
            return stored_error();
        if (succeeded())
            return nullptr;
        return std::make_exception_ptr(as_cancelled_error());
    }
    /// *Returns* a cancelled_error with the reason and texts of a cancelled or not started outcome.
    [[nodiscard]] cancelled_error as_cancelled_error() const {
        return cancelled_error(reason_, detail::cancel_text_ptr::share(has_text() ? stored_text() : nullptr));
    }
    /// Throws as_exception(). Must not be called on a value.
    [[noreturn]] void rethrow() const {
        if (failed())
            std::rethrow_exception(stored_error());
        throw as_cancelled_error();
    }

protected:
    outcome_base() noexcept = default;
    outcome_base(outcome_state state, cancel_reason reason) noexcept : state_(state), reason_(reason) {}
    outcome_base(const outcome_base& other) noexcept : state_(other.state_), reason_(other.reason_) {
        if (other.failed())
            ::new (static_cast<void*>(&detail_)) std::exception_ptr(other.stored_error());
        else if (other.has_text())
            detail_ = detail::cancel_text_ptr::share(other.stored_text()).detach();
    }
    outcome_base(outcome_base&& other) noexcept : state_(other.state_), reason_(other.reason_) {
        if (other.failed())
            ::new (static_cast<void*>(&detail_)) std::exception_ptr(other.stored_error());
        else
            detail_ = std::exchange(other.detail_, nullptr);
    }
    outcome_base& operator=(const outcome_base&) = delete;
    ~outcome_base() {
        // Both are tested here, because one that holds a value, or nothing, is the usual case.
        if (state_ != outcome_state::value && detail_ != nullptr) [[unlikely]]
            drop_detail();
    }

    const std::exception_ptr& stored_error() const noexcept {
        return *std::launder(reinterpret_cast<const std::exception_ptr*>(&detail_));
    }
    bool has_text() const noexcept { return state_ != outcome_state::error && detail_ != nullptr; }
    detail::cancel_text* stored_text() const noexcept { return static_cast<detail::cancel_text*>(detail_); }

    void drop_detail() noexcept {
        if (failed())
            std::destroy_at(std::launder(reinterpret_cast<std::exception_ptr*>(&detail_)));
        else if (has_text())
            static_cast<void>(detail::cancel_text_ptr::adopt(stored_text()));
        detail_ = nullptr;
    }

private:
    friend struct detail_outcome_access;

    // A word that is an exception_ptr (also one word) when failed, a cancel_text* when cancelled, else null.
    alignas(std::exception_ptr) void* detail_ = nullptr;
    static_assert(sizeof(std::exception_ptr) == sizeof(void*));

    outcome_state state_ = outcome_state::not_started;
    cancel_reason reason_ = cancel_reason::none;
};

/// How the library itself fills an outcome in. Each may be called on an outcome that holds no value.
struct detail_outcome_access {
    static void set_error(outcome_base& o, std::exception_ptr error) noexcept {
        o.drop_detail();
        ::new (static_cast<void*>(&o.detail_)) std::exception_ptr(std::move(error));
        o.state_ = outcome_state::error;
        o.reason_ = cancel_reason::none;
    }
    static void set_cancelled(
        outcome_base& o, outcome_state state, cancel_reason reason, detail::cancel_text_ptr text) noexcept {
        o.drop_detail();
        o.detail_ = text.detach();
        o.state_ = state;
        o.reason_ = reason;
    }
    static void set_cancelled(outcome_base& o, const cancelled_error& e) noexcept {
        set_cancelled(o, outcome_state::cancelled, e.reason(), e.text());
    }
    /// For a thrown exception: a cancelled_error is a cancellation, anything else an error.
    static void set_thrown(outcome_base& o, std::exception_ptr thrown) noexcept {
        if (const auto* cancelled = detail::get_if<cancelled_error>(thrown))
            set_cancelled(o, *cancelled);
        else
            set_error(o, std::move(thrown));
    }
    static void set_value_state(outcome_base& o) noexcept { o.state_ = outcome_state::value; }
    static void set_state(outcome_base& o, outcome_state state) noexcept { o.state_ = state; }
    static detail::cancel_text_ptr text(const outcome_base& o) noexcept {
        return detail::cancel_text_ptr::share(o.has_text() ? o.stored_text() : nullptr);
    }
};

/// `T` may be void, a reference, move-only, or an exception type. Movable; copyable if T is.
template <class T = void>
class [[nodiscard("an outcome says whether it failed: look at it")]] outcome : public outcome_base {
    using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;

public:
    using value_type = T;

    outcome() noexcept {}
    outcome(const outcome& other) requires std::is_copy_constructible_v<stored> : outcome_base(other) {
        if (other.succeeded())
            ::new (static_cast<void*>(&value_)) stored(other.value_);
    }
    outcome(outcome && other) noexcept(std::is_nothrow_move_constructible_v<stored>) : outcome_base(std::move(other)) {
        if (other.succeeded())
            ::new (static_cast<void*>(&value_)) stored(std::move(other.value_));
    }
    /// If moving the value throws it has become an outcome that was not started.
    outcome& operator=(outcome other) noexcept(std::is_nothrow_move_constructible_v<stored>) {
        std::destroy_at(this);
        if constexpr (std::is_nothrow_move_constructible_v<stored>) {
            return *::new (static_cast<void*>(this)) outcome(std::move(other));
        } else {
            try {
                return *::new (static_cast<void*>(this)) outcome(std::move(other));
            } catch (...) {
                ::new (static_cast<void*>(this)) outcome();
                throw;
            }
        }
    }
    ~outcome() {
        if (succeeded())
            std::destroy_at(&value_);
    }

    /// *Returns* the value. *Errors*: throws the error itself, or cancelled_error if there was no value.
    [[nodiscard]] decltype(auto) value() const& {
        if (!succeeded())
            rethrow();
        return get();
    }
    [[nodiscard]] decltype(auto) value()& {
        if (!succeeded())
            rethrow();
        return get();
    }
    [[nodiscard]] T value()&& {
        if (!succeeded())
            rethrow();
        return take();
    }
    [[nodiscard]] decltype(auto) operator*() const& { return value(); }
    [[nodiscard]] decltype(auto) operator*()& { return value(); }
    [[nodiscard]] T operator*()&& { return std::move(*this).value(); }
    [[nodiscard]] auto operator->() const { return std::addressof(value()); }

    /// *Returns* the value's address, or null. Throws nothing.
    [[nodiscard]] const std::remove_reference_t<T>* value_if() const noexcept {
        return succeeded() ? std::addressof(get()) : nullptr;
    }

    /// For the library: the value is made in place, once.
    template <class... Args>
    void emplace(Args && ... args) {
        if constexpr (std::is_reference_v<T>)
            value_ = std::addressof(args...);
        else
            ::new (static_cast<void*>(&value_)) stored(std::forward<Args>(args)...);
        detail_outcome_access::set_value_state(*this);
    }
    /// For the library: forgets a value that nobody was given.
    void clear() noexcept {
        if (succeeded()) {
            std::destroy_at(&value_);
            detail_outcome_access::set_state(*this, outcome_state::not_started);
        } else {
            drop_detail();
            detail_outcome_access::set_state(*this, outcome_state::not_started);
        }
    }
    [[nodiscard]] T take() {
        if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*value_);
        else
            return std::move(value_);
    }

private:
    decltype(auto) get() const noexcept {
        if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*value_);
        else
            return static_cast<const T&>(value_);
    }
    decltype(auto) get() noexcept {
        if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*value_);
        else
            return static_cast<T&>(value_);
    }

    union {
        stored value_;
    };
};

template <>
class [[nodiscard("an outcome says whether it failed: look at it")]] outcome<void> : public outcome_base {
public:
    using value_type = void;

    outcome() noexcept = default;
    outcome(const outcome&) noexcept = default;
    outcome(outcome &&) noexcept = default;
    outcome& operator=(outcome other) noexcept {
        std::destroy_at(this);
        return *::new (static_cast<void*>(this)) outcome(std::move(other));
    }
    ~outcome() = default;

    /// *Errors*: throws the error itself, or cancelled_error if it did not end well.
    void value() const {
        if (!succeeded())
            rethrow();
    }
    void operator*() const { value(); }

    void emplace() noexcept { detail_outcome_access::set_value_state(*this); }
    void clear() noexcept {
        drop_detail();
        detail_outcome_access::set_state(*this, outcome_state::not_started);
    }
    void take() noexcept {}
};

/// *Returns* "OK", "http_error: 503 ...", "cancelled (sibling failed)" or "not started (deadline)".
[[nodiscard]] std::string to_string(const outcome_base& o);

/// Writes to_string(o); works for any stream that takes a string.
template <class Stream>
    requires requires(Stream& s, std::string text) { s << text; }
Stream& operator<<(Stream& stream, const outcome_base& o) {
    stream << to_string(o);
    return stream;
}

} // namespace muster
