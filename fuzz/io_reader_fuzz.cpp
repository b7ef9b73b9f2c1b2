// SPDX-License-Identifier: MIT
// io::reader, against a string: any sequence of its operations on a pipe gives what a string with the same bytes would.
#include "fuzz.hpp"

#include <muster/error.hpp>
#include <muster/io.hpp>
#include <muster/run.hpp>

#include <optional>
#include <span>
#include <utility>

namespace {

namespace io = muster::io;

/// The reader's operations on a string, and whether one of them failed, after which the bytes that are left differ.
class model {
public:
    explicit model(std::string bytes) : left_(std::move(bytes)) {}
    [[nodiscard]] std::optional<std::string> line() {
        if (left_.empty())
            return std::nullopt;
        const auto feed = left_.find('\n');
        auto taken = take(feed == std::string::npos ? left_.size() : feed + 1);
        if (feed != std::string::npos)
            taken.pop_back();
        return taken;
    }
    [[nodiscard]] std::optional<std::string> exactly(std::size_t count) {
        return count > left_.size() ? std::nullopt : std::optional(take(count));
    }
    [[nodiscard]] std::optional<std::string> until(const std::string& delimiter) {
        const auto at = left_.find(delimiter);
        return at == std::string::npos ? std::nullopt : std::optional(take(at + delimiter.size()));
    }
    [[nodiscard]] std::string take(std::size_t count) {
        auto taken = left_.substr(0, count);
        left_.erase(0, count);
        return taken;
    }
    [[nodiscard]] std::size_t size() const noexcept { return left_.size(); }

private:
    std::string left_;
};

muster::task<> compare(fuzz::input in) {
    const auto operations = in.number(20);
    std::string plan;
    for (std::size_t i = 0; i != operations; ++i)
        plan += static_cast<char>(in.number(255));
    const std::string bytes(in.rest().substr(0, 4000));
    auto ends = io::make_pipe();
    co_await ends.writer.write(bytes);
    ends.writer.close();
    io::reader reader(ends.reader);
    model expected(bytes);
    for (const char step : plan) {
        const auto argument = static_cast<std::size_t>(static_cast<unsigned char>(step)) / 4;
        switch (static_cast<unsigned char>(step) % 4) {
        case 0: {
            auto line = co_await reader.read_line();
            FUZZ_CHECK(line == expected.line());
            break;
        }
        case 1: {
            auto ended = co_await muster::as_outcome(reader.read_exactly(argument));
            const auto wanted = expected.exactly(argument);
            FUZZ_CHECK(ended.succeeded() == wanted.has_value());
            if (!wanted)
                co_return;
            FUZZ_CHECK(ended.value() == *wanted);
            break;
        }
        case 2: {
            const std::string delimiter(1 + argument % 3, static_cast<char>('a' + argument % 2));
            auto ended = co_await muster::as_outcome(reader.read_until(delimiter));
            const auto wanted = expected.until(delimiter);
            FUZZ_CHECK(ended.succeeded() == wanted.has_value());
            if (!wanted)
                co_return;
            FUZZ_CHECK(ended.value() == *wanted);
            break;
        }
        default: {
            auto some = co_await reader.read_some(argument + 1);
            FUZZ_CHECK(some.size() <= argument + 1 && some.empty() == (expected.size() == 0));
            FUZZ_CHECK(some == expected.take(some.size()));
            break;
        }
        }
    }
    auto all = co_await reader.read_all();
    FUZZ_CHECK(all == expected.take(expected.size()));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    muster::run(compare(fuzz::input(data, size)));
    return 0;
}
