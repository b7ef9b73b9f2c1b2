// SPDX-License-Identifier: MIT
#include <muster/error.hpp>

#include <muster/exception_group.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

struct plain_failure {
    int code;
};

namespace shop {

class http_error : public std::runtime_error {
public:
    explicit http_error(int status) : std::runtime_error("status " + std::to_string(status)), status_(status) {}
    [[nodiscard]] int status() const { return status_; }

private:
    int status_;
};

} // namespace shop

namespace {

using muster::cancel_reason;
using muster::cancelled_error;
using muster::describe;
using muster::get_if;
using muster::is_a;
using muster::type_name;

struct left {
    virtual ~left() = default;
    std::int64_t padding = 1;
};
struct right {
    virtual ~right() = default;
    std::int64_t value = 2;
};
struct both : left, right {};

struct tag {
    int id = 7;
};
struct tagged_once : tag {};
struct tagged_again : tag {};
struct tagged_twice : tagged_once, tagged_again {};
struct tagged_in_private : private tag {};

struct shared_root {
    virtual ~shared_root() = default;
    int depth = 3;
};
struct arm_one : virtual shared_root {};
struct arm_two : virtual shared_root {};
struct diamond : arm_one, arm_two {};

struct last final : shop::http_error {
    last() : http_error(599) {}
};

struct in_hiding : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class colour { red, green };

template <class E>
std::exception_ptr thrown(E e) {
    try {
        throw e;
    } catch (...) {
        return std::current_exception();
    }
}

TEST(error, get_if_finds_the_thrown_type_itself) {
    const auto error = std::make_exception_ptr(shop::http_error(503));
    const auto* found = get_if<shop::http_error>(error);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->status(), 503);
    EXPECT_EQ(get_if<std::logic_error>(error), nullptr);
}

TEST(error, get_if_points_at_the_thrown_object_and_not_at_a_copy) {
    try {
        throw shop::http_error(500);
    } catch (const shop::http_error& e) {
        EXPECT_EQ(get_if<shop::http_error>(std::current_exception()), &e);
        EXPECT_EQ(get_if<std::exception>(std::current_exception()), &e);
    }
}

TEST(error, get_if_sees_base_classes_and_final_classes) {
    const auto error = thrown(last());
    EXPECT_NE(get_if<last>(error), nullptr);
    ASSERT_NE(get_if<shop::http_error>(error), nullptr);
    EXPECT_EQ(get_if<shop::http_error>(error)->status(), 599);
    ASSERT_NE(get_if<std::exception>(error), nullptr);
    EXPECT_STREQ(get_if<std::exception>(error)->what(), "status 599");
    EXPECT_FALSE(is_a<last>(thrown(shop::http_error(500))));
}

TEST(error, get_if_adjusts_the_pointer_to_a_second_base) {
    const auto error = thrown(both());
    ASSERT_NE(get_if<right>(error), nullptr);
    EXPECT_EQ(get_if<right>(error)->value, 2);
    EXPECT_EQ(get_if<left>(error)->padding, 1);
    EXPECT_EQ(get_if<right>(error), static_cast<const right*>(get_if<both>(error)));
}

TEST(error, get_if_follows_virtual_bases) {
    const auto error = thrown(diamond());
    ASSERT_NE(get_if<shared_root>(error), nullptr);
    EXPECT_EQ(get_if<shared_root>(error)->depth, 3);
    EXPECT_TRUE(is_a<arm_two>(error));
}

TEST(error, get_if_does_not_see_private_or_ambiguous_bases_as_a_catch_does_not) {
    EXPECT_FALSE(is_a<tag>(thrown(tagged_in_private())));
    EXPECT_FALSE(is_a<tag>(thrown(tagged_twice())));
    EXPECT_TRUE(is_a<tagged_again>(thrown(tagged_twice())));
    EXPECT_TRUE(is_a<tag>(thrown(tagged_once())));
}

TEST(error, get_if_sees_what_is_no_class) {
    ASSERT_NE(get_if<int>(thrown(42)), nullptr);
    EXPECT_EQ(*get_if<int>(thrown(42)), 42);
    EXPECT_FALSE(is_a<long>(thrown(42)));
    EXPECT_FALSE(is_a<int>(thrown(colour::green)));
    EXPECT_TRUE(is_a<colour>(thrown(colour::green)));
    EXPECT_FALSE(is_a<std::exception>(thrown(42)));
    const auto error = thrown(plain_failure{9});
    ASSERT_NE(get_if<plain_failure>(error), nullptr);
    EXPECT_EQ(get_if<plain_failure>(error)->code, 9);
}

