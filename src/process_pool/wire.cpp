// SPDX-License-Identifier: MIT
// This file writes and checks the messages between a pool and its workers: a header of fixed size, then a value in
// CBOR. Before any value is built, item_reader walks the bytes once, in constant memory, and refuses those that are
// cut short, too deep, of unknown length or of too many values. It counts, for each level that it is in, how many
// values are still to come. value_builder then walks the same bytes a second time and builds each value once, at its
// final size: nlohmann's own reader lets texts grow byte by byte and copies them, so that one text of 60 MB took 210.
#include "process_pool/wire.hpp"

#include <muster/detail/assert.hpp>
#include <muster/process_pool/error.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace muster::workers::wire {

namespace {

void put(std::uint8_t* to, std::uint64_t value, int bytes) noexcept {
    for (int i = bytes - 1; i >= 0; --i, value >>= 8)
        to[i] = static_cast<std::uint8_t>(value & 0xff);
}
std::uint64_t get(const std::uint8_t* from, std::size_t bytes) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != bytes; ++i)
        value = value << 8 | from[i];
    return value;
}

} // namespace

std::array<std::uint8_t, header_bytes> write(header h) noexcept {
    std::array<std::uint8_t, header_bytes> bytes{};
    put(bytes.data(), h.length, 4);
    put(bytes.data() + 4, h.number, 8);
    return bytes;
}

header read_header(const std::uint8_t* bytes) noexcept {
    return header(static_cast<std::uint32_t>(get(bytes, 4)), get(bytes + 4, 8));
}

bool is_too_deep(const nlohmann::json& value, std::size_t levels_above) noexcept {
    if (!value.is_structured() || value.empty())
        return false;
    if (levels_above == deepest)
        return true;
    // Recursion ends at `deepest`, however deep the value is.
    return std::any_of(
        value.begin(), value.end(), [levels_above](const auto& inner) { return is_too_deep(inner, levels_above + 1); });
}

std::vector<std::uint8_t> write(const nlohmann::json& value) {
    if (is_too_deep(value)) // which the writer, too, would recurse into
        throw wire_error(too_deep);
    return nlohmann::json::to_cbor(value);
}

namespace {

constexpr const char* short_of = "it ends too early";

/// The head of a value or of a tag: the kind (RFC 8949 calls it the major type), its five bits of
/// information, and the number that these bits are or announce.
struct item_head {
    int kind = 0;
    int info = 0;
    std::uint64_t argument = 0;
};

/// Reads the head at `at`, which goes behind it. *Returns* what is wrong with it; null if nothing is.
[[nodiscard]] const char* read_head(std::span<const std::uint8_t> bytes, std::size_t& at, item_head& head) noexcept {
    if (at == bytes.size())
        return short_of;
    head.kind = bytes[at] >> 5;
    head.info = bytes[at] & 31;
    ++at;
    head.argument = static_cast<std::uint64_t>(head.info);
    if (head.info > 27)
        return "it has a value of no announced length";
    if (head.info > 23) {
        const std::size_t width = std::size_t{1} << (head.info - 24);
        if (bytes.size() - at < width)
            return short_of;
        head.argument = get(bytes.data() + at, width);
        at += width;
    }
    return nullptr;
}

/// Reads CBOR item by item without building anything.
///
/// `open_[i]` is how many values are still to come in the array or map that is i levels down.
class item_reader {
public:
    explicit item_reader(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

    /// *Returns* what is wrong with the message; null if nothing is. Gives up once it has counted more than `most`.
    [[nodiscard]] const char* read_all(std::uint64_t most) noexcept {
        do {
            if (const char* problem = read_item())
                return problem;
            if (values_ > most)
                return too_many;
            while (depth_ != 0 && open_[depth_ - 1] == 0)
                --depth_;
        } while (depth_ != 0);
        return at_ == bytes_.size() ? nullptr : "something follows its end";
    }
    [[nodiscard]] std::uint64_t values() const noexcept { return values_; }

    static constexpr const char* too_many = "too many values";

private:
    /// One value, or the beginning of an array or map.
    [[nodiscard]] const char* read_item() noexcept {
        if (depth_ != 0)
            --open_[depth_ - 1];
        ++values_;
        item_head head;
        for (bool tagged = false;; tagged = true) {
            if (const char* problem = read_head(bytes_, at_, head))
                return problem;
            if (tagged && head.kind != 2)
                return "it has a tag on what is no byte string";
            if (head.kind != 6)
                break;
        }
        switch (head.kind) {
        case 2:
        case 3:
            if (bytes_.size() - at_ < head.argument)
                return short_of;
            at_ += static_cast<std::size_t>(head.argument);
            return nullptr;
        case 4:
        case 5:
            return go_down(head.argument, head.kind == 4 ? 1 : 2);
        default:
            return nullptr;
        }
    }

    [[nodiscard]] const char* go_down(std::uint64_t count, std::uint64_t values_each) noexcept {
        // Every value is a byte at least.
        if (count > bytes_.size())
            return short_of;
        if (count == 0)
            return nullptr;
        if (depth_ == deepest)
            return too_deep;
        open_[depth_++] = count * values_each;
        return nullptr;
    }

    std::span<const std::uint8_t> bytes_;
    std::size_t at_ = 0;
    std::uint64_t values_ = 0;
    std::array<std::uint64_t, deepest> open_{};
    std::size_t depth_ = 0;
};

/// Builds the value of a message that item_reader has accepted.
///
/// `open_` has the arrays and maps that it is in, the innermost last, each with how many of its elements are still to
/// come. An element is built in its place. An array has its room from the beginning, so no element moves.
class value_builder {
public:
    explicit value_builder(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

    /// *Errors*: wire_error for a value that JSON does not have, and for a key that is no text.
    [[nodiscard]] nlohmann::json build() {
        nlohmann::json value;
        build_item(value);
        while (!open_.empty()) {
            auto& innermost = open_.back();
            if (innermost.still_to_come == 0) {
                open_.pop_back();
                continue;
            }
            --innermost.still_to_come;
            auto& within = *innermost.value;
            if (within.is_array())
                build_item(within.get_ref<nlohmann::json::array_t&>().emplace_back());
            else
                build_item(within.get_ref<nlohmann::json::object_t&>()[key()]); // of two with one key the last counts
        }
        MUSTER_ASSERT(at_ == bytes_.size());
        return value;
    }

private:
    struct level {
        nlohmann::json* value;
        std::uint64_t still_to_come;
    };

    void build_item(nlohmann::json& into) {
        auto head = next();
        std::optional<std::uint64_t> tag;
        while (head.kind == 6) {
            // A tag that takes one byte says something about its bytes that nobody here wants to know.
            if (head.info > 23)
                tag = head.argument;
            head = next();
        }
        switch (head.kind) {
        case 0:
            into = head.argument;
            break;
        case 1:
            // The number is -1 - argument.
            if (head.argument > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
                refuse("it has a negative number of more than 64 bits");
            into = -1 - static_cast<std::int64_t>(head.argument);
            break;
        case 2: {
            const auto part = take(head.argument);
            std::vector<std::uint8_t> bytes(part.begin(), part.end());
            into = tag ? nlohmann::json::binary(std::move(bytes), *tag) : nlohmann::json::binary(std::move(bytes));
            break;
        }
        case 3:
            into = text(head.argument);
            break;
        case 4:
            into = nlohmann::json::array();
            into.get_ref<nlohmann::json::array_t&>().reserve(static_cast<std::size_t>(head.argument));
            open_.push_back({&into, head.argument});
            break;
        case 5:
            into = nlohmann::json::object();
            open_.push_back({&into, head.argument});
            break;
        default:
            build_simple(into, head);
        }
    }

    static void build_simple(nlohmann::json& into, const item_head& head) {
        switch (head.info) {
        case 20:
        case 21:
            into = head.info == 21;
            break;
        case 22:
            into = nullptr;
            break;
        case 25:
            into = half(static_cast<std::uint16_t>(head.argument));
            break;
        case 26:
            into = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(head.argument)));
            break;
        case 27:
            into = std::bit_cast<double>(head.argument);
            break;
        default:
            refuse("it has a simple value that JSON does not have");
        }
    }

