// SPDX-License-Identifier: MIT
/// Whoever may submit to a queue or serve it calls the queue's functions by hand, with whatever SQL can say, and a
/// server of a test's own speaks the protocol and then something else. Each behaviour is a row of a table; after it the
/// worker and the clients that behave still do what they did.
#include <muster/detail/exception_type.hpp>
#include <muster/gather.hpp>
#include <muster/postgres.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include "posix/owned_fd.hpp"
#include "postgres/schema.hpp"
#include "process_pool/wire.hpp"
#include "support/queue_fixture.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool with_sanitizer = true;
#elif defined(__has_feature)
constexpr bool with_sanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool with_sanitizer = false;
#endif

namespace {

using muster::detail::owned_fd;

/// A value that must come: what hangs fails, and does not hang the test.
template <class T>
task<muster::outcome<T>> outcome_soon(muster::task_handle<T> handle) {
    auto waiting = muster::wait_for(value_of(handle), 30s);
    auto ended = co_await muster::as_outcome(std::move(waiting));
    EXPECT_FALSE(ended.template failed_with<muster::timeout_error>()) << "it has not ended in 30 s";
    co_return ended;
}

/// *Returns* whether a terminal would obey any part of the text.
bool steers_a_terminal(const std::string& text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

/// A message as SQL has the bytes.
std::string hex(const nlohmann::json& value) {
    constexpr const char* digits = "0123456789abcdef";
    std::string text = "\\x";
    for (const auto b : muster::wire::write(value))
        (text += digits[b >> 4]) += digits[b & 15];
    return text;
}

/// The arguments of submit() for one call of `note`, any of which a row changes.
struct by_hand {
    by_hand() : key(call_key::make().text()) {}
    by_hand(by_hand&&) = default;
    std::string client = "'hostile'";
    std::string key;
    std::string function = "'note'";
    std::string signature = "'" + muster::detail::type_name(typeid(int(int))) + "'";
    std::string payload = "'" + hex(nlohmann::json{{"function", "note"}, {"arguments", {7}}}) + "'";
    std::string priority = "0";
    std::string delay = "0";
    std::string starts = "1";
    std::string keep = "60";

    [[nodiscard]] std::string statement() const {
        return "SELECT verdict FROM @.submit(" + client + ", ARRAY['" + key + "']::uuid[], ARRAY[" + function +
               "]::text[], ARRAY[" + signature + "]::text[], ARRAY[" + payload + "]::bytea[], ARRAY[" + priority +
               "]::int[], ARRAY[" + delay + "]::bigint[], ARRAY[" + starts + "]::int[], ARRAY[" + keep + "]::bigint[])";
    }
};

class hostile_queue : public a_queue {
protected:
    void SetUp() override {
        a_queue::SetUp();
        if (IsSkipped())
            return;
        sql(in_schema("CREATE ROLE @_c LOGIN; GRANT @_client TO @_c; CREATE ROLE @_w LOGIN; GRANT @_worker TO @_w"));
    }
    [[nodiscard]] std::string as_client(const std::string& text) const {
        return sql(in_schema(text), in_schema("@_c"));
    }
    [[nodiscard]] std::string as_worker(const std::string& text) const {
        return sql(in_schema(text), in_schema("@_w"));
    }
    [[nodiscard]] std::string state_of(const std::string& key) const {
        return sql("SELECT state || how FROM " + schema_ + ".call WHERE key = '" + key + "'");
    }
};

} // namespace

// ---- what a client may write ----

TEST_F(hostile_queue, rows_of_a_client_end_as_their_own_and_keep_no_worker_from_serving) {
    using change = std::function<void(by_hand&)>;
    struct row {
        const char* what;
        change changed;
        std::string expected; ///< a verdict or an SQLSTATE
        bool ends;            ///< it is claimed, and ends with an answer
    };
    const auto payload = [](const nlohmann::json& message) {
        return [message](by_hand& r) { r.payload = "'" + hex(message) + "'"; };
    };
    const std::string farthest = "9223372036854775807";
    const std::vector<row> rows = {
        {"times that lie before all timestamps", [](by_hand& r) { r.keep = "-3155760000000"; }, "taken", true},
        {"the least time", [](by_hand& r) { r.keep = "-9223372036854775808"; }, "taken", true},
        {"the longest time", [&](by_hand& r) { r.keep = farthest; }, "taken", true},
        {"no time", [](by_hand& r) { r.keep = "NULL"; }, "taken", true},
        {"due before it was submitted", [](by_hand& r) { r.delay = "-3155760000000"; }, "taken", true},
        {"due at the least time", [](by_hand& r) { r.delay = "-9223372036854775808"; }, "taken", true},
        {"due at the end of time", [&](by_hand& r) { r.delay = farthest; }, "taken", false},
        {"a client whose channel is too long a name", [](by_hand& r) { r.client = "repeat(U&'\\+01F600', 32)"; },
            "22023", false},
        {"a client without a name", [](by_hand& r) { r.client = "''"; }, "22023", false},
        {"no client", [](by_hand& r) { r.client = "NULL"; }, "22023", false},
        {"a client that is a channel of workers", [](by_hand& r) { r.client = "'work'"; }, "taken", true},
        {"a client that breaks a line", [](by_hand& r) { r.client = "E'a\\n\\x1b[2J\\u202e'"; }, "taken", true},
        {"a name of 70 KB", [](by_hand& r) { r.function = "repeat('f', 70000)"; }, "large", false},
        {"a signature of 200 KB", [](by_hand& r) { r.signature = "repeat('f', 200000)"; }, "large", false},
        {"a payload beyond the limit", [](by_hand& r) { r.payload = "decode(repeat('00', 2000001), 'hex')"; }, "large",
            false},
        {"a name that nobody serves", [](by_hand& r) { r.function = "E'\\x1b[2J'"; }, "taken", false},
        {"a NUL in a name", [](by_hand& r) { r.function = "E'a\\000b'"; }, "22021", false},
        {"a name that is no UTF-8", [](by_hand& r) { r.function = "E'\\xff'"; }, "22021", false},
        {"no name", [](by_hand& r) { r.function = "NULL"; }, "full", false},
        {"no payload", [](by_hand& r) { r.payload = "NULL"; }, "full", false},
        {"the highest priority", [](by_hand& r) { r.priority = "2147483647"; }, "taken", true},
        {"the lowest priority", [](by_hand& r) { r.priority = "-2147483648"; }, "taken", true},
        {"a priority out of range", [](by_hand& r) { r.priority = "2147483648"; }, "22003", false},
        {"no priority", [](by_hand& r) { r.priority = "NULL"; }, "23502", false},
        {"no start", [](by_hand& r) { r.starts = "-5"; }, "taken", true},
        {"two billion starts", [](by_hand& r) { r.starts = "2147483647"; }, "taken", true},
        {"a key of another type", [](by_hand& r) { r.key = "none"; }, "22P02", false},
        {"arrays of different lengths", [](by_hand& r) { r.starts = "1, 1"; }, "taken", true},
        {"a message of no bytes", [](by_hand& r) { r.payload = "''"; }, "taken", true},
        {"a message of NULs", [](by_hand& r) { r.payload = "decode(repeat('00', 1000), 'hex')"; }, "taken", true},
        {"a message that nests a million deep", [](by_hand& r) { r.payload = "decode(repeat('81', 1000000), 'hex')"; },
            "taken", true},
        {"a message of 1,500,000 values",
            [](by_hand& r) { r.payload = "decode('9a0016e360' || repeat('f6', 1500000), 'hex')"; }, "taken", true},
        {"a message that is longer than it is", [](by_hand& r) { r.payload = "'\\x5bffffffffffffffff'"; }, "taken",
            true},
        {"a message of another function", payload({{"function", "hang"}, {"arguments", {1}}}), "taken", true},
        {"a message without a function", payload({{"arguments", {1}}}), "taken", true},
        {"a function that is a number", payload({{"function", 1}, {"arguments", {1}}}), "taken", true},
        {"arguments that are a map", payload({{"function", "note"}, {"arguments", {{"0", 1}}}}), "taken", true},
        {"no arguments", payload({{"function", "note"}, {"arguments", nlohmann::json::array()}}), "taken", true},
        {"an argument of another type", payload({{"function", "note"}, {"arguments", {"x"}}}), "taken", true},
        {"a list", payload(nlohmann::json::array({1, 2})), "taken", true},
    };
    sql(in_schema("UPDATE @.setting SET payload_limit = 2000000"));
    const auto body = [&]() -> task<> {
        // These statements hold up this loop, which is the worker's as well.
        auto serving = muster::create_task(postgres::serve(worker().lease(10min), handlers()), "worker");
        for (const auto& r : rows) {
            by_hand call;
            r.changed(call);
            EXPECT_EQ(as_client(call.statement()), r.expected) << r.what;
            if (r.ends)
                co_await until([&] { return state_of(call.key) == "2answer" || serving.done(); });
            EXPECT_FALSE(serving.done()) << r.what;
            if (serving.done())
                break;
        }
        // What was taken is taken into account, and came after nobody.
        EXPECT_EQ(count_calls("due_at < submitted_at OR keep < interval '0'"), "0");
        postgres::executor queue(client());
        auto calling = muster::start_in_executor(queue, note(21));
        auto called = co_await outcome_soon(calling);
        EXPECT_TRUE(called.succeeded() && called.value() == 42) << muster::to_string(called);
        auto status = co_await postgres::status(server->address(), schema_);
        EXPECT_EQ(status.workers.size(), 1u);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(hostile_queue, statements_of_a_client_are_answered_and_change_nothing_of_others) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker(1);
        const auto key = call_key::make();
        postgres::executor queue(client());
        auto calling = muster::start_in_executor(queue, submission(hang(1)).key(key));
        co_await until([&] { return state_of(key.text()) == "1"; });
        const std::pair<std::string, std::string> rows[] = {
            {"SELECT state FROM @.fetch(ARRAY[gen_random_uuid()], 100)", "-1"},
            {"SELECT count(*) FROM @.fetch(NULL, NULL)", "0"}, {"SELECT count(*) FROM @.fetch('{NULL}', NULL)", "1"},
            {"SELECT count(*) FROM @.fetch(ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 50000)), 1)",
                "50000"},
            {"SELECT @.cancel(NULL)", ""}, {"SELECT @.cancel('{NULL}')", ""},
            {"SELECT @.cancel(ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 50000)))", ""},
            {"SELECT count(*) FROM @.unserved(NULL, NULL)", "0"},
            {"SELECT why FROM @.unserved(ARRAY[E'\\x1b'], '{}')", "none of the workers has it"},
            {"SELECT count(*) FROM @.submit('c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)", "0"},
            {"SELECT @.expire(-1)", "f"}, {"SELECT @.expire(2147483647)", "f"}, {"SELECT @.bury(NULL, 'x')", "42501"},
            {"SELECT @.tell_clients('{a}', '{}')", "42501"}, {"SELECT @.count_queued(-1000000)", "42501"},
            {"SELECT @.held(1, 1)", "42501"}, {"SELECT @.leave(1, 1)", "42501"}, {"DELETE FROM @.call", "42501"},
            {"TRUNCATE @.load", "42501"}, {"SELECT secret FROM @.worker", "42501"}, {"CREATE TABLE @.mine ()", "42501"},
            {"CREATE FUNCTION @.now() RETURNS int LANGUAGE sql AS 'SELECT 1'", "42501"},
            {"DROP FUNCTION @.reap()", "42501"}, {"ALTER SCHEMA @ RENAME TO x", "42501"},
            // Functions run by names of pg_catalog's, whatever the caller puts in front.
            {"SET search_path = pg_temp; CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS "
             "'SELECT NULL::timestamptz'; SELECT count(*) FROM @.figures()",
                "9"}};
        for (const auto& [statement, expected] : rows)
            EXPECT_EQ(as_client(statement), expected) << statement;
        // A call under a key that another one has is not this one, and tells nothing of it.
        by_hand same;
        same.key = key.text();
        EXPECT_EQ(as_client(same.statement()), "other");
        EXPECT_EQ(state_of(key.text()), "1");
        EXPECT_FALSE(calling.done());
        calling.cancel();
        auto called = co_await outcome_soon(calling);
        EXPECT_TRUE(called.was_cancelled());
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(hostile_queue, rows_that_an_older_version_took_do_no_harm_once_it_is_brought_up_to_date) {
    std::string older = "CREATE SCHEMA older; " + postgres::schema::roles("older");
    for (int to = 1; to != 5; ++to)
        older += postgres::schema::migration(to, "older");
    sql(older);
    sql("INSERT INTO older.call (key, function, signature, digest, payload, priority, due_at, starts, keep, client) "
        "VALUES "
        "(gen_random_uuid(), 'f', 's', '', '', 0, now(), 1, interval '-100000 years', 'c')");
    sql("INSERT INTO older.worker (host, process, slots, functions, signatures, lease) VALUES ('h', 1, 1, '{}', '{}', "
        "interval '292271 years')");
    EXPECT_EQ(sql("SELECT count(*) FROM older.call, older.worker"), "1");
    muster::run(postgres::init(server->address(), "older"));
    EXPECT_EQ(sql("SELECT count(*) FROM older.call WHERE now() + keep >= now()"), "1");
    EXPECT_EQ(sql("SELECT count(*) FROM older.worker WHERE seen_at + lease > now()"), "1");
    // Who knows no secret does not come back.
    EXPECT_EQ(sql("SELECT older.resume(1, 5, '')"), "08003");
    EXPECT_EQ(sql("SELECT older.reap()"), "f");
}

// ---- what a worker may write ----

TEST_F(hostile_queue, statements_of_a_worker_reach_its_own_calls_and_no_others) {
    const auto body = [&]() -> task<> {
        auto serving = start_worker(1);
        postgres::executor queue(client());
        const auto key = call_key::make();
        auto calling = muster::start_in_executor(queue, submission(hang(1)).key(key));
        co_await until([&] { return state_of(key.text()) == "1"; });
        const connection hostile(in_schema("@_w"));
        const auto say = [&](const std::string& text) { return hostile.value(in_schema(text)); };
        const std::string secret = ", '{}', '{}', repeat('s', 36))";
        const std::string his = "ARRAY['" + key.text() + "']::uuid[], ARRAY[1], ";
        const auto mine = say("SELECT @.announce('h', 1, 1, 60000" + secret);
        const std::pair<std::string, std::string> rows[] = {// Times and names that would fail whoever reads them.
            {"SELECT @.announce('h', 1, 1, 9223372036854775" + secret + " > 0", "t"},
            {"SELECT @.announce('h', 1, 1, 9223372036854775807" + secret + " > 0", "t"},
            {"SELECT @.announce('h', 1, 1, -9223372036854775808" + secret + " > 0", "t"},
            {"SELECT @.announce(repeat(E'\\x1b', 1000000), -1, -1, 60000" + secret + " > 0", "t"},
            {"SELECT @.announce('h', 1, 1, 60000, ARRAY[repeat(gen_random_uuid()::text, 1000000)], '{}', repeat('s', "
             "36))",
                "22023"},
            {"SELECT @.announce('h', 1, 1, 60000, '{}', '{}', 'short')", "22023"},
            {"SELECT @.announce('h', 1, 1, 60000, '{}', '{}', NULL)", "23502"},
            {"SELECT @.announce(NULL, NULL, NULL, NULL, NULL, NULL, repeat('s', 36))", "23502"},
            // Another worker's place.
            {"SELECT @.resume(1, 1000, repeat('s', 36))", "08003"}, {"SELECT @.resume(1, 2147483647, '')", "08003"},
            {"SELECT @.resume(1, 2, NULL)", "08003"}, {"SELECT @.held(1, 1)", "08003"},
            {"SELECT @.drain(1, 1)", "08003"}, {"SELECT @.leave(1, 1)", "08003"},
            {"SELECT @.release(1, 1, " + his.substr(0, his.size() - 2) + ")", "08003"},
            {"SELECT count(*) FROM @.exchange(1, 1, " + his + "'{a}', 0, 0)", "08003"},
            // Calls that it did not claim.
            {"SELECT count(*) FROM @.exchange(" + mine + ", 1, " + his + "'{a}', 0, 0)", "0"},
            {"SELECT @.release(" + mine + ", 1, " + his.substr(0, his.size() - 2) + ")", "0"},
            {"SELECT count(*) FROM @.held(" + mine + ", 1)", "0"},
            {"SELECT count(*) FROM @.exchange(" + mine + ", 1, NULL, NULL, NULL, NULL, NULL)", "0"},
            {"SELECT count(*) FROM @.exchange(" + mine + ", 1, '{}', '{}', '{}', -1, -1)", "0"},
            {"SELECT count(*) FROM @.exchange(" + mine + ", 1, '{}', '{}', '{}', 2147483647, 9223372036854775807)",
                "0"},
            {"SELECT secret FROM @.worker", "42501"}, {"UPDATE @.call SET how = 'answer'", "42501"}};
        for (const auto& [statement, expected] : rows)
            EXPECT_EQ(say(statement), expected) << statement;
        EXPECT_EQ(state_of(key.text()), "1");
        // Everybody looks for dead workers, whatever leases there are.
        for (int i = 0; i != 3; ++i) {
            EXPECT_NE(as_client("SELECT @.reap()"), "22008");
            co_await muster::sleep_for(250ms);
        }
        EXPECT_FALSE(serving.done());
        calling.cancel();
        auto called = co_await outcome_soon(calling);
        EXPECT_TRUE(called.was_cancelled()) << muster::to_string(called);
        auto next = muster::start_in_executor(queue, note(4));
        auto twice = co_await outcome_soon(next);
        EXPECT_TRUE(twice.succeeded() && twice.value() == 8) << muster::to_string(twice);
        auto stopping = stop(serving);
        co_await std::move(stopping);
    };
    muster::run(body());
}

TEST_F(hostile_queue, answers_of_a_worker_end_their_call_and_nothing_else) {
    sql(in_schema("UPDATE @.setting SET payload_limit = 100000"));
    const nlohmann::json death{{"what", "x\x1b[2J"}, {"process", 1e300}, {"signal", true}, {"status", 1LL << 40}};
    const nlohmann::json good_error{{"type", "t\x1b"}, {"message", "m\nm"}, {"where", "w\x1b[2J"},
        {"causes", nlohmann::json::array()}, {"as", "muster::worker_died_error"}, {"data", death}};
    const std::vector<std::string> answers = {"''", "NULL", "'\\xff'", "'\\x00'", "decode(repeat('81', 90000), 'hex')",
        "'\\x5bffffffffffffffff'", "decode(repeat('fb7ff8000000000000', 100), 'hex')", "'" + hex(7) + "'",
        "'" + hex({{"value", "text"}}) + "'", "'" + hex({{"value", 1e300}}) + "'", "'" + hex({{"value", true}}) + "'",
        "'" + hex({{"value", 1LL << 40}}) + "'", "'" + hex({{"error", 1}}) + "'",
        "'" + hex({{"error", nlohmann::json::object()}}) + "'", "'" + hex({{"error", good_error}}) + "'",
        "'" + hex({{"error", {{"type", 1}, {"message", 2}}}}) + "'", "'" + hex({{"cancelled", 7}}) + "'",
        "'" + hex({{"neither", 1}}) + "'"};
    const auto body = [&]() -> task<> {
        postgres::executor queue(client());
        const connection hostile(in_schema("@_w"));
        const auto say = [&](const std::string& text) { return hostile.value(in_schema(text)); };
        const auto signature = "'" + muster::detail::type_name(typeid(int(int))) + "'";
        const auto mine =
            say("SELECT @.announce(E'h\\x1b[2J', 7, 1, 60000, '{note}', ARRAY[" + signature + "], repeat('s', 36))");
        const auto claim = [&]() -> task<std::string> {
            std::string key;
            co_await until([&] {
                if (key.empty())
                    key =
                        say("SELECT key FROM @.exchange(" + mine + ", 1, '{}', '{}', '{}', 1, 1) WHERE kind = 'call'");
                return !key.empty();
            });
            co_return key;
        };
        const auto give = [&](const std::string& key, const std::string& answer) {
            return say("SELECT count(*) FROM @.exchange(" + mine + ", 1, ARRAY['" + key +
                       "']::uuid[], ARRAY[1], ARRAY[" + answer + "]::bytea[], 0, 1)");
        };
        for (const auto& answer : answers) {
            auto calling = muster::start_in_executor(queue, note(1));
            auto key = co_await claim();
            EXPECT_EQ(give(key, "decode(repeat('00', 100001), 'hex')"), "22023");
            EXPECT_EQ(state_of(key), "1");
            EXPECT_EQ(give(key, answer), "0") << answer;
            // The first answer stays.
            EXPECT_EQ(give(key, "'" + hex({{"value", 2}}) + "'"), "0");
            auto called = co_await outcome_soon(calling);
            EXPECT_TRUE(called.failed()) << answer << ": " << muster::to_string(called);
            EXPECT_FALSE(steers_a_terminal(muster::describe(called.as_exception()))) << answer;
        }
        // A worker that is gone is named so that its name steers nothing.
        auto calling = muster::start_in_executor(queue, note(1));
        static_cast<void>(co_await claim());
        EXPECT_EQ(say("SELECT @.leave(" + mine + ", 1)"), "");
        auto called = co_await outcome_soon(calling);
        EXPECT_TRUE(called.failed_with<postgres::worker_died_error>()) << muster::to_string(called);
        EXPECT_FALSE(steers_a_terminal(muster::describe(called.as_exception())));
    };
    muster::run(body());
}

// ---- what a server may say ----

namespace {

std::string number32(std::uint32_t n) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>(n >> shift & 0xff);
    return bytes;
}

/// A message of PostgreSQL's protocol.
std::string message(char type, const std::string& body) {
    return type + number32(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

const std::string nul(1, '\0');
const std::string lets_in = message('R', number32(0)) + message('Z', "I");

/// Lets everybody in, and answers the first thing that is asked; or says something before. Each connection has a
/// thread.
class played_server {
public:
    /// `forever` is repeated until the client has gone.
    struct part {
        part(std::string g, std::string s, std::string f = {})
            : greeting(std::move(g)),
              said(std::move(s)),
              forever(std::move(f)) {}
        std::string greeting;
        std::string said; ///< once something was asked
        std::string forever;
    };

    explicit played_server(part p) : part_(std::move(p)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        auto* const address = reinterpret_cast<sockaddr*>(&at);
        if (::bind(listener_.get(), address, size) != 0 || ::listen(listener_.get(), 64) != 0 ||
            ::getsockname(listener_.get(), address, &size) != 0)
            throw std::runtime_error("no socket to listen on");
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { accept_all(); });
    }
    ~played_server() {
        ends_ = true;
        thread_.join();
        for (auto& t : talks_)
            t.join();
    }
    played_server(const played_server&) = delete;
    played_server& operator=(const played_server&) = delete;
    [[nodiscard]] std::string address() const {
        return "host=127.0.0.1 dbname=d user=u sslmode=disable gssencmode=disable port=" + std::to_string(port_);
    }

private:
    [[nodiscard]] bool is_ready(int fd, short events) const {
        for (pollfd p{fd, events, 0}; !ends_;)
            if (::poll(&p, 1, 20) > 0)
                return (p.revents & (events | POLLIN)) != 0;
        return false;
    }
    void accept_all() {
        while (is_ready(listener_.get(), POLLIN))
            talks_.emplace_back([this, peer = owned_fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))] {
                talk(peer.get());
            });
    }
    bool say(int peer, std::string_view text) const {
        while (!text.empty() && is_ready(peer, POLLOUT)) {
            const auto n = ::send(peer, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                return false;
            text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
        return text.empty();
    }
    [[nodiscard]] bool hears(int peer) const {
        char bytes[4096];
        return is_ready(peer, POLLIN) && ::recv(peer, bytes, sizeof bytes, 0) > 0;
    }
    void talk(int peer) const {
        if (!hears(peer) || !say(peer, part_.greeting))
            return;
        if (part_.forever.empty()) {
            while (hears(peer) && say(peer, part_.said)) {}
            return;
        }
        if (!part_.greeting.ends_with(lets_in) || (hears(peer) && say(peer, part_.said)))
            while (say(peer, part_.forever)) {}
    }

    const part part_;
    std::atomic<bool> ends_{false};
    owned_fd listener_;
    int port_ = 0;
    std::thread thread_;
    std::vector<std::thread> talks_;
};

/// The most memory that this process has had since forget_peak(), in MiB.
std::size_t peak_memory() {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("VmHWM:"))
            return std::stoul(line.substr(6)) >> 10;
    return 0;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::string repeated(const std::string& text, std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i != count; ++i)
        all += text;
    return all;
}

} // namespace

namespace {

struct row_of_server {
    const char* what;
    played_server::part part;
    std::size_t most_megabytes = 100;
};

/// libpq takes in a message for as long as it comes fast enough, up to its end.
constexpr std::size_t one_message = 2100;

/// A call at that server, and a worker if the server has an end.
task<> use(const row_of_server& r) {
    const played_server hostile(r.part);
    postgres::executor queue(postgres::executor_options(hostile.address()).answer_limit(200ms).reconnect_limit(200ms));
    auto calling = muster::start_in_executor(queue, note(1));
    auto called = co_await outcome_soon(calling);
    EXPECT_TRUE(called.failed_with<postgres::queue_error>()) << r.what << ": " << muster::to_string(called);
    const auto text = muster::describe(called.as_exception());
    EXPECT_FALSE(steers_a_terminal(text)) << r.what << ": " << text;
    EXPECT_LT(text.size(), 5000u) << r.what;
    if (!r.part.forever.empty())
        co_return;
    std::string told;
    auto options = postgres::worker_options(hostile.address()).slots(1).lease(300ms).drain_limit(1ms);
    options.on_event([&told](const std::string& event) { told += event; });
    auto working = muster::create_task(postgres::serve(std::move(options), handlers()));
    for (int i = 0; i != 400 && told.empty() && !working.done(); ++i)
        co_await muster::sleep_for(5ms);
    working.cancel();
    auto ended = co_await outcome_soon(working);
    EXPECT_TRUE(ended.was_cancelled() || ended.failed_with<postgres::queue_error>())
        << r.what << ": " << muster::to_string(ended);
    EXPECT_FALSE(steers_a_terminal(told)) << r.what << ": " << told;
}

} // namespace

TEST(hostile_database, whatever_it_says_is_a_typed_error_in_bounded_time_and_memory) {
    const auto after_parse = message('1', "") + message('2', "");
    const auto column = [](std::uint32_t type) {
        return message('T', std::string("\0\1c\0", 4) + number32(0) + std::string("\0\0", 2) + number32(type) +
                                std::string("\0\4\xff\xff\xff\xff\0\1", 8));
    };
    const auto data_row = message('D', std::string("\0\1", 2) + number32(1) + "x");
    const auto notice = message('N', "SNOTICE" + nul + "Mhello \x1b[2J" + nul + nul);
    const auto heard = message('A', number32(1) + "muster_work" + nul + std::string(7000, 'a') + nul);
    const auto refusal = message('E', "SFATAL" + nul + "C28000" + nul + "Mno \x1b[2J\xff\nentry" + nul + nul);
    const std::vector<row_of_server> rows = {
        {"nothing", {"", ""}},
        {"another protocol", {"HTTP/1.1 400 Bad Request\r\n\r\n", ""}},
        {"garbage", {std::string(1000, '\xff'), ""}},
        {"a refusal that steers a terminal", {refusal, ""}},
        {"a message of two gigabytes", {"R" + number32(0x7fffffff), ""}},
        {"a message of a negative length", {"R" + number32(0xffffffff), ""}},
        {"a question for a password", {message('R', number32(3)), ""}},
        {"a way to ask that nobody knows", {message('R', number32(99)), ""}},
        {"notices without an end before it lets anybody in", {message('R', number32(0)), "", repeated(notice, 500)}},
        {"settings without an end",
            {message('R', number32(0)), "", message('S', "a" + nul + std::string(9000, 'b') + nul)}},
        {"nothing once it is asked", {lets_in, ""}},
        {"that it is ready", {lets_in, message('Z', "I")}},
        {"that it wants a copy", {lets_in, message('G', std::string(3, '\0'))}},
        {"that it sends a copy", {lets_in, message('H', std::string(3, '\0')), message('d', std::string(1000, 'c'))}},
        {"that it copies both ways", {lets_in, message('W', std::string(3, '\0'))}},
        {"rows without an end", {lets_in, after_parse + column(23), repeated(data_row, 5000)}},
        {"rows without columns and without an end", {lets_in, after_parse + message('T', std::string(2, '\0')),
                                                        repeated(message('D', std::string(2, '\0')), 10'000)}},
        {"a row of a gigabyte",
            {lets_in,
                after_parse + column(17) + "D" + number32(0x40000000) + std::string("\0\1", 2) + number32(0x3ffffff0),
                std::string(100'000, 'x')},
            one_message},
        {"an error of a gigabyte", {lets_in, "E" + number32(0x40000000), std::string(100'000, 'x')}, one_message},
        {"notices without an end", {lets_in, "", repeated(notice, 500)}},
        {"messages without an end", {lets_in, "", repeated(heard, 50)}},
        {"a message for a channel of a gigabyte", {lets_in, "A" + number32(0x40000000), std::string(100'000, 'x')},
            one_message},
        {"a value of another type",
            {lets_in, after_parse + column(25) + data_row + message('C', "SELECT 1" + nul) + message('Z', "I")}},
        {"no rows", {lets_in, after_parse + column(25) + message('C', "SELECT 0" + nul) + message('Z', "I")}},
        {"garbage once it is asked", {lets_in, std::string(1000, '\x01')}},
    };
    const auto all_quiet = [&]() -> task<> {
        std::vector<task<>> all;
        for (const auto& r : rows)
            if (r.part.forever.empty())
                all.push_back(use(r));
        co_await muster::gather(std::move(all));
    };
    muster::run(all_quiet());
    for (const auto& r : rows) {
        if (r.part.forever.empty())
            continue;
        forget_peak();
        const auto before = peak_memory();
        muster::run(use(r));
        const auto grown = peak_memory() - std::min(peak_memory(), before);
        EXPECT_TRUE(with_sanitizer || grown < r.most_megabytes) << r.what << ": " << grown << " MiB";
    }
}

int main(int argc, char** argv) { return queue_test_main(argc, argv); }
