// SPDX-License-Identifier: MIT
// Takes requests off the input of a connection: head, body or chunks, then the answer that the path asks for. A
// request of which a part is missing is looked for again when more has arrived.
#include "testing/faulty_server/server_thread.hpp"
#include "testing/faulty_server/texts.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace muster::testing::faulty {

/// Takes the next request off the input and starts its answer. Returns false where it is not all there yet.
bool server_thread::take_request(connection& c) {
    if (!c.current) {
        while (c.input.pending().starts_with("\r\n")) // empty lines before a request are to be ignored
            c.input.consume(2);
        const auto end = c.input.find("\r\n\r\n");
        const auto pending = c.input.pending();
        if (end == std::string_view::npos ? pending.size() > chosen_.max_request_bytes
                                          : end + 4 > chosen_.max_request_bytes) {
            refuse(c, {431, "the request's head is too large"});
            return true;
        }
        if (end == std::string_view::npos)
            return false;
        request asked;
        if (const auto refused = read_head(asked, pending.substr(0, end))) {
            refuse(c, *refused);
            return true;
        }
        if (asked.length.value_or(0) > chosen_.max_request_bytes - (end + 4)) {
            refuse(c, {413, "the request is too large"});
            return true;
        }
        c.input.consume(end + 4);
        c.current = std::move(asked);
        const bool waits = c.current->is_chunked() || c.current->length.value_or(0) != 0;
        if (waits && c.current->expects_continue && c.input.pending().empty() && !chosen_.script) {
            c.output.queue("HTTP/1.1 100 Continue\r\n\r\n");
            static_cast<void>(flush(c)); // what does not go now goes in front of the answer
            if (c.phase.is(phase::gone))
                return false;
        }
    }
    if (!take_body(c))
        return false;
    if (c.current)
        respond(c);
    return true;
}

/// Returns true where the body is complete, or the request was refused (there is no current request then).
bool server_thread::take_body(connection& c) {
    if (c.current->is_chunked())
        return take_chunks(c);
    const auto length = static_cast<std::size_t>(c.current->length.value_or(0));
    if (c.input.pending().size() < length)
        return false;
    c.current->body = c.input.pending().substr(0, length);
    c.input.consume(length);
    return true;
}

bool server_thread::take_chunks(connection& c) {
    for (;;) {
        const auto pending = c.input.pending();
        const auto line_end = pending.find("\r\n");
        if (line_end == std::string_view::npos) {
            if (pending.size() <= 1024)
                return false;
            refuse(c, {400, "a chunk's size is malformed"});
            return true;
        }
        const auto size_text = without_blanks(pending.substr(0, std::min(line_end, pending.find(';'))));
        const auto size = number_in(size_text, 0, UINT64_MAX, 16);
        if (!size) {
            refuse(c, {400, "a chunk's size is malformed"});
            return true;
        }
        // With its framing, for no more than max_request_bytes are read ahead.
        const auto framing = line_end + 4;
        const auto had = std::max(c.current->body.size(), framing);
        if (had > chosen_.max_request_bytes || *size > chosen_.max_request_bytes - had) {
            refuse(c, {413, "the request is too large"});
            return true;
        }
        const auto bytes = static_cast<std::size_t>(*size);
        if (pending.size() < framing + bytes)
            return false;
        if (pending.substr(line_end + 2 + bytes, 2) != "\r\n") {
            refuse(c, {400, bytes == 0 ? "trailers are not understood" : "a chunk does not end where it should"});
            return true;
        }
        c.current->body.append(pending.substr(line_end + 2, bytes));
        c.input.consume(framing + bytes);
        if (bytes == 0)
            return true;
    }
}

/// Answers what cannot be understood. Where the next request would begin is not known, so the connection is closed
/// after it.
void server_thread::refuse(connection& c, refusal why) {
    count([](auto& s) { ++s.bad_requests; });
    request none;
    none.keep_alive = false;
    c.current.reset();
    c.phase.become(phase::writing);
    c.after = ending::close;
    text(c, none, why.status, std::string(why.why) + '\n');
}

void server_thread::respond(connection& c) {
    const request asked = std::move(*c.current);
    c.current.reset();
    c.phase.become(phase::writing);
    c.after = asked.keep_alive ? ending::keep : ending::close;
    if (chosen_.script && respond_by_script(c, asked))
        return;

    std::vector<std::string_view> parts;
    auto path = std::string_view(asked.target).substr(0, asked.target.find('?'));
    const bool absolute = path.starts_with('/');
    while (absolute && !path.empty()) {
        path.remove_prefix(1);
        parts.push_back(path.substr(0, path.find('/')));
        path.remove_prefix(parts.back().size());
    }
    for (const auto& candidate : routes) {
        if (!absolute || candidate.name != parts.front() || candidate.arguments != parts.size() - 1)
            continue;
        count([&](auto& s) {
            ++s.requests;
            ++s.by_route['/' + std::string(candidate.name)];
        });
        (this->*candidate.answer)(c, asked, arguments(parts).subspan(1));
        return;
    }
    count([](auto& s) {
        ++s.requests;
        ++s.by_route["unknown"];
    });
    text(c, asked, 404, "there is nothing at this path\n");
}

/// *Returns* whether the script has an answer.
bool server_thread::respond_by_script(connection& c, const request& asked) {
    faulty_request seen;
    seen.number = scripted_++;
    seen.head = request_as_text(asked);
    seen.body = asked.body;
    auto answer = chosen_.script(seen);
    if (!answer)
        return false;
    count([](auto& s) {
        ++s.requests;
        ++s.by_route["scripted"];
    });
    using enum faulty_answer::ending;
    c.after = answer->after == keep ? ending::keep : answer->after == close ? ending::close : ending::reset;
    for (auto& one : answer->pieces)
        c.later.push_back(std::move(one));
    // The first piece is not waited for, unless it has a pause of its own.
    if (!c.later.empty() && c.later.front().first.count() == 0) {
        c.output.queue(std::move(c.later.front().second));
        c.later.pop_front();
    }
    return true;
}

} // namespace muster::testing::faulty
