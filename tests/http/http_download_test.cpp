// SPDX-License-Identifier: MIT
// http::download against a server that cuts bodies, forgets what parts are, and changes what it has in between.
#include "support/http_fixture.hpp"
#include "support/versioned_server.hpp"

#include <muster/event.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>
#include <muster/wait.hpp>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

namespace {

namespace fs = std::filesystem;

const std::string whole = "abcdefghijklmnopqrstuvwxyz0123456789";
const std::string its_digest = "sha256:011fc2994e39d251141540f87a69092b3f22a86767f7283de7eeedb3897bedf6";

class http_download : public http_client {
protected:
    http_download() {
        std::string name = (fs::temp_directory_path() / "muster-download-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp");
        folder_ = name;
    }
    ~http_download() override { fs::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name = "file") const { return (folder_ / name).string(); }
    [[nodiscard]] std::string content(const std::string& name = "file") const {
        std::ifstream in(path(name), std::ios::binary);
        std::stringstream text;
        text << in.rdbuf();
        return text.str();
    }
    void put(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
    }
    /// The names of the folder, in order.
    [[nodiscard]] std::string names() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::directory_iterator(folder_))
            all.push_back(entry.path().filename().string());
        std::ranges::sort(all);
        std::string text;
        for (const auto& name : all)
            text += (text.empty() ? "" : " ") + name;
        return text;
    }

    muster::outcome<http::downloaded> try_to_get(const std::string& url, const http::download_options& options = {}) {
        std::optional<muster::outcome<http::downloaded>> ended;
        const auto body = [&](http::client& client) -> muster::task<> {
            auto getting = http::download(client, url, path(), options);
            auto outcome = co_await muster::as_outcome(std::move(getting));
            ended.emplace(std::move(outcome));
        };
        run(body);
        return std::move(*ended);
    }
    http::downloaded get(const std::string& url, const http::download_options& options = {}) {
        auto ended = try_to_get(url, options);
        EXPECT_TRUE(ended.succeeded()) << muster::to_string(ended);
        return ended.succeeded() ? std::move(ended).value() : http::downloaded();
    }
    /// Leaves the first `bytes` of the body, as a download that was cut off there does.
    void begin(std::size_t bytes, const std::string& tag = "\"1\"") {
        const scripted_server server([&](const asked& a) { return cut_off(proper_answer(a, whole, tag), bytes); });
        const auto ended = try_to_get(server.url("/a"), http::download_options().resume());
        EXPECT_TRUE(ended.failed_with<http::truncated_error>()) << muster::to_string(ended);
    }

    fs::path folder_;
};

