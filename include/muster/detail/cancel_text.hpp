// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The words of a cancellation beyond its reason: a message, and the name of the task that asked. Most cancellations
/// say neither and cost nothing; one text is shared by all the tasks that a request reaches.
/// The count is atomic because a cancelled_error, which holds one, may travel to another thread.
///
///     auto text = muster::detail::cancel_text_ptr::make("too slow", "watchdog");

#include <muster/config.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster::detail {

struct cancel_text {
    cancel_text(std::string message_text, std::string by)
        : message(std::move(message_text)),
          requested_by(std::move(by)) {}

    std::atomic<std::uint32_t> owners{1};
    std::string message;
    std::string requested_by;
};

/// A counted pointer of one word, so that an outcome stays small.
class cancel_text_ptr {
public:
    cancel_text_ptr() = default;
    cancel_text_ptr(const cancel_text_ptr& other) noexcept : text_(other.text_) { retain(); }
    cancel_text_ptr(cancel_text_ptr&& other) noexcept : text_(std::exchange(other.text_, nullptr)) {}
    cancel_text_ptr& operator=(cancel_text_ptr other) noexcept {
        std::swap(text_, other.text_);
        return *this;
    }
    ~cancel_text_ptr() { release(); }

    /// Null if both are empty. *Errors*: std::bad_alloc.
    [[nodiscard]] static cancel_text_ptr make(std::string message, std::string requested_by) {
        cancel_text_ptr made;
        if (!message.empty() || !requested_by.empty())
            made.text_ = new cancel_text(std::move(message), std::move(requested_by));
        return made;
    }

    [[nodiscard]] std::string_view message() const noexcept {
        return text_ != nullptr ? std::string_view(text_->message) : std::string_view();
    }
    [[nodiscard]] std::string_view requested_by() const noexcept {
        return text_ != nullptr ? std::string_view(text_->requested_by) : std::string_view();
    }
    [[nodiscard]] const char* c_str() const noexcept { return text_ != nullptr ? text_->message.c_str() : ""; }

    /// Ownership as a bare word, for storage that holds either this or something else.
    [[nodiscard]] cancel_text* detach() noexcept { return std::exchange(text_, nullptr); }
    [[nodiscard]] static cancel_text_ptr adopt(cancel_text* text) noexcept {
        cancel_text_ptr made;
        made.text_ = text;
        return made;
    }
    [[nodiscard]] static cancel_text_ptr share(cancel_text* text) noexcept {
        cancel_text_ptr made = adopt(text);
        made.retain();
        return made;
    }

private:
    void retain() noexcept {
        if (text_ != nullptr)
            text_->owners.fetch_add(1, std::memory_order_relaxed);
    }
    void release() noexcept {
        if (text_ != nullptr && text_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete text_;
    }

    cancel_text* text_ = nullptr;
};

} // namespace muster::detail
