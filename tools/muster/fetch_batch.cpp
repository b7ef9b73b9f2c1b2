// SPDX-License-Identifier: MIT
// This file takes a URL from its attempt to its entry in the log. attempt() waits for the limit of the server, asks,
// and brings the body into its file (to_file), or into a spool for standard output or nowhere (to_reader). A
// stall_guard puts off its time limit as bytes arrive. job_over() counts what has ended; a body for standard output is
// handed to the writer whole, and its job counts once it is written.
#include "fetch_batch.hpp"

#include "http/digest.hpp"
#include "http/read_off.hpp"
#include "http/url.hpp"
#include "server_name.hpp"

#include <muster/io/dns.hpp>
#include <muster/outcome.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include <fmt/core.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string_view>

#include <netdb.h>
#include <unistd.h>

namespace tool {

namespace http = muster::http;

http::client_options client_options_for(const fetch_options& o, std::size_t together) {
    http::client_options options = o.client;
    options.body_limit(o.max_size.value_or(http::no_limit));
    // Connections that are kept for later give way to those that are needed now.
    options.connections(together);
    options.cookies(!o.cookie_jar.empty());
    if (o.timeout)
        options.timeout(*o.timeout);
    return options;
}

/// Ends a request whose answer makes no progress: fewer than so many bytes of the body within the time. Time in which
/// the request waits to be sent does not count, nor does time in which nothing is read for the sake of --limit-rate.
class fetch_batch::stall_guard {
public:
    explicit stall_guard(const fetch_options& o) : options_(o) {}

    muster::task<> run(muster::task<> asking) {
        if (!options_.stall_time) {
            co_await std::move(asking);
            co_return;
        }
        // Sending a body from a file may take longer than the time limit, so the time does not run yet. It begins when
        // the head of the answer has come, or the first bytes of its body.
        if (options_.data_file.empty())
            scope_.emplace(*options_.stall_time);
        else
            scope_.emplace();
        auto in_time = scope_->run([&asking]() -> muster::task<> { co_await std::move(asking); });
        try {
            co_await std::move(in_time);
        } catch (const muster::timeout_error&) {
            if (!scope_->expired())
                throw;
            throw muster::timeout_error(fmt::format("fewer than {} came within {} (--stall-timeout)",
                show_size(options_.stall_bytes), show_duration(*options_.stall_time)));
        }
    }
    void received(std::size_t bytes) {
        received_ += bytes;
        if (began_ && received_ < options_.stall_bytes)
            return;
        received_ = 0;
        begin();
    }
    /// The time begins anew.
    void begin() {
        began_ = true;
        if (scope_ && !scope_->expired())
            scope_->reschedule(muster::loop_clock::now() + *options_.stall_time);
    }
    /// No time counts until begin().
    void hold() {
        if (scope_ && !scope_->expired())
            scope_->reschedule(std::nullopt);
    }

private:
    const fetch_options& options_;
    std::optional<muster::timeout_scope> scope_;
    std::uint64_t received_ = 0;
    bool began_ = false; ///< begin() was called: until then a body may be on its way to the server
};

/// The part of a job that the attempts share.
struct fetch_batch::details final : job_details {
    explicit details(spool_file& spools) : body(spools) {}

