// SPDX-License-Identifier: MIT
// zlib unpacks gzip and deflate; brotli and zstd are unpacked where their libraries were there when this was compiled.
// Each layer keeps to one rule: its body is complete if and only if its last byte was the last byte of the encoding's
// own trailer. gzip may consist of several members one after another, and zstd of several frames; zero bytes after the
// last member are padding; anything else there is refused, because it says that the body is not what it seems.
#include "body_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <zlib.h>

#if MUSTER_HTTP_BROTLI
#include <brotli/decode.h>
#endif
#if MUSTER_HTTP_ZSTD
#include <zstd.h>
#endif

namespace muster::http {

namespace {

constexpr std::size_t room = std::size_t{16} << 10;
/// As many encodings may be put into each other; more is an attack.
constexpr std::size_t most_layers = 5;

enum class zlib_format { gzip, deflate };

class zlib_layer final : public decoder_layer {
public:
    explicit zlib_layer(zlib_format f) : format_(f) {
        if (f == zlib_format::gzip)
            begin(16 + MAX_WBITS);
    }
    ~zlib_layer() override {
        if (phase_ != phase::unsure)
            inflateEnd(&stream_);
    }
    zlib_layer(const zlib_layer&) = delete;
    zlib_layer& operator=(const zlib_layer&) = delete;

    bool take(std::string_view bytes, const decoded_sink& into) override {
        if (phase_ == phase::unsure) {
            first_ += bytes;
            if (first_.size() < 2)
                return true;
            // "deflate" means zlib's format; many servers send the bare one instead.
            const auto b0 = static_cast<unsigned char>(first_[0]);
            const auto b1 = static_cast<unsigned char>(first_[1]);
            const bool has_zlib_head = (b0 & 0x0F) == 8 && (b0 * 256U + b1) % 31 == 0;
            begin(has_zlib_head ? MAX_WBITS : -MAX_WBITS);
            const std::string all = std::exchange(first_, std::string());
            return take(all, into);
        }
        while (!bytes.empty()) {
            if (phase_ == phase::ended && !goes_on(bytes))
                return true;
            if (!inflate_some(bytes, into))
                return false;
        }
        return true;
    }
    [[nodiscard]] bool is_complete() const noexcept override { return phase_ == phase::ended; }

private:
    enum class phase {
        unsure, ///< deflate: the first two bytes say which kind it is
        inside, ///< of a member
        ended   ///< after a member
    };

    void begin(int window_bits) {
        if (inflateInit2(&stream_, window_bits) != Z_OK)
            throw std::bad_alloc();
        phase_ = phase::inside;
    }

    /// After a member: *returns* whether another one begins here. Padding is taken away.
    bool goes_on(std::string_view& bytes) {
        const auto padding = std::min(bytes.find_first_not_of('\0'), bytes.size());
        bytes.remove_prefix(padding);
        padded_ = padded_ || padding != 0;
        if (bytes.empty())
            return false;
        if (format_ == zlib_format::gzip && !padded_ && bytes[0] == '\x1f') {
            inflateReset(&stream_);
            phase_ = phase::inside;
            return true;
        }
        throw decoding_error(std::string("there are bytes after the end of the ") +
                             (format_ == zlib_format::gzip ? "gzip" : "deflate") + " body");
    }

    bool inflate_some(std::string_view& bytes, const decoded_sink& into) {
        std::array<char, room> out;
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size(), 1U << 30));
        const std::size_t offered = stream_.avail_in;
        bool more = true;
        int status = Z_OK;
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(out.data());
            stream_.avail_out = static_cast<uInt>(out.size());
            status = ::inflate(&stream_, Z_NO_FLUSH);
            if (status == Z_MEM_ERROR)
                throw std::bad_alloc();
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
                throw decoding_error(std::string("the body can't be unpacked: ") +
                                     (stream_.msg != nullptr ? stream_.msg : "a dictionary is needed"));
            if (const auto made = out.size() - stream_.avail_out; made != 0)
                more = into(std::string_view(out.data(), made));
        } while (more && status == Z_OK && (stream_.avail_in != 0 || stream_.avail_out == 0));
        bytes.remove_prefix(offered - stream_.avail_in);
        if (status == Z_STREAM_END)
            phase_ = phase::ended;
        return more;
    }

    zlib_format format_;
    phase phase_ = phase::unsure;
    bool padded_ = false;
    std::string first_; ///< while it is unsure
    z_stream stream_{};
};

