// SPDX-License-Identifier: MIT
// expect: ask for the type itself: get_if<http_error>, without const, & or []
#include <muster/error.hpp>

#include <stdexcept>

bool asks(const std::exception_ptr& error) {
#ifdef MUSTER_CONTROL
    return muster::is_a<std::runtime_error>(error);
#else
    return muster::is_a<const std::runtime_error>(error);
#endif
}
