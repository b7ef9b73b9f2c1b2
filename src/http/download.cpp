// SPDX-License-Identifier: MIT
// A download is a loop of requests for what of the resource is not there yet. Most need one; one more follows an answer
// that does not fit the beginning that is there (the beginning is dropped), one that gives less than the rest, or one
// that broke off, if there is a policy of retries.
//
//                   nothing there                       200: the beginning is dropped
//     begin() ---------------------> ask for all <-----------------------------------.
//        |                              | 200                                        |
//        | a partial file and a note    v                                            |
//        |                            take the body ----> complete ----> renamed     |
//        v                              ^   | broke off, or less than the rest       |
//     ask for the rest  <---------------+---'                                        |
//        |  206 that fits --------------'                                            |
//        |  416 that says: no more than is there ----> complete                      |
//        '---- 200, or a 206 or 416 that does not fit -------------------------------'
#include <muster/http/download.hpp>

#include "content_range.hpp"
#include "digest.hpp"
#include "download_note.hpp"
#include "posix/part_file.hpp"
#include "read_off.hpp"

#include <muster/detail/scheduler.hpp>
#include <muster/http.hpp>
#include <muster/outcome.hpp>
#include <muster/sleep.hpp>
#include <muster/timeout.hpp>

#include <algorithm>
#include <array>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::http {

namespace {

/// HTTP's dates are in English, whatever the locale.
std::string http_date(std::time_t when) {
    constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> months{
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm t{};
    if (::gmtime_r(&when, &t) == nullptr)
        return {};
    std::array<char, 40> rest{};
    const auto size = std::strftime(rest.data(), rest.size(), " %Y %H:%M:%S GMT", &t);
    const auto day = std::to_string(t.tm_mday);
    return std::string(days.at(static_cast<std::size_t>(t.tm_wday))) + ", " + (day.size() < 2 ? "0" : "") + day + ' ' +
           months.at(static_cast<std::size_t>(t.tm_mon)) + std::string(rest.data(), size);
}

bool asks_plainly(const request& what) {
    return (what.method().empty() || what.method() == "GET") && !what.body() && what.body_file().empty() &&
           !what.source();
}

} // namespace

class downloader {
public:
    /// *Errors*: std::invalid_argument.
    downloader(client& from, request what, std::string file, download_options options)
        : client_(from),
          what_(std::move(what)),
          options_(std::move(options)),
          name_(std::move(file)),
          part_(options_.folder_.value_or(AT_FDCWD), name_) {
        if (what_.sink())
            throw std::invalid_argument("http::download writes the body to its file: leave body_to out");
        if (what_.headers().find("Range") != nullptr)
            throw std::invalid_argument("http::download asks for parts itself: leave the header Range out");
        if (!options_.digest_.empty())
            digest_.emplace(options_.digest_);
    }
    downloader(const downloader&) = delete;
    downloader& operator=(const downloader&) = delete;
    /// However it ends, what came is kept or removed.
    ~downloader() {
        if (!part_.is_made())
            return;
        if (options_.resumes_ && may_go_on())
            part_.keep();
        else
            drop();
    }

    task<downloaded> run() {
        const auto policy = options_.retry_ ? options_.retry_ : what_.retry();
        if (policy)
            what_.retry(resend_policy(0));
        auto beginning = begin();
        co_await std::move(beginning);
        for (std::size_t attempts = 1;; ++attempts) {
            auto trying = get_rest();
            auto ended = co_await muster::detail::outcome_of_body(std::move(trying));
            if (ended.succeeded()) {
                got_.attempts = attempts;
                finish();
                co_return std::move(got_);
            }
            const auto pause = ended.failed() && policy ? pause_after(ended.error(), *policy, attempts) : std::nullopt;
            if (!pause) {
                auto error = ended.as_exception();
                co_await fail(std::move(error));
            }
            policy->tell_retry(attempts, *pause, ended.error());
            ended.clear();
            co_await sleep_for(*pause);
        }
    }

private:
    [[nodiscard]] std::string note_name() const { return part_.partial_name() + ".from"; }
    [[nodiscard]] bool may_go_on() const {
        return asks_plainly(what_) && part_.is_made() && part_.size() != 0 && !is_encoded_ &&
               (digest_ || !note_.validator().empty());
    }

    std::optional<std::chrono::nanoseconds> pause_after(
        const std::exception_ptr& error, const resend_policy& policy, std::size_t attempts) const {
        const bool is_safe = what_.is_idempotent() || muster::is_a<connect_error>(error);
        if (attempts > policy.times() || !is_safe || !policy.worth_another(error))
            return std::nullopt;
        const auto* status = muster::get_if<status_error>(error);
        return policy.pause_after(attempts, status != nullptr ? status->retry_after() : std::nullopt,
            muster::detail::scheduler::require("http::download").random());
    }

    template <class Call>
    void with_file(Call call) {
        try {
            call();
        } catch (const std::system_error& e) {
            throw file_error(what_.url(), e.what(), e.code());
        }
    }

