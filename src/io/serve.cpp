// SPDX-License-Identifier: MIT
#include <muster/io/serve.hpp>

#include <muster/report.hpp>

#include <utility>

#include <sys/socket.h>

namespace muster::detail {

namespace {

void send(report_kind kind, const io::address& peer, std::exception_ptr error) noexcept {
    report r(kind);
    r.error = std::move(error);
    send_report(r, [&] {
        r.name = "connection";
        r.detail = "with " + peer.text();
    });
}

} // namespace

io::address peer_of(const io::stream& s) noexcept {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getpeername(s.native_handle(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        return {};
    return io::address(&name, bytes);
}

void tell_of_connection(const io::serve_options& options, const io::address& peer, std::exception_ptr error) noexcept {
    if (!options.failure_handler_set()) {
        send(report_kind::never_retrieved, peer, std::move(error));
        return;
    }
    try {
        options.failure_handler_set()(peer, error);
    } catch (...) {
        send(report_kind::never_retrieved, peer, std::move(error));
        send(report_kind::callback_failed, peer, std::current_exception());
    }
}

} // namespace muster::detail
