// SPDX-License-Identifier: MIT
#include <muster/exception_group.hpp>

#include <muster/error.hpp>
#include <muster/handle_group.hpp>

#include "../support/raised_errors.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using muster::handle_group;
using muster::on;

// ---- construction and types

TEST(exception_group, a_group_of_errors_is_a_std_exception_and_a_group) {
    static_assert(std::is_base_of_v<std::exception, exception_group>);
    static_assert(!std::is_base_of_v<std::exception, base_exception_group>);
    static_assert(std::is_nothrow_copy_constructible_v<exception_group>);
    static_assert(std::is_nothrow_copy_constructible_v<base_exception_group>);
    static_assert(std::is_nothrow_copy_assignable_v<exception_group>);
    const auto eg = group("eg", {one<value_error>("1"), one<type_error>("T")});
    EXPECT_EQ(show(eg), "eg('eg', [value_error('1'), type_error('T')])");
    EXPECT_NE(get_if<std::exception>(eg), nullptr);
    EXPECT_NE(as_group(eg), nullptr);
    EXPECT_EQ(as_group(one<value_error>("1")), nullptr);
    EXPECT_EQ(as_group(nullptr), nullptr);
}

TEST(exception_group, a_group_that_holds_a_cancellation_is_no_std_exception) {
    const auto beg = group("beg", {one<value_error>("1"), one<cancelled_error>("c")});
    EXPECT_EQ(show(beg), "beg('beg', [value_error('1'), cancelled('c')])");
    EXPECT_EQ(get_if<std::exception>(beg), nullptr);
    EXPECT_EQ(show(group("outer", {one<value_error>("2"), group("nested", {beg})})),
        "beg('outer', [value_error('2'), beg('nested', [beg('beg', [value_error('1'), cancelled('c')])])])");
}

TEST(exception_group, whatever_else_is_thrown_is_an_error) {
    EXPECT_EQ(
        show(group("eg", {std::make_exception_ptr(3), std::make_exception_ptr(bare{"x"})})), "eg('eg', [3, bare])");
}

TEST(exception_group, a_nested_group_that_holds_cancellations_is_shown_whole) {
    const auto flat = [] { return group("flat", {one<value_error>("1"), one<cancelled_error>("")}); };
    EXPECT_EQ(show(group("nested", {flat(), one<value_error>("1"), flat()})),
        "beg('nested', [beg('flat', [value_error('1'), cancelled('')]), value_error('1'), "
        "beg('flat', [value_error('1'), cancelled('')])])");
}

TEST(exception_group, catch_chooses_by_what_the_group_holds) {
    const auto caught_as = [](const std::exception_ptr& e) -> std::string {
        try {
            std::rethrow_exception(e);
        } catch (const exception_group&) {
            return "exception_group";
        } catch (const std::exception&) {
            return "exception";
        } catch (const base_exception_group&) {
            return "base_exception_group";
        }
    };
    EXPECT_EQ(caught_as(group("", {one<value_error>("1")})), "exception_group");
    EXPECT_EQ(caught_as(group("", {one<cancelled_error>("1")})), "base_exception_group");
    EXPECT_THROW(muster::throw_exception_group("x", {one<value_error>("1")}), exception_group);
    EXPECT_THROW(muster::throw_exception_group("x", {one<cancelled_error>("1")}), base_exception_group);
}

TEST(exception_group, an_empty_group_cannot_be_made) {
    EXPECT_THROW(exception_group("eg", {}), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(group("eg", {})), std::invalid_argument);
    try {
        exception_group("eg", {});
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "an exception group must hold at least one exception");
    }
}

TEST(exception_group, a_null_cannot_be_in_a_group) {
    try {
        static_cast<void>(group("eg", {one<value_error>("1"), nullptr}));
        ADD_FAILURE() << "it was made";
    } catch (const std::invalid_argument& e) {
        EXPECT_STREQ(e.what(), "an exception group cannot hold a null exception_ptr: number 1 is null");
    }
}

TEST(exception_group, an_exception_group_refuses_a_cancellation_and_says_what_to_use) {
    for (const auto& held : {one<cancelled_error>("c"), group("beg", {one<cancelled_error>("c")})}) {
        try {
            exception_group("eg", {held});
            ADD_FAILURE() << "it was made";
        } catch (const std::invalid_argument& e) {
            EXPECT_NE(std::string(e.what()).find("make_exception_group"), std::string::npos);
        }
    }
}

TEST(exception_group, copies_share_what_they_hold) {
    const exception_group original("eg", {one<value_error>("1")});
    auto copy = original;
    EXPECT_EQ(&copy.exceptions(), &original.exceptions());
    auto moved = std::move(copy);
    EXPECT_EQ(copy.size(), 1U) << "a group is never empty, not even when it was moved from";
    EXPECT_EQ(moved.message(), "eg");
}

