// SPDX-License-Identifier: MIT
// This file writes and checks the messages between a pool and its workers: a header of fixed size, then a value in
// CBOR. Before any value is built, item_reader walks the bytes once, in constant memory, and refuses those that are
// cut short, too deep, of unknown length or of too many values. It counts, for each level that it is in, how many
// values are still to come.
#include "process_pool/wire.hpp"

#include <muster/process_pool/error.hpp>

#include <algorithm>
#include <string>

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
    static constexpr const char* short_of = "it ends too early";

    /// One value, or the beginning of an array or map.
    [[nodiscard]] const char* read_item() noexcept {
        if (depth_ != 0)
            --open_[depth_ - 1];
        ++values_;
        int kind = 0;
        std::uint64_t argument = 0;
        for (bool tagged = false;; tagged = true) {
            if (const char* problem = read_head(kind, argument))
                return problem;
            if (tagged && kind != 2)
                return "it has a tag on what is no byte string";
            if (kind != 6)
                break;
        }
        switch (kind) {
        case 2:
        case 3:
            if (bytes_.size() - at_ < argument)
                return short_of;
            at_ += static_cast<std::size_t>(argument);
            return nullptr;
        case 4:
        case 5:
            return go_down(argument, kind == 4 ? 1 : 2);
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

    [[nodiscard]] const char* read_head(int& kind, std::uint64_t& argument) noexcept {
        if (at_ == bytes_.size())
            return short_of;
        kind = bytes_[at_] >> 5;
        const int info = bytes_[at_] & 31;
        ++at_;
        argument = static_cast<std::uint64_t>(info);
        if (info > 27)
            return "it has a value of no announced length";
        if (info > 23) {
            const std::size_t width = std::size_t{1} << (info - 24);
            if (bytes_.size() - at_ < width)
                return short_of;
            argument = get(bytes_.data() + at_, width);
            at_ += width;
        }
        return nullptr;
    }

    std::span<const std::uint8_t> bytes_;
    std::size_t at_ = 0;
    std::uint64_t values_ = 0;
    std::array<std::uint64_t, deepest> open_{};
    std::size_t depth_ = 0;
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
    try {
        return nlohmann::json::from_cbor(
            bytes.begin(), bytes.end(), true, true, nlohmann::json::cbor_tag_handler_t::store);
    } catch (const nlohmann::json::exception& e) {
        throw wire_error(std::string("a message is not valid: ") + e.what());
    }
}

} // namespace muster::workers::wire
