// SPDX-License-Identifier: MIT
// This file writes and reads the two hellos. A hello begins with the number of the protocol and the version of muster,
// in that order in every version, so that two sides that do not fit can say so; the rest is CBOR.
#include "process_pool/agent_terms.hpp"

#include "frames/frames.hpp"
#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"
#include "vocabulary/printable.hpp"

#include <muster/process_pool/error.hpp>
#include <muster/process_pool/remote_request.hpp>

#include <cerrno>
#include <filesystem>
#include <span>

namespace muster::workers {

namespace {

/// A hello has at most so many values: two for each function.
constexpr std::uint64_t most_values = 1'000'000;

std::string hello(const nlohmann::json& rest) {
    const auto bytes = wire::write(rest);
    return frames::payload_writer()
        .number32(frames::protocol_version)
        .text(frames::own_version())
        .rest(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()))
        .take();
}

/// *Errors*: frame_error.
nlohmann::json read_hello(std::string_view hello, const char* from) {
    frames::payload_reader reader(hello);
    const auto version = reader.number32();
    const auto program = detail::printable(reader.text(), 50);
    if (version != frames::protocol_version || program != frames::own_version())
        throw frames::frame_error(std::string(from) + " has muster " + program + ", protocol " +
                                  std::to_string(version) + ", and this program muster " + frames::own_version() +
                                  ", protocol " + std::to_string(frames::protocol_version) +
                                  ": install the same program on both");
    const auto rest = reader.rest();
    try {
        return wire::read(std::span(reinterpret_cast<const std::uint8_t*>(rest.data()), rest.size()), most_values);
    } catch (const wire_error& e) {
        throw frames::frame_error(std::string("a hello that can't be read: ") + e.what());
    }
}

} // namespace

worker_program program_of_worker(const std::string& program, const std::vector<std::string>& arguments,
    const std::vector<std::string>& through, const std::string& pool, bool in_another_folder) {
    worker_program w;
    w.path = program.empty() ? "/proc/self/exe" : program;
    // Lists of processes show the first argument; /proc/self/exe would say nothing there.
    const char* const own_name = program_invocation_name != nullptr ? program_invocation_name : "muster";
    w.arguments.push_back(program.empty() ? own_name : w.path);
    w.arguments.insert(w.arguments.end(), arguments.begin(), arguments.end());
    if (program.empty())
        w.arguments.push_back("worker of " + pool);
    // In another folder a relative path would be another program. Without a slash PATH would be searched.
    if (in_another_folder || w.path.find('/') == std::string::npos)
        w.path = std::filesystem::absolute(w.path).string();
    if (!through.empty()) {
        // The program between would take /proc/self/exe for itself.
        w.arguments.front() = program.empty() ? std::filesystem::read_symlink(w.path).string() : w.path;
        w.arguments.insert(w.arguments.begin(), through.begin(), through.end());
        w.path = through.front();
    }
    return w;
}

std::string hello_of_pool(const agent_terms& terms) {
    nlohmann::json limits = nlohmann::json::array();
    for (const auto& [resource, most] : terms.around.limits)
        limits.push_back({resource, most});
    nlohmann::json j{{"pool", terms.pool}, {"arguments", terms.arguments}, {"through", terms.through},
        {"folder", terms.around.folder}, {"output", terms.around.output}, {"cgroup", terms.around.cgroup},
        {"limits", limits}, {"message_limit", terms.message_limit}, {"silence_limit", terms.silence_limit.count()}};
    if (terms.environment)
        j["environment"] = *terms.environment;
    return hello(j);
}

agent_terms terms_of(std::string_view hello_of_pool) {
    const auto j = read_hello(hello_of_pool, "the pool's program");
    agent_terms t;
    try {
        using strings = std::vector<std::string>;
        t.pool = j.at("pool").get<std::string>();
        t.arguments = j.at("arguments").get<strings>();
        t.through = j.at("through").get<strings>();
        t.around.folder = j.at("folder").get<std::string>();
        t.around.output = j.at("output").get<std::string>();
        t.around.cgroup = j.at("cgroup").get<std::string>();
        for (const auto& limit : j.at("limits"))
            t.around.limits.emplace_back(
                detail::from_wire<int>(limit.at(0)), detail::from_wire<std::uint64_t>(limit.at(1)));
        t.message_limit = detail::from_wire<std::uint64_t>(j.at("message_limit"));
        t.silence_limit = std::chrono::milliseconds(detail::from_wire<std::int64_t>(j.at("silence_limit")));
        if (j.contains("environment"))
            t.environment = j.at("environment").get<strings>();
    } catch (const nlohmann::json::exception& e) {
        throw frames::frame_error(std::string("a hello that can't be read: ") + e.what());
    } catch (const wire_error& e) {
        throw frames::frame_error(std::string("a hello that can't be read: ") + e.what());
    }
    if (t.silence_limit < std::chrono::milliseconds(100) || t.silence_limit > std::chrono::hours(24))
        throw frames::frame_error("a limit of silence that is too short or too long");
    return t;
}

std::string hello_of_agent(const std::string& problem) {
    nlohmann::json j{{"functions", registry::signatures()}};
    if (!problem.empty())
        j["problem"] = problem;
    return hello(j);
}

std::string problem_of_agent(std::string_view hello_of_agent) {
    nlohmann::json j;
    try {
        j = read_hello(hello_of_agent, "the program there");
    } catch (const frames::frame_error& e) {
        return e.what();
    }
    try {
        if (j.contains("problem"))
            return j.at("problem").get<std::string>();
        const auto& there = j.at("functions");
        for (const auto& [name, signature] : registry::signatures()) {
            const auto found = there.find(name);
            if (found == there.end())
                return "the program there has no function '" + name + "': install the same program on both";
            if (found->get<std::string>() != signature)
                return "the function '" + name + "' is " + detail::printable(found->get<std::string>(), 500) +
                       " there, and " + signature + " in this program: install the same program on both";
        }
    } catch (const nlohmann::json::exception& e) {
        throw frames::frame_error(std::string("a hello that can't be read: ") + e.what());
    }
    return {};
}

} // namespace muster::workers