    /// Takes up what an earlier download has left.
    task<> begin() {
        if (!options_.resumes_ || !asks_plainly(what_))
            co_return;
        auto note = download_note::read(part_.folder(), note_name());
        bool there = false;
        if (note && note->url == without_password(what_.url()))
            with_file([&] { there = part_.reopen(); });
        if (!there)
            co_return;
        note_ = std::move(*note);
        has_note_ = true;
        if (!may_go_on() || (note_.size && part_.size() > *note_.size)) {
            drop();
            co_return;
        }
        got_.continued_at = part_.size();
        if (!digest_)
            co_return;
        // A large file is read in turns, so that the loop's other tasks go on.
        for (std::uint64_t at = 0; at < part_.size();) {
            std::string piece;
            with_file([&] { piece = part_.read(at, std::size_t{1} << 20); });
            if (piece.empty())
                throw file_error(what_.url(), part_.partial_name() + " became shorter while it was read");
            digest_->take(piece);
            at += piece.size();
            co_await yield();
        }
    }

    /// Back to a file with nothing in it.
    void start_over() {
        with_file([&] {
            if (part_.is_made())
                part_.cut();
            else
                part_.make();
        });
        note_ = {};
        got_.continued_at = 0;
        if (digest_)
            digest_->restart();
    }

    [[nodiscard]] request question(bool for_the_rest) const {
        request ask = what_;
        if (!ask.body_limit())
            ask.body_limit(no_limit);
        if (options_.resumes_)
            ask.compression(false);
        if (for_the_rest) {
            ask.header("Range", "bytes=" + std::to_string(part_.size()) + '-');
            if (!note_.validator().empty())
                ask.header("If-Range", note_.validator());
            return ask;
        }
        struct stat about {};
        if (options_.if_modified_ && ::fstatat(part_.folder(), name_.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(about.st_mode))
            ask.header("If-Modified-Since", http_date(about.st_mtime));
        return ask;
    }

    /// *Returns* whether the answer to a question for the rest is the rest, or a part of it.
    [[nodiscard]] bool fits(const response& head, const std::optional<content_range>& range) const {
        if (!range || !range->part || range->part->first != part_.size() || !note_.agrees_with(head) ||
            head.headers.find("Content-Encoding") != nullptr)
            return false;
        return !note_.size || !range->size || *range->size == *note_.size;
    }
    /// *Returns* whether the answer says that there is no rest.
    [[nodiscard]] bool says_complete(const response& head, const std::optional<content_range>& range) const {
        return head.status == 416 && range && !range->part && range->size == part_.size() && note_.agrees_with(head) &&
               (!note_.size || note_.size == range->size);
    }

    task<> get_rest() {
        for (bool goes_on = may_go_on();;) {
            auto ask = question(goes_on);
            const bool asks_for_change =
                ask.headers().find("If-Modified-Since") != nullptr || ask.headers().find("If-None-Match") != nullptr;
            auto opening = client_.open(std::move(ask));
            auto stream = co_await std::move(opening);
            got_.head = stream.head();
            const auto& head = stream.head();
            const auto* field = head.headers.find("Content-Range");
            const auto range = field != nullptr ? content_range_of(*field) : std::nullopt;
            const bool is_complete = goes_on && says_complete(head, range);
            const bool does_not_fit = goes_on && (head.status == 416 || head.status == 206) && !fits(head, range);
            const bool is_unchanged = head.status == 304;
            if (is_complete || does_not_fit || is_unchanged || stream.is_error()) {
                auto reading = read_off(stream);
                co_await std::move(reading);
            }
            if (is_complete) {
                name_by_answer(head);
                co_return;
            }
            if (does_not_fit) {
                goes_on = false;
                continue;
            }
            stream.throw_if_error();
            if (is_unchanged && !asks_for_change)
                throw protocol_error(what_.url(), "the answer says that nothing has changed, which was not asked");
            if (is_unchanged) {
                got_.not_modified = true;
                co_return;
            }
            if (head.status == 206 && !goes_on)
                throw protocol_error(what_.url(), "the answer is a part of the whole that was asked for");
            name_by_answer(head);
            if (!goes_on || head.status != 206) {
                start_over();
                note_ = download_note::of(head, what_.url());
                is_encoded_ = head.headers.find("Content-Encoding") != nullptr;
                keep_note();
            }
            const auto began = part_.size();
            auto taking = take_body(stream);
            co_await std::move(taking);
            if (head.status != 206)
                co_return;
            if (part_.size() - began != range->part->last - range->part->first + 1)
                throw protocol_error(what_.url(), "the body is not as long as its Content-Range says");
            if (range->size == part_.size())
                co_return;
            // The server gave less than the rest, or does not know where the end is: it is asked for what follows.
        }
    }

    void name_by_answer(const response& head) {
        if (!options_.name_by_ || naming_ == name_state::final_one)
            return;
        name_ = options_.name_by_(head);
        naming_ = name_state::final_one;
    }

    /// Says beside the file what it is the beginning of. A note that an earlier download has left there is removed
    /// where none is written: a later one would take this file for the beginning of what that note is about.
    void keep_note() {
        has_note_ = options_.resumes_ && asks_plainly(what_) && (digest_ || !note_.validator().empty());
        if (has_note_)
            with_file([&] { note_.write(part_.folder(), note_name()); });
        else
            ::unlinkat(part_.folder(), note_name().c_str(), 0);
    }

    task<std::optional<std::string>> next_piece(response_stream& stream) {
        auto reading = stream.read();
        if (options_.idle_ == no_time_limit) {
            auto piece = co_await std::move(reading);
            co_return piece;
        }
        try {
            auto in_time = wait_for(std::move(reading), options_.idle_);
            auto piece = co_await std::move(in_time);
            co_return piece;
        } catch (const http::timeout_error&) {
            throw;
        } catch (const muster::timeout_error&) {
            throw timeout_error(what_.url(), "nothing more of the body came (download_options::idle_timeout)");
        }
    }

    task<> take_body(response_stream& stream) {
        const auto limit = what_.body_limit().value_or(no_limit);
        for (;;) {
            auto reading = next_piece(stream);
            auto piece = co_await std::move(reading);
            if (!piece)
                co_return;
            if (piece->size() > limit - std::min(limit, part_.size()))
                throw too_large_error(
                    what_.url(), "the body is larger than " + std::to_string(limit) + " bytes", limit);
            with_file([&] { part_.append(*piece); });
            if (digest_)
                digest_->take(*piece);
            if (options_.on_piece_) {
                auto telling = options_.on_piece_(piece->size());
                co_await std::move(telling);
            }
        }
    }

    /// Gives the file its name, if it is what it should be.
    void finish() {
        got_.file = name_;
        if (got_.not_modified)
            return;
        if (digest_) {
            if (const auto wrong = digest_->difference(); !wrong.empty()) {
                drop();
                throw digest_error(what_.url(), wrong);
            }
        }
        got_.size = part_.size();
        if (options_.if_modified_)
            set_time();
        try {
            part_.finish(name_, options_.replaces_ ? muster::detail::part_file::existing::replaced
                                                   : muster::detail::part_file::existing::refused);
        } catch (const std::system_error& e) {
            throw file_error(what_.url(), e.what(), e.code());
        }
        drop();
    }

    void set_time() noexcept {
        const auto* modified = got_.head.headers.find("Last-Modified");
        const auto when = modified != nullptr ? curl_getdate(modified->c_str(), nullptr) : -1;
        if (when < 0)
            return;
        const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, timespec{when, 0}};
        static_cast<void>(::futimens(part_.descriptor(), times.data()));
    }

