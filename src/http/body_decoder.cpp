// SPDX-License-Identifier: MIT
// zlib unpacks gzip and deflate; brotli and zstd are unpacked where their libraries were there when this was compiled.
// Each layer keeps to one rule: its body is complete if and only if its last byte was the last byte of the encoding's
// own trailer. gzip may consist of several members one after another, and zstd of several frames; zero bytes after the
// last member are padding; anything else there is refused, because it says that the body is not what it seems.
//
// A layer that is to pause keeps the bytes that it has not unpacked yet, which are no more than it was given at once.
#include "body_decoder.hpp"

#include <muster/detail/assert.hpp>

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

    [[nodiscard]] bool is_complete() const noexcept override { return phase_ == phase::ended; }

protected:
    unpacking unpack(std::string_view& bytes, const layer_sink& into) override {
        if (phase_ == phase::unsure) {
            while (first_.size() < 2 && !bytes.empty()) {
                first_ += bytes.front();
                bytes.remove_prefix(1);
            }
            if (first_.size() < 2)
                return unpacking::goes_on;
            // "deflate" means zlib's format; many servers send the bare one instead.
            const auto b0 = static_cast<unsigned char>(first_[0]);
            const auto b1 = static_cast<unsigned char>(first_[1]);
            const bool has_zlib_head = (b0 & 0x0F) == 8 && (b0 * 256U + b1) % 31 == 0;
            begin(has_zlib_head ? MAX_WBITS : -MAX_WBITS);
            std::string_view first = first_;
            // Two bytes are taken whole: what they can stand for fits into the room for it.
            if (const auto next = inflate_some(first, into); next != unpacking::goes_on)
                return next;
        }
        while (!bytes.empty() || is_full_) {
            if (phase_ == phase::ended && !goes_on(bytes))
                return unpacking::goes_on;
            if (const auto next = inflate_some(bytes, into); next != unpacking::goes_on)
                return next;
        }
        return unpacking::goes_on;
    }

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

    unpacking inflate_some(std::string_view& bytes, const layer_sink& into) {
        std::array<char, room> out;
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size(), 1U << 30));
        const std::size_t offered = stream_.avail_in;
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        const int status = ::inflate(&stream_, Z_NO_FLUSH);
        if (status == Z_MEM_ERROR)
            throw std::bad_alloc();
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
            throw decoding_error(std::string("the body can't be unpacked: ") +
                                 (stream_.msg != nullptr ? stream_.msg : "a dictionary is needed"));
        bytes.remove_prefix(offered - stream_.avail_in);
        is_full_ = status == Z_OK && stream_.avail_out == 0;
        if (status == Z_STREAM_END)
            phase_ = phase::ended;
        const auto made = out.size() - stream_.avail_out;
        return made != 0 ? into(std::string_view(out.data(), made)) : unpacking::goes_on;
    }

    zlib_format format_;
    phase phase_ = phase::unsure;
    bool padded_ = false;
    bool is_full_ = false; ///< zlib may have more to give of what it has taken
    std::string first_;    ///< while it is unsure
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

    [[nodiscard]] bool is_complete() const noexcept override { return complete_; }

protected:
    unpacking unpack(std::string_view& bytes, const layer_sink& into) override {
        std::array<std::uint8_t, room> out;
        while (!bytes.empty() || is_full_) {
            if (complete_)
                throw decoding_error("there are bytes after the end of the br body");
            const auto* next = reinterpret_cast<const std::uint8_t*>(bytes.data());
            std::size_t left = bytes.size();
            std::uint8_t* place = out.data();
            std::size_t free = out.size();
            const auto result = BrotliDecoderDecompressStream(state_, &left, &next, &free, &place, nullptr);
            if (result == BROTLI_DECODER_RESULT_ERROR)
                throw decoding_error(std::string("the body can't be unpacked: ") +
                                     BrotliDecoderErrorString(BrotliDecoderGetErrorCode(state_)));
            bytes.remove_prefix(bytes.size() - left);
            is_full_ = result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
            complete_ = result == BROTLI_DECODER_RESULT_SUCCESS;
            if (const auto made = out.size() - free; made != 0) {
                const auto then = into(std::string_view(reinterpret_cast<const char*>(out.data()), made));
                if (then != unpacking::goes_on)
                    return then;
            }
        }
        return unpacking::goes_on;
    }

private:
    BrotliDecoderState* state_;
    bool complete_ = false;
    bool is_full_ = false; ///< it has more to give of what it has taken
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

    [[nodiscard]] bool is_complete() const noexcept override { return complete_; }

protected:
    unpacking unpack(std::string_view& bytes, const layer_sink& into) override {
        std::array<char, room> out;
        while (!bytes.empty() || is_full_) {
            ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
            ZSTD_outBuffer made{out.data(), out.size(), 0};
            const std::size_t hint = ZSTD_decompressStream(state_, &made, &in);
            if (ZSTD_isError(hint) != 0)
                throw decoding_error(std::string("the body can't be unpacked: ") + ZSTD_getErrorName(hint));
            bytes.remove_prefix(in.pos);
            complete_ = hint == 0;
            is_full_ = made.pos == made.size && !complete_;
            if (made.pos != 0) {
                const auto then = into(std::string_view(out.data(), made.pos));
                if (then != unpacking::goes_on)
                    return then;
            }
        }
        return unpacking::goes_on;
    }

private:
    ZSTD_DStream* state_;
    bool complete_ = false;
    bool is_full_ = false; ///< it may have more to give of what it has taken
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

unpacking decoder_layer::take(std::string_view bytes, const layer_sink& into) {
    MUSTER_ASSERT(bytes.empty() || kept_.empty());
    const std::string kept = std::exchange(kept_, {});
    if (!kept.empty())
        bytes = kept;
    const auto next = unpack(bytes, into);
    if (next == unpacking::pauses)
        kept_ = bytes;
    return next;
}

unpacking body_decoder::take(std::string_view bytes, const decoded_sink& into, std::size_t& work) {
    if (!layers_.empty())
        return take_from(0, bytes, into, work);
    return into(bytes) ? unpacking::goes_on : unpacking::ends;
}

/// The last layer goes on first: the one before it may give it more only then.
unpacking body_decoder::go_on(const decoded_sink& into, std::size_t& work) {
    for (auto layer = layers_.size(); layer-- != 0;) {
        const auto next = layers_[layer]->go_on(sink_behind(layer, into, work));
        if (next != unpacking::goes_on)
            return next;
    }
    return unpacking::goes_on;
}

unpacking body_decoder::take_from(
    std::size_t layer, std::string_view bytes, const decoded_sink& into, std::size_t& work) {
    return layers_[layer]->take(bytes, sink_behind(layer, into, work));
}

/// *Returns* where a layer's bytes go: into the next one, or out.
layer_sink body_decoder::sink_behind(std::size_t layer, const decoded_sink& into, std::size_t& work) {
    return [this, layer, &into, &work](std::string_view unpacked) {
        work -= std::min(work, unpacked.size());
        if (layer + 1 == layers_.size()) {
            if (!into(unpacked))
                return unpacking::ends;
        } else if (const auto next = take_from(layer + 1, unpacked, into, work); next != unpacking::goes_on) {
            return next;
        }
        return work != 0 ? unpacking::goes_on : unpacking::pauses;
    };
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