TEST_F(http_download, a_download_leaves_the_file_and_nothing_else) {
    const auto got = get(url("/bytes/100000"));
    EXPECT_EQ(got.size, 100'000u);
    EXPECT_EQ(got.head.status, 200);
    EXPECT_EQ(got.file, path());
    EXPECT_EQ(content().size(), 100'000u);
    EXPECT_EQ(names(), "file");
    EXPECT_EQ(get(url("/bytes/0")).size, 0u);
    EXPECT_EQ(content(), "");
    EXPECT_EQ(names(), "file");
}

TEST_F(http_download, a_body_larger_than_the_limit_of_the_client_is_a_file_all_the_same) {
    EXPECT_EQ(get(url("/bytes/70000000")).size, 70'000'000u);
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(url("/bytes/1000")).body_limit(999);
        auto getting = http::download(client, std::move(ask), path("small"), {});
        auto ended = co_await muster::as_outcome(std::move(getting));
        EXPECT_TRUE(ended.failed_with<http::too_large_error>()) << muster::to_string(ended);
    };
    run(body);
    EXPECT_EQ(names(), "file");
}

TEST_F(http_download, a_failure_leaves_the_file_that_was_there) {
    put("file", "old");
    EXPECT_TRUE(try_to_get(url("/status/404")).failed_with<http::status_error>());
    EXPECT_TRUE(try_to_get(url("/truncated/1000")).failed_with<http::truncated_error>());
    EXPECT_TRUE(try_to_get(url("/garbage")).failed_with<http::protocol_error>());
    EXPECT_EQ(names(), "file");
    EXPECT_EQ(content(), "old");
}

TEST_F(http_download, a_body_cut_at_every_position_goes_on_where_it_ended) {
    for (std::size_t cut = 1; cut != whole.size(); ++cut) {
        std::vector<std::optional<std::size_t>> firsts;
        const scripted_server server([&](const asked& a) {
            firsts.push_back(first_of(a));
            const auto answer = proper_answer(a, whole, "\"1\"");
            return a.number == 0 ? cut_off(answer, cut) : answer;
        });
        const auto resuming = http::download_options().resume();
        EXPECT_TRUE(try_to_get(server.url(), resuming).failed_with<http::truncated_error>()) << cut;
        EXPECT_EQ(names(), "file.part file.part.from") << cut;
        EXPECT_EQ(content("file.part"), whole.substr(0, cut));
        const auto got = get(server.url(), resuming);
        EXPECT_EQ(got.continued_at, cut);
        EXPECT_EQ(got.size, whole.size());
        EXPECT_EQ(content(), whole) << cut;
        EXPECT_EQ(names(), "file");
        EXPECT_EQ(firsts, (std::vector<std::optional<std::size_t>>{std::nullopt, cut}));
        fs::remove(path());
    }
}

TEST_F(http_download, what_was_cut_off_within_its_headers_begins_anew) {
    const scripted_server server([](const asked& a) {
        const auto answer = proper_answer(a, whole, "\"1\"");
        return a.number == 0 ? answer.substr(0, 20).append(scripted_server::then_close) : answer;
    });
    EXPECT_FALSE(try_to_get(server.url(), http::download_options().resume()).succeeded());
    EXPECT_EQ(names(), "");
    EXPECT_EQ(get(server.url(), http::download_options().resume()).continued_at, 0u);
    EXPECT_EQ(content(), whole);
}

TEST_F(http_download, without_resume_nothing_is_left_of_what_was_cut_off) {
    const scripted_server server([](const asked& a) { return cut_off(proper_answer(a, whole, "\"1\""), 10); });
    EXPECT_TRUE(try_to_get(server.url()).failed_with<http::truncated_error>());
    EXPECT_EQ(names(), "");
}

TEST_F(http_download, retries_go_on_within_one_download) {
    std::vector<std::optional<std::size_t>> firsts;
    const scripted_server server([&](const asked& a) {
        firsts.push_back(first_of(a));
        const auto answer = proper_answer(a, whole, "\"1\"");
        if (a.number == 2)
            return scripted_server::text("503 Service Unavailable", "later");
        return a.number < 5 ? cut_off(answer, 5) : answer;
    });
    const auto policy = http::resend_policy(9).first_delay(1ms);
    const auto got = get(server.url(), http::download_options().retry(policy));
    EXPECT_EQ(got.attempts, 6u);
    EXPECT_EQ(content(), whole);
    EXPECT_EQ(firsts, (std::vector<std::optional<std::size_t>>{std::nullopt, 5, 10, 10, 15, 20}));
}

// ---- it is not what it was ----

TEST_F(http_download, what_has_changed_in_between_is_got_anew) {
    begin(10);
    const std::string other = "something else, and longer than what was there before";
    const scripted_server server([&](const asked& a) { return proper_answer(a, other, "\"2\""); });
    // The note is about a URL: this one has another port.
    const auto note = content("file.part.from");
    put("file.part.from", note.substr(0, 18) + server.url("/a") + note.substr(note.find('\n', 18)));
    const auto got = get(server.url("/a"), http::download_options().resume());
    EXPECT_EQ(got.continued_at, 0u);
    EXPECT_EQ(content(), other);
    EXPECT_EQ(server.requests(), 1u);
}

/// Each answer to the question for the rest that is not the rest of it.
TEST_F(http_download, a_part_that_does_not_fit_is_not_appended) {
    using answer = std::function<std::string(std::size_t first)>;
    const std::string same = "ETag: \"1\"\r\n";
    const std::vector<std::pair<const char*, answer>> wrong = {
        {"it begins later", [&](std::size_t first) { return part(whole, first + 1, 99, same); }},
        {"it begins earlier", [&](std::size_t first) { return part(whole, first - 1, 99, same); }},
        {"it is of something larger", [&](std::size_t first) { return part(whole + "!", first, 99, same); }},
        {"it is of another version", [&](std::size_t first) { return part(whole, first, 99, "ETag: \"2\"\r\n"); }},
        {"it does not say where it begins",
            [&](std::size_t first) { return scripted_server::text("206 Partial Content", whole.substr(first), same); }},
        {"it is counted otherwise",
            [&](std::size_t first) {
                return scripted_server::text(
                    "206 Partial Content", whole.substr(first), same + "Content-Range: lines 10-35/36\r\n");
            }},
        {"it is encoded",
            [&](std::size_t first) { return part(whole, first, 99, same + "Content-Encoding: x-own\r\n"); }},
        {"there is no such part, and another size",
            [&](std::size_t) {
                return scripted_server::text("416 Range Not Satisfiable", "", same + "Content-Range: bytes */9\r\n");
            }},
        {"there is no such part", [&](std::size_t) { return scripted_server::text("416 No", "", same); }},
        {"parts are not known", [&](std::size_t) { return scripted_server::text("200 OK", whole, same); }},
    };
    for (const auto& [name, bad] : wrong) {
        const scripted_server server([&](const asked& a) {
            const auto first = first_of(a);
            if (first)
                return bad(*first);
            const auto all = proper_answer(a, whole, "\"1\"");
            return a.number == 0 ? cut_off(all, 10) : all;
        });
        const auto resuming = http::download_options().resume();
        EXPECT_TRUE(try_to_get(server.url(), resuming).failed_with<http::truncated_error>()) << name;
        const auto got = get(server.url(), resuming);
        EXPECT_EQ(content(), whole) << name;
        EXPECT_EQ(got.continued_at, 0u) << name;
        EXPECT_EQ(names(), "file") << name;
        fs::remove(path());
    }
}

TEST_F(http_download, a_part_shorter_than_it_says_is_no_success) {
    const scripted_server server([&](const asked& a) {
        if (!first_of(a))
            return cut_off(proper_answer(a, whole, "\"1\""), 10);
        return scripted_server::text("206 Partial Content", "klm", "ETag: \"1\"\r\nContent-Range: bytes 10-35/36\r\n");
    });
    const auto resuming = http::download_options().resume();
    EXPECT_TRUE(try_to_get(server.url(), resuming).failed_with<http::truncated_error>());
    EXPECT_TRUE(try_to_get(server.url(), resuming).failed_with<http::protocol_error>());
    EXPECT_FALSE(fs::exists(path()));
}

TEST_F(http_download, a_part_that_nobody_asked_for_is_no_success) {
    const scripted_server server([&](const asked&) { return part(whole, 0, 10, ""); });
    EXPECT_TRUE(try_to_get(server.url()).failed_with<http::protocol_error>());
    EXPECT_EQ(names(), "");
}

TEST_F(http_download, a_server_that_gives_a_little_at_a_time_is_asked_until_all_is_there) {
    const scripted_server server([&](const asked& a) {
        const auto first = first_of(a);
        return first ? part(whole, *first, 7, "ETag: \"1\"\r\n") : cut_off(proper_answer(a, whole, "\"1\""), 3);
    });
    const auto resuming = http::download_options().resume();
    EXPECT_FALSE(try_to_get(server.url(), resuming).succeeded());
    EXPECT_EQ(get(server.url(), resuming).continued_at, 3u);
    EXPECT_EQ(content(), whole);
    EXPECT_EQ(server.requests(), 6u);
}

TEST_F(http_download, a_beginning_that_is_the_whole_is_complete) {
    const scripted_server server([&](const asked& a) {
        auto answer = proper_answer(a, whole, "\"1\"");
        // One byte more is announced than there is.
        if (a.number == 0)
            answer = cut_off("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n24\r\n" + whole, 40);
        return answer;
    });
    const auto resuming = http::download_options().resume();
    EXPECT_FALSE(try_to_get(server.url(), resuming).succeeded());
    const auto got = get(server.url(), resuming);
    EXPECT_EQ(got.continued_at, whole.size());
    EXPECT_EQ(content(), whole);
}

TEST_F(http_download, a_version_that_can_not_be_told_is_got_anew) {
    for (const std::string& fields : {std::string(), std::string("ETag: W/\"1\"\r\n"),
             std::string("Last-Modified: Thu, 26 Nov 2026 20:00:00 GMT\r\nDate: Thu, 26 Nov 2026 20:00:00 GMT\r\n")}) {
        const scripted_server server([&](const asked& a) {
            EXPECT_FALSE(first_of(a)) << a.head;
            const auto answer = scripted_server::text("200 OK", whole, fields);
            return a.number == 0 ? cut_off(answer, 10) : answer;
        });
        const auto resuming = http::download_options().resume();
        EXPECT_FALSE(try_to_get(server.url(), resuming).succeeded());
        EXPECT_EQ(names(), "");
        EXPECT_EQ(get(server.url(), resuming).continued_at, 0u);
        EXPECT_EQ(content(), whole);
        fs::remove(path());
    }
}

TEST_F(http_download, an_old_date_tells_the_version) {
    const std::string fields =
        "Last-Modified: Thu, 26 Nov 2020 20:00:00 GMT\r\nDate: Thu, 26 Nov 2026 20:00:00 GMT\r\n";
    const scripted_server server([&](const asked& a) {
        const auto first = first_of(a);
        if (!first)
            return cut_off(scripted_server::text("200 OK", whole, fields), 10);
        EXPECT_TRUE(a.has("If-Range: Thu, 26 Nov 2020 20:00:00 GMT\r\n")) << a.head;
        return part(whole, *first, 99, fields);
    });
    const auto resuming = http::download_options().resume();
    EXPECT_FALSE(try_to_get(server.url(), resuming).succeeded());
    EXPECT_EQ(get(server.url(), resuming).continued_at, 10u);
    EXPECT_EQ(content(), whole);
}

// ---- digests ----

TEST_F(http_download, a_digest_is_checked_over_what_was_there_before_as_well) {
    for (const bool changed : {false, true}) {
        // There is nothing but the digest to rely on.
        const scripted_server server([&](const asked& a) {
            const auto first = first_of(a);
            if (first)
                return part(changed ? std::string(whole.size(), 'x') : whole, *first, 99, "");
            return cut_off(scripted_server::text("200 OK", whole), 10);
        });
        const auto options = http::download_options().resume().digest(its_digest);
        EXPECT_TRUE(try_to_get(server.url(), options).failed_with<http::truncated_error>());
        const auto ended = try_to_get(server.url(), options);
        EXPECT_EQ(ended.succeeded(), !changed) << muster::to_string(ended);
        EXPECT_EQ(ended.failed_with<http::digest_error>(), changed);
        EXPECT_EQ(names(), changed ? "" : "file");
        fs::remove(path());
    }
}

TEST_F(http_download, what_is_not_what_its_digest_says_never_gets_the_name) {
    put("file", "old");
    const auto wrong = http::download_options().digest(its_digest);
    EXPECT_TRUE(try_to_get(url("/ok"), wrong).failed_with<http::digest_error>());
    EXPECT_EQ(names(), "file");
    EXPECT_EQ(content(), "old");
    // Of "ok" and a line feed.
    const auto right = http::download_options().digest(
        "sha512:"
        "672F8FF4AE8530DE295F9DD963724947841E6277EDEC3B21820B5E44D0A64BAEF90FB04E22048028453D715F79357ACC5BD2D566"
        "FE6EDE65F981BA3DDA06BAE4");
    EXPECT_EQ(get(url("/ok"), right).size, 3u);
}

TEST_F(http_download, a_digest_that_is_none_is_refused) {
    for (const auto* bad : {"", "sha256", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:zz", "sha256:00",
             "sha256:011fc2994e39d251141540f87a69092b3f22a86767f7283de7eeedb3897bedfg"})
        EXPECT_THROW(http::download_options().digest(bad), std::invalid_argument) << bad;
}

// ---- the folder ----

TEST_F(http_download, what_was_planted_is_neither_followed_nor_written_to) {
    for (const bool resumes : {false, true}) {
        for (const int kind : {0, 1, 2}) {
            put("victim", "mine");
            if (kind == 0)
                fs::create_symlink(path("victim"), path("file.part"));
            else if (kind == 1)
                fs::create_hard_link(path("victim"), path("file.part"));
            else
                ASSERT_EQ(::mkfifo(path("file.part").c_str(), 0600), 0);
            if (resumes)
                put("file.part.from", "muster download 1\n" + url("/bytes/100") + "\n\"1\"\n\n100\n");
            EXPECT_EQ(get(url("/bytes/100"), http::download_options().resume(resumes)).size, 100u) << kind;
            EXPECT_EQ(content("victim"), "mine");
            EXPECT_EQ(names(), "file victim") << kind;
        }
    }
}

TEST_F(http_download, a_note_that_was_planted_is_not_written_through) {
    put("victim", "mine");
    fs::create_symlink(path("victim"), path("file.part.from"));
    const scripted_server server([](const asked& a) { return proper_answer(a, whole, "\"1\""); });
    EXPECT_EQ(get(server.url(), http::download_options().resume()).size, whole.size());
    EXPECT_EQ(content("victim"), "mine");
    EXPECT_EQ(names(), "file victim");
}

TEST_F(http_download, a_name_that_is_taken_is_an_error_where_nothing_may_be_replaced) {
    const auto once = http::download_options().replace(false);
    EXPECT_EQ(get(url("/ok"), once).size, 3u);
    const auto ended = try_to_get(url("/bytes/9"), once);
    ASSERT_TRUE(ended.failed_with<http::file_error>()) << muster::to_string(ended);
    EXPECT_EQ(ended.error_as<http::file_error>()->code(), std::errc::file_exists);
    EXPECT_EQ(content(), "ok\n");
    EXPECT_EQ(names(), "file");
}

TEST_F(http_download, a_folder_that_is_not_there_is_a_file_error) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto getting = http::download(client, url("/ok"), path("none/file"));
        auto ended = co_await muster::as_outcome(std::move(getting));
        EXPECT_TRUE(ended.failed_with<http::file_error>()) << muster::to_string(ended);
    };
    run(body);
}