#if MUSTER_HTTP_BROTLI
class brotli_layer final : public decoder_layer {
public:
    brotli_layer() : state_(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {
        if (state_ == nullptr)
            throw std::bad_alloc();
    }
    ~brotli_layer() override { BrotliDecoderDestroyInstance(state_); }
    brotli_layer(const brotli_layer&) = delete;
    brotli_layer& operator=(const brotli_layer&) = delete;

    bool take(std::string_view bytes, const decoded_sink& into) override {
        if (complete_ && !bytes.empty())
            throw decoding_error("there are bytes after the end of the br body");
        std::array<std::uint8_t, room> out;
        const auto* next = reinterpret_cast<const std::uint8_t*>(bytes.data());
        std::size_t left = bytes.size();
        for (;;) {
            std::uint8_t* place = out.data();
            std::size_t free = out.size();
            const auto result = BrotliDecoderDecompressStream(state_, &left, &next, &free, &place, nullptr);
            if (result == BROTLI_DECODER_RESULT_ERROR)
                throw decoding_error(std::string("the body can't be unpacked: ") +
                                     BrotliDecoderErrorString(BrotliDecoderGetErrorCode(state_)));
            const auto made = out.size() - free;
            if (made != 0 && !into(std::string_view(reinterpret_cast<const char*>(out.data()), made)))
                return false;
            if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
                continue;
            complete_ = result == BROTLI_DECODER_RESULT_SUCCESS;
            if (complete_ && left != 0)
                throw decoding_error("there are bytes after the end of the br body");
            return true;
        }
    }
    [[nodiscard]] bool is_complete() const noexcept override { return complete_; }

private:
    BrotliDecoderState* state_;
    bool complete_ = false;
};
#endif

#if MUSTER_HTTP_ZSTD
class zstd_layer final : public decoder_layer {
public:
    zstd_layer() : state_(ZSTD_createDStream()) {
        if (state_ == nullptr)
            throw std::bad_alloc();
        // RFC 9659: a window of 8 MiB is the largest that is to be expected over HTTP.
        ZSTD_DCtx_setParameter(state_, ZSTD_d_windowLogMax, 23);
    }
    ~zstd_layer() override { ZSTD_freeDStream(state_); }
    zstd_layer(const zstd_layer&) = delete;
    zstd_layer& operator=(const zstd_layer&) = delete;

    bool take(std::string_view bytes, const decoded_sink& into) override {
        std::array<char, room> out;
        ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
        for (bool full = false; in.pos != in.size || full;) {
            ZSTD_outBuffer made{out.data(), out.size(), 0};
            const std::size_t hint = ZSTD_decompressStream(state_, &made, &in);
            if (ZSTD_isError(hint) != 0)
                throw decoding_error(std::string("the body can't be unpacked: ") + ZSTD_getErrorName(hint));
            complete_ = hint == 0;
            full = made.pos == made.size && !complete_;
            if (made.pos != 0 && !into(std::string_view(out.data(), made.pos)))
                return false;
        }
        return true;
    }
    [[nodiscard]] bool is_complete() const noexcept override { return complete_; }

private:
    ZSTD_DStream* state_;
    bool complete_ = false;
};
#endif

std::string lower_word(std::string_view s) {
    const auto first = s.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    std::string word(s.substr(first, s.find_last_not_of(" \t") - first + 1));
    for (char& c : word)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return word;
}

std::unique_ptr<decoder_layer> layer_for(const std::string& name) {
    if (name == "gzip" || name == "x-gzip")
        return std::make_unique<zlib_layer>(zlib_format::gzip);
    if (name == "deflate")
        return std::make_unique<zlib_layer>(zlib_format::deflate);
#if MUSTER_HTTP_BROTLI
    if (name == "br")
        return std::make_unique<brotli_layer>();
#endif
#if MUSTER_HTTP_ZSTD
    if (name == "zstd")
        return std::make_unique<zstd_layer>();
#endif
    throw decoding_error("the body can't be unpacked: its encoding '" + name + "' is not known here");
}

} // namespace

void body_decoder::begin_plain() noexcept {
    layers_.clear();
    encodings_.clear();
}

void body_decoder::begin(std::string_view encodings) {
    begin_plain();
    encodings_ = encodings;
    while (!encodings.empty()) {
        const auto comma = std::min(encodings.find(','), encodings.size());
        const std::string name = lower_word(encodings.substr(0, comma));
        encodings.remove_prefix(std::min(comma + 1, encodings.size()));
        if (name.empty() || name == "identity" || name == "none")
            continue;
        if (layers_.size() == most_layers)
            throw decoding_error("the body is encoded more than " + std::to_string(most_layers) + " times over");
        layers_.insert(layers_.begin(), layer_for(name));
    }
}

bool body_decoder::take(std::string_view bytes, const decoded_sink& into) {
    return layers_.empty() ? into(bytes) : take_from(0, bytes, into);
}

bool body_decoder::take_from(std::size_t layer, std::string_view bytes, const decoded_sink& into) {
    if (layer + 1 == layers_.size())
        return layers_[layer]->take(bytes, into);
    return layers_[layer]->take(bytes, [&](std::string_view unpacked) { return take_from(layer + 1, unpacked, into); });
}

bool body_decoder::is_complete() const noexcept {
    return std::ranges::all_of(layers_, [](const auto& l) { return l->is_complete(); });
}

const char* accepted_encodings() noexcept {
#if MUSTER_HTTP_BROTLI && MUSTER_HTTP_ZSTD
    return "gzip, deflate, br, zstd";
#elif MUSTER_HTTP_BROTLI
    return "gzip, deflate, br";
#elif MUSTER_HTTP_ZSTD
    return "gzip, deflate, zstd";
#else
    return "gzip, deflate";
#endif
}

} // namespace muster::http
