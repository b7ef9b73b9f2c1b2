// SPDX-License-Identifier: MIT
#include "exceptions.hpp"

#include <muster/exception_group.hpp>

#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace conformance {

namespace {

using made = std::exception_ptr;

template <class E>
made speaking(std::string text) {
    return std::make_exception_ptr(E(std::move(text)));
}

template <class E>
bool is(const made& e) {
    return muster::is_a<E>(e);
}

bool is_os_error(const made& e) {
    // In Python a TimeoutError is one; muster's derives from std::runtime_error.
    return is<os_error>(e) || is<muster::timeout_error>(e);
}
bool is_runtime_error(const made& e) { return is<runtime_error>(e) || is<muster::broken_barrier_error>(e); }
/// muster takes a BaseException in a group for an error as any other.
bool is_exception_group(const made& e) {
    const auto* group = muster::get_if<muster::exception_group>(e);
    return group != nullptr && !group->contains<base_exception>();
}
bool is_exception(const made& e) {
    if (is<muster::base_exception_group>(e))
        return is_exception_group(e);
    return is<std::exception>(e) && !is<fault>(e);
}
bool is_base_exception(const made& e) { return !is<fault>(e); }

struct kind {
    std::string_view name;
    bool (*is)(const made&);
    made (*make)(std::string); ///< null for groups
};

/// What derives from another stands before it: the first that fits is an exception's own type.
constexpr std::array kinds{
    kind{"KeyError", &is<key_error>, &speaking<key_error>},
    kind{"LookupError", &is<lookup_error>, &speaking<lookup_error>},
    kind{"ConnectionError", &is<connection_error>, &speaking<connection_error>},
    kind{"TimeoutError", &is<muster::timeout_error>, &speaking<spoken_as<muster::timeout_error>>},
    kind{"OSError", &is_os_error, &speaking<os_error>},
    kind{"BrokenBarrierError", &is<muster::broken_barrier_error>, &speaking<spoken_as<muster::broken_barrier_error>>},
    kind{"RuntimeError", &is_runtime_error, &speaking<runtime_error>},
    kind{"ValueError", &is<value_error>, &speaking<value_error>},
    kind{"TypeError", &is<type_error>, &speaking<type_error>},
    kind{"TransactionError", &is<transaction_error>, &speaking<transaction_error>},
    kind{"QueueEmpty", &is<muster::queue_empty>, &speaking<spoken_as<muster::queue_empty>>},
    kind{"QueueFull", &is<muster::queue_full>, &speaking<spoken_as<muster::queue_full>>},
    kind{"InvalidStateError", &is<muster::invalid_state_error>, &speaking<spoken_as<muster::invalid_state_error>>},
    kind{"CancelledError", &is<muster::cancelled_error>, &speaking<muster::cancelled_error>},
    kind{"ExceptionGroup", &is_exception_group, nullptr},
    kind{"BaseExceptionGroup", &is<muster::base_exception_group>, nullptr},
    kind{"Exception", &is_exception, &speaking<plain_error>},
    kind{"BaseException", &is_base_exception, &speaking<base_exception>},
};

const kind& kind_named(std::string_view name) {
    if (name == "*")
        name = "Exception";
    for (const kind& k : kinds)
        if (k.name == name)
            return k;
    throw fault("no such exception type: " + std::string(name));
}

made make_group(bool of_exceptions, const std::string& text, const json& specs) {
    std::vector<made> members;
    for (const json& spec : specs)
        members.push_back(make_exception(spec));
    if (members.empty())
        throw value_error("second argument (exceptions) must be a non-empty sequence");
    if (!of_exceptions)
        return muster::make_exception_group(text, std::move(members));
    try {
        return std::make_exception_ptr(muster::exception_group(text, std::move(members)));
    } catch (const std::invalid_argument&) {
        throw type_error("Cannot nest BaseExceptions in an ExceptionGroup");
    }
}

/// muster's words, where asyncio's are another's.
std::string message_of(const muster::base_exception_group& group) {
    if (group.message() == "unhandled errors in a task_group")
        return "unhandled errors in a TaskGroup";
    return group.message();
}

std::string text_of(const made& error) {
    if (const auto* e = muster::get_if<spoken>(error))
        return e->text();
    if (const auto* e = muster::get_if<muster::cancelled_error>(error))
        return std::string(e->message());
    return {};
}

bool is_known(const made& error) {
    const std::string type = type_of(error);
    return (type != "Exception" || is<plain_error>(error)) && (type != "BaseException" || is<base_exception>(error));
}

} // namespace

std::exception_ptr make_exception(const json& spec, std::size_t from) {
    const std::string name = spec.at(from).get<std::string>();
    const bool has_text = spec.size() > from + 1 && !spec[from + 1].is_null();
    std::string text = has_text ? spec[from + 1].get<std::string>() : std::string();
    const kind& k = kind_named(name);
    if (k.make == nullptr)
        return make_group(name == "ExceptionGroup", text, spec.at(from + 2));
    return k.make(std::move(text));
}

bool matches(const std::exception_ptr& error, const std::string& type) { return kind_named(type).is(error); }

bool matches_any(const std::exception_ptr& error, const json& types) {
    for (const json& type : types)
        if (matches(error, type.get<std::string>()))
            return true;
    return false;
}

std::string type_of(const std::exception_ptr& error) {
    for (const kind& k : kinds)
        if (k.is(error))
            return std::string(k.name);
    return muster::type_name(error);
}

std::string show(const std::exception_ptr& error) {
    if (!error)
        return "none";
    if (const auto* group = muster::as_group(error)) {
        std::string text = type_of(error) + "('" + message_of(*group) + "', [";
        bool first = true;
        for (const auto& member : group->exceptions()) {
            text += (first ? "" : ", ") + show(member);
            first = false;
        }
        return text + "])";
    }
    // What no scenario can have made and no trace can hold: say what it is.
    if (!is_known(error))
        return muster::describe(error);
    const std::string text = text_of(error);
    return type_of(error) + (text.empty() ? "()" : "('" + text + "')");
}

} // namespace conformance
