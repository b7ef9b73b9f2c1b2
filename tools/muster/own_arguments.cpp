// SPDX-License-Identifier: MIT
// blank_secrets() looks through the arguments for the options that carry secrets, in each way of writing one: -u VALUE,
// -uVALUE, -kuVALUE behind letters that have no value, --user VALUE and --user=VALUE. Only bytes inside a value are
// changed, so that the list keeps its form.
#include "own_arguments.hpp"

#include "http/scrub.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace tool {

namespace {

enum class secret { none, user, header, proxy };

void blank(char* at, std::size_t size) noexcept { std::fill_n(at, size, '*'); }

void blank_value(secret kind, char* value) noexcept {
    const std::string_view text(value);
    switch (kind) {
    case secret::none:
        break;
    case secret::user:
        // The name of a file is none.
        if (!text.starts_with('@'))
            blank(value, text.size());
        break;
    case secret::header:
        if (const auto colon = text.find(':');
            colon != std::string_view::npos && muster::http::is_secret_header(text.substr(0, colon))) {
            const auto begin = std::min(text.find_first_not_of(" \t", colon + 1), text.size());
            blank(value + begin, text.size() - begin);
        }
        break;
    case secret::proxy: {
        const auto user = muster::http::user_of(text);
        blank(value + (user.data() - text.data()), user.size());
        break;
    }
    }
}

secret kind_of(std::string_view long_name) noexcept {
    return long_name == "--user"     ? secret::user
           : long_name == "--header" ? secret::header
           : long_name == "--proxy"  ? secret::proxy
                                     : secret::none;
}

secret kind_of(char letter) noexcept {
    return letter == 'u' ? secret::user : letter == 'H' ? secret::header : letter == 'x' ? secret::proxy : secret::none;
}

bool has_no_value(char letter) noexcept { return std::string_view("kqsO").find(letter) != std::string_view::npos; }

} // namespace

void blank_secrets(int argc, char** argv) noexcept {
    if (argc < 2 || std::string_view(argv[1]) != "fetch")
        return;
    for (int i = 2; i < argc; ++i) {
        char* word = argv[i];
        const std::string_view text(word);
        if (text == ":::" || text == "--")
            return;
        if (text.size() < 2 || text.front() != '-')
            continue;
        secret kind = secret::none;
        std::size_t value = text.size();
        if (text.starts_with("--")) {
            const auto equals = text.find('=');
            kind = kind_of(text.substr(0, equals));
            value = equals == std::string_view::npos ? text.size() : equals + 1;
        } else {
            std::size_t letter = 1;
            while (letter + 1 < text.size() && has_no_value(text[letter]))
                ++letter;
            kind = kind_of(text[letter]);
            value = letter + 1;
        }
        if (kind == secret::none)
            continue;
        if (value != text.size())
            blank_value(kind, word + value);
        else if (++i < argc)
            blank_value(kind, argv[i]);
    }
}

} // namespace tool
