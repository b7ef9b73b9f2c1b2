// SPDX-License-Identifier: MIT
#include <muster/testing/faulty_server.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace muster::testing {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t io_budget = std::size_t{256}
                                  << 10; // bytes a connection may move before the others get their turn
constexpr std::size_t max_flaky_keys = 100'000;
constexpr std::uint64_t max_body_bytes = std::uint64_t{1} << 40;
constexpr std::uint64_t max_milliseconds = 3'600'000;
constexpr std::uint64_t max_times = 1'000'000;
constexpr milliseconds linger_time{500};
constexpr milliseconds accept_pause{10};

[[noreturn]] void fail(int code, const std::string& what) {
    throw std::system_error(code, std::generic_category(), "faulty_server: " + what);
}

class unique_fd {
public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~unique_fd() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }
    void close() noexcept { unique_fd{std::exchange(fd_, -1)}; }

private:
    int fd_ = -1;
};

/// Makes the close that follows a reset: what has not been sent is thrown away.
void close_with_reset(int fd) noexcept {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/// Blocks every signal of this thread for as long as it lives. A thread that is started meanwhile inherits that for
/// good: signals are for the program's own threads.
class all_signals_blocked {
public:
    all_signals_blocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~all_signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    all_signals_blocked(const all_signals_blocked&) = delete;
    all_signals_blocked& operator=(const all_signals_blocked&) = delete;

private:
    sigset_t before_{};
};

// ---------------------------------------------------------------- addresses

struct socket_address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    socket_address(bool ipv6, std::uint16_t port) {
        if (ipv6) {
            sockaddr_in6 address{};
            address.sin6_family = AF_INET6;
            address.sin6_addr = in6addr_loopback;
            address.sin6_port = htons(port);
            fill(address);
        } else {
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address.sin_port = htons(port);
            fill(address);
        }
    }

    [[nodiscard]] int family() const noexcept { return storage.ss_family; }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }

private:
    template <class Address>
    void fill(const Address& address) {
        std::memcpy(&storage, &address, sizeof address);
        length = sizeof address;
    }
};

[[nodiscard]] std::string name_of(bool ipv6, std::uint16_t port) {
    return (ipv6 ? "[::1]:" : "127.0.0.1:") + std::to_string(port);
}

[[nodiscard]] std::uint16_t port_of(int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0)
        fail(errno, "cannot read the port of its socket");
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, &storage, sizeof address);
        return ntohs(address.sin6_port);
    }
    sockaddr_in address{};
    std::memcpy(&address, &storage, sizeof address);
    return ntohs(address.sin_port);
}

[[nodiscard]] unique_fd listen_on(const faulty_server_options& chosen) {
    const auto name = name_of(chosen.ipv6, chosen.port);
    const socket_address address(chosen.ipv6, chosen.port);
    unique_fd listener(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (listener.get() < 0)
        fail(errno, "cannot make a socket for " + name);
    const int yes = 1;
    if (::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        fail(errno, "cannot set up the socket for " + name);
    if (::bind(listener.get(), address.get(), address.length) != 0)
        fail(errno, "cannot bind to " + name);
    if (::listen(listener.get(), chosen.backlog) != 0)
        fail(errno, "cannot listen on " + name);
    return listener;
}

/// True where nothing is bound to the port on either loopback address. A family that the system lacks has no listener
/// either.
[[nodiscard]] bool is_unused(std::uint16_t port) {
    for (const bool ipv6 : {false, true}) {
        const socket_address address(ipv6, port);
        const unique_fd probe(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (probe.get() < 0) {
            if (errno == EAFNOSUPPORT)
                continue;
            fail(errno, "cannot make a socket to look for an unused port");
        }
        if (::bind(probe.get(), address.get(), address.length) != 0 && errno != EADDRNOTAVAIL)
            return false;
    }
    return true;
}

// ---------------------------------------------------------------- texts

[[nodiscard]] bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(
        left.begin(), left.end(), right.begin(), right.end(), [&](char a, char b) { return lower(a) == lower(b); });
}

[[nodiscard]] std::string_view without_blanks(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

[[nodiscard]] std::optional<std::uint64_t> number_in(
    std::string_view text, std::uint64_t low, std::uint64_t high, int base = 10) noexcept {
    std::uint64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, base);
    if (error != std::errc{} || stop != end || value < low || value > high)
        return std::nullopt;
    return value;
}

/// True where the comma-separated field value has the token.
[[nodiscard]] bool lists_token(std::string_view value, std::string_view token) noexcept {
    for (;;) {
        const auto comma = value.find(',');
        if (equal_ignoring_case(without_blanks(value.substr(0, comma)), token))
            return true;
        if (comma == std::string_view::npos)
            return false;
        value.remove_prefix(comma + 1);
    }
}

[[nodiscard]] std::string_view reason_of(unsigned status) noexcept {
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "As Asked";
    }
}

// ---------------------------------------------------------------- bodies

/// Bytes to send: `length` of them, going round and round over a unit. So a body of a terabyte costs what its unit
/// does.
struct piece {
    std::string owned;
    std::string_view shared; // of static storage; where empty, the unit is `owned`
    std::uint64_t length = 0;
    std::uint64_t sent = 0;

    explicit piece(std::string text) : owned(std::move(text)), length(owned.size()) {}
    piece(std::string_view unit, std::uint64_t bytes) : shared(unit), length(bytes) {}

    [[nodiscard]] std::string_view next() const noexcept {
        const std::string_view unit = shared.empty() ? std::string_view(owned) : shared;
        const auto at = static_cast<std::size_t>(sent % unit.size());
        return unit.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(unit.size() - at, length - sent)));
    }
};

constexpr std::size_t alphabet_bytes = 26 * 630;

[[nodiscard]] const std::string& alphabet() {
    static const std::string text = [] {
        std::string letters(alphabet_bytes, '\0');
        for (std::size_t i = 0; i != letters.size(); ++i)
            letters[i] = static_cast<char>('a' + static_cast<int>(i % 26));
        return letters;
    }();
    return text;
}

