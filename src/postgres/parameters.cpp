// SPDX-License-Identifier: MIT
// This file writes values as the server's binary input functions read them: numbers in network order; an array as its
// dimensions, whether there are nulls, the type of its elements, its length and first index, then each element behind
// its length.
#include "postgres/parameters.hpp"

namespace muster::postgres {

namespace {

// The numbers of types in pg_type.dat, which never change.
constexpr unsigned bytea_type = 17;
constexpr unsigned int8_type = 20;
constexpr unsigned int4_type = 23;
constexpr unsigned text_type = 25;
constexpr unsigned bytea_array = 1001;
constexpr unsigned int4_array = 1007;
constexpr unsigned text_array = 1009;
constexpr unsigned int8_array = 1016;
constexpr unsigned uuid_type = 2950;
constexpr unsigned uuid_array = 2951;

template <class T>
void put(std::string& to, T value) {
    for (std::size_t i = sizeof(T); i-- != 0;)
        to += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
}

void put_element(std::string& to, std::int32_t value) { put(to, value); }
void put_element(std::string& to, std::int64_t value) { put(to, value); }
void put_element(std::string& to, const std::string& value) { to += value; }
void put_element(std::string& to, const call_key& value) {
    to.append(reinterpret_cast<const char*>(value.bytes().data()), value.bytes().size());
}
void put_element(std::string& to, const std::vector<std::uint8_t>& value) {
    to.append(reinterpret_cast<const char*>(value.data()), value.size());
}

template <class T>
std::string array_of(std::span<const T> values, unsigned element_type) {
    std::string result;
    put<std::uint32_t>(result, values.empty() ? 0 : 1); // dimensions
    put<std::uint32_t>(result, 0);                      // no nulls
    put<std::uint32_t>(result, element_type);
    if (values.empty())
        return result;
    put(result, static_cast<std::uint32_t>(values.size()));
    put<std::uint32_t>(result, 1); // the first index
    for (const auto& value : values) {
        const auto at = result.size();
        put<std::uint32_t>(result, 0);
        put_element(result, value);
        std::string length;
        put(length, static_cast<std::uint32_t>(result.size() - at - 4));
        result.replace(at, 4, length);
    }
    return result;
}

} // namespace

parameters& parameters::text(std::string_view value) {
    types_.push_back(text_type);
    values_.emplace_back(value);
    return *this;
}

parameters& parameters::number32(std::int32_t value) {
    types_.push_back(int4_type);
    put(values_.emplace_back(), value);
    return *this;
}

parameters& parameters::number64(std::int64_t value) {
    types_.push_back(int8_type);
    put(values_.emplace_back(), value);
    return *this;
}

parameters& parameters::array(std::span<const call_key> values) {
    types_.push_back(uuid_array);
    values_.push_back(array_of(values, uuid_type));
    return *this;
}

parameters& parameters::array(std::span<const std::string> values) {
    types_.push_back(text_array);
    values_.push_back(array_of(values, text_type));
    return *this;
}

parameters& parameters::array(std::span<const std::int32_t> values) {
    types_.push_back(int4_array);
    values_.push_back(array_of(values, int4_type));
    return *this;
}

parameters& parameters::array(std::span<const std::int64_t> values) {
    types_.push_back(int8_array);
    values_.push_back(array_of(values, int8_type));
    return *this;
}

parameters& parameters::array(std::span<const std::vector<std::uint8_t>> values) {
    types_.push_back(bytea_array);
    values_.push_back(array_of(values, bytea_type));
    return *this;
}

} // namespace muster::postgres
