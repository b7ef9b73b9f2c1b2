// SPDX-License-Identifier: MIT
// What comes from the other end of a launcher: text of a login, a greeting and frames, of a host that runs commands and
// of a pool's. However the bytes are cut, the frames are the same; each payload is refused with a frame_error, or is
// read and written back as what was read.
#include "fuzz.hpp"

#include "frames/frames.hpp"
#include "hosts/frames.hpp"
#include "hosts/this_host.hpp"
#include "process_pool/agent_terms.hpp"
#include "process_pool/host_channel.hpp"
#include "process_pool/wire.hpp"
#include "vocabulary/printable.hpp"

#include <muster/process_pool.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace frames = muster::frames;
namespace hosts = muster::hosts;
namespace workers = muster::workers;

/// A pool asks an agent for its program's functions.
const muster::remote_function twice(
    "twice", +[](int n) { return 2 * n; });

/// What a stream of bytes is: the text in front, the frames, and why it ends there, if it does.
struct heard {
    std::string preamble;
    std::vector<frames::frame> all;
    std::string refused;
};

/// Takes the bytes in pieces of `step` bytes; 0: all at once.
heard listen(std::string_view bytes, std::size_t step) {
    heard h;
    frames::greeting_scanner scanner;
    frames::frame_parser parser;
    bool has_greeted = false;
    try {
        while (!bytes.empty()) {
            const auto piece = bytes.substr(0, step == 0 ? bytes.size() : step);
            bytes.remove_prefix(piece.size());
            if (has_greeted) {
                parser.take(piece);
            } else if (scanner.take(piece)) {
                has_greeted = true;
                parser.take(scanner.take_rest());
            }
            FUZZ_CHECK(has_greeted || scanner.preamble().size() <= frames::longest_preamble);
            for (auto f = parser.next(); f; f = parser.next())
                h.all.push_back(std::move(*f));
        }
    } catch (const frames::frame_error& e) {
        h.refused = e.what();
    }
    h.preamble = scanner.preamble();
    return h;
}

void expect_bounded(const char* text) { FUZZ_CHECK(std::strlen(text) < 50 * muster::detail::longest_printed_text); }

/// *Returns* what `read` does; empty if it refuses.
template <class Read>
std::string read_or_refused(const Read& read) {
    try {
        return read();
    } catch (const frames::frame_error& e) {
        expect_bounded(e.what());
        return {};
    }
}

void try_as_command(std::string_view payload) {
    const auto once = read_or_refused([&] { return hosts::description_of(hosts::command_of(payload)); });
    FUZZ_CHECK(once.empty() || hosts::description_of(hosts::command_of(once)) == once);
}

void try_as_end(std::string_view payload) {
    const auto again = [](std::string_view bytes) {
        frames::payload_reader from(bytes);
        const auto id = from.number64();
        const auto end = hosts::read_end(from);
        if (end.how == hosts::remote_end::kind::ended)
            FUZZ_CHECK((end.process.signal == 0) == (end.process.status >= 0));
        return hosts::payload_of(id, end);
    };
    const auto once = read_or_refused([&] { return again(payload); });
    FUZZ_CHECK(once.empty() || again(once) == once);
}

void try_as_facts(std::string_view payload) {
    static_cast<void>(read_or_refused([&] {
        const auto facts = hosts::facts_of(payload);
        for (const auto* text : {&facts.name, &facts.version})
            FUZZ_CHECK(muster::detail::printable(*text) == *text || text->find('\\') != std::string::npos);
        FUZZ_CHECK(facts.processors >= 1 && facts.processors <= 8192 && facts.load >= 0);
        return facts.name;
    }));
}

void try_as_pools_hello(std::string_view payload) {
    const auto once = read_or_refused([&] { return workers::hello_of_pool(workers::terms_of(payload)); });
    FUZZ_CHECK(once.empty() || workers::hello_of_pool(workers::terms_of(once)) == once);
}

void try_as_agents_hello(std::string_view payload) {
    static_cast<void>(read_or_refused([&] { return workers::problem_of_agent(payload); }));
}

/// A cutter leaves out nothing and puts nothing of two messages together.
void try_as_messages(std::string_view bytes, std::size_t step) {
    workers::message_cutter cutter;
    std::string all;
    const auto put = [&](std::string_view piece, bool, std::uint64_t) { all += piece; };
    for (auto left = bytes; !left.empty(); left.remove_prefix(std::min(step, left.size())))
        cutter.cut(left.substr(0, step), put);
    FUZZ_CHECK(all == bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const auto step = 1 + in.number(40);
    const auto rest = in.rest();
    const auto whole = listen(rest, 0);
    const auto cut = listen(rest, step);
    // A text that is too long may be noticed earlier or later.
    if (rest.size() <= frames::longest_preamble) {
        FUZZ_CHECK(
            whole.preamble == cut.preamble && whole.refused == cut.refused && whole.all.size() == cut.all.size());
        for (std::size_t i = 0; i != whole.all.size(); ++i)
            FUZZ_CHECK(whole.all[i].type == cut.all[i].type && whole.all[i].payload == cut.all[i].payload);
    }
    expect_bounded(whole.refused.c_str());
    // The frames are the bytes behind the greeting.
    std::string written;
    for (const auto& f : whole.all)
        written += frames::to_bytes(f.type, f.payload);
    if (!whole.all.empty())
        FUZZ_CHECK(rest.substr(whole.preamble.size() + frames::magic.size()).starts_with(written));
    for (const auto& f : whole.all) {
        try_as_command(f.payload);
        try_as_end(f.payload);
        try_as_facts(f.payload);
        try_as_pools_hello(f.payload);
        try_as_agents_hello(f.payload);
        try_as_messages(f.payload, step);
    }
    return 0;
}