// ---- what()

TEST(exception_group, what_shows_the_tree) {
    const auto eg = group("2 of 3 uploads failed",
        {one<value_error>("bad header"),
            group("mirror",
                {std::make_exception_ptr(5), one<os_error>("a\nb"), group("", {one<cancelled_error>("late")})}),
            std::make_exception_ptr(bare{"x"})});
    EXPECT_STREQ(as_group(eg)->what(), "2 of 3 uploads failed (3 sub-exceptions)\n"
                                       "|- value_error: bad header\n"
                                       "|- muster::base_exception_group: mirror (3 sub-exceptions)\n"
                                       "|  |- int: 5\n"
                                       "|  |- os_error: a\n"
                                       "|  |  b\n"
                                       "|  `- muster::base_exception_group (1 sub-exception)\n"
                                       "|     `- cancelled: late\n"
                                       "`- bare");
}

TEST(exception_group, what_of_a_group_without_a_message_counts) {
    const exception_group eg("", {one<value_error>("1")});
    EXPECT_STREQ(eg.what(), "1 sub-exception\n`- value_error: 1");
    EXPECT_EQ(static_cast<const std::exception&>(eg).what(), eg.what()) << "it is made once";
}

TEST(exception_group, what_of_a_very_large_group_says_how_many_it_leaves_out) {
    std::vector<std::exception_ptr> many(5000, one<value_error>("v"));
    const exception_group eg("many", {group("in", many), one<type_error>("t")});
    const std::string text = eg.what();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1001);
    const std::string end = "\n... and 4002 more that are not shown here";
    ASSERT_GT(text.size(), end.size());
    EXPECT_EQ(text.substr(text.size() - end.size()), end);
}

TEST(exception_group, what_may_be_asked_on_two_threads_at_once) {
    const exception_group eg("eg", {one<value_error>("1")});
    const char* other = nullptr;
    std::thread thread([&other, copy = eg] { other = copy.what(); });
    const char* mine = eg.what();
    thread.join();
    EXPECT_EQ(mine, other);
}

// ---- looking inside

TEST(exception_group, leaves_are_visited_in_order_through_nested_groups) {
    const auto eg =
        group("g", {one<value_error>("1"), group("h", {group("i", {one<type_error>("2")}), one<os_error>("3")}),
                       one<value_error>("4")});
    texts leaves;
    as_group(eg)->for_each_leaf([&](const std::exception_ptr& leaf) { leaves.push_back(show(leaf)); });
    EXPECT_EQ(leaves, (texts{"value_error('1')", "type_error('2')", "os_error('3')", "value_error('4')"}));
    EXPECT_EQ(as_group(eg)->leaf_count(), 4U);
    EXPECT_EQ(as_group(eg)->size(), 3U);
}

TEST(exception_group, error_types_names_each_type_once_in_order) {
    const exception_group eg("g",
        {one<value_error>("1"), group("h", {one<os_error>("2"), one<value_error>("3")}), std::make_exception_ptr(4)});
    EXPECT_EQ(eg.error_types(), (texts{"value_error", "os_error", "int"}));
}

TEST(exception_group, contains_and_leaves_of_see_base_classes_in_nested_groups) {
    const exception_group eg("g", {one<connection_error>("1"), group("h", {one<late_error>("2"), one<type_error>("3")}),
                                      std::make_exception_ptr(4)});
    EXPECT_TRUE(eg.contains<os_error>());
    EXPECT_TRUE(eg.contains<late_error>());
    EXPECT_TRUE(eg.contains<int>());
    EXPECT_FALSE(eg.contains<value_error>());
    EXPECT_FALSE(eg.contains<cancelled_error>());
    texts found;
    for (const os_error* e : eg.leaves_of<os_error>())
        found.emplace_back(e->what());
    EXPECT_EQ(found, (texts{"1", "2"}));
    ASSERT_EQ(eg.leaves_of<int>().size(), 1U);
    EXPECT_EQ(*eg.leaves_of<int>()[0], 4);
    EXPECT_EQ(eg.leaves_of<std::exception>().size(), 3U);
}

// ---- split, subgroup, derive

std::string show(const muster::group_split& s) { return "match " + show(s.match) + " rest " + show(s.rest); }

TEST(exception_group, split_without_a_match_gives_the_group_itself_as_the_rest) {
    const auto eg = simple();
    EXPECT_EQ(show(as_group(eg)->split<os_error>()), std::string("match none rest ") + simple_text);
    EXPECT_EQ(as_group(eg)->subgroup<os_error>(), nullptr);
}

