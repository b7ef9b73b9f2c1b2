// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the fuzzers share: a check that ends the program, so that libFuzzer keeps the input, and numbers that are taken
/// from the front of an input.
///
///     fuzz::input in(data, size);
///     const auto limit = in.number(100);
///     FUZZ_CHECK(parse(in.rest()).size() <= limit);

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#define FUZZ_CHECK(condition) ((condition) ? void() : fuzz::fail(#condition, __FILE__, __LINE__))

namespace fuzz {

[[noreturn]] inline void fail(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    std::abort();
}

class input {
public:
    input(const std::uint8_t* data, std::size_t size) : left_(reinterpret_cast<const char*>(data), size) {}
    /// *Returns* a number from 0 to `most`, which takes a byte; 0 at the end.
    [[nodiscard]] std::size_t number(std::size_t most) {
        if (left_.empty())
            return 0;
        const auto byte = static_cast<unsigned char>(left_.front());
        left_.remove_prefix(1);
        return byte % (most + 1);
    }
    /// *Returns* the text up to a NUL, which is taken, too.
    [[nodiscard]] std::string text() {
        const auto end = std::min(left_.find('\0'), left_.size());
        std::string taken(left_.substr(0, end));
        left_.remove_prefix(std::min(end + 1, left_.size()));
        return taken;
    }
    [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
    [[nodiscard]] std::string_view rest() const noexcept { return left_; }

private:
    std::string_view left_;
};

} // namespace fuzz
