// SPDX-License-Identifier: MIT
// This file looks for a queue's address and at it. No message repeats an address that may hold a password.
#include "queue_address.hpp"

#include "units.hpp"

#include <muster/postgres/init.hpp>

#include <fmt/core.h>

#include <cstdlib>
#include <stdexcept>

namespace tool {

std::string address_of_queue(const std::string& given, const std::string& command) {
    if (given.empty()) {
        const char* const from_environment = std::getenv(variable_of_queue);
        if (from_environment == nullptr)
            throw usage_error(fmt::format("{}: say which one with --on service=NAME, or --on "
                                          "postgresql://host/database, or in {}",
                command, variable_of_queue));
        return from_environment;
    }
    bool has_one = false;
    try {
        has_one = muster::postgres::has_password(given);
    } catch (const std::invalid_argument& e) {
        throw usage_error(fmt::format("--on: {}", e.what()));
    }
    if (has_one)
        throw usage_error("--on: a password on a command line can be read by everybody on this machine: put it into "
                          "~/.pgpass, or a file that PGPASSFILE names, or a service file, and say service=NAME");
    return given;
}

} // namespace tool