TEST(exception_group, split_by_a_type_of_the_group_itself_passes_it_through) {
    const auto eg = simple();
    const auto whole = std::string("match ") + simple_text + " rest none";
    EXPECT_EQ(show(as_group(eg)->split(anything)), whole);
    EXPECT_EQ(show(as_group(eg)->split<std::exception>()), whole);
    EXPECT_EQ(show(as_group(eg)->split<base_exception_group>()), whole);
    EXPECT_EQ(show(as_group(eg)->split<exception_group>()), whole);
    EXPECT_EQ(show(as_group(eg)->subgroup(anything)), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<std::exception>()), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<base_exception_group>()), simple_text);
    EXPECT_EQ(show(as_group(eg)->subgroup<exception_group>()), simple_text);
}

TEST(exception_group, split_keeps_the_shape_and_drops_groups_that_become_empty) {
    const auto eg = group("root", {group("nested", {one<type_error>("T")}), one<value_error>("1")});
    EXPECT_EQ(show(as_group(eg)->split<type_error>()),
        "match eg('root', [eg('nested', [type_error('T')])]) rest eg('root', [value_error('1')])");
}

TEST(exception_group, split_by_a_base_class_finds_the_derived_ones) {
    const auto st =
        group("st", {one<connection_error>("c"), one<type_error>("T"), one<os_error>("o"), one<late_error>("t")});
    EXPECT_EQ(show(as_group(st)->split<os_error>()),
        "match eg('st', [connection_error('c'), os_error('o'), late_error('t')]) rest eg('st', [type_error('T')])");
    const auto keys = group("st", {one<key_error>("k"), one<value_error>("1")});
    EXPECT_EQ(show(as_group(keys)->split<lookup_error>()),
        "match eg('st', [key_error('k')]) rest eg('st', [value_error('1')])");
}

TEST(exception_group, split_by_types_of_a_deeper_tree) {
    const auto eg = group("msg3",
        {group("msg2", {group("msg1", {one<value_error>("6"), one<type_error>("int"), one<value_error>("7")}),
                           group("msg1", {one<value_error>("7"), one<type_error>("int"), one<value_error>("8")}),
                           one<value_error>("8")}),
            one<value_error>("7")});
    const auto all = show(eg);
    const std::string values = "eg('msg3', [eg('msg2', [eg('msg1', [value_error('6'), value_error('7')]), eg('msg1', "
                               "[value_error('7'), value_error('8')]), value_error('8')]), value_error('7')])";
    const std::string types =
        "eg('msg3', [eg('msg2', [eg('msg1', [type_error('int')]), eg('msg1', [type_error('int')])])])";
    const auto& g = *as_group(eg);
    EXPECT_EQ(show(g.split<os_error>()), "match none rest " + all);
    EXPECT_EQ(show(g.split(anything)), "match " + all + " rest none");
    EXPECT_EQ(show(g.split<value_error, type_error>()), "match " + all + " rest none");
    EXPECT_EQ(show(g.split<value_error>()), "match " + values + " rest " + types);
    EXPECT_EQ(show(g.split<type_error, os_error>()), "match " + types + " rest " + values);
    EXPECT_EQ(show(g.split<exception_group>()), "match " + all + " rest none");
    EXPECT_EQ(show(g.subgroup<type_error>()), types);
}

TEST(exception_group, split_changes_the_type_of_a_part_by_what_it_holds) {
    const auto beg = group("b", {one<value_error>("1"), group("n", {one<cancelled_error>("c"), one<os_error>("o")})});
    EXPECT_EQ(show(as_group(beg)->split<error>()),
        "match eg('b', [value_error('1'), eg('n', [os_error('o')])]) rest beg('b', [beg('n', [cancelled('c')])])");
}

TEST(exception_group, a_predicate_sees_the_group_then_what_it_holds) {
    const auto eg =
        group("g", {one<value_error>("1"), group("h", {one<type_error>("2")}), group("i", {one<type_error>("3")})});
    texts asked;
    const auto parts = as_group(eg)->split([&](const std::exception_ptr& e) {
        asked.push_back(show(e));
        const auto* nested = as_group(e);
        return nested != nullptr && nested->message() == "h";
    });
    EXPECT_EQ(
        asked, (texts{"eg('g', [value_error('1'), eg('h', [type_error('2')]), eg('i', [type_error('3')])])",
                   "value_error('1')", "eg('h', [type_error('2')])", "eg('i', [type_error('3')])", "type_error('3')"}));
    EXPECT_EQ(show(parts),
        "match eg('g', [eg('h', [type_error('2')])]) rest eg('g', [value_error('1'), eg('i', [type_error('3')])])");
}

