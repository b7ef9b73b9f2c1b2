// SPDX-License-Identifier: MIT
// expect: a handler of handle_group takes `const muster::base_exception_group& part`, or nothing
#include <muster/handle_group.hpp>

#include <exception>
#include <stdexcept>

void handle(std::exception_ptr error) {
#ifdef MUSTER_CONTROL
    muster::handle_group(error, muster::on<std::runtime_error>([](const muster::base_exception_group&) {}));
#else
    muster::handle_group(error, muster::on<std::runtime_error>([](const std::runtime_error&) {}));
#endif
}
