// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The faults of a URL, in a table: where it is, and what it must end as. The client's and the command's tests
/// put every row through the same checks.
///
///     fault_bed bed;
///     for (const auto& f : server_faults) expect_ends_as(bed.url(f), f.ends_as);

#include "support/nginx_server.hpp"

#include <muster/testing/faulty_server.hpp>

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace fault_table {

using muster::testing::faulty_server;
using muster::testing::faulty_server_options;
using muster::testing::on_accept;

enum class place {
    server,  ///< the faulty server
    resets,  ///< one that resets what it accepts
    closes,  ///< one that closes what it accepts
    ignores, ///< one that accepts and says nothing
    ipv6,    ///< one that listens on ::1 only
    refused, ///< a port of 127.0.0.1 that nobody listens on
    spelled, ///< the path is all of the URL
    nginx,
    nginx_ipv6,
    tls_good,
    tls_wrong_name,
    tls_expired,
    tls_unknown
};

struct fault {
    const char* name;
    place where;
    const char* path;
    const char* ends_as;    ///< the type of its error; "" for a success
    bool times_out = false; ///< it ends by the request's own time limit
};

inline void PrintTo(const fault& f, std::ostream* to) { *to << f.name; }

/// A body over `largest_body` is an error.
constexpr std::uint64_t largest_body = 5'000'000;

inline const std::vector<fault> server_faults{
    {"none", place::server, "/ok", ""},
    {"large_body", place::server, "/bytes/1000000", ""},
    {"chunked_body", place::server, "/chunked/1000000", ""},
    {"slow_answer", place::server, "/slow/30", ""},
    {"dripping_body_that_ends", place::server, "/drip/1/20", ""},
    {"redirects", place::server, "/redirect/5", ""},
    {"ipv6_only", place::ipv6, "/ok", ""},
    {"refused", place::refused, "/", "connect_error"},
    {"ipv6_refused", place::spelled, "http://[::1]:1/", "connect_error"},
    {"reset_when_accepted", place::resets, "/ok", "reset_error"},
    {"closed_when_accepted", place::closes, "/ok", "reset_error"},
    {"reset_before_the_headers", place::server, "/reset", "reset_error"},
    {"reset_after_the_headers", place::server, "/reset-after-headers", "truncated_error"},
    {"closed_before_the_headers", place::server, "/close-early", "reset_error"},
    {"truncated_body", place::server, "/truncated/100000", "truncated_error"},
    {"never_accepted_by_its_program", place::ignores, "/ok", "timeout_error", true},
    {"never_answered", place::server, "/never", "timeout_error", true},
    {"slow_loris", place::server, "/drip/20/1000000", "timeout_error", true},
    {"endless_headers", place::server, "/endless-headers", "too_large_error"},
    {"endless_body", place::server, "/chunked/1099511627776", "too_large_error"},
    {"announced_too_large", place::server, "/bytes/1099511627776", "too_large_error"},
    {"gzip_bomb", place::server, "/gzip-bomb/1000", "too_large_error"},
    {"redirect_circle", place::server, "/redirect-loop", "protocol_error"},
    {"bad_chunk", place::server, "/bad-chunk", "protocol_error"},
    {"garbage", place::server, "/garbage", "protocol_error"},
    {"not_found", place::server, "/status/404", "status_error"},
    {"server_error", place::server, "/status/500", "status_error"},
    {"unavailable", place::server, "/status/503", "status_error"},
    {"name_that_does_not_resolve", place::spelled, "http://no-such-host.invalid/", "resolve_error"},
    {"no_url", place::spelled, "htp:/not-a-url", "url_error"},
};

inline const std::vector<fault> nginx_faults{
    {"none", place::nginx, "/small", ""},
    {"large_file", place::nginx, "/large", ""},
    {"keep_alive_refused", place::nginx, "/closing", ""},
    {"ipv6_only", place::nginx_ipv6, "/small", ""},
    {"through_the_proxy", place::nginx, "/gateway/ok", ""},
    {"missing_file", place::nginx, "/no-such-file", "status_error"},
    {"not_found", place::nginx, "/status/404", "status_error"},
    {"server_error", place::nginx, "/status/500", "status_error"},
    {"unavailable_with_retry_after", place::nginx, "/status/503", "status_error"},
    {"redirect_circle", place::nginx, "/circle/a", "protocol_error"},
    {"slow_body", place::nginx, "/trickle", "timeout_error", true},
    {"closed_without_an_answer", place::nginx, "/nothing", "reset_error"},
    {"truncated_behind_the_proxy", place::nginx, "/gateway/truncated/100000", "truncated_error"},
    {"reset_behind_the_proxy", place::nginx, "/gateway/reset", "status_error"},
    {"too_slow_behind_the_proxy", place::nginx, "/impatient/never", "status_error"},
    {"nobody_behind_the_proxy", place::nginx, "/gone/ok", "status_error"},
};

/// Without an authority of its own a client trusts none of these.
inline const std::vector<fault> tls_faults{
    {"an_authority_that_is_not_known", place::tls_good, "/small", "tls_error"},
    {"a_certificate_for_another_name", place::tls_wrong_name, "/small", "tls_error"},
    {"an_expired_certificate", place::tls_expired, "/small", "tls_error"},
    {"a_certificate_of_a_stranger", place::tls_unknown, "/small", "tls_error"},
};

[[nodiscard]] inline bool needs_nginx(place p) noexcept { return p >= place::nginx; }
[[nodiscard]] inline bool needs_tls(place p) noexcept { return p >= place::tls_good; }

/// All servers that the table needs, each made when it is first asked for.
class fault_bed {
public:
    /// *Returns* why this machine can't have that fault; null if it can.
    [[nodiscard]] static const char* missing(const fault& f) {
        if ((f.where == place::ipv6 || f.where == place::nginx_ipv6) && !nginx_test::has_ipv6())
            return "this machine has no ::1";
        if (needs_nginx(f.where) && !nginx_test::nginx_server::is_installed())
            return nginx_test::nginx_server::how_to_get_it;
        if (needs_tls(f.where) && !nginx_test::certificates::can_be_made())
            return "there is no openssl here to make certificates with: apt-get install openssl";
        return nullptr;
    }

    [[nodiscard]] std::string url(const fault& f) {
        using tls = nginx_test::nginx_server::tls;
        switch (f.where) {
        case place::server:
            return server().url(f.path);
        case place::resets:
            return made(resets_, on_accept::reset).url(f.path);
        case place::closes:
            return made(closes_, on_accept::close).url(f.path);
        case place::ignores:
            return made(ignores_, on_accept::ignore).url(f.path);
        case place::ipv6:
            return made(ipv6_, on_accept::serve, true).url(f.path);
        case place::refused:
            return "http://127.0.0.1:" + std::to_string(faulty_server::unused_port()) + f.path;
        case place::spelled:
            return f.path;
        case place::nginx:
            return nginx().url(f.path);
        case place::nginx_ipv6:
            return nginx().ipv6_url(f.path);
        case place::tls_good:
            return nginx(true).tls_url(tls::good, f.path);
        case place::tls_wrong_name:
            return nginx(true).tls_url(tls::wrong_name, f.path);
        case place::tls_expired:
            return nginx(true).tls_url(tls::expired, f.path);
        case place::tls_unknown:
            return nginx(true).tls_url(tls::unknown, f.path);
        }
        return {};
    }

    [[nodiscard]] faulty_server& server() { return made(server_, on_accept::serve); }
    /// Once it has been made without certificates it stays without.
    [[nodiscard]] nginx_test::nginx_server& nginx(bool with_tls = false) {
        if (!nginx_)
            nginx_ = std::make_unique<nginx_test::nginx_server>(server().port(), with_tls);
        return *nginx_;
    }
    void stop() {
        for (auto* each : {&server_, &resets_, &closes_, &ignores_, &ipv6_})
            each->reset();
        nginx_.reset();
    }

private:
    static faulty_server& made(std::unique_ptr<faulty_server>& one, on_accept how, bool ipv6 = false) {
        if (!one) {
            faulty_server_options chosen;
            chosen.accepting = how;
            chosen.ipv6 = ipv6;
            one = std::make_unique<faulty_server>(chosen);
        }
        return *one;
    }

    std::unique_ptr<faulty_server> server_;
    std::unique_ptr<faulty_server> resets_;
    std::unique_ptr<faulty_server> closes_;
    std::unique_ptr<faulty_server> ignores_;
    std::unique_ptr<faulty_server> ipv6_;
    std::unique_ptr<nginx_test::nginx_server> nginx_;
};

} // namespace fault_table
