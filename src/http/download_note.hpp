// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The identity of the resource that a partial file is the beginning of: enough to ask a server whether it is the same
/// still. It is kept in a small file of text beside the partial one. Private to muster::http.
///
///     download_note note = download_note::of(head, url);
///     note.write(folder, "image.iso.part.from");
///     ask.header("If-Range", note.validator());

#include <muster/http/message.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace muster::http {

struct download_note {
    download_note() {}
    /// *Returns* what the headers of an answer with status 200 say.
    [[nodiscard]] static download_note of(const response& head, const std::string& url);
    /// *Returns* nothing if there is none, or it is none of ours.
    [[nodiscard]] static std::optional<download_note> read(int folder, const std::string& name);
    /// *Errors*: std::system_error.
    void write(int folder, const std::string& name) const;

    /// *Returns* what identifies the version beyond doubt, for If-Range; nothing if the server gave nothing like it.
    /// *Source*: RFC 9110, 13.1.5: a weak ETag will not do, nor a date that is not older than the answer.
    [[nodiscard]] const std::string& validator() const noexcept { return etag.empty() ? modified : etag; }
    /// *Returns* whether an answer that is a part can be one of this: it says nothing else.
    [[nodiscard]] bool agrees_with(const response& head) const;

    std::string url;  ///< without a password
    std::string etag; ///< a strong one
    std::string modified;
    std::optional<std::uint64_t> size;
};

} // namespace muster::http
