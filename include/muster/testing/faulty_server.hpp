// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An HTTP/1.1 server on loopback that misbehaves on request: the path of a URL chooses the fault, so a test reads as
/// what it tries. It runs on a thread of its own with sockets of its own and shares nothing with the loop under test,
/// so that a client can be faulted without the server being held up by it. It is bounded, raises no signal, and is gone
/// when the object is.
///
///     muster::testing::faulty_server server;
///     fetch(server.url("/slow/50"));          // 200, after 50 ms
///     fetch(server.url("/flaky/orders/2"));   // 503, 503, then 200
///     fetch(server.url("/reset"));            // connection reset by peer
///     assert(server.stats().requests == 5);

#include <muster/testing/faulty_server_options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace muster::testing {

/// The server; it listens from construction to stop() or destruction.
///
/// *Lifetime* - destruction stops the server; it is immovable.
/// *Thread safety* - every member may be called from any thread at the same time, destruction apart.
class faulty_server {
public:
    using options = faulty_server_options;

    /// Binds, listens, and starts the thread.
    /// *Errors* - std::system_error, with what failed in its text: the port is in use, an option is out of range, no
    /// socket or thread is left.
    explicit faulty_server(options chosen = {});
    ~faulty_server();

    faulty_server(const faulty_server&) = delete;
    faulty_server& operator=(const faulty_server&) = delete;

    /// *Returns* the port it listens on (after stop(): listened on).
    [[nodiscard]] std::uint16_t port() const noexcept;

    /// *Returns* the URL of `path`, such as "http://127.0.0.1:40123/ok"; a missing leading slash is put in.
    ///
    /// The path chooses the behaviour. N is a number of bytes or of times, MS a number of milliseconds; a query is
    /// ignored.
    ///
    /// | path | what the client gets |
    /// | --- | --- |
    /// | `/ok` | 200, body `ok` and a line feed |
    /// | `/bytes/N` | 200, N bytes with Content-Length; byte i is `'a' + i % 26` |
    /// | `/chunked/N` | the same N bytes in chunks |
    /// | `/slow/MS` | like `/ok`, after MS |
    /// | `/drip/MS/N` | headers at once, then N bytes, one every MS |
    /// | `/status/CODE` | that status, 200 to 599 |
    /// | `/flaky/KEY/N` | 503 with `Retry-After: 0` for the first N requests of KEY, then 200 |
    /// | `/redirect/N` | N redirects, then 200 |
    /// | `/redirect-loop` | a redirect to itself |
    /// | `/echo` | 200, the request as the server read it: request line, fields, empty line, body |
    /// | `/headers` | 200, the request's fields, one a line |
    /// | `/close-early` | a clean close without a byte of answer |
    /// | `/reset` | a reset without a byte of answer |
    /// | `/reset-after-headers` | headers that announce a body of 1000 bytes, the first of them, then a reset |
    /// | `/truncated/N` | headers that announce N bytes, half of them, then a clean close |
    /// | `/garbage` | bytes that are not HTTP, then a clean close |
    /// | `/never` | nothing, and the connection stays open |
    /// | `/endless-headers` | a status line and header fields, as long as the client reads |
    /// | `/bad-chunk` | one good chunk, then one whose size is no number, then a clean close |
    /// | `/gzip-bomb/MB` | a gzip body that inflates to MB * 2^20 zero bytes, about a thousandth of that on the wire |
    ///
    /// An options::script is asked first. Anything else is a 404, and a number that is none or too large a 400. HEAD
    /// gets the headers alone, requests may be pipelined, connections are kept alive. A client that closes its side
    /// while its answer waits for time
    /// (`/slow`,
    /// `/drip`, `/never`) has left: its connection is closed.
    [[nodiscard]] std::string url(std::string_view path) const;

    /// Sends bytes that nobody asked for on every connection that waits for a request: a late 408, or another answer
    /// that must not be taken for the next request's. *Returns* the number of those connections, once the system has
    /// the bytes; 0 after stop(). *Errors* - std::system_error within a script, which the server's own thread waits
    /// for.
    std::size_t send_unasked(std::string_view bytes);

    /// *Returns* a snapshot; a request is counted before the first byte of its answer is sent.
    [[nodiscard]] faulty_server_stats stats() const;

    /// Closes the port and every connection, answered or not, and ends the thread; later calls do nothing.
    void stop();

    /// *Returns* a port of loopback that nobody listens on, to test a refused connection. It lies outside the range
    /// that the system hands out by itself where there is room outside, so neither another program nor a client's own
    /// end takes it by chance. *Errors* - std::system_error where none was found.
    [[nodiscard]] static std::uint16_t unused_port();

private:
    class server_thread;
    std::unique_ptr<server_thread> server_;
};

} // namespace muster::testing
