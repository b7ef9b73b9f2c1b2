// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Looks at the object in an exception_ptr without throwing it: a rethrow costs 4 microseconds, these functions cost
/// nanoseconds. With libstdc++ the type and the object are read where the runtime keeps them, and the C++ runtime's own
/// rule for `catch` decides whether it is an E; other standard libraries pay for one rethrow.
///
///     if (const auto* e = muster::detail::get_if<http_error>(error)) retry_later(e->status());

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>

namespace muster::detail {

/// One rethrow; for standard libraries that do not tell the type. *Returns* null if it is not known.
[[nodiscard]] const std::type_info* dynamic_type_by_rethrow(const std::exception_ptr& error) noexcept;

/// True if a thrown pointer of type `thrown` converts to the pointer type `wanted` by adding const or volatile only.
[[nodiscard]] bool adds_const_only(
    const std::type_info& thrown, const std::type_info& wanted, const void* object) noexcept;

/// *Returns* the type of the object that was thrown; null for a null pointer, or if the runtime does not tell.
[[nodiscard]] inline const std::type_info* dynamic_type(const std::exception_ptr& error) noexcept {
    if (!error)
        return nullptr;
#if defined(__GLIBCXX__)
    return error.__cxa_exception_type();
#else
    return dynamic_type_by_rethrow(error);
#endif
}

/// *Returns* the address of the thrown object, by which exception_ptrs compare equal. Null for a null pointer.
[[nodiscard]] inline void* thrown_object(const std::exception_ptr& error) noexcept {
    static_assert(sizeof(std::exception_ptr) == sizeof(void*), "muster needs the Itanium C++ ABI's exception_ptr");
    void* object = nullptr;
    std::memcpy(&object, &error, sizeof object);
    return object;
}

/// get_if for a class E with standard libraries that do not tell the type. `error` is not null.
template <class E>
[[nodiscard]] const E* get_if_by_rethrow(const std::exception_ptr& error) noexcept {
    try {
        std::rethrow_exception(error);
    } catch (const E& e) {
        // The caller's exception_ptr keeps the object alive after this handler.
        return std::addressof(e);
    } catch (...) {
        // The caller still holds the exception, so nothing is dropped here.
        return nullptr;
    }
}

/// *Returns* the object as an E if `catch (const E&)` would catch it, else null: public unambiguous base classes
/// count, private and ambiguous ones do not. E may be any type that can be thrown. A thrown pointer is its own type
/// or one with more const; derived-to-base conversion of pointers is not followed, as there is no such object.
/// *Lifetime*: as long as any copy of `error`. *Complexity*: O(1) for the exact type, else the depth of its bases.
template <class E>
[[nodiscard]] const E* get_if(const std::exception_ptr& error) noexcept {
    static_assert(std::is_object_v<E> && !std::is_array_v<E> && std::is_same_v<E, std::remove_cv_t<E>>,
        "ask for the type itself: get_if<http_error>, without const, & or []");
    if (!error)
        return nullptr;
#if !defined(__GLIBCXX__)
    if constexpr (std::is_class_v<E>)
        return get_if_by_rethrow<E>(error);
#endif
    const std::type_info* thrown = dynamic_type(error);
    if (thrown == nullptr)
        return nullptr;
    void* object = thrown_object(error);
    if (*thrown == typeid(E))
        return static_cast<const E*>(object);
    if constexpr (std::is_pointer_v<E>) {
        if (adds_const_only(*thrown, typeid(E), object))
            return static_cast<const E*>(object);
    }
#if defined(__GLIBCXX__)
    // No class derives from an E that is final or not a class, so for such an E the comparison above was enough.
    if constexpr (std::is_class_v<E> && !std::is_final_v<E>) {
        if (typeid(E).__do_catch(thrown, &object, 1))
            return static_cast<const E*>(object);
    }
#endif
    return nullptr;
}

/// True if `catch (const E&)` would catch it; see get_if.
template <class E>
[[nodiscard]] bool is_a(const std::exception_ptr& error) noexcept {
    return get_if<E>(error) != nullptr;
}

/// *Returns* the type as it is written in C++, without `(anonymous namespace)::` and the standard library's inline
/// namespaces: "shop::http_error".
[[nodiscard]] std::string type_name(const std::type_info& type);

/// *Returns* the name of the type that was thrown: "no exception" for null, "unknown exception" if it is not known.
[[nodiscard]] std::string type_name(const std::exception_ptr& error);

/// *Returns* a line for a person to read: "http_error: 503 from /user", "int: 5",
/// "cancelled (requested by watchdog): too slow", "muster::exception_group: saving failed (2 sub-exceptions)".
[[nodiscard]] std::string describe(const std::exception_ptr& error);

} // namespace muster::detail