[[nodiscard]] std::string chunk_of(std::string_view data) {
    std::array<char, 16> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
    std::string chunk(size.data(), end);
    chunk.append("\r\n").append(data).append("\r\n");
    return chunk;
}

[[nodiscard]] const std::string& alphabet_chunk() {
    static const std::string chunk = chunk_of(alphabet());
    return chunk;
}

[[nodiscard]] const std::string& zeros() {
    static const std::string bytes(16384, '\0');
    return bytes;
}

[[nodiscard]] const std::string& header_fields() {
    static const std::string fields = [] {
        std::string text;
        for (int i = 0; i != 64; ++i)
            text.append("X-Endless: ").append(240, 'x').append("\r\n");
        return text;
    }();
    return fields;
}

/// Writes bits as RFC 1951 wants them: numbers from their lowest bit, codes of the Huffman trees from their highest.
class bit_writer {
public:
    explicit bit_writer(std::string& out) noexcept : out_(out) {}

    void number(unsigned value, unsigned bits) {
        for (unsigned i = 0; i != bits; ++i)
            bit((value >> i) & 1U);
    }
    void code(unsigned value, unsigned bits) {
        for (unsigned i = bits; i != 0; --i)
            bit((value >> (i - 1)) & 1U);
    }
    /// Bits still free in the last byte, 0 to 7.
    [[nodiscard]] unsigned free_bits() const noexcept { return (8 - used_) % 8; }

private:
    void bit(unsigned value) {
        if (used_ == 0)
            out_.push_back('\0');
        out_.back() = static_cast<char>(static_cast<unsigned char>(out_.back()) | (value << used_));
        used_ = (used_ + 1) % 8;
    }

    std::string& out_;
    unsigned used_ = 0;
};

/// The CRC-32 of `count` zero bytes, in the logarithm of count: a zero byte multiplies the register by x^8 modulo the
/// polynomial.
[[nodiscard]] std::uint32_t crc_of_zeros(std::uint64_t count) noexcept {
    const auto times = [](std::uint32_t a, std::uint32_t b) {
        std::uint32_t product = 0;
        for (std::uint32_t bit = 0x8000'0000U; bit != 0; bit >>= 1) {
            if ((a & bit) != 0)
                product ^= b;
            b = (b & 1U) != 0 ? (b >> 1) ^ 0xedb8'8320U : b >> 1;
        }
        return product;
    };
    std::uint32_t reg = 0xffff'ffffU;
    for (std::uint32_t power = 1U << 23; count != 0; count >>= 1, power = times(power, power))
        if ((count & 1U) != 0)
            reg = times(reg, power);
    return ~reg;
}

struct gzip_bomb {
    std::string first;       // file header, trees, the literals
    std::uint64_t zeros = 0; // four copies of 258 bytes each
    std::string last;        // end of block, checksum, size
};

/// A gzip file of `megabytes` of zeros in one deflate block. Its trees give one bit to "copy 258 bytes" and one to
/// "from one byte back", both 0: all but the ends of the file are zero bytes, each of which stands for 1032.
[[nodiscard]] gzip_bomb make_gzip_bomb(std::uint64_t megabytes) {
    const auto bytes = megabytes << 20;
    auto copies = (bytes - 1) / 258;
    const auto literals = 1 + (bytes - 1) % 258;

    gzip_bomb bomb;
    bomb.first.assign("\x1f\x8b\x08\0\0\0\0\0\x02\x03", 10);
    bit_writer head(bomb.first);
    head.number(1, 1);  // the last block
    head.number(2, 2);  // with trees of its own
    head.number(29, 5); // 286 literals and lengths
    head.number(0, 5);  // 1 distance
    head.number(14, 4); // 18 lengths of the codes that tell the other lengths: 18 has one bit, 2 and 1 have two
    for (const unsigned bits : {0U, 0U, 1U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 2U, 0U, 2U})
        head.number(bits, 3);
    const auto skip = [&](unsigned count) { // a run of symbols that have no code
        head.code(0, 1);
        head.number(count - 11, 7);
    };
    head.code(3, 2); // literal 0: two bits
    skip(138);
    skip(117);
    head.code(3, 2); // end of block: two bits
    skip(28);
    head.code(2, 2); // copy 258: one bit
    head.code(2, 2); // distance 1: one bit
    for (std::uint64_t i = 0; i != literals; ++i)
        head.code(2, 2);

    // Copies are pairs of zero bits: fill up the byte that was begun, leave the middle to whole bytes, and begin the
    // last one. A byte may end in the middle of a copy, so it is bits that are counted from here.
    auto zero_bits = 2 * copies;
    const auto fill = std::min<std::uint64_t>(head.free_bits(), zero_bits);
    head.number(0, static_cast<unsigned>(fill));
    zero_bits -= fill;
    bomb.zeros = zero_bits / 8;
    bit_writer tail(bomb.last);
    tail.number(0, static_cast<unsigned>(zero_bits % 8));
    tail.code(3, 2);
    tail.number(0, tail.free_bits());
    tail.number(crc_of_zeros(bytes), 32);
    tail.number(static_cast<std::uint32_t>(bytes), 32);
    return bomb;
}

// ---------------------------------------------------------------- requests and connections

struct request {
    std::string method;
    std::string target;
    bool http_1_0 = false;
    bool keep_alive = true;
    bool chunked = false;
    bool expects_continue = false;
    std::optional<std::uint64_t> length;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;

    [[nodiscard]] bool is_head() const noexcept { return method == "HEAD"; }
};

/// A request that cannot be answered as asked.
struct refusal {
    unsigned status;
    std::string_view why;
};

