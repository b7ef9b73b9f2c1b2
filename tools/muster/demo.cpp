// SPDX-License-Identifier: MIT
// This file makes the list of the demo's URLs, with how each must end, fetches all of them from a faulty server in this
// process, and compares the ledger with the list. The URLs are mixed in the same way each time, so two runs can be
// compared.
#include "demo.hpp"

#include "fetch.hpp"
#include "streams.hpp"

#include <muster/testing/faulty_server.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

namespace tool {

namespace {

using namespace std::chrono_literals;

/// So many URLs of a kind, and how each must end: "" for a success, or what the ledger calls the failure.
struct share {
    share(std::size_t n, std::string u, std::string e) : count(n), url(std::move(u)), ends_as(std::move(e)) {}
    std::size_t count;
    std::string url; ///< # stands for a number that is different for each
    std::string ends_as;
};

std::vector<share> shares(const muster::testing::faulty_server& server) {
    const auto refused = fmt::format("http://127.0.0.1:{}/nobody-listens", server.unused_port());
    return {
        share(60, server.url("/ok?#"), ""),
        share(30, server.url("/bytes/20000?#"), ""),
        share(20, server.url("/slow/150?#"), ""),
        share(25, server.url("/flaky/#/1"), ""),
        share(15, server.url("/redirect/3?#"), ""),
        share(10, server.url("/reset?#"), "connection reset"),
        share(10, server.url("/truncated/1000?#"), "answer cut off"),
        share(10, server.url("/garbage?#"), "garbage answer"),
        share(6, server.url("/never?#"), "time limit"),
        share(5, server.url("/status/404?#"), "status 404"),
        share(4, server.url("/redirect-loop?#"), "garbage answer"),
        share(3, "htp:/not-a-url-#", "bad URL"),
        share(2, refused + "?#", "no connection"),
    };
}

std::vector<std::string> mixed(const std::vector<share>& all) {
    std::vector<std::string> in_order;
    for (const auto& s : all) {
        for (std::size_t i = 0; i != s.count; ++i) {
            auto url = s.url;
            url.replace(url.find('#'), 1, std::to_string(i));
            in_order.push_back(std::move(url));
        }
    }
    // The same mixture each time: 77 and 200 have no common factor.
    std::vector<std::string> urls;
    for (std::size_t i = 0; i != in_order.size(); ++i)
        urls.push_back(in_order[i * 77 % in_order.size()]);
    return urls;
}

/// *Returns* what is not as it should be, a line each.
std::string differences(const std::vector<share>& all, const printed_ledger& ledger) {
    std::string text;
    const auto expect = [&](const std::string& what, std::size_t wanted, std::uint64_t got) {
        if (got != wanted)
            text += fmt::format("  {}: {} expected, {} counted\n", what, wanted, got);
    };
    std::size_t total = 0;
    std::size_t ok = 0;
    for (const auto& s : all) {
        total += s.count;
        ok += s.ends_as.empty() ? s.count : 0;
        std::size_t like_this = 0;
        for (const auto& other : all)
            like_this += other.ends_as == s.ends_as ? other.count : 0;
        if (!s.ends_as.empty() && text.find("  " + s.ends_as + ':') == std::string::npos)
            expect(s.ends_as, like_this, ledger.failed_with(s.ends_as));
    }
    expect("submitted", total, ledger.counts().submitted());
    expect("succeeded", ok, ledger.counts().succeeded());
    expect("failed", total - ok, ledger.counts().failed());
    return text;
}

bool say(const std::string& text) { return !write_all(STDOUT_FILENO, text); }

} // namespace

int demo(bool show_progress) {
    // Nothing leaves this machine, whatever proxy it is told to use. Before there are threads.
    ::setenv("no_proxy", "*", 1);
    stop_signals signals;
    const muster::testing::faulty_server server;
    const auto all = shares(server);

    fetch_options options;
    options.urls = mixed(all);
    options.limit = 32;
    options.timeout = 400ms;
    options.retries = 2;
    options.at_most = rate(90, 1s);
    options.shown = show_progress ? batch_options::progress::on_terminal : batch_options::progress::none;

    bool said = say(fmt::format(
        "A server on 127.0.0.1:{} in this process misbehaves on request: some of its answers are slow, some a 503 "
        "that\n"
        "is fine the next time, some connections are reset, some bodies cut off, some answers garbage, some never "
        "come.\n"
        "As `muster fetch --limit 32 --timeout 400ms --retries 2 --rate 90/s` would, this gets {} URLs from it:\n\n",
        server.port(), options.urls.size()));

    line_source source(options.urls, line_rules::urls());
    printed_ledger ledger;
    int signal_status = 0;
    {
        writer out;
        fetch_all(options, source, ledger, out, signals, [&](const batch& b) {
            out.drain();
            said = say(ledger.text(source, b.elapsed())) && said;
            signal_status = b.signal() != 0 ? b.status(false) : 0;
        });
    }
    if (signal_status != 0)
        return signal_status;

    const auto wrong = differences(all, ledger);
    if (wrong.empty())
        said = say("\nEach URL is in exactly one count, and each failure has its type: a 503 and a reset were tried "
                   "again,\na 404 was not. Next: build/release/bin/muster fetch --help\n") &&
               said;
    else
        said = say("\nThat is not what the server was told to do:\n" + wrong) && said;
    return wrong.empty() && said ? all_succeeded : some_failed;
}

} // namespace tool