TEST_F(http_download, names_are_relative_to_a_folder_and_may_come_from_the_answer) {
    const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const auto body = [&](http::client& client) -> muster::task<> {
        http::download_options options;
        options.folder(folder).name_by([](const http::response& head) { return "s" + std::to_string(head.status); });
        auto getting = http::download(client, url("/ok"), "x", options);
        auto got = co_await std::move(getting);
        EXPECT_EQ(got.file, "s200");
    };
    run(body);
    ::close(folder);
    EXPECT_EQ(names(), "s200");
}

TEST_F(http_download, what_has_not_changed_is_not_got_again) {
    const scripted_server server([&](const asked& a) {
        if (a.has("If-Modified-Since: Thu, 26 Nov 2020 20:00:00 GMT\r\n"))
            return std::string("HTTP/1.1 304 Not Modified\r\n\r\n");
        return scripted_server::text("200 OK", whole, "Last-Modified: Thu, 26 Nov 2020 20:00:00 GMT\r\n");
    });
    const auto options = http::download_options().if_modified();
    EXPECT_FALSE(get(server.url(), options).not_modified);
    EXPECT_EQ(content(), whole);
    EXPECT_TRUE(get(server.url(), options).not_modified);
    EXPECT_EQ(content(), whole);
    EXPECT_EQ(names(), "file");
}

