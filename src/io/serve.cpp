// SPDX-License-Identifier: MIT
// This file has the parts of serve() that do not depend on the handler's type: the name of a connection in reports,
// and the way of its failure to the failure handler or, without one, to a report. If the handler itself throws, both
// the connection's failure and the handler's are reported.
#include <muster/io/serve.hpp>

#include <muster/report.hpp>

#include <utility>

#include <sys/socket.h>

namespace muster::detail {

namespace {

io::address peer_of(const io::stream& s) noexcept {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (::getpeername(s.native_handle(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0)
        return {};
    return io::address(&name, bytes);
}

void send(report_kind kind, const connection_id& connection, std::exception_ptr error) noexcept {
    report r(kind);
    r.error = std::move(error);
    send_report(r, [&] { r.name = connection.name(); });
}

} // namespace

connection_id::connection_id(std::uint64_t number, const io::stream& connection) noexcept
    : number_(number),
      peer_(peer_of(connection)) {}

std::string connection_id::name() const {
    std::string name = "connection " + std::to_string(number_);
    // A peer on a Unix socket has no address.
    if (peer_.port() != 0)
        name += " (" + peer_.text() + ')';
    return name;
}

void hand_over_failure(
    const io::serve_options& options, const connection_id& connection, std::exception_ptr error) noexcept {
    if (!options.failure_handler_set()) {
        send(report_kind::never_retrieved, connection, std::move(error));
        return;
    }
    try {
        options.failure_handler_set()(connection.peer(), error);
    } catch (...) {
        send(report_kind::never_retrieved, connection, std::move(error));
        send(report_kind::callback_failed, connection, std::current_exception());
    }
}

} // namespace muster::detail