TEST(exception_group, parts_hold_the_exceptions_themselves) {
    const auto value = one<value_error>("1");
    const auto untouched = group("n", {one<type_error>("2")});
    const auto eg = group("g", {value, untouched});
    const auto parts = as_group(eg)->split<value_error>();
    EXPECT_EQ(as_group(parts.match)->exceptions()[0], value);
    EXPECT_EQ(as_group(parts.rest)->exceptions()[0], untouched);
}

TEST(exception_group, a_group_that_is_being_handled_and_matches_whole_is_the_match_itself) {
    try {
        muster::throw_exception_group("g", {one<value_error>("1")});
    } catch (const base_exception_group& g) {
        EXPECT_EQ(g.split<std::exception>().match, std::current_exception());
        EXPECT_EQ(g.split<os_error>().rest, std::current_exception());
        EXPECT_EQ(g.pointer(), std::current_exception());
    }
}

TEST(exception_group, derive_keeps_the_message_and_chooses_the_type) {
    const exception_group eg("eg", {one<value_error>("1")});
    EXPECT_EQ(show(eg.derive({one<type_error>("T")})), "eg('eg', [type_error('T')])");
    EXPECT_EQ(show(eg.derive({one<cancelled_error>("c")})), "beg('eg', [cancelled('c')])");
    EXPECT_THROW(static_cast<void>(eg.derive({})), std::invalid_argument);
}

class upload_errors : public exception_group {
public:
    upload_errors(std::string message, std::vector<std::exception_ptr> exceptions, int attempt)
        : exception_group(std::move(message), std::move(exceptions)),
          attempt_(attempt) {}
    [[nodiscard]] int attempt() const { return attempt_; }
    [[nodiscard]] std::exception_ptr derive(std::vector<std::exception_ptr> exceptions) const override {
        return std::make_exception_ptr(upload_errors(message(), std::move(exceptions), attempt_));
    }

private:
    int attempt_;
};

TEST(exception_group, a_derived_class_keeps_what_it_adds_in_its_parts) {
    const upload_errors errors("up", {one<value_error>("1"), one<type_error>("2")}, 3);
    const auto [match, rest] = errors.split<value_error>();
    ASSERT_NE(get_if<upload_errors>(match), nullptr);
    ASSERT_NE(get_if<upload_errors>(rest), nullptr);
    EXPECT_EQ(get_if<upload_errors>(match)->attempt(), 3);
    EXPECT_EQ(get_if<upload_errors>(rest)->attempt(), 3);
    EXPECT_EQ(show(rest), "eg('up', [type_error('2')])");

    const auto left = left_by(
        [&] { handle_group(std::make_exception_ptr(errors), on<value_error>([] { throw; }), on<type_error>([] {})); });
    ASSERT_NE(get_if<upload_errors>(left), nullptr);
    EXPECT_EQ(show(left), "eg('up', [value_error('1')])");
}

class group_of_all : public base_exception_group {
public:
    explicit group_of_all(std::vector<std::exception_ptr> exceptions)
        : base_exception_group("all", std::move(exceptions)) {}
    [[nodiscard]] std::exception_ptr derive(std::vector<std::exception_ptr>) const override {
        return one<value_error>("no group");
    }
};

TEST(exception_group, derive_that_returns_no_group_is_an_error_that_says_so) {
    const auto g = std::make_exception_ptr(group_of_all({one<value_error>("1"), one<type_error>("2")}));
    try {
        handle_group(g, on<value_error>([] {}));
        ADD_FAILURE() << "it was taken";
    } catch (const std::logic_error& e) {
        EXPECT_STREQ(e.what(), "derive() of an exception group must return a group, not value_error: no group");
    }
}

TEST(exception_group, a_class_derived_from_the_base_makes_its_parents_base_groups) {
    EXPECT_EQ(show(group("g", {std::make_exception_ptr(group_of_all({one<value_error>("1")}))})),
        "beg('g', [beg('all', [value_error('1')])])");
}

TEST(exception_group, groups_may_be_nested_without_limit) {
    auto nested = group("g", {one<value_error>("deep"), one<type_error>("deep")});
    for (int i = 0; i != 100'000; ++i)
        nested = group("g", {nested});
    EXPECT_EQ(as_group(nested)->leaf_count(), 2U);
    EXPECT_TRUE(as_group(nested)->contains<value_error>());
    auto [match, rest] = as_group(nested)->split<value_error>();
    EXPECT_EQ(as_group(match)->error_types(), texts{"value_error"});
    EXPECT_EQ(as_group(rest)->error_types(), texts{"type_error"});
    const std::string text = as_group(nested)->what();
    EXPECT_NE(text.find("\n... and 2 more that are not shown here"), std::string::npos);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 33);
}

} // namespace
