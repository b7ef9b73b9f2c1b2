// SPDX-License-Identifier: MIT
// This file throws the errors of setting a future.
#include <muster/future.hpp>

#include <stdexcept>

namespace muster::detail {

void require_settable(const completable& future) {
    if (!future.done())
        return;
    throw invalid_state_error("'" + future.name() + "' has ended already" +
                              (future.ended_as().was_cancelled() ? ": it was cancelled" : ": it is set once"));
}

void require_error(const std::exception_ptr& error) {
    if (!error)
        throw std::invalid_argument("set_exception needs an error: the exception_ptr is null");
    if (get_if<cancelled_error>(error) != nullptr)
        throw std::invalid_argument("a cancelled_error is no result: cancel the future with cancel()");
}

} // namespace muster::detail
