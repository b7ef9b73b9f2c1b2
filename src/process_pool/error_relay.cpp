// SPDX-License-Identifier: MIT
// Text that standard error does not take is kept in a string, up to a limit. Beyond it text is left out and counted;
// the count is said once the string is empty, so that the line stands where the text is missing.
#include "process_pool/error_relay.hpp"

#include "posix/prompt_write.hpp"
#include "vocabulary/printable.hpp"

#include <unistd.h>

#include <cerrno>
#include <new>

namespace muster::workers {

namespace {

constexpr std::size_t most_kept = std::size_t{256} << 10;

} // namespace

void error_relay::keep(std::string_view text) noexcept {
    if (text.size() > most_kept - kept_.size()) {
        left_out_ += text.size();
        return;
    }
    try {
        kept_ += text;
    } catch (const std::bad_alloc&) {
        left_out_ += text.size();
    }
}

void error_relay::take(std::string_view text) noexcept {
    // Behind a gap nothing is kept before the gap was said.
    if (left_out_ != 0)
        left_out_ += text.size();
    else
        keep(text);
    write_some();
}

void error_relay::write_some() noexcept {
    for (;;) {
        if (!has_to_write())
            say_what_was_left_out();
        if (!has_to_write())
            return;
        const auto n = detail::prompt_write(STDERR_FILENO, std::string_view(kept_).substr(at_));
        if (n == 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)))
            return;
        // Where nobody reads any more, there is nobody to be told.
        at_ = n < 0 ? kept_.size() : at_ + static_cast<std::size_t>(n);
        if (at_ == kept_.size()) {
            kept_.clear();
            at_ = 0;
        }
    }
}

void error_relay::say_what_was_left_out() noexcept {
    if (left_out_ == 0)
        return;
    try {
        kept_ = "\nmuster: " + std::to_string(left_out_) + " bytes that " + detail::printable(host_) +
                " wrote are left out here: standard error took nothing\n";
        left_out_ = 0;
    } catch (const std::bad_alloc&) {
        // It is tried again behind the next text.
    }
}

} // namespace muster::workers
