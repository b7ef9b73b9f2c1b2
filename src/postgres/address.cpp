// SPDX-License-Identifier: MIT
// This file looks at the address of a database without connecting to it.
#include <muster/postgres/init.hpp>

#include "postgres/database.hpp"

#include <libpq-fe.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace muster::postgres {

namespace {

struct free_options {
    void operator()(PQconninfoOption* o) const noexcept { ::PQconninfoFree(o); }
};
using options_ptr = std::unique_ptr<PQconninfoOption, free_options>;

/// Whether a value is one that libpq, or a server, would refuse in words that repeat it, while it may be a password:
/// "postgresql://user:password" has the password where a port should be, and the name of a database may be an address.
bool hides_something(const PQconninfoOption& o) {
    if (o.val == nullptr)
        return false;
    const std::string_view value(o.val);
    if (std::strcmp(o.keyword, "port") == 0)
        return value.find_first_not_of("0123456789,") != std::string_view::npos;
    return std::strcmp(o.keyword, "dbname") == 0 && value.find("://") != std::string_view::npos;
}

/// libpq's own message may repeat a part of the address, which may be a password.
options_ptr options_of(const std::string& address) {
    options_ptr options(address.empty() ? nullptr : ::PQconninfoParse(address.c_str(), nullptr));
    bool is_one = options != nullptr;
    for (const auto* o = options.get(); is_one && o->keyword != nullptr; ++o)
        is_one = !hides_something(*o);
    if (!is_one)
        throw std::invalid_argument("this is no address of a database: say postgresql://user@host/database, or "
                                    "service=NAME, or host=... dbname=...");
    return options;
}

} // namespace

void expect_address(const std::string& address) { static_cast<void>(options_of(address)); }

bool has_password(const std::string& database) {
    const auto options = options_of(database);
    for (const auto* o = options.get(); o->keyword != nullptr; ++o)
        // libpq marks what is to be shown as stars.
        if (o->dispchar != nullptr && *o->dispchar == '*' && o->val != nullptr)
            return true;
    return false;
}

} // namespace muster::postgres
