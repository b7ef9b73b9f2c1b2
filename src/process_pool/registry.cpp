// SPDX-License-Identifier: MIT
// This file keeps the functions and exceptions that both sides know by name, and writes and reads exceptions on their
// way between them.
#include "process_pool/registry.hpp"

#include "process_pool/wire.hpp"

#include <muster/error.hpp>
#include <muster/process_pool/error.hpp>

#include <unistd.h>

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <typeindex>
#include <utility>

namespace muster {

namespace {

struct registered {
    std::mutex lock;
    std::map<std::string, detail::remote_entry, std::less<>> functions;
    std::map<std::string, detail::remote_exception_entry, std::less<>> exceptions;
    std::map<std::type_index, const detail::remote_exception_entry*> types;
    std::deque<detail::remote_entry> refused; ///< a remote_function refers to each, although its name was taken
    std::string problem;
};

template <class E>
detail::remote_exception_entry by_text(const char* name) {
    return {name, &typeid(E), [](const std::exception_ptr& e) { return nlohmann::json(detail::get_if<E>(e)->what()); },
        [](const nlohmann::json& j) { return std::make_exception_ptr(E(j.get_ref<const std::string&>())); }};
}

void add(registered& r, detail::remote_exception_entry entry) {
    const auto& kept = r.exceptions.emplace(entry.name, std::move(entry)).first->second;
    r.types.emplace(*kept.type, &kept);
}

registered& all() {
    // Never destroyed: pools and functions may be static objects that are used until the end.
    static auto* the = [] {
        auto* r = new registered;
        add(*r, by_text<std::runtime_error>("std::runtime_error"));
        add(*r, by_text<std::logic_error>("std::logic_error"));
        add(*r, by_text<std::invalid_argument>("std::invalid_argument"));
        add(*r, by_text<std::domain_error>("std::domain_error"));
        add(*r, by_text<std::length_error>("std::length_error"));
        add(*r, by_text<std::out_of_range>("std::out_of_range"));
        add(*r, by_text<std::range_error>("std::range_error"));
        add(*r, by_text<std::overflow_error>("std::overflow_error"));
        add(*r, by_text<std::underflow_error>("std::underflow_error"));
        add(*r, by_text<timeout_error>("muster::timeout_error"));
        add(*r, by_text<wire_error>("muster::wire_error"));
        add(*r, {"std::bad_alloc", &typeid(std::bad_alloc), [](const std::exception_ptr&) { return nlohmann::json(); },
                    [](const nlohmann::json&) { return std::make_exception_ptr(std::bad_alloc()); }});
        return r;
    }();
    return *the;
}

std::string text_of(const std::source_location& site) {
    const std::string_view path = site.file_name();
    const auto slash = path.rfind('/');
    return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1)) + ':' +
           std::to_string(site.line());
}

/// *Returns* null for an error code of a category that only its own program knows.
nlohmann::json system_error_to_json(const std::system_error& e) {
    const auto& category = e.code().category();
    if (category != std::generic_category() && category != std::system_category())
        return nullptr;
    return nlohmann::json{{"category", category == std::generic_category() ? "generic" : "system"},
        {"value", e.code().value()}, {"message", e.what()}};
}

/// The what() that was sent ends with the text of the code, which the constructor would add a second time.
std::exception_ptr system_error_from_json(const nlohmann::json& j) {
    const auto& category = j.at("category") == "generic" ? std::generic_category() : std::system_category();
    const std::error_code code(detail::from_wire<int>(j.at("value")), category);
    auto text = j.at("message").get<std::string>();
    const auto suffix = code.message();
    if (text == suffix)
        return std::make_exception_ptr(std::system_error(code));
    if (text.ends_with(": " + suffix))
        text.erase(text.size() - suffix.size() - 2);
    return std::make_exception_ptr(std::system_error(code, text));
}

constexpr const char* system_error_name = "std::system_error";

/// Without the wrapper that std::throw_with_nested puts around the type.
std::string type_of(const std::exception_ptr& error) {
    static constexpr std::string_view wrapper = "std::_Nested_exception<";
    auto name = detail::type_name(error);
    if (name.starts_with(wrapper) && name.ends_with('>')) {
        name = name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
        while (name.ends_with(' '))
            name.pop_back();
    }
    return name;
}