[[nodiscard]] std::optional<refusal> read_field(request& into, std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 ||
        line.substr(0, colon).find_first_of(" \t") != std::string_view::npos)
        return refusal{400, "a header field is malformed"};
    const auto name = line.substr(0, colon);
    const auto value = without_blanks(line.substr(colon + 1));
    if (equal_ignoring_case(name, "content-length")) {
        const auto length = number_in(value, 0, UINT64_MAX);
        if (!length || (into.length && into.length != length))
            return refusal{400, "Content-Length is malformed"};
        into.length = length;
    } else if (equal_ignoring_case(name, "transfer-encoding")) {
        if (!equal_ignoring_case(value, "chunked"))
            return refusal{501, "only the chunked transfer coding is understood"};
        into.chunked = true;
    } else if (equal_ignoring_case(name, "connection")) {
        if (lists_token(value, "close"))
            into.keep_alive = false;
        else if (lists_token(value, "keep-alive"))
            into.keep_alive = true;
    } else if (equal_ignoring_case(name, "expect")) {
        into.expects_continue = equal_ignoring_case(value, "100-continue");
    }
    into.fields.emplace_back(name, value);
    return std::nullopt;
}

/// Reads a request line and header fields, the empty line left out.
[[nodiscard]] std::optional<refusal> read_head(request& into, std::string_view head) {
    const auto line = head.substr(0, head.find("\r\n"));
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos || first == 0 || second == first + 1)
        return refusal{400, "the request line is malformed"};
    const auto version = line.substr(second + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0")
        return version.starts_with("HTTP/") ? refusal{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"}
                                            : refusal{400, "the request line is malformed"};
    into.method = line.substr(0, first);
    into.target = line.substr(first + 1, second - first - 1);
    into.http_1_0 = version == "HTTP/1.0";
    into.keep_alive = !into.http_1_0;

    head.remove_prefix(std::min(line.size() + 2, head.size()));
    while (!head.empty()) {
        const auto field = head.substr(0, head.find("\r\n"));
        if (auto refused = read_field(into, field))
            return refused;
        head.remove_prefix(std::min(field.size() + 2, head.size()));
    }
    if (into.chunked && into.length)
        return refusal{400, "Content-Length and Transfer-Encoding exclude each other"};
    return std::nullopt;
}

[[nodiscard]] std::string fields_as_text(const request& asked) {
    std::string text;
    for (const auto& [name, value] : asked.fields)
        text.append(name).append(": ").append(value).append("\r\n");
    return text;
}

enum class phase {
    reading,    // waits for a request
    delaying,   // the answer is ready and waits for its time
    dripping,   // the answer goes out byte by byte
    writing,    // the answer goes out as fast as it is taken
    swallowing, // reads, and never answers
    lingering,  // its end of the stream is sent; waits for the client's, for a close over unread bytes would be a reset
    ignoring    // neither reads nor answers
};

enum class ending { keep, close, reset };

struct connection {
    std::uint64_t id = 0;
    unique_fd socket;
    std::uint32_t armed = 0; // the events that epoll watches for
    phase now = phase::reading;
    ending after = ending::keep; // what follows the answer
    bool gone = false;           // to be closed as soon as control is back in the loop
    bool at_end = false;         // the client's end of stream was read
    bool has_left = false;       // the client's end of stream has arrived, perhaps unread

    std::string input;
    std::size_t begin = 0;   // where the input that is not consumed yet starts
    std::size_t scanned = 0; // up to where the current request was looked through
    std::optional<request> current;

    std::deque<piece> output;
    std::optional<clock::time_point> due;
    std::uint64_t drip_at = 0;
    std::uint64_t drip_end = 0;
    milliseconds drip_period{};

    [[nodiscard]] std::string_view pending() const noexcept { return std::string_view(input).substr(begin); }

    void consume(std::size_t count) noexcept {
        begin += count;
        scanned = 0;
        // Dropping the front only once it is the larger half keeps a long run of pipelined requests linear.
        if (begin * 2 >= input.size()) {
            input.erase(0, begin);
            begin = 0;
        }
    }

    void queue(std::string text) {
        if (text.empty())
            return;
        if (!output.empty() && output.back().shared.empty()) {
            output.back().owned += text;
            output.back().length = output.back().owned.size();
        } else {
            output.emplace_back(std::move(text));
        }
    }
    void queue(std::string_view unit, std::uint64_t length) {
        if (length != 0)
            output.emplace_back(unit, length);
    }
    void queue_alphabet(std::uint64_t length) { queue(alphabet(), length); }
};

} // namespace

// ---------------------------------------------------------------- the server

class faulty_server::server_thread {
public:
    explicit server_thread(const faulty_server_options& chosen);
    ~server_thread() { stop(); }

    void stop();
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] bool ipv6() const noexcept { return chosen_.ipv6; }
    [[nodiscard]] faulty_server_stats stats() const {
        const std::lock_guard lock(stats_mutex_);
        return stats_;
    }

