// SPDX-License-Identifier: MIT
// The templates of run and fetch, each with any input: a usage_error, or a command and a URL. An input that is encoded
// brings nothing into a URL that could end its part of it.
#include "fuzz.hpp"

#include "command_template.hpp"
#include "units.hpp"
#include "url_template.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

namespace {

void look_at_command(const tool::command_template& made, const tool::input_line& line) {
    const auto key = made.key(line);
    FUZZ_CHECK(key == made.key(line));
    try {
        FUZZ_CHECK(made.make(line, 1).describe().find('\n') == std::string::npos);
        static_cast<void>(made.show(line, 1));
    } catch (const std::invalid_argument&) {
        // There is a NUL in it, or no program.
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    std::vector<std::string> words;
    for (auto count = in.number(3); count != 0; --count)
        words.push_back(in.text());
    tool::input_line line;
    line.number = 1;
    line.text = in.text();
    try {
        look_at_command(words.empty()       ? tool::command_template::of_nothing()
                        : words.size() == 1 ? tool::command_template::of_line(words.front())
                                            : tool::command_template::of_words(words),
            line);
    } catch (const tool::usage_error&) {
        // The template is none.
    }
    const tool::url_template url(words.empty() ? std::string() : words.front());
    const auto plain = url.make({}, 1, &tool::percent_encode);
    const auto filled = url.make(line.text, 1, &tool::percent_encode);
    FUZZ_CHECK(filled.size() >= plain.size());
    for (const char c : std::string_view("/?#@: \n"))
        FUZZ_CHECK(tool::percent_encode(line.text).find(c) == std::string::npos);
    return 0;
}
