// SPDX-License-Identifier: MIT
// This file writes what ended a call at a worker. A remote_error is one that a process of the worker's pool has sent
// already: its parts are passed on, and not the fact that it was a remote_error.
#include "postgres/known_errors.hpp"

#include "process_pool/registry.hpp"
#include "process_pool/wire.hpp"

#include <muster/error.hpp>
#include <muster/process_pool/error.hpp>
#include <muster/process_pool/remote_function.hpp>
#include <muster/process_pool/remote_request.hpp>

namespace muster::postgres {

void know_errors_of_workers() {
    static const remote_exception<muster::worker_died_error> deaths(
        "muster::worker_died_error",
        [](const muster::worker_died_error& e) {
            return nlohmann::json{
                {"what", e.what()}, {"process", e.process()}, {"signal", e.signal()}, {"status", e.exit_status()}};
        },
        [](const nlohmann::json& j) {
            const auto number = [&j](const char* name) { return detail::from_wire<int>(j.at(name)); };
            return muster::worker_died_error(
                j.at("what").get<std::string>(), number("process"), number("signal"), number("status"));
        });
    static const remote_exception<worker_start_error> starts("muster::worker_start_error");
}

std::vector<std::uint8_t> answer_for(
    const std::exception_ptr& error, const detail::remote_entry* entry, const std::string& host) {
    auto answer = registry::describe(error, entry);
    if (answer.contains("error")) {
        auto& parts = answer["error"];
        if (const auto* e = get_if<remote_error>(error)) {
            auto causes = nlohmann::json::array();
            for (const auto& c : e->causes())
                causes.push_back({{"type", c.type}, {"message", c.message}});
            parts = {{"type", e->type()}, {"message", e->message()}, {"where", e->where()}, {"causes", causes}};
        }
        parts["where"] = parts["where"].get<std::string>() + " on " + host;
    }
    return wire::write(answer);
}

} // namespace muster::postgres