private:
    using arguments = std::span<const std::string_view>;
    struct route {
        std::string_view name;
        std::size_t arguments;
        void (server_thread::*answer)(connection&, const request&, server_thread::arguments);
    };
    static const std::array<route, 20> routes;

    static constexpr std::uint64_t wake_id = 0;
    static constexpr std::uint64_t listener_id = 1;

    // the loop
    void watch(int fd, std::uint64_t id, std::uint32_t events);
    void run();
    [[nodiscard]] int milliseconds_to_wait() const;
    void on_event(const epoll_event& event);
    void on_timers();
    template <class Step>
    void guarded(connection& c, Step step);
    void settle(connection& c);
    void set_timer(connection& c, clock::time_point due);
    void clear_timer(connection& c) noexcept;

    // connections
    void accept_some();
    void pause_accepting(bool paused) noexcept;
    void admit(unique_fd socket);
    void refuse_connection(const unique_fd& socket);
    void drop(connection& c) noexcept;
    void read_some(connection& c);
    [[nodiscard]] bool flush(connection& c);
    void advance(connection& c);
    void finish_answer(connection& c);
    void on_timer(connection& c);

    // requests
    [[nodiscard]] bool take_request(connection& c);
    [[nodiscard]] bool take_body(connection& c);
    [[nodiscard]] bool take_chunks(connection& c);
    void refuse(connection& c, refusal why);
    void respond(connection& c);

    // answers
    void head(connection& c, const request& asked, unsigned status, std::string_view fields,
        std::optional<std::uint64_t> length);
    void text(
        connection& c, const request& asked, unsigned status, std::string_view body, std::string_view fields = {});
    void answer_ok(connection& c, const request& asked, arguments given);
    void answer_bytes(connection& c, const request& asked, arguments given);
    void answer_chunked(connection& c, const request& asked, arguments given);
    void answer_slow(connection& c, const request& asked, arguments given);
    void answer_drip(connection& c, const request& asked, arguments given);
    void answer_status(connection& c, const request& asked, arguments given);
    void answer_flaky(connection& c, const request& asked, arguments given);
    void answer_redirect(connection& c, const request& asked, arguments given);
    void answer_redirect_loop(connection& c, const request& asked, arguments given);
    void answer_echo(connection& c, const request& asked, arguments given);
    void answer_headers(connection& c, const request& asked, arguments given);
    void answer_close_early(connection& c, const request& asked, arguments given);
    void answer_reset(connection& c, const request& asked, arguments given);
    void answer_reset_after_headers(connection& c, const request& asked, arguments given);
    void answer_truncated(connection& c, const request& asked, arguments given);
    void answer_garbage(connection& c, const request& asked, arguments given);
    void answer_never(connection& c, const request& asked, arguments given);
    void answer_endless_headers(connection& c, const request& asked, arguments given);
    void answer_bad_chunk(connection& c, const request& asked, arguments given);
    void answer_gzip_bomb(connection& c, const request& asked, arguments given);
    [[nodiscard]] std::optional<std::uint64_t> wanted(
        connection& c, const request& asked, std::string_view text, std::uint64_t low, std::uint64_t high);

    template <class Change>
    void count(Change change) {
        const std::lock_guard lock(stats_mutex_);
        change(stats_);
    }

    const faulty_server_options chosen_;
    unique_fd listener_;
    std::uint16_t port_ = 0;
    unique_fd epoll_;
    unique_fd wake_;
    std::atomic<bool> stopping_{false};

    // Touched by the server's thread alone.
    std::unordered_map<std::uint64_t, std::unique_ptr<connection>> connections_;
    std::set<std::pair<clock::time_point, std::uint64_t>> timers_;
    std::map<std::string, std::uint64_t, std::less<>> flaky_;
    std::uint64_t next_id_ = listener_id + 1;
    std::optional<clock::time_point> accept_again_;
    clock::time_point turn_{}; // when this turn of the loop began
    std::array<char, 65536> buffer_{};

    mutable std::mutex stats_mutex_;
    faulty_server_stats stats_;

    std::mutex stop_mutex_;
    std::thread thread_; // last: it uses all of the above
};

faulty_server::server_thread::server_thread(const faulty_server_options& chosen) : chosen_(chosen) {
    if (chosen.max_connections == 0)
        fail(EINVAL, "max_connections must be at least 1");
    if (chosen.max_request_bytes == 0)
        fail(EINVAL, "max_request_bytes must be at least 1");
    if (chosen.backlog < 1)
        fail(EINVAL, "backlog must be at least 1");
    listener_ = listen_on(chosen);
    port_ = port_of(listener_.get());
    epoll_ = unique_fd(::epoll_create1(EPOLL_CLOEXEC));
    if (epoll_.get() < 0)
        fail(errno, "cannot make an epoll descriptor");
    wake_ = unique_fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (wake_.get() < 0)
        fail(errno, "cannot make an event descriptor");
    watch(wake_.get(), wake_id, EPOLLIN);
    watch(listener_.get(), listener_id, EPOLLIN);

    const all_signals_blocked inherited;
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& failure) {
        throw std::system_error(failure.code(), "faulty_server: cannot start its thread");
    }
}

void faulty_server::server_thread::stop() {
    const std::lock_guard lock(stop_mutex_);
    if (!thread_.joinable())
        return;
    stopping_ = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    assert(written == sizeof one); // the counter starts at zero and is written once
    thread_.join();
}

void faulty_server::server_thread::watch(int fd, std::uint64_t id, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
        fail(errno, "cannot watch a descriptor");
}

void faulty_server::server_thread::run() {
    pthread_setname_np(pthread_self(), "faulty_server");
    std::array<epoll_event, 256> events{};
    while (!stopping_) {
        const int ready =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), milliseconds_to_wait());
        assert(ready >= 0 || errno == EINTR);
        turn_ = clock::now();
        for (int i = 0; i < ready; ++i)
            on_event(events[static_cast<std::size_t>(i)]);
        on_timers();
    }
    listener_.close();
    connections_.clear();
    timers_.clear();
    count([](auto& s) { s.open_connections = 0; });
}