TEST(error, get_if_takes_a_thrown_pointer_as_itself_or_with_more_const) {
    const auto literal = thrown("text");
    ASSERT_NE(get_if<const char*>(literal), nullptr);
    EXPECT_STREQ(*get_if<const char*>(literal), "text");
    EXPECT_FALSE(is_a<char*>(literal));
    EXPECT_FALSE(is_a<const void*>(literal));

    char buffer[] = "mutable";
    const auto text = thrown(+buffer);
    EXPECT_TRUE(is_a<char*>(text));
    ASSERT_NE(get_if<const char*>(text), nullptr);
    EXPECT_EQ(*get_if<const char*>(text), +buffer);

    both object;
    const auto pointer = thrown(&object);
    EXPECT_TRUE(is_a<both*>(pointer));
    EXPECT_TRUE(is_a<const both*>(pointer));
    EXPECT_FALSE(is_a<right*>(pointer)) << "there is no right* object to point at";
    EXPECT_FALSE(is_a<both>(pointer));
    EXPECT_FALSE(is_a<both*>(thrown(nullptr)));
}

TEST(error, get_if_of_nothing_is_null) {
    EXPECT_EQ(get_if<std::exception>(nullptr), nullptr);
    EXPECT_EQ(get_if<int>(nullptr), nullptr);
    EXPECT_EQ(muster::detail::dynamic_type(nullptr), nullptr);
    EXPECT_EQ(muster::detail::thrown_object(nullptr), nullptr);
}

TEST(error, what_is_found_outlives_the_copy_that_was_asked) {
    const auto kept = thrown(both());
    const right* found = nullptr;
    {
        const auto copy = kept;
        found = get_if<right>(copy);
    }
    EXPECT_EQ(found->value, 2);
}

// The other standard libraries' way must agree with the runtime's own.
TEST(error, the_way_by_a_rethrow_agrees) {
    namespace detail = muster::detail;
    for (const auto& error : {thrown(both()), thrown(last()), thrown(diamond()), thrown(tagged_twice()),
             thrown(tagged_in_private()), thrown(42), std::make_exception_ptr(shop::http_error(404))}) {
        EXPECT_EQ(detail::get_if_by_rethrow<right>(error), get_if<right>(error));
        EXPECT_EQ(detail::get_if_by_rethrow<std::exception>(error), get_if<std::exception>(error));
        EXPECT_EQ(detail::get_if_by_rethrow<shared_root>(error), get_if<shared_root>(error));
        EXPECT_EQ(detail::get_if_by_rethrow<tag>(error), get_if<tag>(error));
        ASSERT_NE(detail::dynamic_type_by_rethrow(error), nullptr);
        EXPECT_EQ(*detail::dynamic_type_by_rethrow(error), *detail::dynamic_type(error));
    }
    EXPECT_EQ(detail::dynamic_type_by_rethrow(nullptr), nullptr);
}

TEST(error, type_names_are_written_as_in_the_source) {
    EXPECT_EQ(type_name(typeid(shop::http_error)), "shop::http_error");
    EXPECT_EQ(type_name(typeid(in_hiding)), "in_hiding");
    EXPECT_EQ(type_name(typeid(std::string)), "std::string");
    EXPECT_EQ(type_name(typeid(int)), "int");
    EXPECT_EQ(type_name(thrown("text")), "const char*");
    EXPECT_EQ(type_name(thrown(in_hiding("x"))), "in_hiding");
    EXPECT_EQ(type_name(std::exception_ptr()), "no exception");
}

TEST(error, describe_says_the_type_and_what_it_says) {
    EXPECT_EQ(describe(thrown(shop::http_error(503))), "shop::http_error: status 503");
    EXPECT_EQ(describe(thrown(std::bad_alloc())), "std::bad_alloc");
    EXPECT_EQ(describe(thrown(std::runtime_error(""))), "std::runtime_error");
    EXPECT_EQ(describe(thrown(5)), "int: 5");
    EXPECT_EQ(describe(thrown("broken")), "const char*: broken");
    EXPECT_EQ(describe(thrown(static_cast<const char*>(nullptr))), "const char*: (null)");
    EXPECT_EQ(describe(thrown(std::string("worse"))), "std::string: worse");
    EXPECT_EQ(describe(thrown(plain_failure{1})), "plain_failure");
    EXPECT_EQ(describe(nullptr), "no exception");
}

TEST(error, describe_says_why_something_was_cancelled_and_by_whom) {
    EXPECT_EQ(describe(thrown(cancelled_error())), "cancelled");
    EXPECT_EQ(describe(thrown(cancelled_error(cancel_reason::sibling_failed))), "cancelled (sibling failed)");
    EXPECT_EQ(describe(thrown(cancelled_error(cancel_reason::requested, "too slow", "watchdog"))),
        "cancelled (requested by watchdog): too slow");
    EXPECT_EQ(describe(thrown(cancelled_error("enough"))), "cancelled: enough");
    EXPECT_EQ(describe(thrown(cancelled_error(cancel_reason::raised, "", "me"))), "cancelled (by me)");
}

TEST(error, describe_puts_a_group_on_one_line) {
    EXPECT_EQ(describe(muster::make_exception_group("saving failed", {thrown(1), thrown(2)})),
        "muster::exception_group: saving failed (2 sub-exceptions)");
    EXPECT_EQ(describe(muster::make_exception_group("", {thrown(cancelled_error())})),
        "muster::base_exception_group (1 sub-exception)");
}

