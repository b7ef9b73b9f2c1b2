// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Unpacks a body by its Content-Encoding, and knows whether the encoding's own end was seen: libcurl's decoders take a
/// body that was cut short for a complete one. Plain bytes in, plain bytes out; knows no libcurl. Private to
/// muster::http.
///
///     body_decoder decoder;
///     decoder.begin("gzip");
///     decoder.take(piece, [&](std::string_view unpacked) { body += unpacked; return true; });
///     if (!decoder.is_complete()) ...           // the body was cut short

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace muster::http {

/// The bytes are not what the Content-Encoding says, or nothing here unpacks it.
class decoding_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Takes unpacked bytes. *Returns* false to have no more.
using decoded_sink = std::function<bool(std::string_view)>;

/// One encoding.
class decoder_layer {
public:
    virtual ~decoder_layer() = default;
    /// *Returns* what the sink last returned. *Errors*: decoding_error, and what the sink throws.
    virtual bool take(std::string_view bytes, const decoded_sink& into) = 0;
    /// *Returns* whether the bytes so far end where the encoding ends.
    [[nodiscard]] virtual bool is_complete() const noexcept = 0;
};

class body_decoder {
public:
    /// Unpacks nothing: bytes go through.
    void begin_plain() noexcept;
    /// `encodings` is a Content-Encoding's value, the outermost last. *Errors*: decoding_error for an unknown one.
    void begin(std::string_view encodings);
    /// *Returns* false if the sink wants no more. *Errors*: decoding_error, std::bad_alloc, and what the sink throws.
    bool take(std::string_view bytes, const decoded_sink& into);
    [[nodiscard]] bool unpacks() const noexcept { return !layers_.empty(); }
    /// *Returns* whether every encoding has seen its end. A body of no bytes has not.
    [[nodiscard]] bool is_complete() const noexcept;
    /// *Returns* what the Content-Encoding said, for messages.
    [[nodiscard]] const std::string& encodings() const noexcept { return encodings_; }

private:
    bool take_from(std::size_t layer, std::string_view bytes, const decoded_sink& into);

    std::string encodings_;
    std::vector<std::unique_ptr<decoder_layer>> layers_; ///< the outermost, which is unpacked first, first
};

/// *Returns* what an Accept-Encoding says, by what was compiled in.
[[nodiscard]] const char* accepted_encodings() noexcept;

} // namespace muster::http
