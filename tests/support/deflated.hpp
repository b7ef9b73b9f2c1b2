// SPDX-License-Identifier: MIT
/// Compressed bodies for the tests of the HTTP client.
#pragma once

#include <string>
#include <string_view>

#include <zlib.h>

/// `window_bits` chooses gzip (31), zlib's format (15) or the bare one (-15), which servers call deflate.
inline std::string deflated(std::string_view bytes, int window_bits) {
    z_stream s{};
    deflateInit2(&s, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&s, static_cast<uLong>(bytes.size())) + 32, '\0');
    s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    s.avail_in = static_cast<uInt>(bytes.size());
    s.next_out = reinterpret_cast<Bytef*>(out.data());
    s.avail_out = static_cast<uInt>(out.size());
    deflate(&s, Z_FINISH);
    out.resize(s.total_out);
    deflateEnd(&s);
    return out;
}