int faulty_server::server_thread::milliseconds_to_wait() const {
    auto first = accept_again_;
    if (!timers_.empty() && (!first || timers_.begin()->first < *first))
        first = timers_.begin()->first;
    if (!first)
        return -1;
    // Rounded up, so that nothing happens before its time. A minute at most keeps the cast safe; an early wake-up costs
    // nothing.
    const auto left = std::chrono::ceil<milliseconds>(*first - clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

/// Runs a step of a connection, then closes it or watches for what it waits for next. Where memory runs out, that
/// connection is lost and the others go on: a test may well make allocations fail.
template <class Step>
void faulty_server::server_thread::guarded(connection& c, Step step) {
    try {
        step();
        if (!c.gone)
            settle(c);
    } catch (const std::bad_alloc&) {
        close_with_reset(c.socket.get());
        c.gone = true;
    }
    if (c.gone)
        drop(c);
}

void faulty_server::server_thread::on_event(const epoll_event& event) {
    const std::uint64_t id = event.data.u64; // a copy: the struct is packed, so no reference may be bound to it
    if (id == wake_id)
        return;
    if (id == listener_id) {
        accept_some();
        return;
    }
    const auto found = connections_.find(id);
    if (found == connections_.end())
        return;
    auto& c = *found->second;
    guarded(c, [&] {
        if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) {
            c.gone = true;
            return;
        }
        if ((event.events & EPOLLRDHUP) != 0)
            c.has_left = true;
        if ((event.events & EPOLLIN) != 0)
            read_some(c);
        if (!c.gone)
            advance(c);
    });
}

void faulty_server::server_thread::on_timers() {
    if (accept_again_ && *accept_again_ <= turn_)
        pause_accepting(false);
    // What is armed meanwhile lies after `turn_` (set_timer sees to it), so this ends.
    while (!timers_.empty() && timers_.begin()->first <= turn_) {
        auto& c = *connections_.at(timers_.begin()->second);
        clear_timer(c);
        guarded(c, [&] { on_timer(c); });
    }
}

void faulty_server::server_thread::set_timer(connection& c, clock::time_point due) {
    clear_timer(c);
    due = std::max(due, turn_ + std::chrono::microseconds(1));
    timers_.emplace(due, c.id);
    c.due = due;
}

void faulty_server::server_thread::clear_timer(connection& c) noexcept {
    if (c.due)
        timers_.erase({*c.due, c.id});
    c.due.reset();
}

/// Closes what is over, and brings the watched events in line with what the connection waits for.
void faulty_server::server_thread::settle(connection& c) {
    const bool waits_for_time =
        c.now == phase::delaying || c.now == phase::dripping || c.now == phase::swallowing || c.now == phase::ignoring;
    if ((waits_for_time && (c.has_left || c.at_end)) || (c.now == phase::lingering && c.at_end)) {
        c.gone = true;
        return;
    }
    const bool discards = c.now == phase::swallowing || c.now == phase::lingering;
    const bool has_room = discards || c.pending().size() <= chosen_.max_request_bytes;
    std::uint32_t wanted = 0;
    if (!c.at_end && has_room && c.now != phase::ignoring)
        wanted |= EPOLLIN;
    if (!c.has_left && !c.at_end)
        wanted |= EPOLLRDHUP;
    if (!c.output.empty() && c.now != phase::delaying)
        wanted |= EPOLLOUT;
    if (wanted == c.armed)
        return;
    epoll_event event{};
    event.events = wanted;
    event.data.u64 = c.id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.socket.get(), &event) != 0)
        c.gone = true;
    c.armed = wanted;
}

// ---------------------------------------------------------------- connections

void faulty_server::server_thread::accept_some() {
    for (int i = 0; i != 64; ++i) {
        unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket.get() >= 0) {
            admit(std::move(socket));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            // The waiting connection keeps the listener readable: looking away for a moment keeps the loop from
            // spinning.
            pause_accepting(true);
            return;
        }
        // Any other error is that of a connection that broke while it waited.
    }
}

void faulty_server::server_thread::pause_accepting(bool paused) noexcept {
    epoll_event event{};
    event.events = paused ? 0U : std::uint32_t{EPOLLIN};
    event.data.u64 = listener_id;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
    accept_again_ = paused ? std::optional(turn_ + accept_pause) : std::nullopt;
}

void faulty_server::server_thread::refuse_connection(const unique_fd& socket) {
    close_with_reset(socket.get());
    count([](auto& s) { ++s.refused; });
}

void faulty_server::server_thread::admit(unique_fd socket) {
    if (connections_.size() >= chosen_.max_connections) {
        refuse_connection(socket);
        return;
    }
    if (chosen_.accepting == on_accept::close || chosen_.accepting == on_accept::reset) {
        if (chosen_.accepting == on_accept::reset)
            close_with_reset(socket.get());
        count([](auto& s) {
            ++s.connections;
            s.peak_connections = std::max<std::size_t>(s.peak_connections, 1);
        });
        return;
    }
    const int yes = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); // a dripped byte is to leave at once
    const auto id = next_id_++;
    try {
        auto made = std::make_unique<connection>();
        made->id = id;
        made->now = chosen_.accepting == on_accept::ignore ? phase::ignoring : phase::reading;
        made->armed = made->now == phase::ignoring ? std::uint32_t{EPOLLRDHUP} : std::uint32_t{EPOLLIN | EPOLLRDHUP};
        watch(socket.get(), id, made->armed);
        connections_.emplace(id, nullptr).first->second = std::move(made);
    } catch (const std::bad_alloc&) {
        refuse_connection(socket);
        return;
    } catch (const std::system_error&) { // the system's limit of watches
        refuse_connection(socket);
        return;
    }
    connections_.find(id)->second->socket = std::move(socket);
    count([open = connections_.size()](auto& s) {
        ++s.connections;
        s.open_connections = open;
        s.peak_connections = std::max(s.peak_connections, open);
    });
}

void faulty_server::server_thread::drop(connection& c) noexcept {
    clear_timer(c);
    connections_.erase(c.id);
    count([open = connections_.size()](auto& s) { s.open_connections = open; });
}

void faulty_server::server_thread::read_some(connection& c) {
    const bool discards = c.now == phase::swallowing || c.now == phase::lingering;
    for (std::size_t got_all = 0; got_all < io_budget;) {
        if (!discards && c.pending().size() > chosen_.max_request_bytes)
            return;
        const auto got = ::recv(c.socket.get(), buffer_.data(), buffer_.size(), 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.gone = true;
            return;
        }
        if (got == 0) {
            c.at_end = true;
            return;
        }
        got_all += static_cast<std::size_t>(got);
        if (!discards)
            c.input.append(buffer_.data(), static_cast<std::size_t>(got));
    }
}

/// Sends what is queued. Returns true where all of it went; false where the rest waits for its turn or the connection
/// broke.
bool faulty_server::server_thread::flush(connection& c) {
    std::size_t budget = io_budget;
    while (!c.output.empty()) {
        auto& front = c.output.front();
        const auto bytes = front.next();
        const int more = c.output.size() > 1 && c.now == phase::writing ? MSG_MORE : 0;
        const auto sent = ::send(c.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | more);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                c.gone = true;
            return false;
        }
        front.sent += static_cast<std::uint64_t>(sent);
        if (front.sent == front.length)
            c.output.pop_front();
        budget -= std::min(budget, static_cast<std::size_t>(sent));
        if (budget == 0 && !c.output.empty())
            return false;
    }
    return true;
}

