// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A body that becomes a file, and has its name only once all of it is there. A download that broke off goes on where
/// it ended, and a file that is not what its digest says never gets the name.
///
///     muster::http::download_options options;
///     options.resume().digest("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
///     auto got = co_await muster::http::download(client, url, "image.iso", options);
///     use(got.size, got.continued_at);

#include <muster/config.hpp>
#include <muster/http/message.hpp>
#include <muster/http/retry.hpp>
#include <muster/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace muster::http {

class client;
class download_options;

struct downloaded {
    downloaded() noexcept {}
    response head;                  ///< the last answer, without its body
    std::string file;               ///< the name that it has now
    std::uint64_t size = 0;         ///< of the file
    std::uint64_t continued_at = 0; ///< so many bytes of it are an earlier download's
    std::size_t attempts = 1;
    bool not_modified = false; ///< with if_modified, or a condition of the request's own: nothing was written (304)
};

/// Gets a URL into a file. It is written as FILE.part beside it and renamed at the end; links, pipes and files that
/// were put there under that name are neither followed nor written to. No limit on the size but the request's own
/// body_limit; the client's does not count.
///
/// *Returns* what came, whatever its status below 400 is.
/// *Errors*: status_error from 400 on; file_error if the file can't be written; digest_error; protocol_error for an
/// answer that is a part nobody asked for, or a 304; what http/error.hpp lists. The file that was there stays.
/// *Cancellation*: ends it at once. The partial file is removed, or kept with download_options::resume.
/// *Lifetime*: the client must live until it has ended. *Thread safety*: the loop's thread, which also writes the file.
/// *Complexity*: 64 KiB of memory, whatever the size.
[[nodiscard]] task<downloaded> download(client& from, std::string url, std::string file, download_options options);
[[nodiscard]] task<downloaded> download(client& from, std::string url, std::string file);
/// The same for any request. Only a GET without a body and without a Range of its own is continued.
/// *Errors*: std::invalid_argument, beside those above, for a request with a body_to or a header Range.
[[nodiscard]] task<downloaded> download(client& from, request what, std::string file, download_options options);

/// How a download goes. Each word may be used in a chain.
class download_options {
public:
    download_options() {}

    /// Keeps what came of a download that fails, as FILE.part, with FILE.part.from, which says of which version of
    /// what; another one goes on from there. It asks for the rest on the condition that the resource is the same still
    /// (If-Range), and checks the answer: what has changed, or comes from a server that does not know parts, is got
    /// anew. Without an ETag or a date to rely on it goes on only if there is a digest. Bodies are not compressed then.
    download_options& resume(bool kept = true) noexcept;
    /// The digest that the whole must have: "sha256:", "sha384:" or "sha512:" and hexadecimal digits. Anything else is
    /// removed, and a digest_error. *Errors*: std::invalid_argument, also where muster was built without libcrypto.
    download_options& digest(std::string expected);
    /// Asks for it only if it has changed since the file that is there (If-Modified-Since); the file gets the time that
    /// the server says.
    download_options& if_modified() noexcept;
    /// A file that has the name already is replaced unless this says no: then it is a file_error.
    download_options& replace(bool allowed) noexcept;
    /// Names are relative to this open folder, which must live as long. *Errors*: std::invalid_argument if negative.
    download_options& folder(int descriptor);
    /// Tries again by this policy, going on where the last attempt broke off. Instead of the request's and the
    /// client's.
    download_options& retry(resend_policy policy);
    /// How long the server may be silent within the body, 60 s unless it is set; then timeout_error.
    /// *Errors*: std::invalid_argument unless positive. no_time_limit is none.
    download_options& idle_timeout(std::chrono::nanoseconds limit);
    /// Called with the headers of the answer before its body, to name the file. An exception that it throws ends the
    /// download, as itself.
    download_options& name_by(std::function<std::string(const response& head)> call);
    /// Called and awaited for each piece that was written, with its size: until it has ended nothing more is read.
    download_options& on_piece(std::function<task<>(std::size_t bytes)> call);

private:
    friend class downloader;

    bool resumes_ = false;
    bool if_modified_ = false;
    bool replaces_ = true;
    std::string digest_;
    std::optional<int> folder_;
    std::optional<resend_policy> retry_;
    std::chrono::nanoseconds idle_ = std::chrono::minutes(1);
    std::function<std::string(const response&)> name_by_;
    std::function<task<>(std::size_t)> on_piece_;
};

} // namespace muster::http