    /// Leaves nothing but what has its name.
    void drop() noexcept {
        if (part_.is_made())
            part_.discard();
        if (std::exchange(has_note_, false))
            ::unlinkat(part_.folder(), note_name().c_str(), 0);
    }

    client& client_;
    request what_;
    download_options options_;
    std::string name_;
    muster::detail::part_file part_;
    download_note note_;
    std::optional<digest> digest_;
    downloaded got_;
    enum class name_state { asked_for, final_one } naming_ = name_state::asked_for;
    bool has_note_ = false;   ///< there is a file of what note_ says
    bool is_encoded_ = false; ///< the bytes in the file are not those that the server counts
};

namespace {

task<downloaded> run_download(client& from, request what, std::string file, download_options options) {
    downloader by(from, std::move(what), std::move(file), std::move(options));
    auto running = by.run();
    auto got = co_await std::move(running);
    co_return got;
}

std::chrono::nanoseconds require_positive(std::chrono::nanoseconds d) {
    if (d.count() <= 0)
        throw std::invalid_argument("download_options::idle_timeout must be longer than zero");
    return d;
}

} // namespace

task<downloaded> download(client& from, std::string url, std::string file, download_options options) {
    return run_download(from, request(std::move(url)), std::move(file), std::move(options));
}

task<downloaded> download(client& from, std::string url, std::string file) {
    return run_download(from, request(std::move(url)), std::move(file), {});
}

task<downloaded> download(client& from, request what, std::string file, download_options options) {
    return run_download(from, std::move(what), std::move(file), std::move(options));
}

download_options& download_options::resume(bool kept) noexcept {
    resumes_ = kept;
    return *this;
}

download_options& download_options::digest(std::string expected) {
    static_cast<void>(http::digest(expected));
    digest_ = std::move(expected);
    return *this;
}

download_options& download_options::if_modified() noexcept {
    if_modified_ = true;
    return *this;
}

download_options& download_options::replace(bool allowed) noexcept {
    replaces_ = allowed;
    return *this;
}

download_options& download_options::folder(int descriptor) {
    if (descriptor < 0)
        throw std::invalid_argument("download_options::folder: that is no open folder");
    folder_ = descriptor;
    return *this;
}

download_options& download_options::retry(resend_policy policy) {
    retry_ = std::move(policy);
    return *this;
}

download_options& download_options::idle_timeout(std::chrono::nanoseconds limit) {
    idle_ = require_positive(limit);
    return *this;
}

download_options& download_options::name_by(std::function<std::string(const response& head)> call) {
    name_by_ = std::move(call);
    return *this;
}

download_options& download_options::on_piece(std::function<task<>(std::size_t bytes)> call) {
    on_piece_ = std::move(call);
    return *this;
}

} // namespace muster::http