TEST(error, a_cancellation_is_no_std_exception) {
    static_assert(!std::is_base_of_v<std::exception, cancelled_error>);
    static_assert(std::is_nothrow_copy_constructible_v<cancelled_error>);
    static_assert(std::is_nothrow_copy_assignable_v<cancelled_error>);
    static_assert(std::is_nothrow_default_constructible_v<cancelled_error>);
    static_assert(std::is_nothrow_constructible_v<cancelled_error, cancel_reason>);
    bool swallowed = true;
    try {
        try {
            throw cancelled_error(cancel_reason::requested);
        } catch (const std::exception&) {}
    } catch (const cancelled_error& e) {
        swallowed = false;
        EXPECT_EQ(e.reason(), cancel_reason::requested);
    }
    EXPECT_FALSE(swallowed);
}

TEST(error, a_cancellation_carries_its_texts_through_copies) {
    auto original = std::make_unique<cancelled_error>(cancel_reason::requested, "too slow", "watchdog");
    const cancelled_error copy = *original;
    EXPECT_EQ(copy.message().data(), original->message().data()) << "the text is shared";
    original.reset();
    EXPECT_EQ(copy.message(), "too slow");
    EXPECT_EQ(copy.requested_by(), "watchdog");
    EXPECT_STREQ(copy.what(), "too slow");
    const cancelled_error again(copy.reason(), copy.text());
    EXPECT_EQ(again.requested_by(), "watchdog");
}

TEST(error, a_cancellation_without_texts_says_its_reason) {
    EXPECT_EQ(cancelled_error().reason(), cancel_reason::raised);
    EXPECT_EQ(cancelled_error("done").reason(), cancel_reason::raised);
    EXPECT_EQ(cancelled_error().message(), "");
    EXPECT_EQ(cancelled_error().requested_by(), "");
    EXPECT_STREQ(cancelled_error().what(), "cancelled");
    for (const auto reason : {cancel_reason::requested, cancel_reason::parent_cancelled, cancel_reason::sibling_failed,
             cancel_reason::race_lost, cancel_reason::stopped, cancel_reason::deadline, cancel_reason::shutdown})
        EXPECT_EQ(cancelled_error(reason).what(), "cancelled (" + std::string(to_string(reason)) + ")");
}

TEST(error, every_reason_has_a_name_of_its_own) {
    std::vector<std::string_view> names;
    for (auto i = static_cast<int>(cancel_reason::none); i <= static_cast<int>(cancel_reason::raised); ++i)
        names.push_back(to_string(static_cast<cancel_reason>(i)));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
    EXPECT_EQ(to_string(cancel_reason::deadline), "deadline");
    EXPECT_EQ(to_string(static_cast<cancel_reason>(200)), "unknown reason");
}

TEST(error, a_timeout_is_an_error_and_no_cancellation) {
    const auto error = thrown(muster::timeout_error());
    EXPECT_TRUE(is_a<std::runtime_error>(error));
    EXPECT_FALSE(is_a<cancelled_error>(error));
    EXPECT_EQ(describe(error), "muster::timeout_error: timed out");
    EXPECT_STREQ(muster::timeout_error("no answer in 2s").what(), "no answer in 2s");
}

TEST(error, the_errors_of_queues_barriers_and_futures_are_std_exceptions_with_a_text) {
    EXPECT_STREQ(muster::queue_empty().what(), "the queue is empty");
    EXPECT_STREQ(muster::queue_full().what(), "the queue is full");
    EXPECT_STREQ(muster::queue_shut_down().what(), "the queue was shut down");
    EXPECT_STREQ(muster::broken_barrier_error().what(), "the barrier is broken");
    EXPECT_STREQ(muster::invalid_state_error().what(), "invalid state");
    EXPECT_STREQ(muster::queue_empty("a").what(), "a");
    EXPECT_STREQ(muster::queue_full("b").what(), "b");
    EXPECT_STREQ(muster::queue_shut_down("c").what(), "c");
    EXPECT_STREQ(muster::broken_barrier_error("d").what(), "d");
    EXPECT_STREQ(muster::invalid_state_error("e").what(), "e");
    EXPECT_TRUE((std::is_base_of_v<std::logic_error, muster::invalid_state_error>));
}

TEST(error, a_deadlock_lists_who_waits) {
    static_assert(std::is_nothrow_copy_constructible_v<muster::deadlock_error>);
    const muster::deadlock_error error({"task 'a' waits for an event", "task 'b' waits for task 'a'"});
    const auto copy = error;
    EXPECT_EQ(copy.waiters(), (std::vector<std::string>{"task 'a' waits for an event", "task 'b' waits for task 'a'"}));
    EXPECT_STREQ(copy.what(), "deadlock: nothing is left that could run, and 2 tasks wait:\n"
                              "  task 'a' waits for an event\n"
                              "  task 'b' waits for task 'a'");
    EXPECT_STREQ(
        muster::deadlock_error({"x"}).what(), "deadlock: nothing is left that could run, and 1 task waits:\n  x");
    EXPECT_STREQ(muster::deadlock_error({}).what(), "deadlock: nothing is left that could run");
}

} // namespace