    /// *Returns* the number that 16 bits stand for: a sign, five bits of exponent, ten of fraction.
    [[nodiscard]] static double half(std::uint16_t bits) noexcept {
        const int exponent = bits >> 10 & 31;
        const int fraction = bits & 1023;
        double value = 0;
        if (exponent == 31)
            value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
        else if (exponent == 0)
            value = std::ldexp(fraction, -24);
        else
            value = std::ldexp(fraction + 1024, exponent - 25);
        return (bits & 0x8000) != 0 ? -value : value;
    }

    [[nodiscard]] std::string key() {
        const auto head = next();
        if (head.kind != 3)
            refuse("it has a key that is no text");
        return text(head.argument);
    }
    [[nodiscard]] std::string text(std::uint64_t size) {
        const auto part = take(size);
        return std::string(part.begin(), part.end());
    }
    [[nodiscard]] std::span<const std::uint8_t> take(std::uint64_t size) noexcept {
        const auto part = bytes_.subspan(at_, static_cast<std::size_t>(size));
        at_ += part.size();
        return part;
    }
    [[nodiscard]] item_head next() noexcept {
        item_head head;
        [[maybe_unused]] const char* const problem = read_head(bytes_, at_, head);
        MUSTER_ASSERT(problem == nullptr);
        return head;
    }
    [[noreturn]] static void refuse(const char* why) {
        throw wire_error(std::string("a message is not valid: ") + why);
    }

    std::span<const std::uint8_t> bytes_;
    std::size_t at_ = 0;
    std::vector<level> open_;
};

} // namespace

std::string problem_of(std::span<const std::uint8_t> bytes, std::uint64_t most_values) {
    const char* const problem = item_reader(bytes).read_all(most_values);
    if (problem == nullptr)
        return {};
    if (problem == item_reader::too_many)
        return "it has more than " + std::to_string(most_values) + " values, which is the value limit";
    return problem;
}

std::uint64_t count_values(std::span<const std::uint8_t> bytes) noexcept {
    item_reader reader(bytes);
    static_cast<void>(reader.read_all(no_value_limit));
    return reader.values();
}

nlohmann::json read(std::span<const std::uint8_t> bytes, std::uint64_t most_values) {
    if (const auto problem = problem_of(bytes, most_values); !problem.empty())
        throw wire_error("a message is not valid: " + problem);
    return value_builder(bytes).build();
}

} // namespace muster::workers::wire
