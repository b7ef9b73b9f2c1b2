// SPDX-License-Identifier: MIT
// This file looks at the address of a database without connecting to it.
#include <muster/postgres/init.hpp>

#include "postgres/database.hpp"

#include <libpq-fe.h>

#include <cstring>
#include <memory>

namespace muster::postgres {

namespace {

struct free_options {
    void operator()(PQconninfoOption* o) const noexcept { ::PQconninfoFree(o); }
};
using options_ptr = std::unique_ptr<PQconninfoOption, free_options>;

/// libpq's own message may repeat a part of the address, which may be a password.
options_ptr options_of(const std::string& address) {
    options_ptr options(address.empty() ? nullptr : ::PQconninfoParse(address.c_str(), nullptr));
    if (!options)
        throw std::invalid_argument("this is no address of a database: say postgresql://user@host/database, or "
                                    "service=NAME, or host=... dbname=...");
    return options;
}

} // namespace

void expect_address(const std::string& address) { static_cast<void>(options_of(address)); }

bool has_password(const std::string& database) {
    const auto options = options_of(database);
    for (const auto* o = options.get(); o->keyword != nullptr; ++o)
        if ((std::strcmp(o->keyword, "password") == 0 || std::strcmp(o->keyword, "sslpassword") == 0) &&
            o->val != nullptr)
            return true;
    return false;
}

} // namespace muster::postgres
