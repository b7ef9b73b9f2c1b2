// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Unpacks a body by its Content-Encoding, and knows whether the encoding's own end was seen: libcurl's decoders take a
/// body that was cut short for a complete one. Plain bytes in, plain bytes out; knows no libcurl. Private to
/// muster::http.
///
///     body_decoder decoder;
///     decoder.begin("gzip");
///     std::size_t work = 1 << 20;
///     decoder.take(piece, [&](std::string_view unpacked) { body += unpacked; return true; }, work);
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

/// Whether a decoder can be given more.
enum class unpacking {
    goes_on, ///< more can be taken
    pauses,  ///< there was work enough: go_on() does the rest
    ends     ///< the sink wants no more
};

/// Takes the bytes that a layer has unpacked.
using layer_sink = std::function<unpacking(std::string_view)>;

/// One encoding.
class decoder_layer {
public:
    decoder_layer() = default;
    virtual ~decoder_layer() = default;
    decoder_layer(const decoder_layer&) = delete;
    decoder_layer& operator=(const decoder_layer&) = delete;

    /// Unpacks until the sink does not go on, and keeps the rest of the bytes. *Returns* what the sink last returned.
    /// *Errors*: decoding_error, and what the sink throws.
    unpacking take(std::string_view bytes, const layer_sink& into);
    /// Unpacks what was kept, likewise.
    unpacking go_on(const layer_sink& into) { return take({}, into); }
    /// *Returns* whether the bytes so far end where the encoding ends.
    [[nodiscard]] virtual bool is_complete() const noexcept = 0;

protected:
    /// Unpacks the bytes, and what it has not given out of those before, until the sink does not go on. Takes those
    /// that it needs no more off the front.
    virtual unpacking unpack(std::string_view& bytes, const layer_sink& into) = 0;

private:
    std::string kept_;
};

class body_decoder {
public:
    /// Unpacks nothing: bytes go through.
    void begin_plain() noexcept;
    /// `encodings` is a Content-Encoding's value, the outermost last. *Errors*: decoding_error for an unknown one.
    void begin(std::string_view encodings);
    /// A few bytes may become gigabytes, so this pauses once `work` is used up, of which each byte that a layer unpacks
    /// takes one: the loop is not held up for longer. The rest is kept, and go_on() must be called until it does not
    /// pause any more; only then more may be taken. *Errors*: decoding_error, std::bad_alloc, and what the sink throws.
    unpacking take(std::string_view bytes, const decoded_sink& into, std::size_t& work);
    /// Unpacks what was kept, likewise.
    unpacking go_on(const decoded_sink& into, std::size_t& work);
    [[nodiscard]] bool unpacks() const noexcept { return !layers_.empty(); }
    /// *Returns* whether every encoding has seen its end. A body of no bytes has not.
    [[nodiscard]] bool is_complete() const noexcept;
    /// *Returns* what the Content-Encoding said, for messages.
    [[nodiscard]] const std::string& encodings() const noexcept { return encodings_; }

private:
    unpacking take_from(std::size_t layer, std::string_view bytes, const decoded_sink& into, std::size_t& work);
    [[nodiscard]] layer_sink sink_behind(std::size_t layer, const decoded_sink& into, std::size_t& work);

    std::string encodings_;
    std::vector<std::unique_ptr<decoder_layer>> layers_; ///< the outermost, which is unpacked first, first
};

/// *Returns* what an Accept-Encoding says, by what was compiled in.
[[nodiscard]] const char* accepted_encodings() noexcept;

} // namespace muster::http