TEST_F(http_download, an_answer_that_nothing_has_changed_is_no_empty_file) {
    const scripted_server server([](const asked&) { return std::string("HTTP/1.1 304 Not Modified\r\n\r\n"); });
    begin(10);
    put("old", "old");
    const auto unasked = {http::download_options(), http::download_options().resume()};
    for (const auto& options : unasked) {
        const auto ended = try_to_get(server.url("/a"), options);
        EXPECT_TRUE(ended.failed_with<http::protocol_error>()) << muster::to_string(ended);
        EXPECT_FALSE(fs::exists(path()));
    }
    const auto nothing_there = try_to_get(server.url(), http::download_options().if_modified());
    EXPECT_TRUE(nothing_there.failed_with<http::protocol_error>()) << muster::to_string(nothing_there);
    // A condition of the request's own is one, too.
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ask = http::request(server.url()).header("If-None-Match", "\"1\"");
        auto getting = http::download(client, std::move(ask), path("old"), {});
        const auto got = co_await std::move(getting);
        EXPECT_TRUE(got.not_modified);
    };
    run(body);
    EXPECT_EQ(content("old"), "old");
}

// ---- time ----

TEST_F(http_download, silence_within_a_body_ends_it) {
    const auto ended = try_to_get(url("/drip/60000/5"), http::download_options().idle_timeout(50ms));
    EXPECT_TRUE(ended.failed_with<http::timeout_error>()) << muster::to_string(ended);
    EXPECT_EQ(names(), "");
}