    spool body; ///< for standard output
    std::string file;
    bool is_unknown = false; ///< the host has no address, and will have none the next time
};

/// A job that is over, while the writer has its body. Its members belong to the writer's thread until that is written,
/// and to the loop's thread afterwards.
struct fetch_batch::parcel {
    parcel(job&& over, job_end&& how) : j(std::move(over)), v(std::move(how)) {}
    job j;
    job_end v;
    std::string problem;
};

fetch_batch::fetch_batch(const fetch_options& options, std::size_t together, http::client& client, line_source& source,
    printed_ledger& ledger, writer& out, output_folder& folder, job_log* log)
    : batch("fetch", options, source, ledger, out),
      options_(options),
      maker_(options),
      safe_to_repeat_(maker_.make(input_line(), "http://localhost/").is_idempotent()),
      to_standard_output_(options.output == "-"),
      folder_(folder),
      log_(log),
      client_(client),
      gate_(options.per_host, options.per_host_rate, together),
      pace_(options.limit_rate) {}

// ---- asking for a URL ----

muster::task<> fetch_batch::attempt(job& j) {
    j.status = 0;
    j.bytes = 0;
    const auto what = maker_.plan(j.line);
    maker_.require_sound(j.line, what);
    if (!j.details)
        j.details = std::make_unique<details>(out().file());
    auto& d = static_cast<details&>(*j.details);
    d.body.clear();
    std::optional<host_gate::pass> pass;
    if (gate_.bounds()) {
        auto entering = gate_.enter(server_of(what.url));
        auto entered = co_await std::move(entering);
        pass.emplace(std::move(entered));
    }
    stall_guard guard(options_);
    if (!what.name.empty() && !to_standard_output_ && !folder_.is_open())
        folder_.open(".");
    auto asking = !to_standard_output_ && folder_.is_open() ? to_file(j, d, what, guard)
                  : pace_.bounds()                          ? to_slow_reader(j, d, what, guard)
                                                            : to_reader(j, d, what, guard);
    auto guarded = guard.run(std::move(asking));
    std::exception_ptr unknown_host;
    try {
        co_await std::move(guarded);
    } catch (const http::status_error& e) {
        j.status = e.status();
        throw;
    } catch (const http::resolve_error&) {
        unknown_host = std::current_exception();
    }
    if (!unknown_host)
        co_return;
    if (j.attempts <= options_.retries) {
        auto looking = look_up_again(d, what.url);
        co_await std::move(looking);
    }
    std::rethrow_exception(unknown_host);
}

muster::task<> fetch_batch::to_file(job& j, details& d, const planned_request& what, stall_guard& guard) {
    const auto name = require_file_name(maker_.file_name(j.line, what));
    output_folder::claim claim;
    if (maker_.names_may_clash(what))
        claim = output_folder::claim(folder_, name);
    http::download_options how;
    how.folder(folder_.descriptor()).resume(options_.continues).idle_timeout(http::no_time_limit);
    how.replace(!options_.server_names || options_.overwrite);
    how.on_piece([this, &j, &guard](std::size_t bytes) { return take_piece(j, bytes, guard); });
    if (!what.digest.empty())
        how.digest(what.digest);
    if (options_.if_modified)
        how.if_modified();
    how.name_by([this, &claim, &what, &guard, &name](const http::response& head) {
        guard.begin();
        if (!options_.server_names || !what.name.empty())
            return name;
        auto chosen = server_name(head.headers, what.url);
        claim = output_folder::claim(folder_, chosen);
        return chosen;
    });
    auto getting = http::download(client_, maker_.make(j.line, what.url), name, std::move(how));
    try {
        const auto got = co_await std::move(getting);
        j.status = got.head.status;
        d.file = got.file;
        claim.keep();
    } catch (const http::file_error& e) {
        throw http::file_error(what.url, folder_.path_of(e.problem()), e.code());
    }
}

/// A body for standard output, or for nobody.
class fetch_batch::receiver {
public:
    receiver(spool* into, const std::string& digest) : into_(into) {
        if (!digest.empty())
            check_.emplace(digest);
    }
    void take(std::string_view piece) {
        if (into_ != nullptr)
            into_->append(piece);
        if (check_)
            check_->take(piece);
    }
    /// The body has ended. *Errors*: digest_error.
    void finish(const std::string& url) {
        if (const auto wrong = check_ ? check_->difference() : std::string(); !wrong.empty())
            throw http::digest_error(url, wrong);
    }

private:
    spool* into_;
    std::optional<http::digest> check_;
};

/// *Errors*: protocol_error if an answer is a part that nobody asked for.
void fetch_batch::require_whole(int status, const std::string& url) const {
    if (status == 206 && !request_maker::asks_for_part(options_))
        throw http::protocol_error(url, "the answer is a part of the whole that was asked for");
}

muster::task<> fetch_batch::to_reader(job& j, details& d, const planned_request& what, stall_guard& guard) {
    receiver body(to_standard_output_ ? &d.body : nullptr, what.digest);
    auto request = maker_.make(j.line, what.url);
    request.body_to([&](std::string_view piece) {
        count_bytes(j, piece.size());
        guard.received(piece.size());
        body.take(piece);
    });
    auto sending = client_.send(std::move(request));
    const auto reply = co_await std::move(sending);
    j.status = reply.status;
    reply.throw_if_error();
    require_whole(reply.status, what.url);
    body.finish(what.url);
}

/// The same, with pauses between the pieces.
muster::task<> fetch_batch::to_slow_reader(job& j, details& d, const planned_request& what, stall_guard& guard) {
    receiver body(to_standard_output_ ? &d.body : nullptr, what.digest);
    auto opening = client_.open(maker_.make(j.line, what.url));
    auto stream = co_await std::move(opening);
    j.status = stream.status();
    guard.begin();
    if (stream.is_error()) {
        auto reading = http::read_off(stream);
        co_await std::move(reading);
        stream.throw_if_error();
    }
    for (;;) {
        auto reading = stream.read();
        const auto piece = co_await std::move(reading);
        if (!piece)
            break;
        body.take(*piece);
        auto taking = take_piece(j, piece->size(), guard);
        co_await std::move(taking);
    }
    require_whole(j.status, what.url);
    body.finish(what.url);
}

void fetch_batch::count_bytes(job& j, std::size_t bytes) noexcept {
    j.bytes += bytes;
    received_ += bytes;
}

/// A piece of a body has come.
muster::task<> fetch_batch::take_piece(job& j, std::size_t bytes, stall_guard& guard) {
    count_bytes(j, bytes);
    if (!pace_.bounds()) {
        guard.received(bytes);
        co_return;
    }
    const auto when = pace_.take(muster::loop_clock::now().time_since_epoch(), bytes);
    guard.hold();
    co_await muster::sleep_until(muster::loop_clock::time_point(when));
    guard.begin();
}

/// libcurl does not say whether a name is unknown or could not be looked up for now. So the system is asked once more:
/// only what it says of a name that it knows not to be there is for good.
muster::task<> fetch_batch::look_up_again(details& d, const std::string& url) {
    auto server = server_of(http::wire_url(url));
    if (const auto colon = server.rfind(':');
        colon != std::string::npos && server.find(']', colon) == std::string::npos)
        server.erase(colon);
    auto looking = muster::io::resolve(server, "80");
    const auto found = co_await muster::as_outcome(std::move(looking));
    const auto* e = found.error_as<muster::io::resolve_error>();
    d.is_unknown = e != nullptr && e->code().category() == muster::io::resolve_category() &&
                   e->code().value() != EAI_AGAIN && e->code().value() != EAI_MEMORY;
}

// ---- further attempts ----

/// A request is repeated if it is safe to repeat, or if nothing of it was sent.
bool fetch_batch::worth_a_retry(const job& j, const std::exception_ptr& error) const {
    // The host's address was not found, so nothing of the request was sent.
    if (muster::is_a<http::resolve_error>(error))
        return !static_cast<const details&>(*j.details).is_unknown;
    if (const auto* e = muster::get_if<http::proxy_error>(error); e != nullptr && e->status() != 0 && e->status() < 500)
        return false;
    if (muster::is_a<http::connect_error>(error))
        return true;
    if (!safe_to_repeat_)
        return false;
    if (const auto* e = muster::get_if<http::status_error>(error))
        return (e->status() >= 500 || e->status() == 429 || e->status() == 408) &&
               e->retry_after().value_or(std::chrono::seconds(0)) <= longest_retry_after;
    return muster::is_a<http::reset_error>(error) || muster::is_a<muster::timeout_error>(error);
}

std::chrono::nanoseconds fetch_batch::least_pause(const std::exception_ptr& error) const {
    const auto* e = muster::get_if<http::status_error>(error);
    return e != nullptr ? e->retry_after().value_or(std::chrono::seconds(0)) : std::chrono::seconds(0);
}

// ---- what has ended ----

void fetch_batch::job_over(job&& j, job_end&& v) {
    if (!to_standard_output_ || !options_.keep_order) {
        print(std::move(j), std::move(v));
        return;
    }
    const auto index = j.line.index;
    held_.add(index, {std::move(j), std::move(v)});
    held_.give([this](std::pair<job, job_end>&& held) { print(std::move(held.first), std::move(held.second)); });
}

void fetch_batch::pass_over(std::uint64_t index) {
    if (!to_standard_output_ || !options_.keep_order)
        return;
    held_.pass_over(index);
    held_.give([this](std::pair<job, job_end>&& held) { print(std::move(held.first), std::move(held.second)); });
}

void fetch_batch::print(job&& j, job_end&& v) {
    auto* d = static_cast<details*>(j.details.get());
    // A body that is not whole is not printed.
    if (d == nullptr || d->body.empty() || v.state != muster::outcome_state::value) {
        printed(j, v, {});
        return;
    }
    auto body = std::move(d->body);
    const auto p = std::make_shared<parcel>(std::move(j), std::move(v));
    expect_delivery();
    // Called on the writer's thread.
    out().write(STDOUT_FILENO, std::move(body), [this, p, loop = loop()](const std::string& problem) {
        if (!problem.empty())
            p->problem = fmt::format("writing to standard output failed: {}", problem);
        loop.post([this, p] {
            printed(p->j, p->v, p->problem);
            delivered();
        });
    });
}

/// Called when a body is where it is to be: only then does its job count.
void fetch_batch::printed(job& j, job_end& v, const std::string& problem) {
    if (!problem.empty() && failure_.empty()) {
        failure_ = problem;
        // Further bodies could not be written either.
        stop(problem);
    }
    if (!problem.empty() && v.state == muster::outcome_state::value)
        v = job_end::failed(std::make_exception_ptr(std::runtime_error(problem)));
    const auto* d = static_cast<const details*>(j.details.get());
    if (v.state == muster::outcome_state::value && !to_standard_output_ && (d == nullptr || d->file.empty()))
        dropped_ += j.bytes;
    count(j, v);
    if (log_ != nullptr)
        log_->add_url(j, v, maker_.plan(j.line).url, d != nullptr ? d->file : std::string());
}

} // namespace tool
