// SPDX-License-Identifier: MIT
// The texts of cancellations, deadlocks and exceptions of any type. Types are named by demangling; the text of a thrown
// object is found by asking for the types that people throw, without a rethrow.
#include <muster/error.hpp>

#include "vocabulary/printable.hpp"

#include <muster/exception_group.hpp>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <typeinfo>

#include <cxxabi.h>

namespace muster {

std::string_view to_string(cancel_reason reason) noexcept {
    switch (reason) {
    case cancel_reason::none:
        return "not cancelled";
    case cancel_reason::requested:
        return "requested";
    case cancel_reason::parent_cancelled:
        return "parent cancelled";
    case cancel_reason::sibling_failed:
        return "sibling failed";
    case cancel_reason::race_lost:
        return "race lost";
    case cancel_reason::stopped:
        return "stopped after failures";
    case cancel_reason::deadline:
        return "deadline";
    case cancel_reason::shutdown:
        return "shutdown";
    case cancel_reason::raised:
        return "raised";
    }
    return "unknown reason";
}

const char* cancelled_error::what() const noexcept {
    if (!message().empty())
        return text_.c_str();
    switch (reason_) {
    case cancel_reason::requested:
        return "cancelled (requested)";
    case cancel_reason::parent_cancelled:
        return "cancelled (parent cancelled)";
    case cancel_reason::sibling_failed:
        return "cancelled (sibling failed)";
    case cancel_reason::race_lost:
        return "cancelled (race lost)";
    case cancel_reason::stopped:
        return "cancelled (stopped after failures)";
    case cancel_reason::deadline:
        return "cancelled (deadline)";
    case cancel_reason::shutdown:
        return "cancelled (shutdown)";
    case cancel_reason::none:
    case cancel_reason::raised:
        break;
    }
    return "cancelled";
}

namespace {

std::string deadlock_text(const std::vector<std::string>& waiters) {
    if (waiters.empty())
        return "deadlock: nothing is left that could run";
    std::string text = "deadlock: nothing is left that could run, and ";
    text += waiters.size() == 1 ? "1 task waits:" : std::to_string(waiters.size()) + " tasks wait:";
    for (const auto& waiter : waiters)
        text.append("\n  ").append(waiter);
    return text;
}

} // namespace

deadlock_error::deadlock_error(std::vector<std::string> waiters)
    : std::runtime_error(deadlock_text(waiters)),
      waiters_(std::make_shared<const std::vector<std::string>>(std::move(waiters))) {}

namespace detail {
namespace {

struct freed_by_malloc {
    void operator()(char* text) const noexcept { std::free(text); }
};

void erase_all(std::string& text, std::string_view part) {
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at))
        text.erase(at, part.size());
}

std::string cancellation_text(const cancelled_error& e) {
    std::string text = "cancelled";
    const bool says_why = e.reason() != cancel_reason::none && e.reason() != cancel_reason::raised;
    if (says_why || !e.requested_by().empty()) {
        text += " (";
        text += says_why ? to_string(e.reason()) : "";
        if (!e.requested_by().empty())
            text.append(says_why ? " by " : "by ").append(printable(e.requested_by(), longest_printed_name));
        text += ')';
    }
    if (!e.message().empty())
        text.append(": ").append(printable(e.message()));
    return text;
}

std::string group_text(const base_exception_group& group) {
    std::string text = printable(group.message());
    text += text.empty() ? "" : " ";
    text += '(' + std::to_string(group.size()) + (group.size() == 1 ? " sub-exception)" : " sub-exceptions)");
    return text;
}

} // namespace

const std::type_info* dynamic_type_by_rethrow(const std::exception_ptr& error) noexcept {
    if (!error)
        return nullptr;
    try {
        std::rethrow_exception(error);
    } catch (...) {
        // The caller still holds the exception, so nothing is dropped here.
        return abi::__cxa_current_exception_type();
    }
}

bool adds_const_only(const std::type_info& thrown, const std::type_info& wanted, const void* object) noexcept {
#if defined(__GLIBCXX__)
    const auto* from = dynamic_cast<const abi::__pointer_type_info*>(&thrown);
    const auto* to = dynamic_cast<const abi::__pointer_type_info*>(&wanted);
    if (from == nullptr || to == nullptr || *from->__pointee != *to->__pointee)
        return false;
    void* value = nullptr;
    std::memcpy(&value, object, sizeof value);
    return wanted.__do_catch(&thrown, &value, 1);
#else
    static_cast<void>(object);
    return thrown == wanted;
#endif
}

std::string type_name(const std::type_info& type) {
    // The standard library would say std::__cxx11::basic_string<char, std::char_traits<char>, ...
    if (type == typeid(std::string))
        return "std::string";
    int status = 0;
    const std::unique_ptr<char, freed_by_malloc> text(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status));
    if (status == -1)
        throw std::bad_alloc();
    std::string name = status == 0 ? text.get() : type.name();
    erase_all(name, "(anonymous namespace)::");
    erase_all(name, "__cxx11::");
    erase_all(name, "[abi:cxx11]");
    if (name == "char const*")
        return "const char*";
    return name;
}

std::string type_name(const std::exception_ptr& error) {
    if (!error)
        return "no exception";
    const auto* type = dynamic_type(error);
    return type != nullptr ? type_name(*type) : "unknown exception";
}

namespace {

std::string description(const std::exception_ptr& error, std::string (*made_safe)(std::string_view, std::size_t)) {
    if (const auto* cancelled = get_if<cancelled_error>(error))
        return cancellation_text(*cancelled);
    std::string text = type_name(error);
    if (const auto* group = as_group(error))
        return text + (group->message().empty() ? " " : ": ") + group_text(*group);
    std::string what;
    if (const auto* exception = get_if<std::exception>(error))
        what = exception->what();
    else if (const auto* number = get_if<int>(error))
        what = std::to_string(*number);
    else if (const auto* string = get_if<std::string>(error))
        what = *string;
    else if (const auto* literal = get_if<const char*>(error))
        what = *literal != nullptr ? *literal : "(null)";
    // std::bad_alloc and its like have nothing to say but their name.
    if (what.empty() || what == text)
        return text;
    // The lines of a deadlock are the library's own, and the names in them are safe already.
    return text.append(": ").append(is_a<deadlock_error>(error) ? what : made_safe(what, longest_printed_text));
}

} // namespace

std::string describe(const std::exception_ptr& error) { return description(error, &printable); }
std::string describe_in_lines(const std::exception_ptr& error) { return description(error, &printable_lines); }

} // namespace detail
} // namespace muster