std::string message_of(const std::exception_ptr& error) {
    if (const auto* e = detail::get_if<std::exception>(error))
        return e->what() != nullptr ? e->what() : "";
    // Byte for byte, which a text that is made safe to print is not.
    if (const auto* text = detail::get_if<std::string>(error))
        return *text;
    if (const auto* text = detail::get_if<const char*>(error); text != nullptr && *text != nullptr)
        return *text;
    auto text = detail::describe(error);
    const auto prefix = detail::type_name(error) + ": ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

nlohmann::json causes_of(std::exception_ptr error) {
    auto causes = nlohmann::json::array();
    for (int depth = 0; depth != 32; ++depth) { // one that holds itself ends, too
        const auto* nested = detail::get_if<std::nested_exception>(error);
        if (nested == nullptr || !nested->nested_ptr())
            break;
        error = nested->nested_ptr();
        causes.push_back({{"type", type_of(error)}, {"message", message_of(error)}});
    }
    return causes;
}

/// Adds "as" and "data" if the type is known by a name. *Errors*: what the exception's own function throws.
void add_known_type(nlohmann::json& answer, const std::exception_ptr& error) {
    const auto* type = detail::dynamic_type(error);
    if (type == nullptr)
        return;
    if (*type == typeid(std::system_error)) {
        if (auto data = system_error_to_json(*detail::get_if<std::system_error>(error)); !data.is_null()) {
            answer["as"] = system_error_name;
            answer["data"] = std::move(data);
        }
        return;
    }
    const detail::remote_exception_entry* entry = nullptr;
    {
        auto& r = all();
        const std::lock_guard lock(r.lock);
        if (const auto found = r.types.find(*type); found != r.types.end())
            entry = found->second;
    }
    if (entry != nullptr) {
        auto data = entry->to(error);
        answer["as"] = entry->name;
        answer["data"] = std::move(data);
    }
}

std::string what_is_handled() { return detail::describe(std::current_exception()); }

} // namespace

namespace detail {

const remote_entry& register_function(remote_entry entry) {
    auto& r = all();
    const std::lock_guard lock(r.lock);
    const auto found = r.functions.find(entry.name);
    if (found == r.functions.end())
        return r.functions.emplace(entry.name, std::move(entry)).first->second;
    if (found->second.address == entry.address && found->second.call == entry.call)
        return found->second;
    if (r.problem.empty())
        r.problem = "two functions are registered as '" + entry.name + "', at " + text_of(found->second.site) +
                    " and at " + text_of(entry.site) + ": give each remote_function a name of its own";
    return r.refused.emplace_back(std::move(entry));
}

void register_exception(remote_exception_entry entry) {
    auto& r = all();
    const std::lock_guard lock(r.lock);
    const auto found = r.exceptions.find(entry.name);
    const auto type = r.types.find(*entry.type);
    if (found != r.exceptions.end() || entry.name == system_error_name) {
        if (r.problem.empty() && (found == r.exceptions.end() || *found->second.type != *entry.type))
            r.problem = "two exception types are registered as '" + entry.name +
                        "': give each remote_exception a name of its own";
        return;
    }
    if (type != r.types.end() || *entry.type == typeid(std::system_error)) {
        if (r.problem.empty())
            r.problem = "the exception type " + type_name(*entry.type) + " is registered as '" + entry.name +
                        "', but is known by another name: register each type once";
        return;
    }
    add(r, std::move(entry));
}

void expect_arguments(const remote_entry& entry, const nlohmann::json& arguments, std::size_t count) {
    if (!arguments.is_array() || arguments.size() != count)
        throw wire_error("'" + entry.name + "' takes " + std::to_string(count) + " arguments here, but was sent " +
                         (arguments.is_array() ? std::to_string(arguments.size()) : "something else") +
                         ": both programs must have the same function");
}

void throw_unreadable_arguments(const remote_entry& entry) {
    throw wire_error("the arguments of '" + entry.name + "' can't be read: " + what_is_handled());
}

void throw_unwritable_result(const remote_entry& entry) {
    throw wire_error("the result of '" + entry.name + "' can't be written: " + what_is_handled());
}

namespace {

void append(std::vector<std::uint8_t>& to, const std::vector<std::uint8_t>& more) {
    to.insert(to.end(), more.begin(), more.end());
}

} // namespace

// {"arguments": [...], "function": name}, in CBOR. The arguments are two levels down.
remote_request_writer::remote_request_writer(const remote_entry& entry, std::size_t arguments) : request_(entry) {
    auto& message = request_.message;
    message.push_back(0xa2); // a map of two
    append(message, wire::write("arguments"));
    auto list = nlohmann::json::to_cbor(nlohmann::json::array());
    // The head of an array of 0 has the form of every head of an array.
    if (arguments < 24) {
        list.front() = static_cast<std::uint8_t>(list.front() | arguments);
    } else {
        list.front() |= 25; // two bytes follow
        list.push_back(static_cast<std::uint8_t>(arguments >> 8));
        list.push_back(static_cast<std::uint8_t>(arguments & 0xff));
    }
    append(message, list);
    request_.arguments.reserve(arguments);
}

void remote_request_writer::add(const nlohmann::json& argument) {
    if (!request_.problem.empty())
        return;
    if (wire::is_too_deep(argument, 2)) {
        request_.problem = "argument " + std::to_string(request_.arguments.size() + 1) + " of '" +
                           request_.entry->name +
                           "' can't be sent: it is nested too deeply, and a message has at most " +
                           std::to_string(wire::deepest) + " levels";
        return;
    }
    const auto bytes = nlohmann::json::to_cbor(argument);
    request_.arguments.push_back({bytes.size(), wire::count_values(bytes)});
    append(request_.message, bytes);
}

remote_request remote_request_writer::finish() && {
    append(request_.message, wire::write("function"));
    append(request_.message, wire::write(request_.entry->name));
    return std::move(request_);
}

} // namespace detail