/// Goes on as far as the connection can without waiting.
void faulty_server::server_thread::advance(connection& c) {
    while (!c.gone && !stopping_) {
        switch (c.now) {
        case phase::reading:
            if (!flush(c) || !take_request(c)) {
                // With the end of the stream read, what is left can never become a request.
                if (c.at_end && c.output.empty())
                    c.gone = true;
                return;
            }
            break;
        case phase::writing:
            if (!flush(c))
                return;
            finish_answer(c);
            if (c.now == phase::writing)
                return;
            break;
        case phase::dripping:
            // Where the last byte is out, the answer is.
            if (!flush(c) || c.drip_at != c.drip_end)
                return;
            c.now = phase::writing;
            break;
        case phase::delaying:
        case phase::swallowing:
        case phase::lingering:
        case phase::ignoring:
            return;
        }
    }
}

void faulty_server::server_thread::finish_answer(connection& c) {
    switch (c.after) {
    case ending::keep:
        c.now = phase::reading;
        return;
    case ending::close:
        if (::shutdown(c.socket.get(), SHUT_WR) != 0) {
            c.gone = true;
            return;
        }
        c.now = phase::lingering;
        c.input.clear();
        c.begin = c.scanned = 0;
        set_timer(c, turn_ + linger_time);
        return;
    case ending::reset: {
        // A reset throws away what the system still holds: wait until it has passed on all of the answer.
        int unsent = 0;
        if (::ioctl(c.socket.get(), SIOCOUTQNSD, &unsent) == 0 && unsent > 0) {
            set_timer(c, turn_ + milliseconds(1));
            return;
        }
        close_with_reset(c.socket.get());
        c.gone = true;
        return;
    }
    }
}

void faulty_server::server_thread::on_timer(connection& c) {
    switch (c.now) {
    case phase::delaying:
        c.now = phase::writing;
        break;
    case phase::dripping:
        // A client that does not read gets no second byte queued behind the first.
        if (c.output.empty()) {
            c.queue(std::string(1, static_cast<char>('a' + static_cast<int>(c.drip_at % 26))));
            ++c.drip_at;
        }
        if (c.drip_at != c.drip_end)
            set_timer(c, turn_ + c.drip_period);
        break;
    case phase::lingering:
        c.gone = true;
        return;
    case phase::reading:
    case phase::writing:
    case phase::swallowing:
    case phase::ignoring:
        break;
    }
    advance(c);
}

// ---------------------------------------------------------------- requests

/// Takes the next request off the input and starts its answer. Returns false where it is not all there yet.
bool faulty_server::server_thread::take_request(connection& c) {
    if (!c.current) {
        while (c.pending().starts_with("\r\n")) // empty lines before a request are to be ignored
            c.consume(2);
        const auto pending = c.pending();
        const auto end = pending.find("\r\n\r\n", c.scanned);
        if (end == std::string_view::npos ? pending.size() > chosen_.max_request_bytes
                                          : end + 4 > chosen_.max_request_bytes) {
            refuse(c, {431, "the request's head is too large"});
            return true;
        }
        if (end == std::string_view::npos) {
            c.scanned = pending.size() < 3 ? 0 : pending.size() - 3;
            return false;
        }
        request asked;
        if (const auto refused = read_head(asked, pending.substr(0, end))) {
            refuse(c, *refused);
            return true;
        }
        if (asked.length.value_or(0) > chosen_.max_request_bytes - (end + 4)) {
            refuse(c, {413, "the request is too large"});
            return true;
        }
        c.consume(end + 4);
        c.current = std::move(asked);
        const bool waits = c.current->chunked || c.current->length.value_or(0) != 0;
        if (waits && c.current->expects_continue && c.pending().empty()) {
            c.queue("HTTP/1.1 100 Continue\r\n\r\n");
            (void)flush(c); // what does not go now goes in front of the answer
        }
    }
    if (!take_body(c))
        return false;
    if (c.current)
        respond(c);
    return true;
}

/// Returns true where the body is complete, or the request was refused (there is no current request then).
bool faulty_server::server_thread::take_body(connection& c) {
    if (c.current->chunked)
        return take_chunks(c);
    const auto length = static_cast<std::size_t>(c.current->length.value_or(0));
    if (c.pending().size() < length)
        return false;
    c.current->body = c.pending().substr(0, length);
    c.consume(length);
    return true;
}

bool faulty_server::server_thread::take_chunks(connection& c) {
    for (;;) {
        const auto pending = c.pending();
        const auto line_end = pending.find("\r\n");
        if (line_end == std::string_view::npos) {
            if (pending.size() <= 1024)
                return false;
            refuse(c, {400, "a chunk's size is malformed"});
            return true;
        }
        const auto size_text = without_blanks(pending.substr(0, std::min(line_end, pending.find(';'))));
        const auto size = number_in(size_text, 0, UINT64_MAX, 16);
        if (!size) {
            refuse(c, {400, "a chunk's size is malformed"});
            return true;
        }
        // With its framing, for no more than max_request_bytes are read ahead.
        const auto framing = line_end + 4;
        const auto had = std::max(c.current->body.size(), framing);
        if (had > chosen_.max_request_bytes || *size > chosen_.max_request_bytes - had) {
            refuse(c, {413, "the request is too large"});
            return true;
        }
        const auto bytes = static_cast<std::size_t>(*size);
        if (pending.size() < framing + bytes)
            return false;
        if (pending.substr(line_end + 2 + bytes, 2) != "\r\n") {
            refuse(c, {400, bytes == 0 ? "trailers are not understood" : "a chunk does not end where it should"});
            return true;
        }
        c.current->body.append(pending.substr(line_end + 2, bytes));
        c.consume(framing + bytes);
        if (bytes == 0)
            return true;
    }
}

/// Answers what cannot be understood. Where the next request would begin is not known, so the connection is closed
/// after it.
void faulty_server::server_thread::refuse(connection& c, refusal why) {
    count([](auto& s) { ++s.bad_requests; });
    request none;
    none.keep_alive = false;
    c.current.reset();
    c.now = phase::writing;
    c.after = ending::close;
    text(c, none, why.status, std::string(why.why) + '\n');
}