TEST_F(http_download, cancelling_keeps_what_came_only_if_it_is_to_be_resumed) {
    for (const bool resumes : {false, true}) {
        const scripted_server server([](const asked& a) {
            scripted_server::say(a.socket, proper_answer(a, whole, "\"1\"").substr(0, 80));
            std::this_thread::sleep_for(100ms);
            return std::string();
        });
        const auto body = [&](http::client& client) -> muster::task<> {
            muster::event some_came;
            auto options = http::download_options().resume(resumes).on_piece([&](std::size_t) -> muster::task<> {
                some_came.set();
                co_return;
            });
            auto getting = http::download(client, server.url(), path(), options);
            auto handle = muster::create_task(std::move(getting), "download");
            co_await some_came.wait();
            handle.cancel();
            std::vector<muster::task_handle<http::downloaded>> one{handle};
            auto waiting = muster::wait(std::move(one));
            co_await std::move(waiting);
        };
        run(body);
        EXPECT_EQ(names(), resumes ? "file.part file.part.from" : "");
    }
}

TEST_F(http_download, a_request_that_can_not_be_one_is_refused) {
    const auto body = [&](http::client& client) -> muster::task<> {
        auto ranged = http::download(client, http::request(url("/ok")).header("Range", "bytes=1-"), path(), {});
        auto ended = co_await muster::as_outcome(std::move(ranged));
        EXPECT_TRUE(ended.failed_with<std::invalid_argument>());
        auto sunk = http::download(client, http::request(url("/ok")).body_to([](std::string_view) {}), path(), {});
        auto other = co_await muster::as_outcome(std::move(sunk));
        EXPECT_TRUE(other.failed_with<std::invalid_argument>());
    };
    run(body);
    EXPECT_THROW(http::download_options().folder(-1), std::invalid_argument);
    EXPECT_THROW(http::download_options().idle_timeout(0ms), std::invalid_argument);
}

} // namespace
