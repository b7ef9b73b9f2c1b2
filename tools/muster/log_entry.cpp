// SPDX-License-Identifier: MIT
// The parser of JSON reports each value as it comes, and builds none: entry_reader keeps the few that are wanted, which
// are members of the outermost object, and counts how deep the others are.
#include "log_entry.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <limits>
#include <utility>

namespace tool {

namespace {

using json = nlohmann::json;

class entry_reader final : public nlohmann::json_sax<json> {
public:
    bool null() override {
        if (!is_member("index"))
            return take_other();
        index_ = index::none_given;
        return true;
    }
    bool boolean(bool) override { return take_other(); }
    bool number_integer(number_integer_t) override { return take_other(); }
    bool number_unsigned(number_unsigned_t number) override {
        if (is_member("ended_in_queue") && number <= std::numeric_limits<unsigned>::max())
            entry_.ended_in_queue = static_cast<unsigned>(number);
        if (!is_member("index"))
            return take_other();
        // A fraction, or more digits than fit, would be another number.
        index_ = index::number;
        return true;
    }
    bool number_float(number_float_t, const string_t&) override { return take_other(); }
    bool string(string_t& text) override {
        if (is_member("key"))
            entry_.key = std::move(text);
        else if (is_member("outcome"))
            entry_.outcome = std::move(text);
        else if (is_member("file"))
            entry_.file = std::move(text);
        else if (is_member("run"))
            entry_.run = std::move(text);
        else if (is_member("queue"))
            entry_.queue = std::move(text);
        else
            return take_other();
        return true;
    }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return begin(); }
    bool key(string_t& name) override {
        if (depth_ == 1)
            member_ = std::move(name);
        return true;
    }
    bool end_object() override { return end(); }
    bool start_array(std::size_t) override { return depth_ != 0 && begin(); }
    bool end_array() override { return end(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

    [[nodiscard]] bool is_whole() const noexcept {
        switch (index_) {
        case index::missing:
            return false;
        case index::none_given:
            return !entry_.run.empty();
        case index::number:
            return entry_.run.empty() && !entry_.key.empty() && !entry_.outcome.empty();
        }
        return false;
    }
    [[nodiscard]] log_entry take() { return std::move(entry_); }

private:
    enum class index { missing, none_given, number };

    [[nodiscard]] bool is_member(std::string_view name) const noexcept { return depth_ == 1 && member_ == name; }
    /// *Returns* whether a value of another kind may stand where it does.
    [[nodiscard]] bool take_other() const noexcept {
        return depth_ != 0 && !is_member("index") && !is_member("key") && !is_member("outcome");
    }
    bool begin() {
        const bool may_be = depth_ == 0 || take_other();
        ++depth_;
        return may_be;
    }
    bool end() {
        --depth_;
        return true;
    }

    log_entry entry_;
    std::string member_; ///< of the outermost object, whose value comes next
    std::size_t depth_ = 0;
    index index_ = index::missing;
};

} // namespace

std::optional<log_entry> read_entry(std::string_view line) {
    entry_reader reader;
    if (!json::sax_parse(line.begin(), line.end(), &reader) || !reader.is_whole())
        return std::nullopt;
    return reader.take();
}

} // namespace tool
