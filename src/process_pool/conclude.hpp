// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Makes a call's outcome of the answer that came for it: a map with a value, an error, or a cancellation. Used for
/// what a worker process sends to its pool, and for what a queue keeps. Private to the library.
///
///     conclude_call(job, wire::read(bytes, most_values));

#include "process_pool/end_texts.hpp"
#include "process_pool/registry.hpp"

#include <muster/outcome.hpp>
#include <muster/process_pool/error.hpp>

#include <nlohmann/json.hpp>

#include <exception>
#include <string>
#include <utility>

namespace muster::workers {

/// Fills in the outcome of a job that has name(), decode(), set_error() and set_cancelled(). *Errors*: wire_error if
/// this is no answer; then the outcome is as it was.
template <class Job>
void conclude_call(Job& j, nlohmann::json&& answer) {
    bool has_value = false;
    try {
        if (!answer.is_object())
            throw wire_error("the answer is no map");
        if (answer.contains("error"))
            j.set_error(registry::rebuild(answer.at("error")));
        else if (answer.contains("cancelled"))
            j.set_cancelled(cancel_reason::raised, answer.at("cancelled").get_ref<const std::string&>().c_str());
        else if (answer.contains("value"))
            has_value = true;
        else
            throw wire_error("the answer has neither a value nor an error");
    } catch (const nlohmann::json::exception& e) {
        throw wire_error(std::string("the answer is malformed: ") + e.what());
    }
    if (!has_value)
        return;
    try {
        j.decode(std::move(answer.at("value")));
    } catch (...) {
        j.set_error(ends::unreadable_result(j.name(), std::current_exception()));
    }
}

} // namespace muster::workers
