// SPDX-License-Identifier: MIT
// The clock computes when a request's next time limit is due, and words the error of a limit that was reached. enter()
// takes a request through four phases: its turn, a connection, the first byte, and more of the answer. next() is the
// earlier one of the limit on the whole request and the limit on the phase that it is in; text() names the phase, the
// time and the option that set the limit.
#include "phase_clock.hpp"

#include <algorithm>

namespace muster::http {

namespace {

struct words {
    const char* option;
    const char* thing;
};

words words_for(waits_for what) noexcept {
    switch (what) {
    case waits_for::admission:
        return {"wait_timeout", "its turn among the requests that the limits on connections allow"};
    case waits_for::connection:
        return {"connect_timeout", "a connection"};
    case waits_for::first_byte:
        return {"first_byte_timeout", "the first byte of an answer"};
    case waits_for::more:
        break;
    }
    return {"idle_timeout", "more of the answer"};
}

std::string in_words(std::chrono::nanoseconds d) {
    const auto ms = std::chrono::round<std::chrono::milliseconds>(d).count();
    return ms >= 10'000 && ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

} // namespace

std::optional<phase_clock::time> phase_clock::next() const noexcept {
    std::optional<time> earliest;
    if (limits_.total.count() > 0)
        earliest = began_ + limits_.total;
    if (limit().count() > 0)
        earliest = std::min(earliest.value_or(since_ + limit()), since_ + limit());
    return earliest;
}

std::string phase_clock::text(time now) const {
    const words w = words_for(phase_);
    if (all_is_over(now))
        return "not done after " + in_words(limits_.total) + " (timeout): for the last " + in_words(now - since_) +
               " it waited for " + w.thing;
    return "timed out after " + in_words(limit()) + " of waiting for " + w.thing + " (" + w.option + ')';
}

} // namespace muster::http
