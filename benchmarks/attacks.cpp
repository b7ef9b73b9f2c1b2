// SPDX-License-Identifier: MIT
// Measures what each attack costs: the longest turn of the loop in milliseconds of its thread's own time, and the most
// memory of the process, beside what the limits in force allow. Each attack is run in a process of its own, with its
// server or worker in it. A task takes its turn again and again meanwhile, as every other task of a program would.
//
//     bench_attacks            prints the table; exits with 1 if an attack takes more memory than is allowed
//     bench_attacks TEXT       only attacks with that text in their name
//     bench_attacks --small    less of what goes on for ever anyway: a test that runs in seconds, with the same bounds
#include <muster/error.hpp>
#include <muster/http.hpp>
#include <muster/io/reader.hpp>
#include <muster/io/stream.hpp>
#include <muster/process_pool.hpp>
#include <muster/run.hpp>
#include <muster/sleep.hpp>
#include <muster/task_handle.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "support/loopback_listener.hpp"

namespace {

namespace http = muster::http;
using namespace std::chrono_literals;

constexpr double goal_ms = 20;
constexpr std::size_t mebibyte = std::size_t{1} << 20;

// ---- measuring ----

double thread_ms() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/// The most that the process has had, in bytes.
std::size_t peak_memory() noexcept {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<std::size_t>(used.ru_maxrss) * 1024;
}

/// Takes turn after turn until the attack is over. *Returns* the longest, in milliseconds of this thread.
muster::task<double> take_turns(const bool& over) {
    double longest = 0;
    while (!over) {
        const double before = thread_ms();
        co_await muster::yield();
        longest = std::max(longest, thread_ms() - before);
    }
    co_return longest;
}

struct measured {
    double longest_ms = 0;
    std::size_t memory = 0;
    char ended_as[60] = {};
};

template <class T>
muster::task<> end_of(muster::task<T> attack, std::string& ended_as) {
    auto ended = co_await muster::as_outcome(std::move(attack));
    ended_as = ended.succeeded() ? "a value" : muster::describe(ended.error());
}

/// Makes the attack's task within the loop, and measures until it has ended.
template <class Make>
measured measure(const Make& make) {
    const std::size_t before = peak_memory();
    measured m;
    std::string ended_as;
    auto body = [&]() -> muster::task<> {
        bool over = false;
        auto turns = muster::create_task(take_turns(over));
        co_await muster::yield();
        auto attack = end_of(make(), ended_as);
        co_await std::move(attack);
        over = true;
        m.longest_ms = co_await turns;
    };
    muster::run(body());
    m.memory = peak_memory() - before;
    ended_as.copy(m.ended_as, sizeof m.ended_as - 1);
    return m;
}

// ---- a server that says the same to everybody ----

using loopback::say;

class hostile_server {
public:
    /// `answer` gets the socket of a connection whose request has come.
    explicit hostile_server(std::function<void(int)> answer)
        : here_([answer = std::move(answer)](int s) {
              std::string asked;
              while (asked.find("\r\n\r\n") == std::string::npos && loopback::more(s, asked)) {}
              answer(s);
          }) {}
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(here_.port()) + "/"; }

private:
    loopback_listener here_;
};

void flood(int s, std::string_view head, const std::string& text) {
    if (say(s, head))
        while (say(s, text)) {}
}

std::string repeated(std::string_view text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i != times; ++i)
        all += text;
    return all;
}

std::string gzip(std::string_view bytes) {
    z_stream s{};
    deflateInit2(&s, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&s, static_cast<uLong>(bytes.size())), '\0');
    s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    s.avail_in = static_cast<uInt>(bytes.size());
    s.next_out = reinterpret_cast<Bytef*>(out.data());
    s.avail_out = static_cast<uInt>(out.size());
    deflate(&s, Z_FINISH);
    out.resize(s.total_out);
    deflateEnd(&s);
    return out;
}

/// So many bytes of zeros, packed again and again; made without ever being in memory as a whole.
std::string bomb(std::size_t size, int layers) {
    const std::string member = gzip(std::string(mebibyte, '\0'));
    std::string all = repeated(member, size / mebibyte);
    for (int i = 1; i < layers; ++i)
        all = gzip(all);
    return all;
}

std::string packed_answer(const char* encodings, const std::string& packed) {
    return "HTTP/1.1 200 OK\r\nContent-Encoding: " + std::string(encodings) +
           "\r\nContent-Length: " + std::to_string(packed.size()) + "\r\n\r\n" + packed;
}