void faulty_server::server_thread::respond(connection& c) {
    const request asked = std::move(*c.current);
    c.current.reset();
    c.now = phase::writing;
    c.after = asked.keep_alive ? ending::keep : ending::close;

    std::vector<std::string_view> parts;
    auto path = std::string_view(asked.target).substr(0, asked.target.find('?'));
    const bool absolute = path.starts_with('/');
    while (absolute && !path.empty()) {
        path.remove_prefix(1);
        parts.push_back(path.substr(0, path.find('/')));
        path.remove_prefix(parts.back().size());
    }
    for (const auto& candidate : routes) {
        if (!absolute || candidate.name != parts.front() || candidate.arguments != parts.size() - 1)
            continue;
        count([&](auto& s) {
            ++s.requests;
            ++s.by_route['/' + std::string(candidate.name)];
        });
        (this->*candidate.answer)(c, asked, arguments(parts).subspan(1));
        return;
    }
    count([](auto& s) {
        ++s.requests;
        ++s.by_route["unknown"];
    });
    text(c, asked, 404, "there is nothing at this path\n");
}

// ---------------------------------------------------------------- answers

const std::array<faulty_server::server_thread::route, 20> faulty_server::server_thread::routes{{
    {"ok", 0, &server_thread::answer_ok},
    {"bytes", 1, &server_thread::answer_bytes},
    {"chunked", 1, &server_thread::answer_chunked},
    {"slow", 1, &server_thread::answer_slow},
    {"drip", 2, &server_thread::answer_drip},
    {"status", 1, &server_thread::answer_status},
    {"flaky", 2, &server_thread::answer_flaky},
    {"redirect", 1, &server_thread::answer_redirect},
    {"redirect-loop", 0, &server_thread::answer_redirect_loop},
    {"echo", 0, &server_thread::answer_echo},
    {"headers", 0, &server_thread::answer_headers},
    {"close-early", 0, &server_thread::answer_close_early},
    {"reset", 0, &server_thread::answer_reset},
    {"reset-after-headers", 0, &server_thread::answer_reset_after_headers},
    {"truncated", 1, &server_thread::answer_truncated},
    {"garbage", 0, &server_thread::answer_garbage},
    {"never", 0, &server_thread::answer_never},
    {"endless-headers", 0, &server_thread::answer_endless_headers},
    {"bad-chunk", 0, &server_thread::answer_bad_chunk},
    {"gzip-bomb", 1, &server_thread::answer_gzip_bomb},
}};

/// Queues a status line and header fields; `fields` are whole lines.
void faulty_server::server_thread::head(connection& c, const request& asked, unsigned status, std::string_view fields,
    std::optional<std::uint64_t> length) {
    std::string lines = "HTTP/1.1 " + std::to_string(status) + ' ';
    lines.append(reason_of(status)).append("\r\nServer: faulty_server\r\n").append(fields);
    if (length)
        lines.append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    if (c.after == ending::close)
        lines += "Connection: close\r\n";
    else if (asked.http_1_0)
        lines += "Connection: keep-alive\r\n";
    lines += "\r\n";
    c.queue(std::move(lines));
}

void faulty_server::server_thread::text(
    connection& c, const request& asked, unsigned status, std::string_view body, std::string_view fields) {
    std::string all("Content-Type: text/plain\r\n");
    all += fields;
    head(c, asked, status, all, body.size());
    if (!asked.is_head())
        c.queue(std::string(body));
}

/// Returns the number that a part of the path stands for; where it is none that will do, answers 400.
std::optional<std::uint64_t> faulty_server::server_thread::wanted(
    connection& c, const request& asked, std::string_view part, std::uint64_t low, std::uint64_t high) {
    const auto number = number_in(part, low, high);
    if (!number)
        text(c, asked, 400,
            "a number from " + std::to_string(low) + " to " + std::to_string(high) + " is wanted in the path\n");
    return number;
}

void faulty_server::server_thread::answer_ok(connection& c, const request& asked, arguments) {
    text(c, asked, 200, "ok\n");
}

void faulty_server::server_thread::answer_bytes(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 0, max_body_bytes);
    if (!bytes)
        return;
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    if (!asked.is_head())
        c.queue_alphabet(*bytes);
}

void faulty_server::server_thread::answer_chunked(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 0, max_body_bytes);
    if (!bytes)
        return;
    if (asked.http_1_0) { // knows no chunks: the close ends the body
        c.after = ending::close;
        head(c, asked, 200, "Content-Type: text/plain\r\n", std::nullopt);
        if (!asked.is_head())
            c.queue_alphabet(*bytes);
        return;
    }
    head(c, asked, 200, "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", std::nullopt);
    if (asked.is_head())
        return;
    c.queue(alphabet_chunk(), *bytes / alphabet_bytes * alphabet_chunk().size());
    if (const auto rest = static_cast<std::size_t>(*bytes % alphabet_bytes); rest != 0)
        c.queue(chunk_of(std::string_view(alphabet()).substr(0, rest)));
    c.queue("0\r\n\r\n");
}

void faulty_server::server_thread::answer_slow(connection& c, const request& asked, arguments given) {
    const auto delay = wanted(c, asked, given[0], 0, max_milliseconds);
    if (!delay)
        return;
    text(c, asked, 200, "ok\n");
    c.now = phase::delaying;
    set_timer(c, clock::now() + milliseconds(*delay));
}

void faulty_server::server_thread::answer_drip(connection& c, const request& asked, arguments given) {
    const auto period = wanted(c, asked, given[0], 0, max_milliseconds);
    if (!period)
        return;
    const auto bytes = wanted(c, asked, given[1], 0, max_body_bytes);
    if (!bytes)
        return;
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    if (asked.is_head() || *bytes == 0)
        return;
    c.now = phase::dripping;
    c.drip_at = 0;
    c.drip_end = *bytes;
    c.drip_period = milliseconds(*period);
    set_timer(c, clock::now() + c.drip_period);
}

void faulty_server::server_thread::answer_status(connection& c, const request& asked, arguments given) {
    const auto status = wanted(c, asked, given[0], 200, 599);
    if (!status)
        return;
    if (*status == 204 || *status == 304)
        head(c, asked, static_cast<unsigned>(*status), {}, std::nullopt);
    else
        text(c, asked, static_cast<unsigned>(*status), "status " + std::to_string(*status) + '\n');
}

