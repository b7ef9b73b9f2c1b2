// SPDX-License-Identifier: MIT
// The error of an awaitable that is awaited when its object was destroyed.
#include <muster/detail/object_link.hpp>

#include <muster/error.hpp>

#include <string>
#include <string_view>

namespace muster::detail {

void throw_gone(const char* what) {
    const std::string_view function = what;
    std::string object(function.substr(0, function.find("::")));
    throw invalid_state_error(
        "the " + object + " was destroyed before this was awaited (" + what + "): keep it until the await has ended");
}

} // namespace muster::detail