namespace workers::registry {

const detail::remote_entry* find(const std::string& name) {
    auto& r = all();
    const std::lock_guard lock(r.lock);
    const auto found = r.functions.find(name);
    return found == r.functions.end() ? nullptr : &found->second;
}

std::map<std::string, std::string> signatures() {
    auto& r = all();
    const std::lock_guard lock(r.lock);
    std::map<std::string, std::string> found;
    for (const auto& [name, entry] : r.functions)
        found.emplace(name, entry.signature != nullptr ? detail::type_name(*entry.signature) : "");
    return found;
}

std::string problem() {
    auto& r = all();
    const std::lock_guard lock(r.lock);
    return r.problem;
}

nlohmann::json describe(const std::exception_ptr& error, const detail::remote_entry* entry) {
    if (const auto* c = detail::get_if<cancelled_error>(error))
        return {{"cancelled", std::string(c->message())}};
    std::string where = entry == nullptr ? "a worker" : entry->name + " (" + text_of(entry->site) + ')';
    nlohmann::json answer{{"type", type_of(error)}, {"message", message_of(error)},
        {"where", where + " in process " + std::to_string(::getpid())}, {"causes", causes_of(error)}};
    try {
        add_known_type(answer, error);
    } catch (...) {
        answer["message"] =
            answer["message"].get<std::string>() + " [its remote_exception can't write it: " + what_is_handled() + ']';
    }
    return {{"error", std::move(answer)}};
}

std::exception_ptr rebuild(const nlohmann::json& error) {
    auto type = error.at("type").get<std::string>();
    auto message = error.at("message").get<std::string>();
    if (error.contains("as")) {
        const auto& name = error.at("as").get_ref<const std::string&>();
        try {
            if (name == system_error_name)
                return system_error_from_json(error.at("data"));
            const detail::remote_exception_entry* entry = nullptr;
            {
                auto& r = all();
                const std::lock_guard lock(r.lock);
                if (const auto found = r.exceptions.find(name); found != r.exceptions.end())
                    entry = &found->second;
            }
            if (entry != nullptr) {
                auto known = entry->from(error.at("data"));
                detail::expect_same_numbers(error.at("data"), entry->to(known));
                return known;
            }
        } catch (...) {
            message += " [its remote_exception can't read it: " + what_is_handled() + ']';
        }
    }
    std::vector<remote_error::cause> causes;
    for (const auto& c : error.at("causes"))
        causes.emplace_back(c.at("type").get<std::string>(), c.at("message").get<std::string>());
    return std::make_exception_ptr(
        remote_error(std::move(type), std::move(message), error.at("where").get<std::string>(), std::move(causes)));
}

} // namespace workers::registry
} // namespace muster