void faulty_server::server_thread::answer_flaky(connection& c, const request& asked, arguments given) {
    const auto times = wanted(c, asked, given[1], 0, max_times);
    if (!times)
        return;
    auto found = flaky_.find(given[0]);
    if (found == flaky_.end()) {
        if (flaky_.size() == max_flaky_keys) {
            text(c, asked, 400, "there are too many keys\n");
            return;
        }
        found = flaky_.emplace(given[0], 0).first;
    }
    if (found->second >= *times) {
        text(c, asked, 200, "ok\n");
        return;
    }
    ++found->second;
    text(c, asked, 503, "not yet\n", "Retry-After: 0\r\n");
}

void faulty_server::server_thread::answer_redirect(connection& c, const request& asked, arguments given) {
    const auto times = wanted(c, asked, given[0], 0, max_times);
    if (!times)
        return;
    if (*times == 0)
        text(c, asked, 200, "ok\n");
    else
        text(c, asked, 302, "elsewhere\n", "Location: /redirect/" + std::to_string(*times - 1) + "\r\n");
}

void faulty_server::server_thread::answer_redirect_loop(connection& c, const request& asked, arguments) {
    text(c, asked, 302, "here again\n", "Location: /redirect-loop\r\n");
}

void faulty_server::server_thread::answer_echo(connection& c, const request& asked, arguments) {
    text(c, asked, 200,
        asked.method + ' ' + asked.target + (asked.http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n") +
            fields_as_text(asked) + "\r\n" + asked.body);
}

void faulty_server::server_thread::answer_headers(connection& c, const request& asked, arguments) {
    text(c, asked, 200, fields_as_text(asked));
}

void faulty_server::server_thread::answer_close_early(connection& c, const request&, arguments) {
    c.after = ending::close;
}

void faulty_server::server_thread::answer_reset(connection& c, const request&, arguments) { c.after = ending::reset; }

void faulty_server::server_thread::answer_reset_after_headers(connection& c, const request& asked, arguments) {
    c.after = ending::reset;
    head(c, asked, 200, "Content-Type: text/plain\r\n", 1000);
    if (!asked.is_head())
        c.queue_alphabet(1);
}

void faulty_server::server_thread::answer_truncated(connection& c, const request& asked, arguments given) {
    const auto bytes = wanted(c, asked, given[0], 1, max_body_bytes);
    if (!bytes)
        return;
    // The headers promise to keep the connection as any good answer would: the close comes as a surprise.
    head(c, asked, 200, "Content-Type: text/plain\r\n", *bytes);
    c.after = ending::close;
    if (!asked.is_head())
        c.queue_alphabet(*bytes / 2);
}

void faulty_server::server_thread::answer_garbage(connection& c, const request&, arguments) {
    c.after = ending::close;
    using namespace std::string_view_literals;
    c.queue(std::string("\x16\x03\x01 this is not what you think it is\r\n\r\n\0\xff\xfe\r\n"sv));
}

void faulty_server::server_thread::answer_never(connection& c, const request&, arguments) {
    c.now = phase::swallowing;
    c.input.clear();
    c.begin = c.scanned = 0;
}

void faulty_server::server_thread::answer_endless_headers(connection& c, const request&, arguments) {
    c.queue("HTTP/1.1 200 OK\r\n");
    c.queue(header_fields(), UINT64_MAX);
}

void faulty_server::server_thread::answer_bad_chunk(connection& c, const request& asked, arguments) {
    head(c, asked, 200, "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", std::nullopt);
    c.after = ending::close;
    if (!asked.is_head())
        c.queue(chunk_of("hello") + "zz\r\nhello\r\n");
}

void faulty_server::server_thread::answer_gzip_bomb(connection& c, const request& asked, arguments given) {
    const auto megabytes = wanted(c, asked, given[0], 1, max_body_bytes >> 20);
    if (!megabytes)
        return;
    auto bomb = make_gzip_bomb(*megabytes);
    const auto length = bomb.first.size() + bomb.zeros + bomb.last.size();
    head(c, asked, 200, "Content-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n", length);
    if (asked.is_head())
        return;
    c.queue(std::move(bomb.first));
    c.queue(zeros(), bomb.zeros);
    c.queue(std::move(bomb.last));
}

// ---------------------------------------------------------------- faulty_server

faulty_server::faulty_server(options chosen) : server_(std::make_unique<server_thread>(chosen)) {}

faulty_server::~faulty_server() = default;

std::uint16_t faulty_server::port() const noexcept { return server_->port(); }

std::string faulty_server::url(std::string_view path) const {
    std::string text = "http://" + name_of(server_->ipv6(), port());
    if (!path.starts_with('/'))
        text += '/';
    return text.append(path);
}

faulty_server_stats faulty_server::stats() const { return server_->stats(); }

void faulty_server::stop() { server_->stop(); }

std::uint16_t faulty_server::unused_port() {
    // Ports that the system hands out by itself are left alone: one may be given to another program a moment later, and
    // a client that is given it for its own end of the connection meets itself instead of being refused.
    unsigned low = 32768;
    unsigned high = 60999;
    if (std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
        !(range >> low >> high) || low > high || high > 65535)
        std::tie(low, high) = std::pair(32768U, 60999U);
    constexpr unsigned lowest = 10'240; // below, well-known services are frequent
    const unsigned below = low > lowest ? low - lowest : 0;
    const unsigned outside = below + (65535 - high);
    std::minstd_rand random(std::random_device{}());
    for (int i = 0; i != 256; ++i) {
        const auto drawn = static_cast<unsigned>(random()) % (outside != 0 ? outside : 65536 - lowest);
        const auto port =
            static_cast<std::uint16_t>(outside == 0 || drawn < below ? lowest + drawn : high + 1 + (drawn - below));
        if (is_unused(port))
            return port;
    }
    fail(EADDRINUSE, "found no unused port");
}

} // namespace muster::testing