muster::task<std::uint64_t> get(http::client& client, http::request ask) {
    auto reply = co_await client.send(std::move(ask));
    co_return reply.body_size;
}

measured http_attack(std::function<void(int)> say_it, std::uint64_t body_limit, bool to_sink) {
    const hostile_server server(std::move(say_it));
    http::client client(http::client_options().timeout(120s).body_limit(body_limit));
    return measure([&] {
        auto ask = http::request(server.url());
        if (to_sink)
            ask.body_to([](std::string_view) {});
        return get(client, std::move(ask));
    });
}

// ---- peers ----

muster::task<std::size_t> read_lines(muster::io::stream from, std::size_t limit) {
    muster::io::reader in(from);
    std::size_t lines = 0;
    for (;;) {
        const auto line = co_await in.read_line(limit);
        if (!line)
            co_return lines;
        ++lines;
    }
}

muster::task<std::size_t> read_to_mark(muster::io::stream from, std::size_t limit) {
    muster::io::reader in(from);
    const auto text = co_await in.read_until("\r\n\r\n", limit);
    co_return text.size();
}

template <class Read>
measured peer_attack(const std::string& text, std::size_t times, const Read& read) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw std::runtime_error("no socket pair");
    std::thread peer([&] {
        for (std::size_t i = 0; i != times && say(ends[1], text); ++i) {}
        ::close(ends[1]);
    });
    const auto m = measure([&] { return read(muster::io::stream::adopt(ends[0])); });
    peer.join();
    return m;
}

// ---- workers ----

const muster::remote_function many_values(
    "many_values", [](int count) { return std::vector<int>(static_cast<std::size_t>(count), 7); });
const muster::remote_function much_text(
    "much_text", [](int size) { return std::string(static_cast<std::size_t>(size), 'x'); });
/// A type of the program's, whose from_json and to_json nobody else knows.
struct page {
    int number = 0;
    std::string text;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(page, number, text)
const muster::remote_function much_of_a_page("much_of_a_page", [](int size) {
    page p;
    p.text.assign(static_cast<std::size_t>(size), 'x');
    return p;
});
const muster::remote_function many_bytes(
    "many_bytes", [](int size) { return std::vector<std::uint8_t>(static_cast<std::size_t>(size), 7); });
const muster::remote_function much_said("much_said",
    [](int size) -> int { throw std::runtime_error(std::string(static_cast<std::size_t>(size), '\x1b')); });

template <class Call>
measured worker_attack(const Call& call) {
    muster::process_pool pool(muster::process_pool_options().processes(1).output("/dev/null"));
    return measure([&] { return muster::run_in_executor(pool, call()).as_task(); });
}

// ---- the table ----

/// How much there is of what has no bound of ours.
struct sizes {
    std::size_t bomb = 1024 * mebibyte;
    int pieces = 100; ///< of 10,000 chunks each
    std::size_t line_bytes = 2'000'000;
};

struct attack {
    const char* name;
    std::size_t limits; ///< the sum of those in force, in bytes
    std::function<measured(const sizes&)> run;
};

const std::vector<attack>& attacks() {
    constexpr std::size_t head_limit = std::size_t{300} << 10;
    constexpr std::size_t body = 8 * mebibyte;
    static const std::vector<attack> all{
        {"a bomb in gzip, to a sink", head_limit,
            [](const sizes& many) {
                const auto answer = packed_answer("gzip", bomb(many.bomb, 1));
                return http_attack([&](int s) { say(s, answer); }, http::no_limit, true);
            }},
        {"a bomb in gzip in gzip, to a sink", head_limit,
            [](const sizes& many) {
                const auto answer = packed_answer("gzip, gzip", bomb(many.bomb, 2));
                return http_attack([&](int s) { say(s, answer); }, http::no_limit, true);
            }},
        {"a bomb in gzip, to memory", head_limit + body,
            [](const sizes& many) {
                const auto answer = packed_answer("gzip", bomb(many.bomb, 1));
                return http_attack([&](int s) { say(s, answer); }, body, false);
            }},
        {"a body without an end", head_limit + body,
            [](const sizes&) {
                return http_attack(
                    [](int s) { flood(s, "HTTP/1.1 200 OK\r\n\r\n", std::string(65536, 'x')); }, body, false);
            }},
        {"chunks of one byte", head_limit + body,
            [](const sizes& many) {
                const auto piece = repeated("1\r\nx\r\n", 10'000);
                return http_attack(
                    [&](int s) {
                        say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                        for (int i = 0; i != many.pieces; ++i)
                            say(s, piece);
                        say(s, "0\r\n\r\n");
                    },
                    body, false);
            }},
        {"headers without an end", head_limit,
            [](const sizes&) {
                return http_attack(
                    [](int s) { flood(s, "HTTP/1.1 200 OK\r\n", repeated("X: y\r\n", 5000)); }, body, false);
            }},
        {"a header without an end", head_limit,
            [](const sizes&) {
                return http_attack(
                    [](int s) { flood(s, "HTTP/1.1 200 OK\r\nX: ", std::string(65536, 'x')); }, body, false);
            }},
        {"interim answers without an end", head_limit,
            [](const sizes&) {
                return http_attack([](int s) { flood(s, "", repeated("HTTP/1.1 102 X\r\n\r\n", 5000)); }, body, false);
            }},
        {"trailers without an end", head_limit + body,
            [](const sizes&) {
                return http_attack(
                    [](int s) {
                        flood(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                            repeated("X: y\r\n", 5000));
                    },
                    body, false);
            }},
        {"a peer with empty lines", mebibyte,
            [](const sizes& many) {
                return peer_attack(std::string(100'000, '\n'), many.line_bytes / 100'000,
                    [](muster::io::stream s) { return read_lines(std::move(s), mebibyte); });
            }},
        {"a peer with a line without an end", mebibyte,
            [](const sizes&) {
                return peer_attack(std::string(65536, 'x'), 1000,
                    [](muster::io::stream s) { return read_lines(std::move(s), mebibyte); });
            }},
        {"a peer that nearly sends the mark", mebibyte,
            [](const sizes&) {
                return peer_attack(repeated("\r\n\r", 20'000), 1000,
                    [](muster::io::stream s) { return read_to_mark(std::move(s), mebibyte); });
            }},
        {"a worker with 900,000 values", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return many_values(900'000); }); }},
        {"a worker with 20 million values", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return many_values(20'000'000); }); }},
        {"a worker with a text of 60 MiB", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return much_text(60 * static_cast<int>(mebibyte)); }); }},
        {"a worker with a text of 60 MiB in a page", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return much_of_a_page(60 * static_cast<int>(mebibyte)); }); }},
        {"a worker with 60 MiB of bytes", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return many_bytes(60 * static_cast<int>(mebibyte)); }); }},
        {"a worker with an error of 45 MB of controls", 64 * mebibyte,
            [](const sizes&) { return worker_attack([] { return much_said(45'000'000); }); }},
    };
    return all;
}

