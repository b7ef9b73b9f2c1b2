// SPDX-License-Identifier: MIT
// expect: a handler gets a group whatever it asks for: name the type of the exceptions in the group, or use catch
#include <muster/handle_group.hpp>

#include <exception>
#include <stdexcept>

void handle(std::exception_ptr error) {
#ifdef MUSTER_CONTROL
    muster::handle_group(error, muster::on<std::runtime_error>([] {}));
#else
    muster::handle_group(error, muster::on<muster::exception_group>([] {}));
#endif
}