/// Runs it in a process of its own. *Returns* false if it could not be.
bool run_apart(const attack& a, const sizes& many, measured& m) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0)
        return false;
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        m = a.run(many);
        ::_exit(::write(ends[1], &m, sizeof m) == static_cast<ssize_t>(sizeof m) ? 0 : 1);
    }
    ::close(ends[1]);
    const bool told = ::read(ends[0], &m, sizeof m) == static_cast<ssize_t>(sizeof m);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return told && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

int main(int argc, char** argv) {
    muster::process_pool::serve_if_worker();
    std::string_view wanted = argc > 1 ? argv[1] : "";
    sizes many;
    if (wanted == "--small") {
        wanted = {};
        many.bomb = 64 * mebibyte;
        many.pieces = 10;
        many.line_bytes = 200'000;
    }
    bool all_well = true;
    std::printf("%-46s %12s %12s %12s  %s\n", "attack", "longest turn", "memory", "allowed", "ended as");
    for (const auto& a : attacks()) {
        if (std::string_view(a.name).find(wanted) == std::string_view::npos)
            continue;
        measured m;
        if (!run_apart(a, many, m)) {
            std::printf("%-46s did not end\n", a.name);
            all_well = false;
            continue;
        }
        const auto allowed = 2 * a.limits + 16 * mebibyte;
        const bool fits = m.memory < allowed;
        all_well = all_well && fits;
        std::printf("%-46s %9.2f ms %8.1f MiB %8.1f MiB  %s%s%s\n", a.name, m.longest_ms,
            static_cast<double>(m.memory) / static_cast<double>(mebibyte),
            static_cast<double>(allowed) / static_cast<double>(mebibyte), m.ended_as, fits ? "" : ", TOO MUCH MEMORY",
            m.longest_ms > goal_ms ? ", over the goal" : "");
        std::fflush(stdout);
    }
    return all_well ? 0 : 1;
}
